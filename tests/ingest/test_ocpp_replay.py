"""Recordings of the message log: made by the command, read again, played against a gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from typer.testing import CliRunner, Result

from api.operations.recording import ocpp_app
from deploy.messages import SetupError
from protocols.ocpp import recording
from protocols.ocpp.recording import FORMAT, Header, Line, RecordingError, read, to_text
from protocols.ocpp.surface import Version
from storage.database import Pool
from stream.bus import call_charger
from stream.message_log import MessageLogLimits
from stream.writer import WriterConfig
from tests.ingest.ocpp_gateway import (
    PARTITIONS,
    RawCharger,
    Running,
    add_charger,
    add_driver,
    eventually,
    now_us,
    raw_charger,
    running_gateway,
)
from tests.ingest.replay import load, replay
from tests.stream.helpers import running_writer

FIXTURES = Path(__file__).parent / "fixtures"
LINE = Line(at_us=5, connection=1, sender="charger", cut_bytes=0, frame='[2,"1","Heartbeat",{}]')
HEADER = Header(FORMAT, Version.V16, "CP1", "Acme", None, "1.0")


async def scenario(running: Running, device_id: int) -> None:
    """A session with all kinds of frames: ours, the charger's, refused, broken, and a second connection."""
    async with raw_charger(f"{running.url}/CP1") as charger:
        boot = {"chargePointVendor": "Acme", "chargePointModel": "One", "chargePointSerialNumber": "SN-77"}
        await charger.call("BootNotification", boot)
        status = {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"}
        await charger.call("StatusNotification", status)
        await charger.call("Authorize", {"idTag": "CARD"})
        start = {"connectorId": 1, "idTag": "CARD", "meterStart": 10, "timestamp": "2026-01-02T03:04:05Z"}
        transaction_id = (await charger.call("StartTransaction", start))["transactionId"]
        answering = asyncio.create_task(answer_one(charger, {"status": "Accepted"}))
        change = {"key": "WiFiPassword", "value": "0123456789abcdef0123"}
        await call_charger(running.bus, device_id, "ChangeConfiguration", change, timeout_s=5)
        await answering
        await charger.call("NoSuchAction", {})
        await charger.send("{broken")
        await charger.receive()
    async with raw_charger(f"{running.url}/CP1") as charger:
        value = {"timestamp": "2026-01-02T03:30:00Z", "sampledValue": [{"value": "500"}]}
        meters = {"connectorId": 1, "transactionId": transaction_id, "meterValue": [value]}
        await charger.call("MeterValues", meters)
        stop = {"transactionId": transaction_id, "meterStop": 900, "timestamp": "2026-01-02T04:04:05Z"}
        await charger.call("StopTransaction", {**stop, "idTag": "CARD", "reason": "Local"})


async def answer_one(charger: RawCharger, payload: dict[str, Any]) -> None:
    _, message_id, _, _ = await charger.receive()
    await charger.send([3, message_id, payload])


@asynccontextmanager
async def system(pool: Pool, bus: Client) -> AsyncIterator[Running]:
    """A gateway whose message log is stored at once."""
    limits = MessageLogLimits(linger_s=0.01)
    async with (
        running_gateway(pool, bus, message_log_limits=limits) as running,
        running_writer(pool, bus, WriterConfig(clock=now_us, partitions=tuple(range(PARTITIONS)))),
    ):
        yield running


async def rows(pool: Pool) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM ocpp_messages")).fetchone()
    assert row is not None
    return int(row[0])


def command(*arguments: str) -> Result:
    return CliRunner().invoke(ocpp_app, ["record", *arguments])


def times() -> tuple[str, ...]:
    now = datetime.now(UTC).replace(tzinfo=None)
    begin, end = now - timedelta(hours=1), now + timedelta(hours=1)
    return ("--from", begin.isoformat(timespec="seconds"), "--to", end.isoformat(timespec="seconds"))


async def recorded(pool: Pool, bus: Client, path: Path, *options: str) -> recording.Recording:
    device = await add_charger(pool, "CP1")
    await add_driver(pool, "CARD")
    async with system(pool, bus) as running:
        await scenario(running, device.id)

        async def is_stored() -> bool:
            return await rows(pool) == 18

        await eventually(is_stored)
    result = await asyncio.to_thread(command, "CP1", *times(), "--out", str(path), *options)
    assert result.exit_code == 0, (result.output, result.exception)
    return load(path)


@pytest.mark.usefixtures("database_named")
async def test_frames_before_their_socket_had_a_number_belong_to_those_after_them(
    pool: Pool, bus: Client, tmp_path: Path
) -> None:
    device = await add_charger(pool, "CP1")
    await add_driver(pool, "CARD")
    async with system(pool, bus) as running:
        await scenario(running, device.id)
        await eventually(lambda: stored(pool, 18))
    first = "SELECT min(ts) FROM ocpp_messages WHERE generation = %s"
    early = f"UPDATE ocpp_messages SET generation = 0 WHERE ts = ({first})"
    async with pool.connection() as connection:
        for generation in (1, 2):
            await connection.execute(early, (generation,))
    path = tmp_path / "session.jsonl"
    result = await asyncio.to_thread(command, "CP1", *times(), "--out", str(path))
    assert result.exit_code == 0, (result.output, result.exception)
    assert [line.connection for line in load(path).lines] == [1] * 14 + [2] * 4


async def stored(pool: Pool, count: int) -> bool:
    return await rows(pool) == count


@pytest.fixture
def database_named(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDWIRE_DATABASE_URL", database_url)


@pytest.mark.usefixtures("database_named")
async def test_what_was_recorded_plays_again(pool: Pool, bus: Client, tmp_path: Path) -> None:
    found = await recorded(pool, bus, tmp_path / "session.jsonl")
    assert found.header == Header(FORMAT, Version.V16, "CP1", "Acme", "One", None)
    assert [line.connection for line in found.lines] == [1] * 14 + [2] * 4
    assert found.lines[0].at_us == 0
    assert [line.at_us for line in found.lines] == sorted({line.at_us for line in found.lines})
    assert [path.name for path in tmp_path.iterdir() if "session" in path.name] == ["session.jsonl"]
    await add_charger(pool, "CP2")
    assert await play(pool, bus, found, "CP2") == []


@pytest.mark.usefixtures("database_named")
async def test_an_anonymous_recording_names_nobody(pool: Pool, bus: Client, tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    found = await recorded(pool, bus, path, "--anonymous")
    text = path.read_text()
    for name in ("CP1", "CARD", "SN-77", "0123456789abcdef0123"):
        assert name not in text
    assert found.header.charger == "ID-1"
    tags = {json.loads(line.frame)[3].get("idTag") for line in found.lines if '"idTag"' in line.frame}
    assert tags == {"ID-3"}


@pytest.mark.usefixtures("database_named")
@pytest.mark.parametrize(
    ("charger", "words"), [("NOBODY", "No charger NOBODY"), ("CP1", "No frames of CP1 in this time")]
)
async def test_nothing_to_record_says_so_and_leaves_no_file(
    pool: Pool, tmp_path: Path, charger: str, words: str
) -> None:
    await add_charger(pool, "CP1")
    result = await asyncio.to_thread(command, charger, *times(), "--out", str(tmp_path / "a.jsonl"))
    assert isinstance(result.exception, SetupError)
    assert words in result.exception.problem
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ""] == []


async def play(pool: Pool, bus: Client, found: recording.Recording, identity: str) -> list[str]:
    async with running_gateway(pool, bus) as running:

        @asynccontextmanager
        async def connect() -> AsyncIterator[RawCharger]:
            options = {"subprotocols": [found.header.version.subprotocol]}
            async with raw_charger(f"{running.url}/{identity}", **options) as charger:
                yield charger

        async def ask(action: str, payload: dict[str, Any]) -> None:
            (device_id,) = running.gateway.links
            await call_charger(bus, device_id, action, payload, timeout_s=5)

        return await replay(found, connect, ask)


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.jsonl")), ids=lambda path: path.stem)
async def test_recordings_are_answered_as_they_were(pool: Pool, bus: Client, path: Path) -> None:
    """A fixture made by `gridwire ocpp record` keeps a charger's session working for ever."""
    found = load(path)
    await add_charger(pool, found.header.charger)
    for tag in {tag for line in found.lines for tag in _tags(line)}:
        await add_driver(pool, tag)
    assert await play(pool, bus, found, found.header.charger) == []
    async with pool.connection() as connection:
        query = "SELECT meter_stop_wh - meter_start_wh FROM sessions WHERE status = 'completed'"
        assert await (await connection.execute(query)).fetchall() == [(890,)]


def _tags(line: Line) -> list[str]:
    """The driver's token in a call: a text in 1.6, an object in 2.x."""
    try:
        frame = json.loads(line.frame)
    except json.JSONDecodeError:
        return []
    match frame:
        case [2, _, _, {"idTag": str(tag)}] | [2, _, _, {"idToken": {"idToken": str(tag)}}]:
            return [tag]
    return []


async def test_a_different_answer_is_told(pool: Pool, bus: Client) -> None:
    """The comparison can fail: a recorded answer with a field more, and an error that was a result."""
    await add_charger(pool, "CP1")
    answers = ('[3,"1",{"currentTime":"2026-01-02T03:04:05Z","more":1}]', '[4,"1","NotImplemented","",{}]')
    for answer in answers:
        line = Line(at_us=9, connection=1, sender="system", cut_bytes=0, frame=answer)
        differences = await play(pool, bus, recording.Recording(HEADER, (LINE, line)), "CP1")
        assert len(differences) == 1
        assert "Heartbeat" in differences[0]


# --- the file -------------------------------------------------------------------------------------

lines = st.builds(
    Line,
    at_us=st.integers(0, 2**50),
    connection=st.integers(0, 2**40),
    sender=st.sampled_from(["charger", "system"]),
    cut_bytes=st.integers(0, 2**20),
    frame=st.text(st.characters(exclude_categories=["Cs"])),
)


@given(st.lists(lines))
def test_reading_what_was_written_is_identity(values: list[Line]) -> None:
    text = "".join([to_text(HEADER), *map(to_text, values)])
    assert read(StringIO(text)) == recording.Recording(HEADER, tuple(values))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ([], 1),
        (["{}"], 1),
        ([to_text(HEADER).replace('"recording":1', '"recording":2')], 1),
        ([to_text(HEADER), "nonsense"], 2),
        ([to_text(HEADER), to_text(LINE).replace("charger", "somebody")], 2),
    ],
)
def test_a_file_that_is_none_says_where(text: list[str], number: int) -> None:
    with pytest.raises(RecordingError, match=f"line {number}"):
        read(text)
