"""Devices and profiles in the portal: entered, keyed, let in, replaced; what they sent and are sent."""

from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from protocols.measurements import Measurement, to_rows
from protocols.samples import Reason
from storage.database import Pool
from storage.queries import device_commands, profiles
from storage.queries.profiles import device_keys
from stream.bus import device_commands_subject
from stream.device_import import token_secret
from stream.log import Publisher
from stream.writer import WriterConfig
from tests.api.helpers import Clock, Person
from tests.api.mobile.world import PORTAL, Portal
from tests.stream.helpers import drained, now_us, open_log, publisher, running_writer

IDENTITY = "70b3d5499c1d0001"
AES = "000102030405060708090a0b0c0d0e0f"
PROFILE = {
    "utility": "water",
    "decoder": "cayenne_lpp",
    "interval_s": 3600,
    "downlinks": {"close": {"port": 5, "payload_hex": "00"}, "open": {"port": 5, "payload_hex": "01"}},
}


async def call(portal: Portal, method: str, path: str, body: Any = None) -> httpx.Response:
    return await portal.api.request(method, f"{PORTAL}{path}", json=body, headers=portal.headers)


async def profile(portal: Portal, name: str = "acme", **changes: Any) -> dict[str, Any]:
    answer = await call(portal, "PUT", f"/profiles/{name}", {**PROFILE, **changes})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/devices"),
        ("GET", "/devices"),
        ("POST", "/devices/import"),
        ("GET", "/devices/1"),
        ("PATCH", "/devices/1"),
        ("POST", "/devices/1/release"),
        ("POST", "/devices/1/quarantine"),
        ("POST", "/devices/1/archive"),
        ("POST", "/devices/1/replace"),
        ("PUT", "/devices/1/keys"),
        ("DELETE", "/devices/1/keys/token"),
        ("GET", "/devices/1/payloads"),
        ("GET", "/devices/1/samples"),
        ("GET", "/devices/1/completeness"),
        ("POST", "/devices/1/commands"),
        ("GET", "/devices/1/commands"),
        ("PUT", "/profiles/acme"),
        ("GET", "/profiles"),
        ("GET", "/profiles/acme"),
    ],
)
async def test_only_administrators_and_only_what_is_there(
    portal: Portal, admin: Person, method: str, path: str
) -> None:
    body = {"identity": "x", "kind": "token", "value": "long-enough", "action": "open"}
    assert (await portal.api.request(method, f"{PORTAL}{path}", json=body)).status_code == 401
    foreign = await portal.api.request(method, f"{PORTAL}{path}", json=body, headers=admin.headers)
    assert foreign.status_code == 401
    if "/1" in path or (path == "/profiles/acme" and method == "GET"):
        sent = {"PATCH": {}, "POST": {"identity": "x"}, "PUT": {"kind": "token", "value": "long-enough"}}
        if path.endswith("commands"):
            sent["POST"] = {"action": "open"}
        answer = await call(portal, method, path, sent.get(method))
        assert answer.status_code == 404, answer.text


async def test_a_device_is_entered_shown_and_changed(portal: Portal) -> None:
    made = await profile(portal)
    answer = await call(
        portal, "POST", "/devices", {"identity": IDENTITY, "profile_id": made["id"], "name": "A"}
    )
    assert answer.status_code == 201, answer.text
    device = answer.json()
    assert (device["identity"], device["profile"], device["status"]) == (IDENTITY, "acme", "active")
    assert (device["keys"], device["waiting"], device["interval_s"]) == ([], 0, 3600)
    again = await call(portal, "POST", "/devices", {"identity": IDENTITY.upper()})
    assert (again.status_code, again.json()["error"]) == (409, "Device already exists")
    path = f"/devices/{device['id']}"
    changed = (await call(portal, "PATCH", path, {"name": "B"})).json()
    assert (changed["name"], changed["profile"]) == ("B", "acme")
    assert (await call(portal, "GET", path)).json() == changed
    listed = await portal.get("/devices", q="70b3", status="active", silent_for_s=60)
    assert [each["id"] for each in listed["devices"]] == [device["id"]]
    assert (await portal.get("/devices", status="archived"))["devices"] == []
    missing = await call(portal, "PATCH", path, {"profile_id": 4711})
    assert (missing.status_code, missing.json()["error"]) == (404, "Profile not found")


