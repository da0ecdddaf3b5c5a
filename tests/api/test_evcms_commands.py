"""Durable commands by REST, and the contract's own commands to chargers of every version."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client

from protocols.ocpp.schemas import check_call
from protocols.ocpp.surface import TO_CHARGER, Version
from storage.database import Pool
from storage.queries.chargers import charger_connected
from storage.queries.commands import QUEUED_MAX
from stream.charger_commands import TOPIC
from tests.api.helpers import Person, begin_session, gateway, make_charger, result
from tests.ingest.ocpp_gateway import Running, running_gateway
from tests.ingest.ocpp_peer import Peer, peer

URL = "/api/v1/chargers"
AVAILABLE = {"connectorId": 1, "type": "Operative"}


@asynccontextmanager
async def real_gateway(pool: Pool, bus: Client) -> AsyncIterator[Running]:
    async with running_gateway(pool, bus, command_settle_s=0.0, drain_s=0.5) as running:
        yield running


async def order(
    api: httpx.AsyncClient, person: Person, device_id: int, action: str, **body: Any
) -> httpx.Response:
    return await api.post(
        f"{URL}/{device_id}/commands", json={"action": action, **body}, headers=person.headers
    )


async def order_as(
    api: httpx.AsyncClient, person: Person, key: str, device_id: int, action: str, **body: Any
) -> httpx.Response:
    headers = {**person.headers, "Idempotency-Key": key}
    return await api.post(f"{URL}/{device_id}/commands", json={"action": action, **body}, headers=headers)


async def speaks(pool: Pool, device_id: int, version: str) -> None:
    async with pool.connection() as db:
        await charger_connected(db, device_id, "gateway", version)


async def test_a_command_waits_for_its_charger_and_is_found_with_its_result(
    api: httpx.AsyncClient, brand: Person, pool: Pool, bus: Client
) -> None:
    device_id = await make_charger(pool, owner_id=brand.id)
    live = await bus.subscribe(f"gridwire.live.{TOPIC}")
    answer = await order(
        api, brand, device_id, "ChangeAvailability", payload=AVAILABLE, priority=3, wait=True
    )
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert body["success"] is True
    kept = body["data"].pop("command")
    assert body["data"] == kept
    assert (kept["state"], kept["priority"], kept["attempts"]) == ("queued", 3, 0)
    assert (kept["chargerId"], kept["requestedBy"]) == ("CP-1", str(brand.id))
    assert kept["payload"] == AVAILABLE
    assert kept["expiresAt"] > kept["createdAt"]
    async with real_gateway(pool, bus) as running, peer(f"{running.url}/CP-1") as charger:
        await charger.asked(1)
        path = f"/api/v1/commands/{kept['id']}"
        for _ in range(50):
            shown = (await api.get(path, headers=brand.headers)).json()["data"]
            if shown["state"] != "sent":
                break
            await asyncio.sleep(0.05)
    assert (shown["state"], shown["result"], shown["error"]) == ("accepted", {"status": "Accepted"}, None)
    assert shown["finishedAt"] >= shown["sentAt"]
    states = [b'"state":"queued"', b'"state":"sent"', b'"state":"accepted"']
    for state in states:
        assert state in (await live.next_msg(2)).data


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
async def test_a_connected_charger_answers_who_waits(
    api: httpx.AsyncClient, admin: Person, pool: Pool, bus: Client, version: str
) -> None:
    device_id = await make_charger(pool, online=False)
    options: dict[str, Any] = {"subprotocols": [f"ocpp{version}"]}
    async with real_gateway(pool, bus) as running, peer(f"{running.url}/CP-1", **options) as charger:
        await charger.call("Heartbeat", {})
        done = await order(api, admin, device_id, "ClearCache", wait=True)
        assert done.status_code == 200, done.text
        assert done.json()["data"]["command"]["state"] == "accepted"
        charger.react = lambda *_: {"status": "Rejected"}
        refused = await order(api, admin, device_id, "ClearCache", wait=True)
        assert (refused.status_code, refused.json()["data"]["state"]) == (200, "rejected")
        charger.react = lambda *_: None
        silent = await order(api, admin, device_id, "ClearCache", wait=True)
        assert (silent.status_code, silent.json()["data"]["state"]) == (202, "sent")
        shown = await api.get(f"{URL}/{device_id}/actions", headers=admin.headers)
    body = shown.json()
    assert body["version"] == version
    assert body["actions"] == body["data"]
    assert {row["action"]: row["block"] for row in body["data"]} == dict(TO_CHARGER[Version(version)])


@pytest.mark.parametrize(
    ("body", "field", "word"),
    [
        ({"action": "ChangeAvailability", "payload": {"connectorId": 1}}, "payload", "type"),
        (
            {"action": "ChangeAvailability", "payload": {**AVAILABLE, "connectorId": "one"}},
            "payload.connectorId",
            "one",
        ),
        ({"action": "GetBaseReport", "payload": {}}, "action", "OCPP 1.6"),
        ({"action": "Dance"}, "action", "Dance"),
        ({}, "action", "required"),
        ({"action": "ClearCache", "ttlS": 0}, "ttlS", "greater"),
        ({"action": "ClearCache", "ttlS": 31 * 86_400}, "ttlS", "less"),
        ({"action": "ClearCache", "priority": 1000}, "priority", "less"),
        ({"action": "DataTransfer", "payload": {"vendorId": "a", "data": "x" * 200_000}}, "payload", "bytes"),
    ],
)
async def test_what_cannot_be_sent_is_named(
    api: httpx.AsyncClient, admin: Person, pool: Pool, body: Any, field: str, word: str
) -> None:
    device_id = await make_charger(pool)
    answer = await api.post(f"{URL}/{device_id}/commands", json=body, headers=admin.headers)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert word in error["message"]


@pytest.mark.parametrize("data", ['"\\ud800"', "12345678901234567890123", "NaN"])
async def test_values_that_no_schema_sees(
    api: httpx.AsyncClient, admin: Person, pool: Pool, data: str
) -> None:
    device_id = await make_charger(pool)
    await speaks(pool, device_id, "2.0.1")
    text = f'{{"action":"DataTransfer","payload":{{"vendorId":"a","data":{data}}}}}'
    headers = {**admin.headers, "Content-Type": "application/json"}
    answer = await api.post(f"{URL}/{device_id}/commands", content=text, headers=headers)
    assert answer.status_code == 422, answer.text


async def test_lists_and_cancelling(api: httpx.AsyncClient, admin: Person, pool: Pool) -> None:
    device_id = await make_charger(pool, online=False)
    await speaks(pool, device_id, "1.6")
    ids = [(await order(api, admin, device_id, "GetConfiguration")).json()["data"]["id"] for _ in range(3)]
    cancelled = await api.delete(f"/api/v1/commands/{ids[1]}", headers=admin.headers)
    assert (cancelled.status_code, cancelled.json()["data"]["command"]["state"]) == (200, "cancelled")
    again = await api.delete(f"/api/v1/commands/{ids[1]}", headers=admin.headers)
    assert again.status_code == 409
    assert "cancelled" in again.json()["error"]

    async def page(**query: Any) -> tuple[list[str], int]:
        answer = await api.get(f"{URL}/{device_id}/commands", params=query, headers=admin.headers)
        body = answer.json()
        assert body["commands"] == body["data"]
        return [row["id"] for row in body["data"]], body["pagination"]["total"]

    assert await page() == (ids[::-1], 3)
    assert await page(limit=1, page=2) == ([ids[1]], 3)
    assert await page(state="queued") == ([ids[2], ids[0]], 2)
    wrong = await api.get(f"{URL}/{device_id}/commands", params={"state": "lost"}, headers=admin.headers)
    assert wrong.status_code == 422


async def test_a_newer_command_takes_the_older_ones_place(
    api: httpx.AsyncClient, admin: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool)
    first = (await order(api, admin, device_id, "Reset", payload={"type": "Soft"})).json()["data"]["id"]
    await order(api, admin, device_id, "Reset", payload={"type": "Hard"})
    shown = (await api.get(f"/api/v1/commands/{first}", headers=admin.headers)).json()["data"]
    assert shown["state"] == "superseded"


async def test_too_many(api: httpx.AsyncClient, admin: Person, pool: Pool) -> None:
    device_id = await make_charger(pool)
    for _ in range(QUEUED_MAX):
        assert (await order(api, admin, device_id, "GetConfiguration")).status_code == 202
    answer = await order(api, admin, device_id, "GetConfiguration")
    assert answer.status_code == 409
    assert str(QUEUED_MAX) in answer.json()["error"]


@pytest.mark.parametrize(
    ("action", "payload", "ttl_s", "expected_s"),
    [
        ("RemoteStartTransaction", {"idTag": "A"}, None, 120),  # the driver has walked away
        ("RemoteStartTransaction", {"idTag": "A"}, 600, 600),
        ("ClearCache", {}, None, 86_400),
        ("ClearCache", {}, 1, 1),
    ],
)
async def test_how_long_a_command_waits(
    api: httpx.AsyncClient,
    admin: Person,
    pool: Pool,
    action: str,
    payload: Any,
    ttl_s: int | None,
    expected_s: int,
) -> None:
    device_id = await make_charger(pool)
    answer = await order(api, admin, device_id, action, payload=payload, ttlS=ttl_s)
    data = answer.json()["data"]
    waits = datetime.fromisoformat(data["expiresAt"]) - datetime.fromisoformat(data["createdAt"])
    assert waits.total_seconds() == expected_s


async def test_a_charger_whose_version_nobody_knows(
    api: httpx.AsyncClient, admin: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool, online=False)
    answer = await order(api, admin, device_id, "ClearCache")
    assert answer.status_code == 409
    assert "never connected" in answer.json()["error"]
    assert (await api.get(f"{URL}/{device_id}/actions", headers=admin.headers)).status_code == 409


async def test_who_may(
    api: httpx.AsyncClient, admin: Person, driver: Person, brand: Person, rival: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool, owner_id=brand.id)
    made = await order(api, brand, device_id, "ClearCache")
    command = f"/api/v1/commands/{made.json()['data']['id']}"
    for person in (driver, rival):
        assert (await order(api, person, device_id, "ClearCache")).status_code == 403
        for method, path in (
            ("GET", command),
            ("DELETE", command),
            ("GET", f"{URL}/{device_id}/commands"),
            ("GET", f"{URL}/{device_id}/actions"),
        ):
            answer = await api.request(method, path, headers=person.headers)
            assert answer.status_code == 403, (method, path)
    assert (await api.get(command, headers=admin.headers)).status_code == 200
    for missing in ("1", "x", str(uuid4())):
        for method in ("GET", "DELETE"):
            answer = await api.request(method, f"/api/v1/commands/{missing}", headers=admin.headers)
            assert answer.status_code == 404
    assert (await order(api, admin, 99_999, "ClearCache")).status_code == 404


# --- the contract's own endpoints -------------------------------------------------------------------------

COMMANDS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"command": "Reset"}, "Reset", {"type": "OnIdle"}),
    ({"command": "Reset", "type": "Hard"}, "Reset", {"type": "Immediate"}),
    ({"command": "Unlock", "connectorId": 2}, "UnlockConnector", {"evseId": 2, "connectorId": 1}),
    (
        {"command": "ChangeAvailability", "connectorId": 1, "params": {"type": "Inoperative"}},
        "ChangeAvailability",
        {"operationalStatus": "Inoperative", "evse": {"id": 1}},
    ),
]


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
@pytest.mark.parametrize(("body", "action", "payload"), COMMANDS)
async def test_a_contract_command_in_the_words_of_the_chargers_version(
    api: httpx.AsyncClient,
    admin: Person,
    pool: Pool,
    bus: Client,
    version: str,
    body: Any,
    action: str,
    payload: Any,
) -> None:
    device_id = await make_charger(pool)
    await speaks(pool, device_id, version)

    async def accept(_action: str, _payload: Any) -> Any:
        return result(status="Accepted")

    async with gateway(bus, device_id, accept) as calls:
        answer = await api.post(f"{URL}/{device_id}/command", json=body, headers=admin.headers)
    assert answer.status_code == 200, answer.text
    assert calls == [(action, payload)]
    check_call(Version(version), action, payload)
    assert answer.json()["data"]["command"] == body["command"]


async def test_a_configuration_key_of_a_2x_charger(
    api: httpx.AsyncClient, admin: Person, pool: Pool, bus: Client
) -> None:
    device_id = await make_charger(pool)
    await speaks(pool, device_id, "2.0.1")

    async def refuse(_action: str, _payload: Any) -> Any:
        return result(setVariableResult=[{"attributeStatus": "Rejected"}])

    async with gateway(bus, device_id, refuse) as calls:
        body = {"command": "ChangeConfiguration", "params": {"key": "HeartbeatInterval", "value": "60"}}
        answer = await api.post(f"{URL}/{device_id}/command", json=body, headers=admin.headers)
        body["params"] = {"key": "BlinkRepeat", "value": "1"}
        unknown = await api.post(f"{URL}/{device_id}/command", json=body, headers=admin.headers)
    assert answer.json()["data"]["status"] == "Rejected"
    assert [action for action, _ in calls] == ["SetVariables"]
    assert unknown.status_code == 422
    assert unknown.json()["errors"][0]["field"] == "params.key"


@pytest.mark.parametrize("is_linked_by_number", [True, False])
async def test_a_session_of_a_2x_charger_is_started_and_stopped(
    api: httpx.AsyncClient,
    driver: Person,
    admin: Person,
    pool: Pool,
    bus: Client,
    clock: Any,
    is_linked_by_number: bool,
) -> None:
    device_id = await make_charger(pool)
    await speaks(pool, device_id, "2.0.1")

    async def react(action: str, payload: Any) -> Any:
        check_call(Version.V201, action, payload)
        if action == "RequestStartTransaction":
            tag = "OTHER" if is_linked_by_number else payload["idToken"]["idToken"].upper()
            session_id = await begin_session(pool, device_id, driver.id, clock.moment(), id_tag=tag)
            number = payload["remoteStartId"] if is_linked_by_number else None
            async with pool.connection() as db:
                await db.execute(
                    "UPDATE sessions SET transaction_uid = 'tx-1', remote_start_id = %s WHERE id = %s",
                    (number, session_id),
                )
        else:
            async with pool.connection() as db:
                await db.execute(
                    "UPDATE sessions SET status = 'completed', ended_at = %s, meter_stop_wh = 5000",
                    (clock.moment(),),
                )
        return result(status="Accepted")

    body = {"chargerId": "CP-1", "connectorId": 1, "userId": str(driver.id)}
    async with gateway(bus, device_id, react) as calls:
        started = await api.post("/api/v1/sessions", json=body, headers=admin.headers)
        assert started.status_code == 201, started.text
        session_id = started.json()["data"]["session"]["id"]
        stopped = await api.post(f"/api/v1/sessions/{session_id}/stop", headers=driver.headers)
    assert stopped.status_code == 200, stopped.text
    assert [action for action, _ in calls] == ["RequestStartTransaction", "RequestStopTransaction"]
    assert calls[0][1]["evseId"] == 1
    assert calls[1][1] == {"transactionId": "tx-1"}


class Station:
    """A charger of any version that begins and ends a transaction when it is asked to."""

    def __init__(self, version: Version) -> None:
        self.is_2 = version.is_2
        self.peer: Peer | None = None
        self.started: dict[str, Any] = {}
        self.tasks: list[asyncio.Task[Any]] = []

    def react(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.tasks.append(asyncio.create_task(self._follow(action, payload)))
        return {"status": "Accepted"}

    async def _follow(self, action: str, payload: dict[str, Any]) -> None:
        assert self.peer is not None
        await asyncio.sleep(0.05)
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        if action == "RemoteStartTransaction":
            assert (await self.peer.call("Authorize", {"idTag": payload["idTag"]}))[2]["idTagInfo"]
            start = {**payload, "meterStart": 100, "timestamp": at}
            self.started = (await self.peer.call("StartTransaction", start))[2]
        elif action == "RemoteStopTransaction":
            assert payload["transactionId"] == self.started["transactionId"]
            await self.peer.call("StopTransaction", {**payload, "meterStop": 1_100, "timestamp": at})
        else:
            is_start = action == "RequestStartTransaction"
            event = {
                "eventType": "Started" if is_start else "Ended",
                "timestamp": at,
                "triggerReason": "RemoteStart" if is_start else "RemoteStop",
                "seqNo": 0 if is_start else 1,
                "transactionInfo": {"transactionId": "5f9a-11", **_info(payload, is_start)},
                "evse": {"id": 1, "connectorId": 1},
            }
            more = {"idToken": payload["idToken"]} if is_start else {}
            assert is_start or payload == {"transactionId": "5f9a-11"}
            await self.peer.call("TransactionEvent", {**event, **more})


def _info(payload: dict[str, Any], is_start: bool) -> dict[str, Any]:
    return {"remoteStartId": payload["remoteStartId"]} if is_start else {"stoppedReason": "Remote"}


@pytest.mark.parametrize("version", list(Version))
async def test_a_session_is_started_and_stopped_at_a_real_socket_of_any_version(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool, bus: Client, version: Version
) -> None:
    await make_charger(pool, online=False)
    station = Station(version)
    async with (
        real_gateway(pool, bus) as running,
        peer(f"{running.url}/CP-1", station.react, subprotocols=[version.subprotocol]) as charger,
    ):
        station.peer = charger
        await charger.call("Heartbeat", {})
        body = {"chargerId": "CP-1", "connectorId": 1, "userId": str(driver.id)}
        started = await api.post("/api/v1/sessions", json=body, headers=admin.headers)
        assert started.status_code == 201, started.text
        session = started.json()["data"]["session"]
        assert (session["userId"], session["connectorId"]) == (str(driver.id), 1)
        stopped = await api.post(f"/api/v1/sessions/{session['id']}/stop", headers=driver.headers)
        assert stopped.status_code == 200, stopped.text
        assert stopped.json()["data"]["session"]["status"] == "completed"
        await asyncio.gather(*station.tasks)


async def test_an_order_that_is_sent_again_under_its_key_makes_no_second_command(
    api: httpx.AsyncClient, admin: Person, brand: Person, pool: Pool, bus: Client
) -> None:
    device_id = await make_charger(pool, owner_id=brand.id)
    first = await order_as(api, brand, "key-1", device_id, "ChangeAvailability", payload=AVAILABLE)
    assert first.status_code == 202, first.text
    live = await bus.subscribe(f"gridwire.live.{TOPIC}")
    reordered = dict(reversed(AVAILABLE.items()))
    again = await order_as(
        api, brand, "key-1", device_id, "ChangeAvailability", payload=reordered, priority=0
    )
    assert (again.status_code, again.json()) == (202, first.json())
    other_caller = await order_as(api, admin, "key-1", device_id, "ClearCache")
    assert other_caller.status_code == 202, "keys are each caller's own"
    assert b"ClearCache" in (await live.next_msg(2)).data, "a repeat is not told of"
    listed = (await api.get(f"{URL}/{device_id}/commands", headers=brand.headers)).json()
    assert [row["action"] for row in listed["data"]] == ["ClearCache", "ChangeAvailability"]
    assert listed["data"][1]["state"] == "queued", "it has not taken its own place"


async def test_a_key_is_not_taken_for_another_order(
    api: httpx.AsyncClient, brand: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool, owner_id=brand.id)
    second_id = await make_charger(pool, "CP-2", owner_id=brand.id)
    assert (await order_as(api, brand, "k", device_id, "Reset", payload={"type": "Soft"})).status_code == 202
    others: list[tuple[int, dict[str, Any]]] = [
        (device_id, {"payload": {"type": "Hard"}}),
        (device_id, {"payload": {"type": "Soft"}, "priority": 1}),
        (second_id, {"payload": {"type": "Soft"}}),
    ]
    for charger_id, body in others:
        refused = await order_as(api, brand, "k", charger_id, "Reset", **body)
        assert refused.status_code == 409, refused.text
        assert refused.json()["message"] == "Idempotency key already used"
        assert "Idempotency-Key" in refused.json()["error"]
    listed = (await api.get(f"{URL}/{device_id}/commands", headers=brand.headers)).json()
    assert [row["state"] for row in listed["data"]] == ["queued"]
    assert (await api.get(f"{URL}/{second_id}/commands", headers=brand.headers)).json()["data"] == []


async def test_one_of_many_equal_orders_at_a_time_makes_the_command(
    api: httpx.AsyncClient, brand: Person, pool: Pool
) -> None:
    device_ids = [await make_charger(pool, name, owner_id=brand.id) for name in ("CP-1", "CP-2")]
    answers = await asyncio.gather(
        *(order_as(api, brand, "k", device_ids[number % 2], "ClearCache") for number in range(8))
    )
    made = {each.json()["data"]["id"] for each in answers if each.status_code == 202}
    assert len(made) == 1
    assert sorted(each.status_code for each in answers) == [202] * 4 + [409] * 4


async def test_an_ended_command_answers_its_key_and_hides_what_was_secret(
    api: httpx.AsyncClient, brand: Person, pool: Pool, bus: Client
) -> None:
    device_id = await make_charger(pool, owner_id=brand.id, online=False)
    body = {"key": "AuthorizationKey", "value": "a-secret-of-16-c"}
    async with real_gateway(pool, bus) as running, peer(f"{running.url}/CP-1") as charger:
        await charger.call("Heartbeat", {})
        done = await order_as(api, brand, "k", device_id, "ChangeConfiguration", payload=body, wait=True)
        assert (done.status_code, done.json()["data"]["state"]) == (200, "accepted")
    await speaks(pool, device_id, "2.0.1")
    again = await order_as(api, brand, "k", device_id, "ChangeConfiguration", payload=body, wait=True)
    assert (again.status_code, again.json()) == (200, done.json()), "whatever the charger speaks by now"
    changed = {**body, "value": "another-of-16-cs"}
    other = await order_as(api, brand, "k", device_id, "ChangeConfiguration", payload=changed, wait=True)
    assert other.status_code == 409
    async with pool.connection() as db:
        (row,) = await (await db.execute("SELECT to_json(c)::text FROM charger_commands AS c")).fetchall()
    assert "a-secret" not in row[0]


async def test_the_key_is_in_the_description_of_the_api(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    named = [each["name"] for each in paths["/api/v1/chargers/{id}/commands"]["post"]["parameters"]]
    assert "Idempotency-Key" in named
