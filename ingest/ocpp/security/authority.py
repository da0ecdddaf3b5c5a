"""The local certificate authority: pure functions over keys, names, times and serial numbers.

Used by `ingest.ocpp.security.material` (files), `ingest.ocpp.security.signing` (SignCertificate) and the
handshake (names of a client certificate). Profiles of the certificates: OCPP 2.0.1 part 2, section A.1.4;
OCPP 1.6 security whitepaper edition 3, section 2.5.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

ROOT_LIFE = timedelta(days=7300)
LEAF_LIFE = timedelta(days=365)
# Chargers whose clock is behind must not find the certificate of the future.
BACKDATED = timedelta(days=1)
RSA_BITS_MIN = 2048  # OCPP 2.0.1 part 2, A00.FR.504
RSA_BITS_MAX = 8192  # more is a way to keep us busy
EC_BITS_MIN = 256
CSR_CHARACTERS_MAX = 5500
_WEAK_HASHES = (hashes.SHA1, hashes.MD5)


class RequestError(ValueError):
    """A certificate signing request that is not signed; the message says why."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A root certificate and its key. `organization`: the O of what it signs, and of requests if given."""

    certificate: x509.Certificate
    key: PrivateKey
    organization: str | None = None


def make_root(key: PrivateKey, common_name: str, serial: int, now: datetime) -> x509.Certificate:
    """Return a self-signed root that may sign end certificates only."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = _builder(name, name, key.public_key(), serial, now, ROOT_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    return builder.sign(key, hashes.SHA256())


def make_server(
    authority: Authority, key: PrivateKey, hosts: Sequence[str], serial: int, now: datetime
) -> x509.Certificate:
    """Return a TLS server certificate for `hosts` (names and addresses, one at least)."""
    alternatives = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    builder = _leaf(authority, key.public_key(), hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, serial, now)
    return builder.add_extension(alternatives, critical=False).sign(authority.key, hashes.SHA256())


def check_request(
    csr_pem: str, names: Iterable[str], organization: str | None
) -> x509.CertificateSigningRequest:
    """Return the request, read and checked: its own signature, its key, that it is for one of `names`.

    The common name or the serial number of its subject must be one of `names`, without regard to case; the
    organization, where one is configured, that one (A00.FR.303 and 304). Raises `RequestError`.
    """
    if len(csr_pem) > CSR_CHARACTERS_MAX:
        raise RequestError(f"the request has {len(csr_pem)} characters, {CSR_CHARACTERS_MAX} at most")
    try:
        request = x509.load_pem_x509_csr(csr_pem.strip().encode())
        public_key, digest = request.public_key(), request.signature_hash_algorithm
        subject = request.subject
        is_signed = request.is_signature_valid
    except Exception as error:  # the parser has many ways to say that this is no request
        raise RequestError(f"not a PEM encoded PKCS#10 request: {error}"[:200]) from error
    _check_key(public_key)
    if digest is None or isinstance(digest, _WEAK_HASHES) or not is_signed:
        raise RequestError("the request's own signature is missing, weak or wrong")
    wanted = {name.lower() for name in names}
    if not wanted & _subject_names(subject):
        raise RequestError("neither common name nor serial number is the charger's identity")
    organizations = _values(subject, NameOID.ORGANIZATION_NAME)
    if organization is not None and organizations != [organization]:
        raise RequestError(f"the organization must be {organization!r}")
    return request


def sign_request(
    authority: Authority,
    request: x509.CertificateSigningRequest,
    common_name: str,
    serial: int,
    now: datetime,
) -> x509.Certificate:
    """Return the client certificate for a checked request; nothing but the key is taken from it."""
    public_key = request.public_key()
    assert isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    builder = _leaf(authority, public_key, common_name, ExtendedKeyUsageOID.CLIENT_AUTH, serial, now)
    return builder.sign(authority.key, hashes.SHA256())


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """Whom it was issued to, in lower case: common name, serial number, DNS and URI names."""
    names = set(_subject_names(certificate.subject))
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset(names)
    names.update(name.lower() for name in alternatives.get_values_for_type(x509.DNSName))
    names.update(name.lower() for name in alternatives.get_values_for_type(x509.UniformResourceIdentifier))
    return frozenset(names)


def organizations_of(certificate: x509.Certificate) -> list[str]:
    """The O of the subject."""
    return _values(certificate.subject, NameOID.ORGANIZATION_NAME)


def certificate_pem(*certificates: x509.Certificate) -> str:
    """PEM of a chain, the leaf first."""
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


def key_pem(key: PrivateKey) -> str:
    """PEM of a private key, not encrypted: the file's mode guards it."""
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def serial_text(serial: int) -> str:
    """As OCPP writes it: hexadecimal without leading zeros (CertificateHashData)."""
    return f"{serial:x}"


def hash_data(certificate: x509.Certificate, issuer: x509.Certificate) -> dict[str, str]:
    """OCPP CertificateHashData with SHA256 (OCPP 2.0.1 part 2, 2.6): as in OCSP. Raises `ValueError`."""
    return {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": _sha256(certificate.issuer.public_bytes()),
        "issuerKeyHash": _sha256(_key_bits(issuer)),
        "serialNumber": serial_text(certificate.serial_number),
    }


def _leaf(
    authority: Authority,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    common_name: str,
    purpose: x509.ObjectIdentifier,
    serial: int,
    now: datetime,
) -> x509.CertificateBuilder:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if authority.organization is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, authority.organization))
    issuer = authority.certificate
    builder = _builder(x509.Name(attributes), issuer.subject, public_key, serial, now, LEAF_LIFE)
    own = x509.SubjectKeyIdentifier.from_public_key(public_key)
    of_issuer = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(of_issuer)
    is_rsa = isinstance(public_key, rsa.RSAPublicKey)
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(enciphers_keys=is_rsa), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(own, critical=False)
        .add_extension(authority_key, critical=False)
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    serial: int,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, public_key, serial)
    return builder.not_valid_before(now - BACKDATED).not_valid_after(now + life)


def _usage(*, signs_certificates: bool = False, enciphers_keys: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=enciphers_keys,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _check_key(public_key: object) -> None:
    if isinstance(public_key, rsa.RSAPublicKey):
        if not RSA_BITS_MIN <= public_key.key_size <= RSA_BITS_MAX:
            raise RequestError(f"an RSA key of {public_key.key_size} bits; {RSA_BITS_MIN} at least")
    elif isinstance(public_key, ec.EllipticCurvePublicKey):
        if public_key.curve.key_size < EC_BITS_MIN:
            raise RequestError(
                f"an elliptic curve of {public_key.curve.key_size} bits; {EC_BITS_MIN} at least"
            )
    else:
        raise RequestError("the key is neither RSA nor ECDSA")


def _subject_names(subject: x509.Name) -> set[str]:
    values = _values(subject, NameOID.COMMON_NAME) + _values(subject, NameOID.SERIAL_NUMBER)
    return {value.lower() for value in values}


def _values(subject: x509.Name, kind: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in subject.get_attributes_for_oid(kind)]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_bits(certificate: x509.Certificate) -> bytes:
    """The content of the subjectPublicKey bit string (RFC 6960 section 4.1.1)."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    raise ValueError("the issuer's key is neither RSA nor ECDSA")


def _sha256(data: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()
