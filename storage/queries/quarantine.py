"""Rows of quarantined devices, taken out again when an operator lets the device in.

Used by `stream.release`.
"""

from typing import Any

from psycopg import sql

from storage.database import Connection
from storage.hypertables import Column, Hypertable, Type

# Rows have no key of their own in there: the same row may have come twice.
_TAKE = """
WITH oldest AS (
    SELECT tableoid AS part, ctid AS place FROM {twin}
    WHERE device_id = %(device_id)s AND reason = %(reason)s ORDER BY received_at LIMIT %(limit)s
)
DELETE FROM {twin} AS twin USING oldest
WHERE twin.device_id = %(device_id)s AND twin.tableoid = oldest.part AND twin.ctid = oldest.place
RETURNING {columns}
"""


async def take_quarantined(
    connection: Connection, table: Hypertable, device_id: int, reason: int, *, limit: int
) -> dict[str, list[Any]]:
    """Take up to `limit` rows of a device out of the twin of `table`, oldest arrivals first; by column.

    Timestamps are microseconds since 1970 UTC, texts and JSON are UTF-8 bytes, as a frame has them.
    """
    query = sql.SQL(_TAKE).format(
        twin=sql.Identifier(f"{table.name}_quarantine"),
        columns=sql.SQL(", ").join(map(_expression, table.columns)),
    )
    parameters = {"device_id": device_id, "reason": reason, "limit": limit}
    rows = await (await connection.execute(query, parameters)).fetchall()
    columns = zip(*rows, strict=True) if rows else [()] * len(table.columns)
    return {
        column.name: [_as_taken(column, value) for value in values]
        for column, values in zip(table.columns, columns, strict=True)
    }


def _expression(column: Column) -> sql.Composed:
    name = sql.Identifier("twin", column.name)
    if column.type is Type.TIMESTAMPTZ:
        return sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint").format(name)
    return sql.SQL("{}::text").format(name) if column.type is Type.JSONB else sql.SQL("{}").format(name)


def _as_taken(column: Column, value: Any) -> Any:
    if column.type in (Type.TEXT, Type.JSONB) and value is not None:
        return value.encode()
    return value
