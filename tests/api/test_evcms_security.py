"""EV-CMS security of a charger: who may, what is answered, and that no password is kept or printed."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from nats.aio.client import Client

from storage.database import Pool
from storage.queries import certificates, charger_security, devices
from storage.queries.charger_security import get_security, pending_passwords
from tests.api.helpers import Person, gateway, make_charger, result

URL = "/api/v1/chargers"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CALLS = [
    ("post", "password", None),
    ("put", "security-profile", {"profile": 0}),
    ("get", "certificates", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_who_may(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person, admin: Person, pool: Pool,
    method: str, path: str, body: Any,
) -> None:  # fmt: skip
    device_id = await make_charger(pool, owner_id=brand.id, online=False)
    url = f"{URL}/{device_id}/{path}"

    async def status(person: Person | None, url: str = url) -> int:
        headers = {} if person is None else person.headers
        return (await api.request(method, url, json=body, headers=headers)).status_code

    assert await status(None) == 401
    assert [await status(person) for person in (driver, rival)] == [403, 403]
    allowed = 400 if path == "password" else 200  # the charger is offline
    assert [await status(person) for person in (brand, admin)] == [allowed, allowed]
    assert await status(admin, f"{URL}/99999/{path}") == 404


async def test_a_new_password_is_sent_shown_once_and_kept_as_a_hash(
    api: httpx.AsyncClient, brand: Person, pool: Pool, bus: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    device_id = await make_charger(pool, owner_id=brand.id)

    async def accept(action: str, payload: Any) -> Any:
        return result(status="RebootRequired")

    async with gateway(bus, device_id, accept) as calls:
        answer = await api.post(f"{URL}/{device_id}/password", headers=brand.headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    data = answer.json()["data"]
    password = data["password"]
    assert data == {"password": password, "state": "reboot_required"}
    assert len(bytes.fromhex(password)) == 16
    assert calls == [("ChangeConfiguration", {"key": "AuthorizationKey", "value": password})]
    async with pool.connection() as db:
        (pending,) = await pending_passwords(db, device_id)
    assert PasswordHasher().verify(pending.secret_hash, password)
    printed = capfd.readouterr()
    assert password not in printed.out + printed.err


async def test_a_password_that_the_charger_does_not_take(
    api: httpx.AsyncClient, admin: Person, pool: Pool, bus: Client
) -> None:
    device_id = await make_charger(pool)
    url = f"{URL}/{device_id}/password"
    offline = await api.post(url, headers=admin.headers)
    assert (offline.status_code, "offline" in offline.json()["message"]) == (400, True)
    reactions: list[Any] = [
        result(status="NotSupported"),
        {"outcome": "error", "code": "InternalError", "description": "no"},
        {"outcome": "timeout"},
    ]

    async def react(action: str, payload: Any) -> Any:
        return reactions.pop(0)

    async with gateway(bus, device_id, react):
        refused = await api.post(url, headers=admin.headers)
        failed = await api.post(url, headers=admin.headers)
        async with pool.connection() as db:
            assert await pending_passwords(db, device_id) == []
        silent = await api.post(url, headers=admin.headers)
    assert refused.status_code == failed.status_code == 409
    assert "NotSupported" in refused.json()["error"]
    assert "InternalError" in failed.json()["error"]
    assert silent.json()["data"]["state"] == "unconfirmed"
    async with pool.connection() as db:
        assert len(await pending_passwords(db, device_id)) == 1
        for number in range(2):
            await charger_security.add_password(db, device_id, str(number), NOW)
    assert (await api.post(url, headers=admin.headers)).status_code == 409


async def test_over_ocpp_2_the_password_is_a_variable(
    api: httpx.AsyncClient, admin: Person, pool: Pool, bus: Client
) -> None:
    device_id = await make_charger(pool)
    async with pool.connection() as db:
        await db.execute("UPDATE chargers SET ocpp_version = '2.0.1' WHERE device_id = %s", (device_id,))

    async def accept(action: str, payload: Any) -> Any:
        (each,) = payload["setVariableData"]
        names = {"component": each["component"], "variable": each["variable"]}
        return result(setVariableResult=[{"attributeStatus": "Accepted", **names}])

    async with gateway(bus, device_id, accept) as calls:
        answer = await api.post(f"{URL}/{device_id}/password", headers=admin.headers)
    assert answer.json()["data"]["state"] == "accepted"
    ((action, payload),) = calls
    assert action == "SetVariables"
    assert payload["setVariableData"] == [
        {
            "component": {"name": "SecurityCtrlr"},
            "variable": {"name": "BasicAuthPassword"},
            "attributeValue": answer.json()["data"]["password"],
        }
    ]


async def test_the_profile_is_set_and_shown(api: httpx.AsyncClient, admin: Person, pool: Pool) -> None:
    device_id = await make_charger(pool)
    url = f"{URL}/{device_id}/security-profile"
    for profile in (1, 2):
        bare = await api.put(url, json={"profile": profile}, headers=admin.headers)
        assert bare.status_code == 409
        assert "password" in bare.json()["error"]
    async with pool.connection() as db:
        await devices.set_device_secret(db, device_id, "hash")
    for body in ({"profile": 2, "upgrade": True}, {"profile": 3}, {"profile": 0}):
        answer = await api.put(url, json=body, headers=admin.headers)
        assert answer.status_code == 200, answer.text
        upgrade = body.get("upgrade", False)
        required = max(int(body["profile"]), 1)
        assert answer.json()["data"] == {
            "profile": body["profile"], "upgrade": upgrade, "requiredProfile": required, "aliases": []
        }  # fmt: skip
        async with pool.connection() as db:
            security = await get_security(db, device_id)
        assert security is not None
        assert (security.profile, security.may_upgrade) == (body["profile"], upgrade)


@pytest.mark.parametrize(
    "body", [{}, {"profile": 4}, {"profile": -1}, {"profile": "high"}, {"upgrade": True}]
)
async def test_what_is_no_profile(api: httpx.AsyncClient, admin: Person, pool: Pool, body: Any) -> None:
    device_id = await make_charger(pool)
    answer = await api.put(f"{URL}/{device_id}/security-profile", json=body, headers=admin.headers)
    assert answer.status_code == 422


async def test_aliases_are_an_admins_and_nobody_elses_name(
    api: httpx.AsyncClient, admin: Person, brand: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool, "CP-1", brand.id)
    await make_charger(pool, "CP-2")
    url = f"{URL}/{device_id}/security-profile"

    async def put(person: Person, aliases: Any) -> httpx.Response:
        return await api.put(url, json={"profile": 0, "aliases": aliases}, headers=person.headers)

    assert (await put(brand, ["SERIAL"])).status_code == 403
    assert (await put(admin, ["cp-2"])).status_code == 409
    assert (await put(admin, ["\0"])).status_code == 422
    assert (await put(admin, ["a"] * 9)).status_code == 422
    assert (await put(admin, ["SERIAL", "CP-1"])).json()["data"]["aliases"] == ["cp-1", "serial"]
    assert (await put(brand, None)).json()["data"]["aliases"] == ["cp-1", "serial"]


async def test_certificates_are_listed(api: httpx.AsyncClient, admin: Person, pool: Pool) -> None:
    device_id = await make_charger(pool)
    url = f"{URL}/{device_id}/certificates"
    empty = (await api.get(url, headers=admin.headers)).json()["data"]
    assert empty == {"signed": [], "installed": []}
    request: dict[str, Any] = {
        "kind": "ChargingStationCertificate",
        "request_id": None,
        "csr_pem": "csr",
        "at": NOW,
    }
    signed = certificates.Signed("chain", "abc", NOW, NOW)
    hashes = {"hash_algorithm": "SHA256", "issuer_name_hash": "1", "issuer_key_hash": "2"}
    async with pool.connection() as db:
        await certificates.put_request(db, device_id, **request, outcome="too weak")
        await certificates.put_request(db, device_id, **request, outcome=signed)
        await certificates.put_installed(
            db,
            certificates.InstalledCertificate(
                device_id,
                "CSMSRootCertificate",
                **hashes,
                serial_number="3",
                certificate_pem=None,
                stored_at=NOW,
            ),
        )
    data = (await api.get(url, headers=admin.headers)).json()["data"]
    moment = "2026-11-22T12:00:00.000Z"
    first, second = data["signed"]
    assert first == {
        "id": first["id"], "type": "ChargingStationCertificate", "state": "signed", "serialNumber": "abc",
        "validUntil": moment, "chain": "chain", "requestedAt": moment,
    }  # fmt: skip
    assert second == {
        "id": second["id"], "type": "ChargingStationCertificate", "state": "rejected", "reason": "too weak",
        "requestedAt": moment,
    }  # fmt: skip
    assert data["installed"] == [
        {
            "type": "CSMSRootCertificate", "hashAlgorithm": "SHA256", "issuerNameHash": "1",
            "issuerKeyHash": "2", "serialNumber": "3", "storedAt": moment,
        }
    ]  # fmt: skip
