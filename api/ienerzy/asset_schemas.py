"""What Ienerzy says of a battery as an asset: its history, and checks of the way to it."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from api.ienerzy.schemas import BatteryStatus, Time
from storage.queries.assets import AssetEvent
from storage.queries.battery_checks import Contact

Source = Literal[
    "assignment",
    "command",
    "alarm",
    "loan",
    "lock",
    "ticket",
    "stock",
    "warranty",
    "claim",
    "telemetry",
]
Check = Literal["confirmed", "no_answer", "not_sent"]


class AssetEventOut(BaseModel):
    """Something that happened to a battery; `actor_id` is the account that did it, where it is known."""

    at: Time
    source: Source
    kind: Annotated[str, Field(examples=["assigned"])]
    actor_id: int | None
    detail: dict[str, Any]

    @classmethod
    def of(cls, event: AssetEvent) -> Self:
        """Show `event`."""
        return cls.model_validate(
            {
                "at": event.at,
                "source": event.source,
                "kind": event.kind,
                "actor_id": event.actor_id,
                "detail": event.detail,
            }
        )


class RoutesTested(BaseModel):
    """The battery routes answer this caller, who reaches so many batteries."""

    message: str
    user_id: int
    role: str
    batteries: int


class PendingCommand(BaseModel):
    """A command that the battery has not answered."""

    action: Literal["activate", "deactivate"]
    asked_at: Time


class BatteryTested(BaseModel):
    """Whether a battery can be reached.

    `check`: `confirmed`, it answered now; `no_answer`, it was asked and did not; `not_sent`, nothing could be
    asked that changes nothing. `heard_lately`: within the last 15 minutes.
    """

    serial_number: str
    status: BatteryStatus
    check: Check
    heard_lately: bool
    last_heard_at: Time | None
    pending: PendingCommand | None
    message: str

    @classmethod
    def of(
        cls,
        serial_number: str,
        status: str,
        contact: Contact,
        check: Check,
        message: str,
        heard_since: datetime,
    ) -> Self:
        """Show how a battery stands with us."""
        heard_at, action = contact.last_heard_at, contact.pending_action
        pending = None if action is None else {"action": action, "asked_at": contact.pending_since}
        return cls.model_validate(
            {
                "serial_number": serial_number,
                "status": status,
                "check": check,
                "heard_lately": heard_at is not None and heard_at >= heard_since,
                "last_heard_at": heard_at,
                "pending": pending,
                "message": message,
            }
        )


class StatusIn(BaseModel):
    """The status to set."""

    status: BatteryStatus
