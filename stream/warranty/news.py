"""What customers hear of their warranties: by their account, or at the addresses that the seller entered."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from storage.database import Connection
from storage.queries.warranties import Warranty
from stream.lithovolt_words import Address, tell
from stream.warranty.terms import Terms


async def tell_customer(
    connection: Connection,
    warranty: Warranty,
    kind: Literal["warranty_activated", "warranty_expiring"],
    now: datetime,
    more: Mapping[str, object] | None = None,
) -> None:
    """Tell the customer, once of a warranty and `more`."""
    unknown = Address(warranty.customer_name, warranty.customer_email, warranty.customer_phone)
    values = {
        "serial": warranty.serial,
        "model": Terms.of(warranty.terms).model,
        "certificate_number": warranty.certificate_number,
        "expires_on": warranty.expires_on.isoformat(),
        **(more or {}),
    }
    await tell(connection, warranty.consumer_id or unknown, kind, values, now)
