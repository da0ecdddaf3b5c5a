"""Security profiles, TLS and passwords of chargers over real sockets and real TLS."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from cryptography import x509
from nats.aio.client import Client

from ingest.ocpp.security import authority, material
from ingest.ocpp.security.authority import Authority, PrivateKey
from ingest.ocpp.security.tls import TlsConfig
from storage.database import Pool
from storage.queries import charger_security
from storage.queries.charger_security import get_security, pending_passwords, set_aliases
from storage.queries.chargers import get_charger
from storage.queries.devices import get_device
from stream.bus import ChargerOfflineError, call_charger
from stream.charger_passwords import PasswordRefusedError, PasswordsPendingError, Rotation, rotate
from tests.ingest.charger_keys import EC_KEY, ROOT, RSA_KEY, csr_pem
from tests.ingest.ocpp_gateway import Running, add_charger, eventually, raw_charger, running_gateway
from tests.ingest.secure_gateway import (
    HASH,
    ISSUER,
    NEW,
    NOW,
    PASSWORD,
    STRANGER,
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


# --- profiles -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "admitted"),
    [
        (0, {"plain", "basic", "tls", "tls_basic", "mutual"}),
        (1, {"basic", "tls_basic", "mutual"}),
        (2, {"tls_basic", "mutual"}),
        (3, {"mutual"}),
    ],
)
async def test_no_charger_connects_below_its_profile(
    pool: Pool, bus: Client, tls: Tls, profile: int, admitted: set[str]
) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD) if profile in {1, 2} else None)
    await configure(pool, device.id, profile)
    async with running_gateway(pool, bus, tls=tls.config) as running:
        plain, secure = f"{running.url}/CP1", f"{wss(running)}/ocpp/CP1"
        ways = {
            "plain": (plain, {}),
            "basic": (plain, basic("CP1", PASSWORD)),
            "tls": (secure, {"ssl": tls.client()}),
            "tls_basic": (secure, {"ssl": tls.client(), **basic("CP1", PASSWORD)}),
            "mutual": (secure, {"ssl": tls.client(tls.certificate("CP1"))}),
        }
        for name, (url, options) in ways.items():
            status, text = await attempt(url, **options)
            assert (status == 101) == (name in admitted), (name, status, text)
            if status != 101:
                assert status in {401, 403}, name
                assert "password" in text or "profile" in text, text
            if status == 403:
                assert f"profile {profile}" in text


async def test_a_connection_raises_the_profile_only_where_it_may_and_nothing_lowers_it(
    pool: Pool, bus: Client, tls: Tls
) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    async with running_gateway(pool, bus, tls=tls.config) as running:
        plain, secure = f"{running.url}/CP1", f"{wss(running)}/CP1"
        password = basic("CP1", PASSWORD)
        assert (await attempt(secure, ssl=tls.client(), **password))[0] == 101
        assert (await attempt(plain, **password))[0] == 101, "not raised unasked"
        await configure(pool, device.id, 2)
        assert (await attempt(secure, ssl=tls.client(tls.certificate("CP1"))))[0] == 101
        assert (await attempt(secure, ssl=tls.client(), **password))[0] == 101, "nor where it may not"
        await configure(pool, device.id, 1, may_upgrade=True)
        assert (await attempt(plain, **password))[0] == 101
        assert (await attempt(secure, ssl=tls.client(), **password))[0] == 101
        assert (await attempt(plain, **password))[0] == 403, "raised to 2"
        assert (await attempt(secure, ssl=tls.client(tls.certificate("CP1"))))[0] == 101
        assert (await attempt(secure, ssl=tls.client(), **password))[0] == 403, "raised to 3"
    async with pool.connection() as connection:
        security = await get_security(connection, device.id)
    assert security is not None
    assert (security.profile, security.seen_profile) == (3, 3)
    assert security.certificate_until is not None


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ecdsa"])
async def test_a_client_certificate_is_bound_to_the_identity(
    pool: Pool, bus: Client, tls: Tls, key: PrivateKey
) -> None:
    device = await add_charger(pool, "CP1")
    await configure(pool, device.id, 3)
    async with running_gateway(pool, bus, tls=tls.config) as running:
        url = f"{wss(running)}/CP1"
        assert (await attempt(url, ssl=tls.client(tls.certificate("cp1", key))))[0] == 101
        other = await attempt(url, ssl=tls.client(tls.certificate("CP2", key)))
        assert other[0] == 403
        assert "another name" in other[1]
        foreign = await attempt(url, ssl=tls.client(tls.certificate("CP1", RSA_KEY, STRANGER)))
        assert foreign[0] == 0, "TLS itself refuses what our authority did not issue"
        server = await attempt(url, ssl=tls.client(tls.config.certificates[0]))
        assert server[0] == 0, "a server's certificate is no client's"
        async with pool.connection() as connection:
            await set_aliases(connection, device.id, ["SERIAL-7"])
        assert (await attempt(url, ssl=tls.client(tls.certificate("Serial-7", key))))[0] == 101


async def test_the_certificates_organization_counts_where_one_is_configured(
    pool: Pool, bus: Client, tls: Tls
) -> None:
    await add_charger(pool, "CP1")
    ours = Authority(ISSUER.certificate, ROOT, organization="Operator")
    config = TlsConfig(0, tls.config.certificates, tls.root, ours)
    request = x509.load_pem_x509_csr(csr_pem(EC_KEY, "CP1").encode())
    leaf = authority.sign_request(ours, request, "CP1", 9, NOW)
    path = tls.folder / "ours.pem"
    path.write_text(authority.key_pem(EC_KEY) + authority.certificate_pem(leaf))
    async with running_gateway(pool, bus, tls=config) as running:
        url = f"{wss(running)}/CP1"
        assert (await attempt(url, ssl=tls.client(path)))[0] == 101
        assert (await attempt(url, ssl=tls.client(tls.certificate("CP1"))))[0] == 403


async def test_old_tls_is_refused_and_both_kinds_of_keys_are_served(
    pool: Pool, bus: Client, tls: Tls
) -> None:
    await add_charger(pool, "CP1")
    ciphers = ["AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"]
    async with running_gateway(pool, bus, tls=tls.config) as running:
        for cipher in ciphers:
            context = tls.client()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(cipher)
            assert (await attempt(f"{wss(running)}/CP1", ssl=context))[0] == 101, cipher
        old = tls.client()
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        assert (await attempt(f"{wss(running)}/CP1", ssl=old))[0] == 0


async def test_a_renewed_server_certificate_is_taken_up_while_chargers_stay(
    pool: Pool, bus: Client, tls: Tls
) -> None:
    await add_charger(pool, "CP1")

    async def serial(running: Running) -> int:
        async with raw_charger(f"{wss(running)}/CP1", ssl=tls.client()) as charger:
            der = charger.socket.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number

    (_, path) = tls.config.certificates
    config = TlsConfig(0, (path,), check_s=0.05)
    async with running_gateway(pool, bus, tls=config) as running:
        await add_charger(pool, "CP2")
        async with raw_charger(f"{wss(running)}/CP2", ssl=tls.client()) as stays:
            before = await serial(running)
            good = path.read_text()
            path.write_text("not a certificate")
            await asyncio.sleep(0.2)
            assert await serial(running) == before, "an unfit file changes nothing"
            path.write_text(good)
            fresh = material.new_server(ISSUER, "ecdsa", ["localhost"], NOW)
            path.write_text(fresh)

            async def is_taken_up() -> bool:
                return await serial(running) == material.read_leaf(fresh).serial_number

            await eventually(is_taken_up)
            assert "currentTime" in await stays.call("Heartbeat", {})


# --- passwords ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [PASSWORD, PASSWORD.lower()])
async def test_a_password_is_taken_as_text_and_as_what_its_hex_stands_for(
    pool: Pool, bus: Client, stored: str
) -> None:
    await add_charger(pool, "CP1", HASH(stored))
    async with running_gateway(pool, bus) as running:
        url = f"{running.url}/CP1"
        assert (await attempt(url, **basic("CP1", stored)))[0] == 101
        assert (await attempt(url, **basic("cp1", bytes.fromhex(stored))))[0] == 101
        for wrong in (bytes.fromhex(stored)[:-1], stored + "0", stored[::-1], b"\xff\x00", ""):
            assert (await attempt(url, **basic("CP1", wrong)))[0] == 401


async def test_the_user_name_is_the_identity_or_an_alias(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "AA:BB:01", HASH(PASSWORD))
    async with pool.connection() as connection:
        await set_aliases(connection, device.id, ["Installer"])
    async with running_gateway(pool, bus) as running:
        url = f"{running.url}/AA%3abb:01/"
        for name in ("AA:BB:01", "aa:bb:01", "installer"):
            assert (await attempt(url, **basic(name, PASSWORD)))[0] == 101, name
        for name in ("AA", "AA:BB:02", "", "installer2"):
            status, text = await attempt(url, **basic(name, PASSWORD))
            assert status == 401
            assert "identity" in text


async def test_brute_force_is_locked_out_by_address_and_by_charger(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1", HASH(PASSWORD))
    await add_charger(pool, "CP2", HASH(PASSWORD))
    other = {"local_addr": ("127.0.0.2", 0)}
    third = {"local_addr": ("127.0.0.3", 0)}
    limits = {"failures_burst": 4, "failures_per_minute": 0.001}
    async with running_gateway(pool, bus, **limits) as running:
        one, two = f"{running.url}/CP1", f"{running.url}/CP2"
        assert (await attempt(one, **basic("CP1", PASSWORD), **third))[0] == 101
        for _ in range(2):
            assert (await attempt(one, **basic("CP1", "wrong")))[0] == 401
            assert (await attempt(one, **basic("CP1", "wrong"), **other))[0] == 401
        assert (await attempt(one, **basic("CP1", PASSWORD)))[0] == 429, "this charger, from anywhere new"
        assert (await attempt(one, **basic("CP1", PASSWORD), **third))[0] == 101, "its own address stays open"
        assert (await attempt(two, **basic("CP2", PASSWORD)))[0] == 101, "the address is not exhausted yet"
        for _ in range(2):
            assert (await attempt(two, **basic("CP2", "wrong")))[0] == 401
        status, text = await attempt(two, **basic("CP2", PASSWORD))
        assert status == 429
        assert "wait" in text
        assert (await attempt(two, **basic("CP2", PASSWORD), **third))[0] == 101


# --- rotation -----------------------------------------------------------------------------------


async def rotated(pool: Pool, bus: Client, device_id: int, password: str = NEW) -> Rotation:
    async with pool.connection() as connection:
        charger = await get_charger(connection, device_id)
    assert charger is not None
    return await rotate(pool, bus, charger, password, now=datetime.now(UTC), timeout_s=1.0)


def set_variables(status: str) -> dict[str, Any]:
    name = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
    return {"setVariableResult": [{"attributeStatus": status, **name}]}


ROTATIONS: Mapping[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "1.6": ("ChangeConfiguration", lambda status: {"status": status}),
    "2.0.1": ("SetVariables", set_variables),
    "2.1": ("SetVariables", set_variables),
}


@pytest.mark.parametrize("version", ROTATIONS)
async def test_a_new_password_ends_the_old_one_once_it_is_used(pool: Pool, bus: Client, version: str) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    action, result = ROTATIONS[version]
    async with running_gateway(pool, bus) as running:
        url = f"{running.url}/CP1"
        options = {"subprotocols": [SUBPROTOCOLS[version]]}
        async with raw_charger(url, **options, **basic("CP1", PASSWORD)) as charger:
            await eventually(lambda: is_reachable(bus, device.id))
            rotating = asyncio.create_task(rotated(pool, bus, device.id))
            request = await answer(charger, action, result("Accepted"))
            assert NEW in str(request)
            assert (await rotating).state == "accepted"
        assert (await attempt(url, **basic("CP1", PASSWORD)))[0] == 101, "the way back"
        assert (await attempt(url, **basic("CP1", bytes.fromhex(NEW))))[0] == 101
        assert (await attempt(url, **basic("CP1", PASSWORD)))[0] == 401, "the old one is gone"
        assert (await attempt(url, **basic("CP1", NEW)))[0] == 101
    async with pool.connection() as connection:
        assert await pending_passwords(connection, device.id) == []
        rows = await (await connection.execute("SELECT * FROM charger_variables")).fetchall()
    assert NEW not in str(rows)


@pytest.mark.parametrize("version", ROTATIONS)
async def test_a_new_password_that_is_refused_is_dropped(pool: Pool, bus: Client, version: str) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    action, result = ROTATIONS[version]
    async with running_gateway(pool, bus) as running:
        url = f"{running.url}/CP1"
        options = {"subprotocols": [SUBPROTOCOLS[version]]}
        async with raw_charger(url, **options, **basic("CP1", PASSWORD)) as charger:
            await eventually(lambda: is_reachable(bus, device.id))
            rotating = asyncio.create_task(rotated(pool, bus, device.id))
            await answer(charger, action, result("Rejected"))
            with pytest.raises(PasswordRefusedError, match="Rejected"):
                await rotating
        assert (await attempt(url, **basic("CP1", NEW)))[0] == 401
        assert (await attempt(url, **basic("CP1", PASSWORD)))[0] == 101


async def test_a_silent_charger_may_use_either_password_and_an_offline_one_gets_none(
    pool: Pool, bus: Client
) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    async with running_gateway(pool, bus) as running:
        url = f"{running.url}/CP1"
        with pytest.raises(ChargerOfflineError):
            await rotated(pool, bus, device.id)
        async with raw_charger(url, **basic("CP1", PASSWORD)):
            await eventually(lambda: is_reachable(bus, device.id))
            assert (await rotated(pool, bus, device.id)).state == "unconfirmed"
        for _ in range(2):
            assert (await attempt(url, **basic("CP1", PASSWORD)))[0] == 101
        assert (await attempt(url, **basic("CP1", NEW)))[0] == 101
        assert (await attempt(url, **basic("CP1", PASSWORD)))[0] == 401


async def test_the_first_password_of_a_charger_has_a_way_back_too(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running:
        url = f"{running.url}/CP1"
        async with raw_charger(url) as charger:
            await eventually(lambda: is_reachable(bus, device.id))
            rotating = asyncio.create_task(rotated(pool, bus, device.id))
            await answer(charger, "ChangeConfiguration", {"status": "RebootRequired"})
            assert (await rotating).state == "reboot_required"
        assert (await attempt(url))[0] == 101, "none is in use yet"
        assert (await attempt(url, **basic("CP1", PASSWORD)))[0] == 401
        assert (await attempt(url, **basic("CP1", NEW)))[0] == 101
        assert (await attempt(url))[0] == 401


async def test_passwords_under_way_are_bounded(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    async with pool.connection() as connection:
        for number in range(charger_security.PENDING_PASSWORDS_MAX):
            await charger_security.add_password(connection, device.id, HASH(str(number)), NOW)
    with pytest.raises(PasswordsPendingError, match="CP1"):
        await rotated(pool, bus, device.id)


async def test_a_password_set_by_another_command_is_accepted_too(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    async with running_gateway(pool, bus) as running:
        url = f"{running.url}/CP1"
        async with raw_charger(url, **basic("CP1", PASSWORD)) as charger:
            await eventually(lambda: is_reachable(bus, device.id))
            payload = {"key": "AuthorizationKey", "value": NEW}
            calling = asyncio.create_task(call_charger(bus, device.id, "ChangeConfiguration", payload, 5))
            await answer(charger, "ChangeConfiguration", {"status": "Accepted"})
            assert (await calling).payload == {"status": "Accepted"}

            async def is_noted() -> bool:
                async with pool.connection() as connection:
                    return len(await pending_passwords(connection, device.id)) == 1

            await eventually(is_noted)
        assert (await attempt(url, **basic("CP1", NEW)))[0] == 101
        assert (await attempt(url, **basic("CP1", PASSWORD)))[0] == 401


async def test_the_registrys_secret_is_the_one_that_was_taken(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1", HASH(PASSWORD))
    async with pool.connection() as connection:
        await charger_security.add_password(connection, device.id, HASH(NEW), NOW)
    async with running_gateway(pool, bus) as running:
        assert (await attempt(f"{running.url}/CP1", **basic("CP1", NEW)))[0] == 101
    async with pool.connection() as connection:
        stored = await get_device(connection, device.id)
    assert stored is not None
    assert PasswordHasher().verify(stored.secret_hash or "", NEW)
