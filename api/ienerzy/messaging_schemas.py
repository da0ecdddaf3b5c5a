"""Text messages that dealers send, as Ienerzy takes and shows them (IE-037 to IE-039)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.fields import Storable
from api.ienerzy.schemas import BIGINT_MAX, BatteryStatus, Phone, Time
from storage.queries.notices import Notice
from stream.sms_length import segments

MESSAGE_CHARACTERS_MAX = 1_600
SEGMENTS_MAX = 10
_PREFIX = "MSG"
_DIGITS = 10

MessageKind = Literal["sms", "otp", "battery_status"]
# As the kinds of `notices`, where they are among what the platform itself says.
KINDS: dict[MessageKind, str] = {
    "sms": "dealer_sms",
    "otp": "dealer_otp",
    "battery_status": "dealer_battery_status",
}
_KIND_OF = {stored: kind for kind, stored in KINDS.items()}


def _within_segments(text: str) -> str:
    count = segments(text)
    if count > SEGMENTS_MAX:
        raise ValueError(f"takes {count} segments, at most {SEGMENTS_MAX} are sent")
    return text


MessageText = Annotated[
    str, Field(min_length=1, max_length=MESSAGE_CHARACTERS_MAX), Storable, AfterValidator(_within_segments)
]


class SmsIn(BaseModel):
    """A text for a phone."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"to": "+919876543210", "message": "Your battery BAT001 is ready."}]}
    )

    to: Phone
    message: MessageText


class OtpIn(BaseModel):
    """A one-time password of the dealer's own for a phone; it opens no account here (conflict C34)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"to": "+919876543210", "otp": "123456"}]})

    to: Phone
    otp: Annotated[str, Field(pattern=r"^[0-9]{4,10}$")]


class BatteryStatusIn(BaseModel):
    """What to tell the consumer of a battery."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "battery_id": 1,
                    "consumer_phone": "+919876543210",
                    "status": "active",
                    "message": "Your battery BAT001 is now active",
                }
            ]
        }
    )

    battery_id: Annotated[int, Field(ge=1, le=BIGINT_MAX)]
    consumer_phone: Phone
    status: BatteryStatus
    message: MessageText


class MessageSent(BaseModel):
    """A message is on its way; what becomes of it is at /api/messaging/messages/{message_id}."""

    success: Literal[True]
    message_id: str
    status: Literal["sent"]
    to: str


class StatusSent(BaseModel):
    """A consumer is told of a battery."""

    success: Literal[True]
    message_id: str
    status: Literal["sent"]
    notification_type: Literal["battery_status"]


class MessageOut(BaseModel):
    """What became of a message; `delivered` only where the provider says so. `error`: why it failed."""

    message_id: str
    kind: MessageKind
    to: str
    status: Literal["pending", "sent", "delivered", "failed"]
    error: str | None
    created_at: Time
    sent_at: Time | None
    delivered_at: Time | None

    @classmethod
    def of(cls, notice: Notice) -> "MessageOut":
        """Show `notice`."""
        return cls.model_validate(
            {
                "message_id": message_id(notice.id),
                "kind": _KIND_OF[notice.kind],
                "to": notice.address,
                "status": notice.state,
                "error": notice.detail,
                "created_at": notice.created_at,
                "sent_at": None if notice.provider_id is None else notice.done_at,
                "delivered_at": notice.delivered_at,
            }
        )


class StatusTaken(BaseModel):
    """A provider's word of a message was taken."""

    success: Literal[True]


def message_id(notice_id: int) -> str:
    """Return the message's name, as in "MSG0000000042" (rule R097)."""
    return f"{_PREFIX}{notice_id:0{_DIGITS}}"


def notice_id(reference: str) -> int | None:
    """Return the id that a message's name carries, or None."""
    digits = reference.removeprefix(_PREFIX)
    is_name = reference.startswith(_PREFIX) and digits.isascii() and digits.isdigit()
    return int(digits) if is_name and _DIGITS <= len(digits) < len(str(BIGINT_MAX)) else None
