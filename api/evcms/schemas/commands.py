"""EV-CMS durable commands to chargers: the body, the object, and what may be sent."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.evcms.envelope import Named, Out, Page, Rows, Time
from api.fields import Text
from protocols.ocpp.command_rules import TTL_S_MAX
from protocols.ocpp.storable import shown
from storage.queries.commands import Command, State

PRIORITY_MAX = 100


class CommandOrder(BaseModel):
    """A command: an OCPP action and its payload, in the words of the charger's own version.

    `ttlS`: how long it may wait for its charger, by default a day, two minutes where somebody stands at the
    charger. Of those that wait, a higher `priority` goes first. `wait`: answer with the result if the
    charger is connected and answers soon.
    """

    model_config = ConfigDict(populate_by_name=True)

    action: Text
    payload: dict[str, Any] = {}
    ttl_s: Annotated[int | None, Field(alias="ttlS", ge=1, le=TTL_S_MAX)] = None
    priority: Annotated[int, Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] = 0
    wait: bool = False


class CommandOut(Out):
    """A command as it stands. `result` is the charger's answer; `error` says why there is none.

    Passwords and keys are hidden in both payloads. `attempts`: how often it was sent.
    """

    id: str
    charger_id: str
    action: str
    payload: dict[str, Any]
    priority: int
    state: State
    attempts: int
    created_at: Time
    expires_at: Time
    sent_at: Time | None
    finished_at: Time | None
    result: dict[str, Any] | None
    error: str | None
    requested_by: str | None

    @classmethod
    def of(cls, command: Command) -> "CommandOut":
        """Show `command`."""
        by = command.requested_by
        return cls(
            id=str(command.id),
            charger_id=command.identity,
            action=command.action,
            payload=shown(command.payload),
            priority=command.priority,
            state=command.state,
            attempts=command.attempts,
            created_at=command.created_at,
            expires_at=command.expires_at,
            sent_at=command.sent_at,
            finished_at=command.finished_at,
            result=None if command.result is None else shown(command.result),
            error=command.error,
            requested_by=None if by is None else str(by),
        )


class NamedCommand(CommandOut, Named):
    """`data` of an answer about one command."""

    command: CommandOut


class CommandPage(Page[CommandOut]):
    """One page of a charger's commands, newest first."""

    commands: list[CommandOut]


class ActionOut(Out):
    """What may be sent to a charger. `block`: of the version's specification, a letter in 2.x."""

    action: str
    block: str


class ActionRows(Rows[ActionOut]):
    """All that may be sent to one charger."""

    version: Literal["1.6", "2.0.1", "2.1"]
    actions: list[ActionOut]
