"""EV-CMS charging sessions and charge detail records."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.evcms.envelope import Maybe, Named, Out, Page, Rows, Time
from api.evcms.schemas.receipts import WH_PER_KWH, CorrectionOut, LineOut, lines_of, minutes
from api.fields import OptionalText, Text, money
from protocols.ocpp.meter_values import CONNECTOR_ID_MAX
from storage.queries.cdrs import Cdr
from storage.queries.sessions import SessionDetail, SessionTotals

SessionStatus = Literal["active", "completed", "failed"]


class StartIn(BaseModel):
    """Who charges where; `chargerId` is the charger's OCPP identity, or its id."""

    model_config = ConfigDict(populate_by_name=True)

    charger_id: Annotated[Text, Field(alias="chargerId")]
    connector_id: Annotated[int, Field(alias="connectorId", ge=1, le=CONNECTOR_ID_MAX)]
    user_id: Annotated[Text, Field(alias="userId")]
    vehicle_id: Annotated[OptionalText | None, Field(alias="vehicleId")] = None


class StopIn(BaseModel):
    """`reason` goes to the log: OCPP 1.6 has no place for it, and the charger reports its own."""

    reason: OptionalText | None = None


class SessionOut(Out):
    """A session. Meters in Wh, `energy_consumed` in kWh, `duration` in minutes; both run while it is active.

    `user_id` and `vehicle_id` are empty where nobody told.
    """

    id: str
    session_id: str
    user_id: str
    charger_id: str
    connector_id: int
    vehicle_id: str
    status: SessionStatus
    start_time: Time
    end_time: Maybe[Time]
    meter_start: int
    meter_stop: Maybe[int]
    energy_consumed: Maybe[float]
    duration: Maybe[float]
    cost: Maybe[float]
    payment_status: Literal["pending", "paid", "failed"]
    stop_reason: Maybe[str]
    ocpp_transaction_id: Maybe[int]

    @classmethod
    def of(cls, session: SessionDetail, live_wh: float | None, now: datetime) -> "SessionOut":
        """Show `session`; `live_wh` is what the meter says of an active one, None where it says nothing."""
        energy_wh = (
            live_wh if session.meter_stop_wh is None else session.meter_stop_wh - session.meter_start_wh
        )
        cost = None if session.total_minor is None else money(session.total_minor)
        return cls.model_validate(
            {
                "id": str(session.id),
                "session_id": str(session.id),
                "user_id": "" if session.user_id is None else str(session.user_id),
                "charger_id": session.charger_identity,
                "connector_id": session.connector_id,
                "vehicle_id": session.vehicle_id or "",
                "status": session.status,
                "start_time": session.started_at,
                "end_time": session.ended_at,
                "meter_start": session.meter_start_wh,
                "meter_stop": session.meter_stop_wh,
                "energy_consumed": None if energy_wh is None else round(energy_wh / WH_PER_KWH, 3),
                "duration": minutes(_duration_s(session, now)),
                "cost": cost,
                "payment_status": session.payment_status,
                "stop_reason": session.stop_reason,
                "ocpp_transaction_id": session.transaction_id,
            }
        )


def _duration_s(session: SessionDetail, now: datetime) -> float:
    if session.duration_s is not None:
        return session.duration_s
    return max(0.0, ((session.ended_at or now) - session.started_at).total_seconds())


class NamedSession(SessionOut, Named):
    """`data` of an answer about one session."""

    session: SessionOut


class SessionPage(Page[SessionOut]):
    """One page of sessions, newest first."""

    sessions: list[SessionOut]


class SessionRows(Rows[SessionOut]):
    """Sessions without pages, newest first."""

    sessions: list[SessionOut]


class TotalsOut(Out):
    """Sums over all sessions of a history, not of its page: kWh, minutes, rupees."""

    total_sessions: int
    total_energy: float
    total_duration: float
    total_cost: float

    @classmethod
    def of(cls, totals: SessionTotals) -> "TotalsOut":
        """Show `totals`."""
        return cls(
            total_sessions=totals.sessions,
            total_energy=round(totals.energy_wh / WH_PER_KWH, 3),
            total_duration=minutes(totals.duration_s),
            total_cost=money(totals.total_minor),
        )


class History(SessionPage):
    """One page of ended sessions, and the sums over all of them."""

    totals: TotalsOut


class PricingOut(Out):
    """How a total came about, in rupees; `energy_rate` is per kWh.

    The total is the sum of all but the rate, the discount taken off. Extensions: `peak_hour_charge`,
    `discount`, `platform_fee`, `time_fee`, `flat_fee` and `adjustment` (by a minimum, or negative by a
    maximum).
    """

    energy_rate: float
    total_energy_cost: float
    parking_fee: float
    time_fee: float
    flat_fee: float
    adjustment: float
    peak_hour_charge: float
    discount: float
    platform_fee: float
    gst: float


class CdrOut(Out):
    """A charge detail record as corrected. Meters in Wh, `energy_consumed` in kWh, `duration` in minutes.

    Extensions: `is_estimated` (a rule ended the session), `lines` and `corrections`.
    """

    session_id: str
    user_id: str
    user_name: str
    charger_id: str
    connector_id: int
    vehicle_info: str
    start_time: Time
    end_time: Time
    duration: float
    energy_consumed: float
    meter_start: int
    meter_stop: int
    total_cost: float
    currency: str
    pricing: PricingOut
    is_estimated: bool
    lines: list[LineOut]
    corrections: list[CorrectionOut]

    @classmethod
    def of(
        cls,
        record: Cdr,
        session: SessionDetail,
        user_name: str,
        vehicle_info: str,
        corrections: list[CorrectionOut],
    ) -> "CdrOut":
        """Show the latest record of a stopped session."""
        facts: dict[str, Any] = {
            "session_id": str(session.id),
            "user_id": "" if record.user_id is None else str(record.user_id),
            "user_name": user_name,
            "charger_id": session.charger_identity,
            "connector_id": session.connector_id,
            "vehicle_info": vehicle_info,
            "start_time": session.started_at,
            "end_time": session.ended_at,
            "duration": minutes(record.duration_s),
            "energy_consumed": round(record.energy_wh / WH_PER_KWH, 3),
            "meter_start": session.meter_start_wh,
            "meter_stop": session.meter_stop_wh,
            "total_cost": money(record.total_minor),
            "currency": record.currency,
            "is_estimated": record.is_estimated,
            "lines": lines_of(record),
            "corrections": corrections,
        }
        pricing = PricingOut(
            energy_rate=money(record.energy_minor_per_kwh),
            total_energy_cost=money(record.energy_minor),
            parking_fee=money(record.parking_minor),
            time_fee=money(record.time_minor),
            flat_fee=money(record.flat_minor),
            adjustment=money(record.adjustment_minor),
            peak_hour_charge=money(record.peak_minor),
            discount=money(record.discount_minor),
            platform_fee=money(record.platform_fee_minor),
            gst=money(record.gst_minor),
        )
        return cls.model_validate({**facts, "pricing": pricing})


class NamedCdr(CdrOut, Named):
    """`data` of an answer about one record."""

    cdr: CdrOut


class Stopped(Out):
    """A stopped session and its record; None where rating takes longer than a caller should wait."""

    session: SessionOut
    cdr: CdrOut | None


def show_all(sessions: Sequence[SessionDetail], live_wh: dict[int, float], now: datetime) -> list[SessionOut]:
    """Show many sessions."""
    return [SessionOut.of(session, live_wh.get(session.id), now) for session in sessions]
