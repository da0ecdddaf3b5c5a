"""The security cases: TC_073 to TC_088 of OCPP 1.6 (security whitepaper), TC_A_01 to A_19 of OCPP 2.0.1."""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from nats.aio.client import Client
from websockets.exceptions import InvalidHandshake, InvalidStatus

from protocols.ocpp.surface import Version
from storage.database import Pool
from stream.charger_certificates import deliver_due
from tests.conformance.cases_16 import boot
from tests.conformance.station import Station, add_charger, add_driver, at, station
from tests.ingest.charger_keys import EC_KEY, RSA_KEY, csr_pem
from tests.ingest.ocpp_gateway import Running, events, eventually, running_gateway
from tests.ingest.secure_gateway import (
    HASH,
    PASSWORD,
    STRANGER,
    Tls,
    basic,
    configure,
    make_tls,
    wss,
)

ACCEPTED = {"status": "Accepted"}
PEM = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
CERTIFICATE_HASH = {
    "hashAlgorithm": "SHA256",
    "issuerNameHash": "aa" * 32,
    "issuerKeyHash": "bb" * 32,
    "serialNumber": "1f",
}


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return make_tls(tmp_path)


@pytest.fixture
async def secure(pool: Pool, bus: Client, tls: Tls) -> AsyncIterator[Running]:
    async with running_gateway(pool, bus, tls=tls.config) as gateway:
        await add_driver(pool, "TAG-1")
        yield gateway


# --- OCPP 1.6 -----------------------------------------------------------------------------------


async def test_tc_073_csms_update_the_password(cp: Station) -> None:
    wanted = {"key": "AuthorizationKey", "value": "30313233343536373839414243444546"}
    outcome = await cp.ask("ChangeConfiguration", wanted, ACCEPTED)
    assert outcome.payload == ACCEPTED
    assert cp.last("ChangeConfiguration") == wanted


async def delivered(cp: Station) -> dict[str, Any]:
    """The jobs role's turn: the CertificateSigned that follows a request."""
    cp.answers["CertificateSigned"] = ACCEPTED

    async def came() -> bool:
        later = datetime.now(UTC) + timedelta(seconds=5)  # the answer to the request has a head start
        await deliver_due(cp.running.pool, cp.running.bus, later)
        return any(action == "CertificateSigned" for action, _ in cp.asked)

    await eventually(came)
    return dict(cp.last("CertificateSigned"))


async def test_tc_074_csms_update_the_certificate_on_request(pool: Pool, secure: Running) -> None:
    """We ask, the charger sends a request, we sign it, the charger gets its certificate."""
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    async with station(secure, device=device, **basic("CP1", PASSWORD)) as cp:
        await boot(cp)
        wanted = {"requestedMessage": "SignChargePointCertificate"}
        assert (await cp.ask("ExtendedTriggerMessage", wanted, ACCEPTED)).payload == ACCEPTED
        assert await cp.call("SignCertificate", {"csr": csr_pem(RSA_KEY, "CP1")}) == ACCEPTED
        chain = x509.load_pem_x509_certificates((await delivered(cp))["certificateChain"].encode())
    assert chain[0].public_key() == RSA_KEY.public_key()
    chain[0].verify_directly_issued_by(chain[1])


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("ManufacturerRootCertificate", id="TC_075_1_CSMS"),
        pytest.param("CentralSystemRootCertificate", id="TC_075_2_CSMS"),
    ],
)
async def test_tc_075_csms_install_a_certificate(cp: Station, kind: str) -> None:
    wanted = {"certificateType": kind, "certificate": PEM}
    assert (await cp.ask("InstallCertificate", wanted, ACCEPTED)).payload == ACCEPTED
    said = {"status": "Accepted", "certificateHashData": [CERTIFICATE_HASH]}
    assert (await cp.ask("GetInstalledCertificateIds", {"certificateType": kind}, said)).payload == said


async def test_tc_076_csms_delete_a_certificate(cp: Station) -> None:
    wanted = {"certificateHashData": CERTIFICATE_HASH}
    assert (await cp.ask("DeleteCertificate", wanted, ACCEPTED)).payload == ACCEPTED
    assert cp.last("DeleteCertificate") == wanted


