"""What goes out over the sockets: each event's payload, in the shapes that the HTTP answers have."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from api.errors import Problem
from api.evcms.envelope import Out
from api.evcms.schemas.chargers import W_PER_KW, ChargerOut, ChargerStatus, ConnectorOut
from api.evcms.schemas.receipts import minutes
from api.evcms.schemas.sessions import CdrOut, SessionOut, SessionStatus
from api.fields import money
from storage.queries.charger_views import ChargerView, ConnectorView
from storage.queries.live import SessionState

Payload = dict[str, Any]


class SessionUpdate(Out):
    """`session-update`. `meter_value`: Wh since the start; `power` in kW, `duration` in minutes.

    `estimated_cost` in rupees with taxes: the price as of now, of a rated session its record's total, of one
    that failed 0. None where the tariff cannot be read.
    """

    session_id: str
    status: SessionStatus
    meter_value: float
    power: float
    duration: float
    estimated_cost: float | None

    @classmethod
    def of(cls, state: SessionState, cost_minor: int | None, now: datetime) -> "SessionUpdate":
        """Show a session as of now."""
        seconds = ((state.ended_at or now) - state.started_at).total_seconds()
        return cls.model_validate(
            {
                "session_id": str(state.session_id),
                "status": state.status,
                "meter_value": round(state.energy_wh, 1),
                "power": round((state.power_w or 0.0) / W_PER_KW, 3),
                "duration": minutes(max(0.0, seconds) if state.duration_s is None else state.duration_s),
                "estimated_cost": None if cost_minor is None else money(cost_minor),
            }
        )


class SessionStarted(Out):
    """`session-started`."""

    session: SessionOut


class SessionStopped(Out):
    """`session-stopped`: sent when the session is rated."""

    session: SessionOut
    cdr: CdrOut | None


class ChargerChange(Out):
    """`charger-status`; `charger_id` is the OCPP identity, as in the Charger object."""

    charger_id: str
    status: ChargerStatus
    connectors: list[ConnectorOut]

    @classmethod
    def of(cls, view: ChargerView, connectors: Iterable[ConnectorView]) -> "ChargerChange":
        """Show a charger's status and connectors."""
        shown = ChargerOut.of(view, connectors)
        return cls(charger_id=shown.charger_id, status=shown.status, connectors=shown.connectors)


def printed(payload: Out) -> Payload:
    """The payload as JSON goes out: camelCase, times as text."""
    return payload.model_dump(mode="json")


def refusal(event: str, problem: Problem) -> Payload:
    """`error-message`, and what a callback gets of an event that was refused."""
    return {
        "success": False,
        "event": event,
        "message": problem.message,
        "error": problem.details or problem.message,
        "statusCode": problem.status,
    }
