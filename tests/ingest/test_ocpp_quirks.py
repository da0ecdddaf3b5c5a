"""What real chargers do wrong, over a real gateway socket: answered, kept, and the socket stays open."""

import asyncio
import re
from collections import Counter
from typing import Any

import pytest
from nats.aio.client import Client

from ingest.ocpp.handshake import choose_subprotocol, identity_of
from ingest.ocpp.routing import ROUTES
from protocols.ocpp.surface import Version
from protocols.timestamps import to_datetime
from storage.database import Pool
from storage.queries.chargers import charger_booted, get_charger
from storage.queries.devices import get_device
from stream import metrics
from stream.bus import call_charger
from stream.metrics import OCPP_MESSAGES, OCPP_REPAIRS, count_repairs
from tests.ingest.ocpp_gateway import (
    RawCharger,
    add_charger,
    add_driver,
    log_rows,
    now_us,
    raw_charger,
    running_gateway,
)
from tests.protocols.ocpp_fixtures import Case, Step, load_cases

CASES = load_cases()


async def known_as(pool: Pool, case: Case) -> int:
    """A charger that has said before what make it is of."""
    device = await add_charger(pool, case.name)
    async with pool.connection() as connection:
        await charger_booted(
            connection,
            device.id,
            vendor=case.vendor or "",
            model=case.model or "",
            firmware=case.firmware,
            serial=None,
            at=to_datetime(now_us()),
        )
    return device.id


class Run:
    """One case on its socket."""

    def __init__(self, case: Case, charger: RawCharger) -> None:
        self.case = case
        self.charger = charger
        self.transaction_id = 4711

    async def play(self) -> None:
        for step in self.case.steps:
            data = step.data(self.transaction_id)
            if self.case.asked is not None:
                asked = await self.charger.receive()
                data = data.replace(self.case.asked["id"].encode(), asked[1].encode())
            await self.charger.socket.send(data, text=True)
            if step.answer != "none":
                self.check(step, await self.charger.receive())
        await self.charger.send('[2,"probe","Heartbeat",{}]')
        assert "currentTime" in (await self.charger.receive())[2], f"{self.case.name}: the socket lives"

    def check(self, step: Step, answer: Any) -> None:
        if answer[0] == 4 and answer[2] in ("NotSupported", "NotImplemented"):
            assert step.frame[2] not in ROUTES[Version(self.case.version)], self.case.name
            return
        assert answer[0] == (3 if step.answer == "result" else 4), (self.case.name, answer)
        if step.code is not None and self.case.version == "1.6":
            assert answer[2] == step.code, self.case.name
        if answer[0] == 3:
            self.transaction_id = answer[2].get("transactionId", self.transaction_id)


def repairs() -> Counter[str]:
    """How often each tag was counted, of all makes."""
    counts: Counter[str] = Counter()
    for sample in next(iter(OCPP_REPAIRS.collect())).samples:
        if sample.name.endswith("_total"):
            counts[sample.labels["tag"]] += int(sample.value)
    return counts


@pytest.mark.parametrize("version", list(Version))
async def test_public_cases_over_a_socket(pool: Pool, bus: Client, version: Version) -> None:
    cases = [case for case in CASES if case.version == version]
    await add_driver(pool, "card")
    ids: dict[str, int] = {}
    async with running_gateway(pool, bus) as running:
        for case in cases:
            ids[case.name] = await known_as(pool, case)
            before = repairs()
            url = f"{running.url}/{case.name}"
            async with raw_charger(url, subprotocols=[version.subprotocol]) as charger:
                await charger.call("Heartbeat", {})
                call = asyncio.create_task(ask(bus, ids[case.name], case)) if case.asked else None
                await Run(case, charger).play()
                if call is not None:
                    await call
            check_counts(case, before)
    rows = await log_rows(bus, "charger_samples")
    for case in cases:
        await check_stored(pool, case, ids[case.name], rows)


async def ask(bus: Client, device_id: int, case: Case) -> None:
    assert case.asked is not None
    outcome = await call_charger(bus, device_id, case.asked["action"], {}, 5)
    expected = case.steps[0].outcome
    if expected == "answered":
        assert outcome.outcome == "result", case.name
    else:
        assert (outcome.outcome, outcome.code) == ("error", expected), f"{case.name}: it ends at once"


def check_counts(case: Case, before: Counter[str]) -> None:
    if case.received_at is not None or any(step.answer == "error" for step in case.steps):
        return  # the clock of this run is another one; a refused call counts as such
    if not all(isinstance(step.frame, str) or step.frame[2] in ROUTES[Version(case.version)]
               for step in case.steps if not isinstance(step.frame, dict)):  # fmt: skip
        return
    added = set(repairs() - before)
    assert added == {tag for step in case.steps for tag in step.tags}, case.name