@pytest.mark.parametrize(
    ("event", "version"),
    [
        pytest.param("InvalidChargePointCertificate", Version.V16, id="TC_077_CSMS"),
        pytest.param("InvalidCentralSystemCertificate", Version.V16, id="TC_078_CSMS"),
        pytest.param("InvalidChargingStationCertificate", Version.V201, id="TC_A_14_CSMS"),
    ],
)
async def test_tc_077_078_csms_security_events(running: Running, event: str, version: Version) -> None:
    async with station(running, version=version) as cp:
        assert await cp.call("SecurityEventNotification", {"type": event, "timestamp": at()}) == {}

        async def is_kept() -> bool:
            return any(each["type"] == event for each in await events(running.bus, "security_event"))

        await eventually(is_kept)


async def test_tc_079_csms_get_the_security_log(cp: Station) -> None:
    wanted = {
        "logType": "SecurityLog",
        "requestId": 3,
        "log": {"remoteLocation": "https://files.example.com"},
    }
    said = {"status": "Accepted", "filename": "security.log"}
    assert (await cp.ask("GetLog", wanted, said)).payload == said
    for name in ("Uploading", "Uploaded"):
        assert await cp.call("LogStatusNotification", {"status": name, "requestId": 3}) == {}


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            ("Downloading", "Downloaded", "SignatureVerified", "Installing", "Installed"), id="TC_080_CSMS"
        ),
        pytest.param(("Downloading", "Downloaded", "InvalidSignature"), id="TC_081_CSMS"),
    ],
)
async def test_tc_080_081_csms_secure_firmware_update(cp: Station, said: tuple[str, ...]) -> None:
    firmware = {
        "location": "https://files.example.com/f.bin",
        "retrieveDateTime": at(),
        "signingCertificate": PEM,
        "signature": "c2lnbmF0dXJl",
    }
    wanted = {"requestId": 5, "firmware": firmware}
    assert (await cp.ask("SignedUpdateFirmware", wanted, ACCEPTED)).payload == ACCEPTED
    for name in said:
        payload = {"status": name, "requestId": 5}
        assert await cp.call("SignedFirmwareStatusNotification", payload) == {}


@pytest.mark.parametrize(
    "version", [pytest.param(Version.V16, id="TC_083_CSMS"), pytest.param(Version.V201, id="TC_A_19_CSMS")]
)
async def test_tc_083_csms_upgrade_the_security_profile(
    pool: Pool, secure: Running, tls: Tls, version: Version
) -> None:
    """From Basic over plain to TLS with Basic; from then on plain is refused."""
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    await configure(pool, device.id, 1, may_upgrade=True)
    credentials = basic("CP1", PASSWORD)
    async with station(secure, device=device, version=version, **credentials) as cp:
        await cp.call("Heartbeat", {})
    options: dict[str, Any] = {"url": wss(secure), "ssl": tls.client(), **credentials}
    async with station(secure, device=device, version=version, **options) as cp:
        await cp.call("Heartbeat", {})
    with pytest.raises(InvalidStatus, match=r"40[13]"):
        async with station(secure, device=device, version=version, **credentials):
            pass


@pytest.mark.parametrize(
    "version", [pytest.param(Version.V16, id="TC_085_CSMS"), pytest.param(Version.V201, id="TC_A_01_CSMS")]
)
async def test_tc_085_csms_basic_authentication(pool: Pool, running: Running, version: Version) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    async with station(running, device=device, version=version, **basic("CP1", PASSWORD)) as cp:
        assert "currentTime" in await cp.call("Heartbeat", {})


@pytest.mark.parametrize(
    ("username", "password"),
    [pytest.param("CP2", PASSWORD, id="TC_A_02_CSMS"), pytest.param("CP1", "x" * 20, id="TC_A_03_CSMS")],
)
async def test_tc_a_02_03_csms_basic_authentication_refused(
    pool: Pool, running: Running, username: str, password: str
) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    with pytest.raises(InvalidStatus, match="401"):
        async with station(running, device=device, version=Version.V201, **basic(username, password)):
            pass


