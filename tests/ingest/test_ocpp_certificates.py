"""Certificates of chargers end to end: signed, delivered, renewed, installed, over real sockets."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from nats.aio.client import Client

from ingest.ocpp.security import authority
from ingest.ocpp.security.authority import PrivateKey
from storage.database import Pool
from storage.queries import certificates
from storage.queries.chargers import get_charger
from storage.queries.devices import set_device_status
from stream.bus import call_charger
from stream.charger_certificates import deliver_due, renew_expiring
from stream.jobs import JobsConfig
from stream.jobs import run as run_jobs
from tests.ingest.charger_keys import EC_KEY, RSA_KEY, csr_pem
from tests.ingest.ocpp_gateway import (
    WAIT_S,
    RawCharger,
    add_charger,
    eventually,
    now_us,
    raw_charger,
    running_gateway,
)
from tests.ingest.secure_gateway import (
    HASH,
    ISSUER,
    NOW,
    PASSWORD,
    SUBPROTOCOLS,
    Tls,
    answer,
    attempt,
    basic,
    configure,
    is_reachable,
    make_tls,
    wss,
)


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return make_tls(tmp_path)


# --- certificates -------------------------------------------------------------------------------


async def sign_and_deliver(
    charger: RawCharger, pool: Pool, bus: Client, version: str, pem: str, verdict: str = "Accepted"
) -> dict[str, Any]:
    """SignCertificate as the charger does it; returns the CertificateSigned that follows."""
    asked: dict[str, Any] = {"csr": pem}
    if version != "1.6":
        asked["certificateType"] = "ChargingStationCertificate"
    if version == "2.1":
        asked["requestId"] = 42
    assert await charger.call("SignCertificate", asked) == {"status": "Accepted"}
    assert await deliver_due(pool, bus, datetime.now(UTC)) == 0, "the answer has a head start"
    delivering = asyncio.create_task(deliver_due(pool, bus, datetime.now(UTC) + timedelta(seconds=1)))
    request = await answer(charger, "CertificateSigned", {"status": verdict})
    assert await delivering == 1
    assert await deliver_due(pool, bus, datetime.now(UTC) + timedelta(days=1)) == 0, "delivered once"
    return request


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ecdsa"])
@pytest.mark.parametrize("version", SUBPROTOCOLS)
async def test_sign_certificate_end_to_end(
    pool: Pool, bus: Client, tls: Tls, version: str, key: PrivateKey
) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    await configure(pool, device.id, 2, may_upgrade=True)
    options = {"subprotocols": [SUBPROTOCOLS[version]]}
    async with running_gateway(pool, bus, tls=tls.config) as running:
        url = f"{wss(running)}/CP1"
        async with raw_charger(url, ssl=tls.client(), **options, **basic("CP1", PASSWORD)) as charger:
            await eventually(lambda: is_reachable(bus, device.id))
            request = await sign_and_deliver(charger, pool, bus, version, csr_pem(key, "CP1"))
        kind = {} if version == "1.6" else {"certificateType": "ChargingStationCertificate"}
        more = {"requestId": 42} if version == "2.1" else {}
        chain_pem = request["certificateChain"]
        assert request == {"certificateChain": chain_pem, **kind, **more}
        leaf, root = x509.load_pem_x509_certificates(chain_pem.encode())
        leaf.verify_directly_issued_by(root)
        assert root == ISSUER.certificate
        assert leaf.public_key() == key.public_key()
        path = tls.folder / "charger.pem"
        path.write_text(authority.key_pem(key) + chain_pem)
        assert (await attempt(url, ssl=tls.client(path), **options))[0] == 101
        assert (await attempt(url, ssl=tls.client(), **basic("CP1", PASSWORD)))[0] == 403, "raised to 3"
    async with pool.connection() as connection:
        (row,) = await certificates.list_certificates(connection, device.id, 10)
    assert (row.state, row.chain_pem, row.not_after) == ("accepted", chain_pem, leaf.not_valid_after_utc)
    assert row.serial_number == f"{leaf.serial_number:x}"


async def test_the_jobs_role_delivers_it(pool: Pool, bus: Client, tls: Tls) -> None:
    await add_charger(pool, "CP1", HASH(PASSWORD))
    stop, ready = asyncio.Event(), asyncio.Event()
    config = JobsConfig(clock=now_us, certificates_interval_s=0.05)
    async with (
        running_gateway(pool, bus, tls=tls.config) as running,
        raw_charger(f"{running.url}/CP1", **basic("CP1", PASSWORD)) as charger,
    ):
        jobs = asyncio.create_task(run_jobs(config, pool=pool, bus=bus, stop=stop, ready=ready.set))
        await ready.wait()
        answered = await charger.call("SignCertificate", {"csr": csr_pem(EC_KEY, "CP1")})
        assert answered == {"status": "Accepted"}
        await answer(charger, "CertificateSigned", {"status": "Accepted"})
        stop.set()
        await jobs


async def states(pool: Pool, device_id: int) -> list[tuple[str, str | None]]:
    async with pool.connection() as connection:
        rows = await certificates.list_certificates(connection, device_id, 100)
    return [(row.state, row.reason) for row in rows]


async def test_what_is_not_signed_is_rejected_and_kept(pool: Pool, bus: Client, tls: Tls) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    bare = await add_charger(pool, "CP2")
    async with running_gateway(pool, bus, tls=tls.config) as running:
        version = {"subprotocols": ["ocpp2.0.1"]}
        async with raw_charger(f"{running.url}/CP1", **version, **basic("CP1", PASSWORD)) as charger:
            for request in (
                {"csr": csr_pem(EC_KEY, "CP2")},
                {"csr": "none"},
                {"csr": csr_pem(EC_KEY, "CP1"), "certificateType": "V2GCertificate"},
            ):
                assert await charger.call("SignCertificate", request) == {"status": "Rejected"}
        async with raw_charger(f"{running.url}/CP2") as charger:
            answered = await charger.call("SignCertificate", {"csr": csr_pem(EC_KEY, "CP2")})
            assert answered == {"status": "Rejected"}
        async with pool.connection() as connection:
            await set_device_status(connection, device.id, "quarantined")
        running.gateway.admission.registry.forget("charger", "CP1")
        async with raw_charger(f"{running.url}/CP1", **basic("CP1", PASSWORD)) as charger:
            answered = await charger.call("SignCertificate", {"csr": csr_pem(EC_KEY, "CP1")})
            assert answered == {"status": "Rejected"}
    reasons = [reason or "" for _, reason in await states(pool, device.id)]
    for said, expected in zip(reasons, ("quarantine", "V2GCertificate", "PEM", "identity"), strict=True):
        assert expected in said
    ((state, reason),) = await states(pool, bare.id)
    assert state == "rejected"
    assert "without password" in (reason or "")


async def test_without_an_authority_everything_is_rejected(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1", HASH(PASSWORD))
    async with (
        running_gateway(pool, bus) as running,
        raw_charger(f"{running.url}/CP1", **basic("CP1", PASSWORD)) as charger,
    ):
        answered = await charger.call("SignCertificate", {"csr": csr_pem(EC_KEY, "CP1")})
    assert answered == {"status": "Rejected"}


async def test_a_delivery_survives_silence_and_the_gateways_restart_and_a_repeat_is_signed_once(
    pool: Pool, bus: Client, tls: Tls
) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    request = {"csr": csr_pem(EC_KEY, "CP1")}
    async with running_gateway(pool, bus, tls=tls.config) as running:
        async with raw_charger(f"{running.url}/CP1", **basic("CP1", PASSWORD)) as charger:
            for _ in range(2):
                assert await charger.call("SignCertificate", request) == {"status": "Accepted"}

        async def is_gone() -> bool:
            async with pool.connection() as connection:
                charger = await get_charger(connection, device.id)
            return charger is not None and not charger.is_connected

        await eventually(is_gone)
        later = datetime.now(UTC) + timedelta(hours=1)
        assert await deliver_due(pool, bus, later) == 0, "not to a charger that is away"
    async with (
        running_gateway(pool, bus, tls=tls.config) as running,
        raw_charger(f"{running.url}/CP1", **basic("CP1", PASSWORD)) as charger,
    ):
        await eventually(lambda: is_reachable(bus, device.id))
        delivering = asyncio.create_task(deliver_due(pool, bus, later))
        kind, message_id, action, _ = await charger.receive()
        assert (kind, action) == (2, "CertificateSigned")
        await charger.send([4, message_id, "InternalError", "busy", {}])
        assert await delivering == 1
        assert await states(pool, device.id) == [("signed", None)]
        assert await deliver_due(pool, bus, later) == 0, "not again at once"
        delivering = asyncio.create_task(deliver_due(pool, bus, later + timedelta(hours=1)))
        await answer(charger, "CertificateSigned", {"status": "Rejected"})
        await delivering
    assert await states(pool, device.id) == [("refused", "Rejected")]


@pytest.mark.parametrize("version", SUBPROTOCOLS)
async def test_a_charger_is_asked_for_a_new_certificate_before_the_old_one_ends(
    pool: Pool, bus: Client, tls: Tls, version: str
) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    options = {"subprotocols": [SUBPROTOCOLS[version]], **basic("CP1", PASSWORD)}
    async with (
        running_gateway(pool, bus, tls=tls.config) as running,
        raw_charger(f"{running.url}/CP1", **options) as charger,
    ):
        await eventually(lambda: is_reachable(bus, device.id))
        assert await renew_expiring(pool, bus, NOW + timedelta(days=400)) == 0, "it has none"
        await sign_and_deliver(charger, pool, bus, version, csr_pem(EC_KEY, "CP1"))
        now = datetime.now(UTC)
        assert await renew_expiring(pool, bus, now + timedelta(days=334)) == 0
        soon = now + timedelta(days=336)
        asking = asyncio.create_task(renew_expiring(pool, bus, soon))
        if version == "1.6":
            asked = await answer(charger, "ExtendedTriggerMessage", {"status": "Accepted"})
            assert asked == {"requestedMessage": "SignChargePointCertificate"}
        else:
            asked = await answer(charger, "TriggerMessage", {"status": "Accepted"})
            assert asked == {"requestedMessage": "SignChargingStationCertificate"}
        assert await asking == 1
        assert await renew_expiring(pool, bus, soon + timedelta(hours=23)) == 0, "once a day"
        asking = asyncio.create_task(renew_expiring(pool, bus, soon + timedelta(hours=25)))
        action = "ExtendedTriggerMessage" if version == "1.6" else "TriggerMessage"
        await answer(charger, action, {"status": "Rejected"})
        assert await asking == 0


async def test_a_certificate_that_the_charger_brought_is_watched_too(
    pool: Pool, bus: Client, tls: Tls
) -> None:
    device = await add_charger(pool, "CP1")
    client = tls.client(tls.certificate("CP1"))
    async with (
        running_gateway(pool, bus, tls=tls.config) as running,
        raw_charger(f"{wss(running)}/CP1", ssl=client) as charger,
    ):
        await eventually(lambda: is_reachable(bus, device.id))
        asking = asyncio.create_task(renew_expiring(pool, bus, NOW + timedelta(days=350)))
        await answer(charger, "ExtendedTriggerMessage", {"status": "Accepted"})
        assert await asking == 1


# --- what chargers have installed ---------------------------------------------------------------


async def asked(
    charger: RawCharger, bus: Client, device_id: int, action: str, payload: dict[str, Any], reply: Any
) -> None:
    calling = asyncio.create_task(call_charger(bus, device_id, action, payload, WAIT_S))
    await answer(charger, action, reply)
    assert (await calling).outcome == "result"


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_installed_certificates_are_known(pool: Pool, bus: Client, version: str) -> None:
    device = await add_charger(pool, "CP1")
    root = ISSUER.certificate
    described = authority.hash_data(root, root)
    kind, listed = ("CentralSystemRootCertificate",) * 2
    if version != "1.6":
        kind = listed = "CSMSRootCertificate"
    install = {"certificateType": kind, "certificate": authority.certificate_pem(root)}

    async def installed() -> list[tuple[str, str]]:
        async with pool.connection() as connection:
            rows = await certificates.list_installed(connection, device.id)
        return [(row.kind, row.serial_number) for row in rows]

    def has(count: int) -> Any:
        async def check() -> bool:
            return len(await installed()) == count

        return check

    async with (
        running_gateway(pool, bus) as running,
        raw_charger(f"{running.url}/CP1", subprotocols=[SUBPROTOCOLS[version]]) as charger,
    ):
        await eventually(lambda: is_reachable(bus, device.id))
        await asked(charger, bus, device.id, "InstallCertificate", install, {"status": "Rejected"})
        await asked(charger, bus, device.id, "InstallCertificate", install, {"status": "Accepted"})
        await eventually(has(1))
        assert await installed() == [(kind, "1")]
        upper = {**described, "issuerKeyHash": described["issuerKeyHash"].upper(), "serialNumber": "01"}
        other = {**described, "serialNumber": "2"}
        if version == "1.6":
            query: dict[str, Any] = {"certificateType": listed}
            reply: dict[str, Any] = {"status": "Accepted", "certificateHashData": [upper, other]}
        else:
            query = {"certificateType": [listed]}
            chain = [{"certificateType": listed, "certificateHashData": each} for each in (upper, other)]
            reply = {"status": "Accepted", "certificateHashDataChain": chain}
        await asked(charger, bus, device.id, "GetInstalledCertificateIds", query, reply)
        await eventually(has(2))
        delete = {"certificateHashData": other}
        await asked(charger, bus, device.id, "DeleteCertificate", delete, {"status": "Failed"})
        await asked(charger, bus, device.id, "DeleteCertificate", delete, {"status": "Accepted"})
        await eventually(has(1))
        await asked(charger, bus, device.id, "GetInstalledCertificateIds", query, {"status": "NotFound"})
        await eventually(has(0))
