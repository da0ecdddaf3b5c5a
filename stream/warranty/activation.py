"""How a warranty begins: by its seller or its customer, once a serial, with the terms of its model.

Used by the API and by `stream.warranty.claims`, where a replacement goes on with the rest of a term.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from storage.database import Connection
from storage.queries import counters, serial_numbers, warranties
from storage.queries.serial_numbers import Move
from storage.queries.warranties import Serial, Warranty
from stream.errors import StreamError
from stream.lending.terms import today
from stream.warranty.certificates import Certificate, sign
from stream.warranty.news import tell_customer
from stream.warranty.terms import BACKDATED_DAYS_MAX, Terms, agreed, last_day

ACTIVE = ("allocated", "sold")  # what is in stock or came back has no customer


class RefusedError(StreamError):
    """What is not done; `field` of the request, and why, for its sender."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Customer:
    """Whose warranty it is; `user_id` is None for somebody without an account. `phone` in E.164."""

    user_id: int | None
    name: str
    phone: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class Cover:
    """What is to be signed and kept of a warranty; days are both within it."""

    serial_id: int
    serial: str
    seller_id: int | None
    terms: Terms
    starts_on: date
    expires_on: date


def certificate_of(warranty: Warranty) -> Certificate:
    """What the certificate of a warranty says."""
    return Certificate(
        warranty.certificate_number,
        warranty.serial,
        Terms.of(warranty.terms).model,
        warranty.starts_on,
        warranty.expires_on,
    )


async def activate(
    connection: Connection,
    secret_key: str,
    serial: str,
    customer: Customer,
    *,
    purchased_on: date | None,
    by: int,
    is_seller: bool,
    now: datetime,
) -> Warranty:
    """Begin the warranty of a serial, which is sold then. Raises `RefusedError`.

    A seller's own serials alone; a customer's is any that was allocated or sold. Who gets it wrong is not
    told what is in whose stock.
    """
    starts_on = _start(purchased_on, today(now))
    held = (await warranties.lock_serials(connection, [serial])).get(serial.lower())
    is_own = held is not None and (not is_seller or held.wholesaler_id == by)
    if held is None or not is_own or held.status not in ACTIVE:
        whose = " of yours" if is_seller else ""
        raise RefusedError("serial", f"No battery{whose} that was sold has the serial number {serial}.")
    if await serial_numbers.has_warranty(connection, held.id):
        raise RefusedError("serial", f"The battery {held.serial} has a warranty already.")
    terms = agreed(held.model, held.warranty_months, held.warranty_terms)
    expires_on = last_day(starts_on, held.warranty_months)
    if held.status == "allocated":
        await sell(connection, held, held.wholesaler_id, by=by, detail={}, now=now)
    cover = Cover(held.id, held.serial, held.wholesaler_id, terms, starts_on, expires_on)
    return await issue(connection, secret_key, cover, customer, by=by, now=now)


def _start(purchased_on: date | None, day: date) -> date:
    if purchased_on is None:
        return day
    if purchased_on > day:
        raise RefusedError("purchase_date", "The day of purchase cannot be in the future.")
    if day - purchased_on > timedelta(days=BACKDATED_DAYS_MAX):
        message = f"The day of purchase can be at most {BACKDATED_DAYS_MAX} days ago."
        raise RefusedError("purchase_date", message)
    return purchased_on


async def sell(
    connection: Connection,
    serial: Serial,
    wholesaler_id: int | None,
    *,
    by: int,
    detail: Mapping[str, Any],
    now: datetime,
) -> None:
    """Make a serial that is held a customer's."""
    move = Move(status="sold", wholesaler_id=wholesaler_id, kind="sold", actor_id=by, detail=detail, now=now)
    await serial_numbers.move_serials(connection, [serial.id], move)


async def issue(
    connection: Connection, secret_key: str, cover: Cover, customer: Customer, *, by: int, now: datetime
) -> Warranty:
    """Number and sign a certificate, keep the warranty, tell the customer. Raises `RefusedError`."""
    year = today(now).year
    number = await counters.next_number(connection, f"warranty:{year}")
    certificate = Certificate(
        f"LVW-{year}-{number:06}", cover.serial, cover.terms.model, cover.starts_on, cover.expires_on
    )
    made = await warranties.insert_warranty(
        connection,
        certificate_number=certificate.certificate_number,
        serial_id=cover.serial_id,
        consumer_id=customer.user_id,
        seller_id=cover.seller_id,
        customer_name=customer.name,
        customer_phone=customer.phone,
        customer_email=customer.email,
        starts_on=cover.starts_on,
        expires_on=cover.expires_on,
        terms=cover.terms.document(),
        activated_by=by,
        activated_at=now,
        signature=sign(secret_key, certificate),
    )
    if made is None:
        raise RefusedError("serial", f"The battery {cover.serial} has a warranty already.")
    await tell_customer(connection, made, "warranty_activated", now)
    return made