@pytest.mark.parametrize(
    "version", [pytest.param(Version.V16, id="TC_086_CSMS"), pytest.param(Version.V201, id="TC_A_04_CSMS")]
)
async def test_tc_086_csms_tls_with_a_server_certificate(
    pool: Pool, secure: Running, tls: Tls, version: Version
) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    options: dict[str, Any] = {"url": wss(secure), "ssl": tls.client(), **basic("CP1", PASSWORD)}
    async with station(secure, device=device, version=version, **options) as cp:
        assert "currentTime" in await cp.call("Heartbeat", {})


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tc_a_06_csms_tls_version_too_low(pool: Pool, secure: Running, tls: Tls) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    old = tls.client()
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    options: dict[str, Any] = {"url": wss(secure), "ssl": old, **basic("CP1", PASSWORD)}
    with pytest.raises((OSError, InvalidHandshake)):
        async with station(secure, device=device, version=Version.V201, **options):
            pass


@pytest.mark.parametrize(
    "version", [pytest.param(Version.V16, id="TC_087_CSMS"), pytest.param(Version.V201, id="TC_A_07_CSMS")]
)
async def test_tc_087_csms_tls_with_a_client_certificate(
    pool: Pool, secure: Running, tls: Tls, version: Version
) -> None:
    device = await add_charger(pool, "CP1")
    await configure(pool, device.id, 3)
    options: dict[str, Any] = {"url": wss(secure), "ssl": tls.client(tls.certificate("CP1"))}
    async with station(secure, device=device, version=version, **options) as cp:
        assert "currentTime" in await cp.call("Heartbeat", {})


async def test_tc_a_08_csms_a_foreign_client_certificate(pool: Pool, secure: Running, tls: Tls) -> None:
    device = await add_charger(pool, "CP1")
    await configure(pool, device.id, 3)
    foreign = tls.certificate("CP1", EC_KEY, STRANGER)
    options: dict[str, Any] = {"url": wss(secure), "ssl": tls.client(foreign)}
    with pytest.raises((OSError, InvalidHandshake)):
        async with station(secure, device=device, version=Version.V201, **options) as cp:
            await cp.call("Heartbeat", {})


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["ocpp1.6"], "ocpp1.6"),
        (["ocpp2.0.1", "ocpp1.6"], "ocpp2.0.1"),
        (["ocpp2.1", "ocpp2.0.1"], "ocpp2.1"),
    ],
)
async def test_tc_088_csms_websocket_subprotocol(running: Running, offered: list[str], chosen: str) -> None:
    async with station(running, subprotocols=offered) as cp:
        assert cp.socket.subprotocol == chosen


@pytest.mark.parametrize(
    "answer", [pytest.param("Accepted", id="TC_A_09_CSMS"), pytest.param("Rejected", id="TC_A_10_CSMS")]
)
async def test_tc_a_09_10_csms_update_the_password(cs: Station, answer: str) -> None:
    place = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
    wanted = {"setVariableData": [{**place, "attributeValue": "0123456789abcdef"}]}
    said = {"setVariableResult": [{**place, "attributeStatus": answer}]}
    assert (await cs.ask("SetVariables", wanted, said)).payload == said


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("ChargingStationCertificate", id="TC_A_11_CSMS"),
        pytest.param("V2GCertificate", id="TC_A_12_CSMS"),
    ],
)
async def test_tc_a_11_12_csms_update_the_certificate(pool: Pool, secure: Running, kind: str) -> None:
    """There is no V2G authority here: that request is answered Rejected, and signed by no other."""
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    async with station(secure, device=device, version=Version.V201, **basic("CP1", PASSWORD)) as cs:
        answer = await cs.call("SignCertificate", {"csr": csr_pem(EC_KEY, "CP1"), "certificateType": kind})
        if kind == "V2GCertificate":
            assert answer["status"] == "Rejected"
        else:
            assert answer == ACCEPTED
            assert (await delivered(cs))["certificateType"] == kind
