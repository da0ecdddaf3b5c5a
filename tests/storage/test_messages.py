from datetime import UTC, datetime, timedelta

import pytest

from storage.database import Abilities, Connection
from storage.hypertables import OCPP_MESSAGES, Hypertable
from storage.partitions import table_ddl
from storage.queries import messages
from storage.queries.messages import Direction, Message, Search, read_messages, search_messages

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
SECOND = timedelta(seconds=1)
INSERT = """
INSERT INTO ocpp_messages (ts, device_id, received_at, generation, direction, version, type, action,
                           message_id, cut_bytes, frame)
VALUES (%(ts)s, %(device_id)s, %(ts)s, %(generation)s, %(direction)s, 16, %(type)s, %(action)s,
        %(message_id)s, 0, '[]')
"""


async def put(connection: Connection, second: int, **changes: object) -> None:
    facts = {
        "device_id": 1,
        "generation": 1,
        "direction": 1,
        "type": 2,
        "action": "Heartbeat",
        "message_id": "a",
    }
    await connection.execute(INSERT, {"ts": NOON + second * SECOND, **facts, **changes})


def seconds(found: list[Message]) -> list[float]:
    return [(message.ts - NOON) / SECOND for message in found]


def search(**changes: object) -> Search:
    facts = {"device_id": 1, "from_": NOON, "to": NOON + 100 * SECOND}
    return Search(**{**facts, **changes})  # type: ignore[arg-type]


async def test_a_search_finds_what_fits_newest_first(connection: Connection) -> None:
    await put(connection, -1)
    await put(connection, 0)
    await put(connection, 1, direction=2, type=3)
    await put(connection, 2, action="Authorize", message_id="b")
    await put(connection, 3, device_id=2)
    await put(connection, 4, action=None, message_id=None, type=0)
    await put(connection, 100)
    cases: list[tuple[dict[str, object], list[float]]] = [
        ({}, [4, 2, 1, 0]),
        ({"action": "Heartbeat"}, [1, 0]),
        ({"message_id": "b"}, [2]),
        ({"direction": Direction.TO_CHARGER}, [1]),
        ({"action": "Heartbeat", "direction": Direction.FROM_CHARGER}, [0]),
        ({"from_": NOON + SECOND, "to": NOON + 3 * SECOND}, [2, 1]),
        ({"device_id": 2}, [3]),
        ({"action": "heartbeat"}, []),
    ]
    for changes, expected in cases:
        found, total = await search_messages(connection, search(**changes), limit=10)
        assert (seconds(found), total) == (expected, len(expected)), changes


async def test_pages_concatenate_to_the_whole(connection: Connection) -> None:
    for second in range(7):
        await put(connection, second)
    pages = [await search_messages(connection, search(), limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [seconds(found) for found, _ in pages] == [[6, 5, 4], [3, 2, 1], [0], []]
    assert {total for _, total in pages} == {7}


async def test_neither_count_nor_pages_go_beyond_the_bound(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for second in range(7):
        await put(connection, second)
    monkeypatch.setattr(messages, "COUNT_MAX", 4)
    assert (await search_messages(connection, search(), limit=3))[1] == 4
    found, _ = await search_messages(connection, search(), limit=3, offset=3)
    assert seconds(found) == [3]
    assert (await search_messages(connection, search(), limit=3, offset=4))[0] == []


@pytest.mark.parametrize("limit", [1, 2, 5, 10])
async def test_reading_on_behind_the_last_one_gives_each_once(connection: Connection, limit: int) -> None:
    """Two sockets of a charger may have frames at the same time."""
    for second in range(4):
        for generation in (2, 1):
            await put(connection, second, generation=generation)
    read: list[Message] = []
    while True:
        after = read[-1] if read else None
        page = await read_messages(connection, 1, NOON, NOON + 3 * SECOND, after=after, limit=limit)
        if not page:
            break
        assert len(page) <= limit
        read += page
    assert [(second, message.generation) for second, message in zip(seconds(read), read, strict=True)] == [
        (second, generation) for second in (0, 1, 2) for generation in (1, 2)
    ]


async def test_a_search_by_charger_and_time_uses_the_index(connection: Connection) -> None:
    await put(connection, 0)  # without a chunk there is nothing to plan on TimescaleDB
    await connection.execute("SET LOCAL enable_seqscan = off")
    query = f"EXPLAIN {messages._READ}"
    parameters = {
        "device_id": 1,
        "from": NOON,
        "to": NOON + SECOND,
        "after_ts": None,
        "after_generation": None,
        "limit": 10,
    }
    plan = await (await connection.execute(query, parameters)).fetchall()
    assert any("Index" in line and "device_id" in line for (line,) in plan), plan


def test_the_log_is_compressed_by_charger_and_its_quarantine_is_not() -> None:
    def statements(table: Hypertable) -> str:
        return " ".join(statement.as_string() for statement in table_ddl(table, Abilities.COMMUNITY))

    ddl = statements(OCPP_MESSAGES)
    assert "timescaledb.compress_segmentby = 'device_id'" in ddl
    assert "timescaledb.compress_orderby = 'ts DESC'" in ddl
    assert "compress" not in statements(OCPP_MESSAGES.quarantine())
