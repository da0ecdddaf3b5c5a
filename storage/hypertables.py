"""Every time series, declared once: DDL, numpy dtypes and the COPY layout all follow from here.

Used by `storage.partitions` (DDL), `storage.copy` (binary layout), `stream.frames` (columns of a
frame), `stream.checks` (which rows to mask) and the API's sample queries.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

import numpy as np


class Type(Enum):
    """PostgreSQL types that a hypertable column may have, with what COPY and numpy need of each.

    Each value is `(SQL name, native numpy dtype, width in bytes on the wire; 0 for variable)`.
    Timestamps are microseconds since 1970-01-01 UTC in memory and since 2000-01-01 on the wire.
    """

    TIMESTAMPTZ = ("timestamptz", "<i8", 8)
    INT2 = ("smallint", "<i2", 2)
    INT4 = ("integer", "<i4", 4)
    INT8 = ("bigint", "<i8", 8)
    FLOAT4 = ("real", "<f4", 4)
    FLOAT8 = ("double precision", "<f8", 8)
    FLOAT4_ARRAY = ("real[]", "<f4", 0)
    TEXT = ("text", "|u1", 0)
    JSONB = ("jsonb", "|u1", 0)
    BYTEA = ("bytea", "|u1", 0)

    def __init__(self, sql: str, dtype: str, width: int) -> None:
        # attributes, not properties: they are asked for with every value that comes in
        self.sql = sql  # the type's name in DDL
        # of one element: of the value itself, of an array's items, or a byte of text
        self.dtype: np.dtype[np.generic] = np.dtype(dtype)
        self.width = width  # bytes of one value in binary COPY; 0 where it varies
        self.is_variable = not width  # whether values carry offsets (arrays, text, JSON)


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `is_quantity` marks those whose non-null values count as samples."""

    name: str
    type: Type
    nullable: bool = False
    is_quantity: bool = False