async def test_keys_are_kept_and_never_shown(portal: Portal, pool: Pool) -> None:
    device = await portal.post("/devices", identity=IDENTITY)
    path = f"/devices/{device['id']}/keys"
    for kind, value in (("payload_aes", AES), ("token", "a-long-token")):
        answer = await call(portal, "PUT", path, {"kind": kind, "value": value})
        assert answer.status_code == 200, answer.text
        assert value not in answer.text
    assert answer.json()["keys"] == ["payload_aes", "token"]
    async with pool.connection() as connection:
        kept = await device_keys(connection, device["id"])
    assert kept == {"payload_aes": bytes.fromhex(AES), "token": token_secret("a-long-token")}
    for wrong in ({"kind": "payload_aes", "value": "0011223344"}, {"kind": "token", "value": "short"}):
        assert (await call(portal, "PUT", path, wrong)).status_code == 400
    assert (await call(portal, "DELETE", f"{path}/token")).json()["keys"] == ["payload_aes"]
    assert (await call(portal, "DELETE", f"{path}/token")).status_code == 404


async def test_many_devices_from_csv(portal: Portal) -> None:
    await profile(portal)

    async def sent(text: str, **query: Any) -> httpx.Response:
        headers = {**portal.headers, "Content-Type": "text/csv"}
        return await portal.api.post(f"{PORTAL}/devices/import", content=text, params=query, headers=headers)

    trial = await sent("identity,profile\na,acme\nb,\n", trial=True)
    assert (trial.status_code, trial.json()["created"], trial.json()["is_trial"]) == (200, 2, True)
    assert (await portal.get("/devices"))["devices"] == []
    wrong = (await sent("identity,profile\na,acme\nb,nowhere\n")).json()
    assert (wrong["created"], len(wrong["errors"])) == (0, 1)
    assert wrong["errors"] == [{"line": 3, "column": "profile", "message": "there is no profile 'nowhere'"}]
    assert (await sent("identity,profile\na,acme\nb,\n")).json()["created"] == 2
    assert [each["identity"] for each in (await portal.get("/devices"))["devices"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"decoder": "telepathy"}, "decoder"),
        ({"decoder": "js"}, "codec_id"),
        ({"codec_id": 1}, "codec_id"),
        ({"decoder": "js", "codec_id": 4711}, "codec_id"),
        ({"mapping": [{"path": "a", "quantity": "magic"}]}, "mapping"),
        ({"decoder": "binary", "options": {"layout": {"fields": []}}}, "layout"),
        ({"utility": "steam"}, "utility"),
        ({"interval_s": 0}, "interval_s"),
        ({"downlinks": {"open": {"payload_hex": "0"}}}, "downlinks"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_profile_is_refused_by_field(
    portal: Portal, change: dict[str, Any], named: str
) -> None:
    answer = await call(portal, "PUT", "/profiles/acme", {**PROFILE, **change})
    assert answer.status_code == 400
    assert named in answer.json()["message"]


async def test_a_profile_is_written_again_and_listed(portal: Portal) -> None:
    first = await profile(portal)
    second = await profile(portal, interval_s=60)
    assert (second["id"], second["interval_s"]) == (first["id"], 60)
    await profile(portal, "other")
    page = await portal.get("/profiles", limit=1)
    rest = await portal.get("/profiles", after=page["next_after"])
    assert [each["name"] for each in [*page["profiles"], *rest["profiles"]]] == ["acme", "other"]
    assert (await portal.get("/profiles/acme")) == second


async def test_a_command_of_the_profile_waits_and_tells_the_shell(
    portal: Portal, pool: Pool, bus: Client
) -> None:
    made = await profile(portal)
    device = await portal.post("/devices", identity=IDENTITY, profile_id=made["id"])
    told = await bus.subscribe(device_commands_subject("*"))
    await bus.flush()
    path = f"/devices/{device['id']}/commands"
    closing = await portal.post(path, action="close")
    assert (closing["state"], closing["payload_hex"], closing["port"]) == ("pending", "00", 5)
    assert (await told.next_msg(2)).subject == device_commands_subject(device["id"])
    raw = await portal.post(path, action="raw", payload_hex="A0b1", port=9, is_confirmed=False)
    assert (raw["payload_hex"], raw["port"], raw["is_confirmed"]) == ("a0b1", 9, False)
    assert (await portal.get(f"/devices/{device['id']}"))["waiting"] == 2
    opening = await portal.post(path, action="open")
    listed = (await portal.get(path))["commands"]
    assert {each["id"]: each["state"] for each in listed} == {
        closing["id"]: "superseded",
        raw["id"]: "pending",
        opening["id"]: "pending",
    }
    unknown = await call(portal, "POST", path, {"action": "explode"})
    assert unknown.status_code == 400
    assert "close, open" in unknown.json()["message"]
    async with pool.connection() as connection:
        waiting = await device_commands.list_commands(connection, device["id"], state="pending", limit=9)
    assert {each.requested_by is not None for each in waiting} == {True}


async def test_a_device_takes_anothers_place_once(portal: Portal) -> None:
    made = await profile(portal)
    old = await portal.post("/devices", identity="old", profile_id=made["id"])
    answer = await portal.post(f"/devices/{old['id']}/replace", identity="new")
    assert (answer["device"]["identity"], answer["device"]["profile"], answer["meters"]) == ("new", "acme", 0)
    gone = await portal.get(f"/devices/{old['id']}")
    assert (gone["status"], gone["replaced_by"]) == ("archived", answer["device"]["id"])
    again = await call(portal, "POST", f"/devices/{old['id']}/replace", {"identity": "third"})
    assert (again.status_code, again.json()["error"]) == (409, "Already replaced")
    assert [each["identity"] for each in (await portal.get("/devices"))["devices"]] == ["old", "new"]
    itself = await call(portal, "POST", f"/devices/{answer['device']['id']}/replace", {"identity": "NEW"})
    assert itself.status_code == 400


async def test_a_quarantined_device_is_let_in_with_what_it_sent(
    portal: Portal, pool: Pool, bus: Client, clock: Clock
) -> None:
    await open_log(bus)
    device = await portal.post("/devices", identity=IDENTITY)
    path = f"/devices/{device['id']}"
    assert (await call(portal, "POST", f"{path}/quarantine")).json()["status"] == "quarantined"
    source = publisher(bus)
    await send(source, device["id"], Reason.UNKNOWN_DEVICE, at_us=clock() - 1_000_000)
    async with running_writer(pool, bus, WriterConfig(now_us)):
        await drained(pool, bus, 1)
    assert (await portal.get(f"{path}/samples"))["samples"] == []
    released = (await call(portal, "POST", f"{path}/release")).json()
    assert (released["stored"], released["device"]["status"]) == (1, "active")
    (sample,) = (await portal.get(f"{path}/samples"))["samples"]
    assert (sample["quantity"], sample["channel"], sample["value"]) == ("water_m3", 0, 12.5)
    assert (await call(portal, "POST", f"{path}/archive")).json()["status"] == "archived"
    await source.close()


async def send(source: Publisher, device_id: int, reason: Reason, *, at_us: int) -> None:
    rows = to_rows([Measurement("water_m3", 12.5, at_us)], at_us)
    assert rows is not None
    await source.publish(rows, device_id=device_id, received_at_us=at_us, reason=reason)


async def test_payloads_and_completeness(portal: Portal, pool: Pool, clock: Clock) -> None:
    made = await profile(portal)
    device = await portal.post("/devices", identity=IDENTITY, profile_id=made["id"])
    async with pool.connection() as connection:
        assert await profiles.get_profile(connection, made["id"]) is not None
        for minutes, counter in ((50, 3), (40, 4), (20, 7)):
            await connection.execute(
                "INSERT INTO raw_payloads (device_id, ts, received_at, source, event, port, counter, decoder,"
                " digest, payload, decoded) SELECT %(id)s, at, at, 'chirpstack', 'uplink', 2, %(counter)s,"
                " 'cayenne_lpp', %(counter)s, '\\x0102', '{\"data\": {}}'"
                " FROM (SELECT to_timestamp(%(at)s) AS at) AS times",
                {"id": device["id"], "counter": counter, "at": clock() / 1e6 - minutes * 60},
            )
    payloads = (await portal.get(f"/devices/{device['id']}/payloads", limit=2))["payloads"]
    assert [(each["counter"], each["payload_hex"], each["port"]) for each in payloads] == [
        (7, "0102", 2),
        (4, "0102", 2),
    ]
    report = await portal.get(f"/devices/{device['id']}/completeness", days=2)
    days = report["days"]
    assert report["is_cut"] is False
    assert sum(day["received"] for day in days) == 3
    assert sum(day["missing"] for day in days) == 2
    assert [gap for day in days for gap in day["gaps"]] == [{"first": 5, "last": 6}]
