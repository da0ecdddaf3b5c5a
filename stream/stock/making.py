"""Serial numbers come to be: a range of a model's own, or foreign ones imported. Used by the API."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime

from storage.database import Connection
from storage.queries import serial_numbers
from storage.queries.battery_models import BatteryModel
from stream.stock import alerts, serials
from stream.stock.errors import StockError

QUANTITY_MAX = 10_000  # of one request
COLUMN = "serial"


async def generate(
    connection: Connection, model: BatteryModel, quantity: int, *, batch: str, actor_id: int, now: datetime
) -> list[str]:
    """Make the next serials of a model, which the caller holds; returns them in their order.

    A number whose serial was imported before is passed over. Raises `StockError` where the model has no more.
    """
    made: list[str] = []
    while len(made) < quantity:  # each round takes numbers for good, and there are `NUMBER_MAX`
        wanted = quantity - len(made)
        last = await serial_numbers.next_numbers(connection, model.id, wanted)
        if last > serials.NUMBER_MAX:
            raise StockError(
                "quantity", [f"{model.code} has no more serial numbers of {serials.DIGITS} digits"]
            )
        names = [serials.serial_of(model.code, number) for number in range(last - wanted + 1, last + 1)]
        new = await serial_numbers.insert_serials(
            connection, model.id, names, kind="generated", batch=batch, actor_id=actor_id, now=now
        )
        made += [name for name in names if name in new]
    await alerts.watch(connection, model, now)
    return made


async def take_in(
    connection: Connection,
    model: BatteryModel,
    names: Sequence[str],
    *,
    batch: str,
    actor_id: int,
    now: datetime,
) -> list[str]:
    """Import serials for a model, which the caller holds; all or none: `StockError` names each fault."""
    faults = [f"{name!r:.80} {why}" for name in names if (why := serials.fault(name, model.code)) is not None]
    faults += [f"{name} stands here more than once" for name in serials.repeated(names)]
    if faults:
        raise StockError("serials", faults)
    new = await serial_numbers.insert_serials(
        connection, model.id, names, kind="imported", batch=batch, actor_id=actor_id, now=now
    )
    if len(new) < len(names):
        raise StockError("serials", [f"{name} exists already" for name in names if name not in new])
    await alerts.watch(connection, model, now)
    return list(names)


def read_csv(text: str) -> list[str]:
    """Return the serials of a CSV file: its column `serial`. Raises `StockError`."""
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if COLUMN not in header:
            raise StockError("serials", [f"line 1 must name the columns, {COLUMN!r} among them"])
        at = header.index(COLUMN)
        names = [row[at].strip() if len(row) > at else "" for row in rows if any(row)]
    except csv.Error as error:
        raise StockError("serials", [f"line {rows.line_num}: {error}"]) from error
    if not 0 < len(names) <= QUANTITY_MAX:
        raise StockError("serials", [f"1 to {QUANTITY_MAX} serials are taken at once, here are {len(names)}"])
    return names