@dataclass(frozen=True, slots=True)
class Hypertable:
    """One time series. `key` is the unique key (empty: none), `time` the partitioning column.

    `is_compressed`: old chunks are, where the server can.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    chunk: timedelta
    retention: timedelta
    time: str = "ts"
    segment_by: str = "device_id"
    checks: tuple[str, ...] = ()
    is_compressed: bool = True
    by_name: dict[str, Column] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {column.name: column for column in self.columns})

    @property
    def quantities(self) -> tuple[Column, ...]:
        """The columns whose non-null values are samples; none for event tables."""
        return tuple(column for column in self.columns if column.is_quantity)

    def quarantine(self) -> "Hypertable":
        """The twin that takes the masked rows: same columns, all nullable, with the reason beside them.

        It is partitioned by when a row arrived, since its own time may be what is wrong with it.
        """
        columns = tuple(
            Column(column.name, column.type, column.name != "received_at", column.is_quantity)
            for column in self.columns
        )
        return Hypertable(
            name=f"{self.name}_quarantine",
            columns=(*columns, Column("reason", Type.INT2)),
            key=(),
            chunk=timedelta(days=7),
            retention=timedelta(days=90),
            time="received_at",
            is_compressed=False,
        )


def _quantity(name: str, kind: Type = Type.FLOAT4) -> Column:
    return Column(name, kind, nullable=True, is_quantity=True)


_ROW = (
    Column("ts", Type.TIMESTAMPTZ),
    Column("device_id", Type.INT4),
    Column("received_at", Type.TIMESTAMPTZ),
)

BATTERY_SAMPLES = Hypertable(
    name="battery_samples",
    columns=(
        *_ROW,
        _quantity("voltage_v"),
        _quantity("current_a"),
        _quantity("soc_pct"),
        _quantity("soh_pct"),
        _quantity("cycles", Type.INT4),
        _quantity("latitude_deg", Type.FLOAT8),
        _quantity("longitude_deg", Type.FLOAT8),
        _quantity("flags", Type.INT4),
        _quantity("temperatures_c", Type.FLOAT4_ARRAY),
        _quantity("cell_voltages_v", Type.FLOAT4_ARRAY),
    ),
    key=("device_id", "ts"),
    chunk=timedelta(days=1),
    retention=timedelta(days=730),
    checks=("device_id > 0",),
)

CHARGER_SAMPLES = Hypertable(
    name="charger_samples",
    columns=(
        *_ROW,
        Column("connector_id", Type.INT2),
        Column("measurand", Type.INT2),
        Column("phase", Type.INT2),
        Column("location", Type.INT2),
        Column("context", Type.INT2),
        Column("transaction_id", Type.INT8, nullable=True),
        Column("value", Type.FLOAT8, is_quantity=True),
    ),
    key=("device_id", "ts", "connector_id", "measurand", "phase", "location", "context"),
    chunk=timedelta(days=1),
    retention=timedelta(days=730),
    checks=("device_id > 0",),
)

DEVICE_EVENTS = Hypertable(
    name="device_events",
    columns=(
        *_ROW,
        Column("kind", Type.TEXT),
        # 64 bits of a hash of `detail`: the same event sent twice has the same key
        Column("digest", Type.INT8),
        Column("detail", Type.JSONB),
    ),
    key=("device_id", "ts", "kind", "digest"),
    chunk=timedelta(days=7),
    retention=timedelta(days=730),
    checks=("device_id >= 0",),  # 0 is no known device: a payload that named none
)

OCPP_MESSAGES = Hypertable(
    name="ocpp_messages",
    columns=(
        *_ROW,
        # of the charger's sockets; with `ts` it tells every frame of a charger from every other
        Column("generation", Type.INT8),
        Column("direction", Type.INT2),
        Column("version", Type.INT2),
        # the first element of an OCPP-J frame; 0 where it has none that is known
        Column("type", Type.INT2),
        Column("action", Type.TEXT, nullable=True),
        Column("message_id", Type.TEXT, nullable=True),
        # bytes left out at the end of `frame`
        Column("cut_bytes", Type.INT4),
        Column("frame", Type.TEXT),
    ),
    key=(),  # a frame that came twice is two frames
    chunk=timedelta(days=1),
    retention=timedelta(days=90),
    checks=("device_id > 0",),
)

METER_SAMPLES = Hypertable(
    name="meter_samples",
    columns=(
        *_ROW,
        # a code of `protocols.quantities`
        Column("quantity", Type.INT2),
        # of several like registers or sensors in one device: tariff, phase or input, 0 where there is one
        Column("channel", Type.INT2),
        Column("value", Type.FLOAT8, is_quantity=True),
    ),
    key=("device_id", "ts", "quantity", "channel"),
    chunk=timedelta(days=7),
    retention=timedelta(days=3 * 365),
    checks=("device_id > 0",),
)

RAW_PAYLOADS = Hypertable(
    name="raw_payloads",
    columns=(
        *_ROW,
        # of the shell: chirpstack, things_stack, coap, udp, mqtt, callback
        Column("source", Type.TEXT),
        # uplink, join, status, ack, location
        Column("event", Type.TEXT),
        # LoRaWAN's fPort; 0 where a protocol has none
        Column("port", Type.INT2),
        # LoRaWAN's fCnt or another counter of the device's messages; -1 where there is none
        Column("counter", Type.INT8),
        # what decoded it: a name of `protocols.payloads`, or `js:<codec>@<version>`; empty if nothing did
        Column("decoder", Type.TEXT),
        # 64 bits of a hash of `payload`: the same bytes heard twice at one time are one row
        Column("digest", Type.INT8),
        Column("payload", Type.BYTEA),
        # what the decoder made of it, or why it could not
        Column("decoded", Type.JSONB, nullable=True),
        # of the network: gateways, signal, data rate, addresses
        Column("meta", Type.JSONB, nullable=True),
    ),
    key=("device_id", "ts", "counter", "digest"),
    chunk=timedelta(days=7),
    retention=timedelta(days=400),
    checks=("device_id >= 0",),  # 0 is no known device
)

SERIES: tuple[Hypertable, ...] = (
    BATTERY_SAMPLES,
    CHARGER_SAMPLES,
    DEVICE_EVENTS,
    OCPP_MESSAGES,
    METER_SAMPLES,
    RAW_PAYLOADS,
)
HYPERTABLES: dict[str, Hypertable] = {
    table.name: table for series in SERIES for table in (series, series.quarantine())
}
