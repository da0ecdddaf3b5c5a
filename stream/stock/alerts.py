"""Low stock: an alert is open while a model has as many in stock as its threshold, or fewer.

Looked at with each change of a model's stock or threshold, in the same transaction, by whoever made it.
"""

from datetime import datetime

from storage.database import Connection
from storage.queries import lithovolt_users, stock
from storage.queries.battery_models import BatteryModel
from stream.lithovolt_words import tell


async def watch(connection: Connection, model: BatteryModel, now: datetime) -> None:
    """Open or close the alert of a model, which the caller holds; admins hear once of one that opens."""
    in_stock = await stock.count_in_stock(connection, model.id)
    if in_stock > model.low_stock_threshold or not model.is_active:
        await stock.close_alert(connection, model.id, now)
        return
    opened = await stock.open_alert(
        connection, model.id, in_stock=in_stock, threshold=model.low_stock_threshold, now=now
    )
    if opened is None:
        return
    values = {
        "model": model.name,
        "code": model.code,
        "in_stock": in_stock,
        "threshold": model.low_stock_threshold,
    }
    for admin in await lithovolt_users.list_admins(connection):
        await tell(connection, admin.id, "low_stock", values, now, f"alert:{opened}")
