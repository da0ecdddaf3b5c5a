"""What an EV-CMS user is told: a notification in the app, and a message by each channel that the user wants.

`notify` is called in the transaction that the news is of; the rest goes by the outbox (`stream.notices`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from protocols.timestamps import format_utc_ms, from_datetime
from storage.database import Connection
from storage.queries import notifications, outbox
from storage.queries.notifications import Notification


class Kind(StrEnum):
    """What there is to tell; each has its words and its preference."""

    BOOKING_CONFIRMED = "booking_confirmed"
    BOOKING_CANCELLED = "booking_cancelled"
    BOOKING_EXPIRED = "booking_expired"
    BOOKING_REMINDER = "booking_reminder"
    SESSION_STARTED = "session_started"
    SESSION_COMPLETED = "session_completed"
    PAYMENT_RECEIVED = "payment_received"  # a top-up has come
    PAYMENT_MADE = "payment_made"  # a wallet has paid
    REFUND_DECIDED = "refund_decided"
    LOW_BALANCE = "low_balance"
    INVOICE_SENT = "invoice_sent"
    TICKET_ANSWERED = "ticket_answered"
    KYC_DECIDED = "kyc_decided"
    VERIFY_EMAIL = "verify_email"
    SYSTEM = "system"  # an admin's own words: title, message
    PROMOTION = "promotion"


@dataclass(frozen=True, slots=True)
class News:
    """`key` names the fact, so that nobody hears of it twice. `values` fill the words of its kind.

    `data` goes to the app; `attachment` to an e-mail: `{"kind": "invoice", "id": 12}`.
    """

    key: str
    kind: Kind
    values: Mapping[str, str]
    data: Mapping[str, Any] = field(default_factory=dict)
    attachment: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Words:
    """`type` of the notification; the rest are templates of `str.format` over the news' values."""

    type: str
    title: str
    message: str


WORDS: Mapping[Kind, _Words] = {
    Kind.BOOKING_CONFIRMED: _Words("booking", "Booking confirmed", "{number} at {station} from {time}."),
    Kind.BOOKING_CANCELLED: _Words("booking", "Booking cancelled", "{number} at {station} was cancelled."),
    Kind.BOOKING_EXPIRED: _Words("booking", "Booking expired", "{number} at {station} was not started."),
    Kind.BOOKING_REMINDER: _Words("booking", "Your booking begins soon", "{number} at {station} at {time}."),
    Kind.SESSION_STARTED: _Words("session", "Charging has started", "Connector {connector} of {charger}."),
    Kind.SESSION_COMPLETED: _Words("session", "Charging is complete", "{energy} kWh for {amount}."),
    Kind.PAYMENT_RECEIVED: _Words("payment", "Payment received", "{amount} was added to your wallet."),
    Kind.PAYMENT_MADE: _Words("payment", "Payment made", "{amount} for {description}."),
    Kind.REFUND_DECIDED: _Words("payment", "Refund {decision}", "Your refund of {amount} was {decision}."),
    Kind.LOW_BALANCE: _Words("payment", "Wallet balance low", "Your balance is {amount}. Please top up."),
    Kind.INVOICE_SENT: _Words("payment", "Invoice {number}", "{amount}, due {due}."),
    Kind.TICKET_ANSWERED: _Words("system", "Ticket {number}", "Support has answered: {subject}"),
    Kind.KYC_DECIDED: _Words("system", "Documents {decision}", "Your documents were {decision}. {notes}"),
    Kind.VERIFY_EMAIL: _Words("system", "Confirm your e-mail", "Please follow the link in our e-mail."),
    Kind.SYSTEM: _Words("system", "{title}", "{message}"),
    Kind.PROMOTION: _Words("promotion", "{title}", "{message}"),
}


async def notify(connection: Connection, user_id: int, news: News, now: datetime) -> Notification | None:
    """Tell a user; None where the user was told of this before. Raises KeyError for a missing value."""
    words = WORDS[news.kind]
    made = await notifications.insert_notification(
        connection,
        key=news.key,
        user_id=user_id,
        type_=words.type,
        title=words.title.format_map(news.values),
        message=words.message.format_map(news.values),
        data=news.data,
        now=now,
    )
    if made is not None:
        live = {"name": "notification", "payload": {"user_id": user_id, "notification": shown(made)}}
        await outbox.enqueue(connection, "live_event", live)
    return made


def shown(notification: Notification) -> dict[str, Any]:
    """The notification as the API and the socket print it."""
    return {
        "id": str(notification.id),
        "userId": str(notification.user_id),
        "type": notification.type,
        "title": notification.title,
        "message": notification.message,
        "data": notification.data,
        "isRead": notification.read_at is not None,
        "createdAt": format_utc_ms(from_datetime(notification.created_at)),
    }
