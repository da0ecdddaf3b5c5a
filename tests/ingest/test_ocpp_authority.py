"""The local certificate authority: what it signs, what it refuses, and that OpenSSL agrees."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.tls import tls_files
from ingest.ocpp.security import authority, material
from ingest.ocpp.security.authority import Authority, RequestError
from ingest.ocpp.security.tls import TlsConfig, renew_server, server_context
from tests.ingest.charger_keys import EC_KEY, ROOT, RSA_KEY, csr_pem

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ISSUER = Authority(authority.make_root(ROOT, "Test root", 1, NOW), ROOT)


def signed(pem: str, issuer: Authority = ISSUER, serial: int = 7) -> x509.Certificate:
    request = authority.check_request(pem, ["CP1"], issuer.organization)
    return authority.sign_request(issuer, request, "CP1", serial, NOW)


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ecdsa"])
def test_a_signed_request_verifies_as_a_client_and_not_as_a_server(key: authority.PrivateKey) -> None:
    certificate = signed(csr_pem(key, "CP1"))
    policy = PolicyBuilder().store(Store([ISSUER.certificate])).time(NOW)
    certificate.verify_directly_issued_by(ISSUER.certificate)
    assert certificate.public_key() == key.public_key()
    assert certificate.serial_number == 7
    assert certificate.not_valid_after_utc == NOW + authority.LEAF_LIFE
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(x509.verification.VerificationError):
        policy.build_server_verifier(x509.DNSName("cp1")).verify(certificate, [])


def test_nothing_but_the_key_is_taken_from_a_request() -> None:
    more = [x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"), x509.NameAttribute(NameOID.LOCALITY_NAME, "Here")]
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    certificate = signed(csr_pem(EC_KEY, "cp1", attributes=more, extension=constraints))
    assert certificate.subject.rfc4514_string() == "CN=CP1"
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_the_serial_number_of_the_subject_will_do() -> None:
    serial = [x509.NameAttribute(NameOID.SERIAL_NUMBER, "CP1")]
    assert authority.names_of(signed(csr_pem(EC_KEY, "Anything", attributes=serial))) == {"cp1"}


def test_the_organization_counts_where_one_is_configured() -> None:
    issuer = Authority(ISSUER.certificate, ROOT, organization="Operator")
    ours = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Operator")]
    theirs = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Other")]
    assert authority.organizations_of(signed(csr_pem(EC_KEY, "CP1", attributes=ours), issuer)) == ["Operator"]
    for attributes in (theirs, [], ours + theirs):
        with pytest.raises(RequestError, match="organization"):
            signed(csr_pem(EC_KEY, "CP1", attributes=attributes), issuer)


def broken(pem: str) -> str:
    """The same request with its last signature bits changed."""
    request = x509.load_pem_x509_csr(pem.encode())
    other = x509.load_pem_x509_csr(csr_pem(EC_KEY, "CP2").encode())
    der = request.public_bytes(serialization.Encoding.DER)
    swapped = der.replace(request.signature, other.signature.ljust(len(request.signature), b"\0"))
    return ssl.DER_cert_to_PEM_cert(swapped).replace("CERTIFICATE", "CERTIFICATE REQUEST")


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (csr_pem(EC_KEY, "CP2"), "identity"),
        (csr_pem(EC_KEY, "CP1x"), "identity"),
        (csr_pem(rsa.generate_private_key(65537, 1024), "CP1"), "1024 bits"),
        (csr_pem(ec.generate_private_key(ec.SECP224R1()), "CP1"), "224 bits"),
        (csr_pem(ed25519.Ed25519PrivateKey.generate(), "CP1"), "neither RSA nor ECDSA"),
        (broken(csr_pem(RSA_KEY, "CP1")), "signature"),
        ("", "not a PEM"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", "not a PEM"),
        ("x" * 5501, "5501 characters"),
    ],
)
def test_what_is_not_signed(pem: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        authority.check_request(pem, ["CP1"], None)


@settings(max_examples=300)
@given(st.one_of(st.text(), st.binary(max_size=300)))
def test_any_text_is_a_request_or_refused(data: str | bytes) -> None:
    text = data if isinstance(data, str) else ssl.DER_cert_to_PEM_cert(data).replace(
        "CERTIFICATE", "CERTIFICATE REQUEST"
    )  # fmt: skip
    with pytest.raises(RequestError):
        authority.check_request(text, ["CP1"], None)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_server_certificate_verifies_for_its_hosts(kind: material.KeyKind) -> None:
    pem = material.new_server(ISSUER, kind, ["gateway.example.org", "127.0.0.1"], NOW)
    leaf = material.read_leaf(pem)
    verifier = PolicyBuilder().store(Store([ISSUER.certificate])).time(NOW + timedelta(days=100))
    chain = verifier.build_server_verifier(x509.DNSName("gateway.example.org")).verify(leaf, [])
    assert len(chain) == 2
    assert material.key_kind_of(leaf) == kind
    assert material.hosts_of(leaf) == ["gateway.example.org", "127.0.0.1"]


def test_hash_data_is_that_of_ocsp() -> None:
    from cryptography.x509 import ocsp  # noqa: PLC0415 - the reference, for this test alone

    leaf = signed(csr_pem(RSA_KEY, "CP1"), serial=0xABC)
    reference = ocsp.OCSPRequestBuilder().add_certificate(leaf, ISSUER.certificate, hashes.SHA256()).build()
    assert authority.hash_data(leaf, ISSUER.certificate) == {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": reference.issuer_name_hash.hex(),
        "issuerKeyHash": reference.issuer_key_hash.hex(),
        "serialNumber": "abc",
    }


def test_a_key_that_does_not_belong_to_the_root_is_refused() -> None:
    certificate, key = authority.certificate_pem(ISSUER.certificate), authority.key_pem(ROOT)
    assert material.read_authority(certificate, key).certificate == ISSUER.certificate
    with pytest.raises(ValueError, match="does not belong"):
        material.read_authority(certificate, authority.key_pem(EC_KEY))


def test_files_are_made_once_and_guarded(tmp_path: Path) -> None:
    def root() -> tuple[str, str]:
        return authority.certificate_pem(ISSUER.certificate), authority.key_pem(ROOT)

    def server(certificate: str, key: str) -> str:
        return material.new_server(material.read_authority(certificate, key), "ecdsa", ["localhost"], NOW)

    files = tls_files(tmp_path, root, {"ecdsa": server})
    texts = [path.read_text() for path in (files.authority, files.authority_key, *files.servers)]
    assert [path.stat().st_mode & 0o077 for path in (files.authority_key, *files.servers)] == [0, 0]
    assert tls_files(tmp_path, root, {"ecdsa": server}) == files
    assert [path.read_text() for path in (files.authority, files.authority_key, *files.servers)] == texts
    server_context(TlsConfig(0, files.servers, files.authority))


def test_a_server_certificate_is_renewed_in_time_and_only_ours(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    path.write_text(material.new_server(ISSUER, "ecdsa", ["localhost"], NOW))
    config = TlsConfig(0, (path,), authority=ISSUER)
    assert renew_server(config, NOW + timedelta(days=334)) == []
    later = NOW + timedelta(days=336)
    assert renew_server(TlsConfig(0, (path,)), later) == []
    assert renew_server(config, later) == [path]
    leaf = material.read_leaf(path.read_text())
    assert leaf.not_valid_after_utc == later + authority.LEAF_LIFE
    assert material.hosts_of(leaf) == ["localhost"]
    assert path.stat().st_mode & 0o077 == 0
    server_context(config)
