"""What an EV-CMS user is told: a notification in the app, and a message by each channel that the user wants.

`notify` is called in the transaction that the news is of; the rest goes by the outbox (`stream.notices`).

A user sets preferences by channel; `DEFAULTS` is what holds until then: everything but promotions, which
nobody gets by e-mail unasked. The row in the app is always written, so that the list is whole; with
`inApp.all` off it is not announced on the socket. `preferences.notifications` of the account, where it is
false, or an object with false under a channel, switches off what is optional. Invoices, identity checks, the
confirmation of an address and answers to tickets go by e-mail whatever is preferred: they were asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from protocols.timestamps import format_utc_ms, from_datetime
from storage.database import Connection
from storage.queries import notifications, outbox
from storage.queries.notifications import Notification, Recipient
from stream import notices
from stream.notices import Channel, Message
from stream.templates import Rendered, language_of, render

Type = Literal["booking", "session", "payment", "system", "promotion"]

DEFAULTS: Mapping[str, Mapping[str, bool]] = {
    "email": {
        "bookingConfirmation": True,
        "sessionComplete": True,
        "paymentReceipt": True,
        "promotions": False,
    },
    "push": {"bookingReminder": True, "sessionStart": True, "lowBalance": True},
    "sms": {"bookingConfirmation": True, "paymentConfirmation": True},
    "inApp": {"all": True},
}
ALWAYS = "always"  # in the place of a preference's name


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

    `data` goes to the app; `attachment` to an e-mail: `{"kind": "invoice", "id": 12}`. `type` takes the
    place of the kind's own: an admin's alert may be of any.
    """

    key: str
    kind: Kind
    values: Mapping[str, str]
    data: Mapping[str, Any] = field(default_factory=dict)
    attachment: Mapping[str, Any] | None = None
    type: Type | None = None


@dataclass(frozen=True, slots=True)
class _Way:
    """`type` of the notification, and by which preference each channel is used; None: never."""

    type: Type
    email: str | None = None
    push: str | None = None
    sms: str | None = None


WAYS: Mapping[Kind, _Way] = {
    Kind.BOOKING_CONFIRMED: _Way("booking", email="bookingConfirmation", sms="bookingConfirmation"),
    Kind.BOOKING_CANCELLED: _Way("booking", email="bookingConfirmation", sms="bookingConfirmation"),
    Kind.BOOKING_EXPIRED: _Way("booking", email="bookingConfirmation"),
    Kind.BOOKING_REMINDER: _Way("booking", push="bookingReminder"),
    Kind.SESSION_STARTED: _Way("session", push="sessionStart"),
    Kind.SESSION_COMPLETED: _Way("session", email="sessionComplete"),
    Kind.PAYMENT_RECEIVED: _Way("payment", email="paymentReceipt", sms="paymentConfirmation"),
    Kind.PAYMENT_MADE: _Way("payment", email="paymentReceipt", sms="paymentConfirmation"),
    Kind.REFUND_DECIDED: _Way("payment", email="paymentReceipt"),
    Kind.LOW_BALANCE: _Way("payment", push="lowBalance"),
    Kind.INVOICE_SENT: _Way("payment", email=ALWAYS),
    Kind.TICKET_ANSWERED: _Way("system", email=ALWAYS),
    Kind.KYC_DECIDED: _Way("system", email=ALWAYS),
    Kind.VERIFY_EMAIL: _Way("system", email=ALWAYS),
    Kind.SYSTEM: _Way("system"),
    Kind.PROMOTION: _Way("promotion", email="promotions"),
}
# What these say by e-mail is nobody else's: it is blanked once it has gone.
_SECRET = frozenset({Kind.VERIFY_EMAIL})


@dataclass(frozen=True, slots=True)
class Told:
    """A notification that was written; `is_live`: it is to be announced on the socket."""

    notification: Notification
    is_live: bool

    @property
    def event(self) -> dict[str, Any]:
        """What the live event `notification` says."""
        return {"user_id": self.notification.user_id, "notification": shown(self.notification)}


async def notify(connection: Connection, user_id: int, news: News, now: datetime) -> Notification | None:
    """Tell a user; None where the user was told of this before, or is gone.

    Raises `jinja2.UndefinedError` for a value that the kind's words need and `news` lacks.
    """
    told = await write(connection, user_id, news, now)
    if told is None:
        return None
    if told.is_live:
        live = {"name": "notification", "payload": told.event}
        await outbox.enqueue(connection, "live_event", live)
    return told.notification


async def write(connection: Connection, user_id: int, news: News, now: datetime) -> Told | None:
    """Do what `notify` does, but leave the live event to the caller."""
    recipient = await notifications.get_recipient(connection, user_id)
    if recipient is None:
        return None
    words = render(news.kind, news.values, language_of(recipient.profile.get("language", "en")))
    made = await notifications.insert_notification(
        connection,
        key=news.key,
        user_id=user_id,
        type_=news.type or WAYS[news.kind].type,
        title=words.title,
        message=words.message,
        data=news.data,
        now=now,
    )
    if made is None:
        return None
    for message in _messages(recipient, news, words):
        await notices.enqueue(connection, user_id, message, now)
    return Told(made, wants(recipient.preferences, "inApp", "all"))


def wants(preferences: Mapping[str, Any], channel: str, name: str) -> bool:
    """Whether a user with these changes of the defaults wants to hear of `name` by `channel`."""
    return bool(preferences.get(channel, {}).get(name, DEFAULTS[channel][name]))


def preferences_of(changed: Mapping[str, Any]) -> dict[str, dict[str, bool]]:
    """Return all preferences of a user with these changes of the defaults."""
    return {
        channel: {name: wants(changed, channel, name) for name in names}
        for channel, names in DEFAULTS.items()
    }


def _messages(recipient: Recipient, news: News, words: Rendered) -> list[Message]:
    way = WAYS[news.kind]
    short = f"{words.title}: {words.message}"
    made: list[Message] = []
    if recipient.email and _goes(recipient, "email", way.email):
        made.append(
            Message(
                news.key,
                news.kind,
                "email",
                recipient.email,
                words.mail,
                subject=words.title,
                attachment=news.attachment,
                has_secret=news.kind in _SECRET,
            )
        )
    if recipient.phone and _goes(recipient, "sms", way.sms):
        made.append(Message(news.key, news.kind, "sms", recipient.phone, short))
    if _goes(recipient, "push", way.push):
        made += [Message(news.key, news.kind, "push", token, short) for token in recipient.push_tokens]
    return made


def _goes(recipient: Recipient, channel: Channel, preference: str | None) -> bool:
    if preference is None or preference == ALWAYS:
        return preference is not None
    overall = recipient.profile.get("notifications", True)
    switch = overall.get(channel, True) if isinstance(overall, dict) else overall
    return switch is not False and wants(recipient.preferences, channel, preference)


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