async def check_stored(pool: Pool, case: Case, device_id: int, rows: dict[str, list[Any]]) -> None:
    pairs = zip(rows["device_id"], rows["value"], strict=True)
    stored = sorted(value for each, value in pairs if each == device_id)
    expected = sorted(value for step in case.steps for value in step.samples or ())
    assert stored == expected, case.name
    if case.sessions is None:
        return
    async with pool.connection() as connection:
        query = (
            "SELECT count(*), count(*) FILTER (WHERE status = 'active') FROM sessions WHERE device_id = %s"
        )
        found = await (await connection.execute(query, [device_id])).fetchone()
    assert found == (case.sessions, 0), case.name


async def test_makes_are_known_from_the_boot_on(pool: Pool, bus: Client) -> None:
    """What the boot says of itself steers the rest of the same socket, and the results are counted."""
    device = await add_charger(pool, "CP1")
    boot = {"chargePointVendor": "MENNEKES", "chargePointModel": "AMTRON 4You " + "x" * 30}
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        answer = await charger.call("BootNotification", boot)
        assert answer["interval"] == 60, "its own clamp"
        status = {"connectorId": 1, "errorCode": "Tired", "status": "Available"}
        assert await charger.call("StatusNotification", status) == {}
        assert (await charger.call("Authorize", {}))[0] == "ProtocolError"
    model = boot["chargePointModel"][: metrics.MAKE_CHARACTERS_MAX]
    assert OCPP_REPAIRS.labels("MENNEKES", model, "text_too_long")._value.get() == 1
    assert OCPP_REPAIRS.labels("MENNEKES", model, "error_code_unknown")._value.get() == 1
    assert OCPP_MESSAGES.labels("1.6", "StatusNotification", "repaired")._value.get() >= 1
    assert OCPP_MESSAGES.labels("1.6", "Authorize", "refused")._value.get() >= 1
    async with pool.connection() as connection:
        stored = await get_device(connection, device.id)
        assert stored is not None
        assert stored.model == boot["chargePointModel"], "kept whole"
        assert await get_charger(connection, device.id) is not None


async def test_a_hasty_answer_is_held_back(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.call("BootNotification", {"chargePointVendor": "Free2move", "chargePointModel": "E"})
        began_us = now_us()
        start = {"connectorId": 1, "idTag": "CARD", "meterStart": 1, "timestamp": "2026-01-02T03:04:05Z"}
        assert (await charger.call("StartTransaction", start))["idTagInfo"]["status"] == "Accepted"
        assert now_us() - began_us >= 1_000_000


def test_labels_of_makes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAKES_MAX", 1)
    monkeypatch.setattr(metrics, "_makes", set())
    for model in ("first", "second", "third"):
        count_repairs("Bounded", model, ["extra_field"])
    count_repairs("\x00Bounded\n", "first" + " " * 60, ["extra_field"])
    assert OCPP_REPAIRS.labels("Bounded", "first", "extra_field")._value.get() == 2
    assert OCPP_REPAIRS.labels("other", "other", "extra_field")._value.get() == 2


@pytest.mark.parametrize(
    ("source", "path", "identity"),
    [
        ("lbbrhzn/ocpp#1078", "///charger", "charger"),
        ("lbbrhzn/ocpp#553", "/ocpp/EVC30-24541", "EVC30-24541"),
        ("lbbrhzn/ocpp#899", "/GRS-1700003fb5d", "GRS-1700003fb5d"),
        ("ocpp-balanz/ocpp-2w-proxy#4", "/GaroCS-4133AAAA46980", "GaroCS-4133AAAA46980"),
        ("lbbrhzn/ocpp#1293", "/steve/websocket/CentralSystemService/XGJ0000321510194", "XGJ0000321510194"),
        ("open-ocpp#198", "/CP%2F1%20west/", "CP/1 west"),
    ],
)
def test_public_paths(source: str, path: str, identity: str) -> None:
    assert identity_of(path) == identity, source


@pytest.mark.parametrize(
    ("source", "offers", "version"),
    [
        ("steve-community/steve#135", [], Version.V16),
        ("dallmann-consulting/OCPP.Core#43", [], Version.V16),
        ("lbbrhzn/ocpp#2008", ["ocpp1.6", "ocpp2.0.1"], Version.V16),
        ("lbbrhzn/ocpp#2008", ["ocpp2.0.1", "ocpp1.6"], Version.V201),
        ("lbbrhzn/ocpp#899", ["ocpp1.6"], Version.V16),
        ("field note R8", ["RPC%20ocpp1.6"], Version.V16),
    ],
)
def test_public_offers(source: str, offers: list[str], version: Version) -> None:
    assert choose_subprotocol(offers, default=True)[1] is version, source


async def test_what_we_send_is_compact_and_stamped_in_milliseconds(pool: Pool, bus: Client) -> None:
    """Naive stamps and loose JSON are what chargers choke on (mobilityhouse/ocpp#230, lbbrhzn/ocpp#512)."""
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.send('[2, "1", "Heartbeat", {}]')
        text = str(await charger.socket.recv())
    assert re.fullmatch(r'\[3,"1",\{"currentTime":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"\}\]', text)
