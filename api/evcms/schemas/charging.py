"""Chargers, charging sessions and charge detail records."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api.evcms.schemas.common import Camel, Moment, Pagination
from api.fields import OptionalText, Text

ChargerStatus = Literal["Online", "Offline", "Faulted", "Maintenance"]
SessionStatus = Literal["active", "completed", "failed"]
Action = Literal[
    "Reset",
    "Unlock",
    "ChangeAvailability",
    "ChangeConfiguration",
    "ClearCache",
    "DataTransfer",
    "GetConfiguration",
    "RemoteStartTransaction",
    "RemoteStopTransaction",
    "TriggerMessage",
]


class ConnectorOut(Camel):
    """One connector of a charger; `power` in kW."""

    connector_id: int
    type: str
    power: float
    status: Literal["Available", "Charging", "Faulted", "Unavailable"]
    current_session: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None


class ChargerOut(Camel):
    """A charger. `chargerId` is its OCPP identity; `id` is ours."""

    id: str
    charger_id: str
    charger_name: str
    station_id: str
    manufacturer: str
    model: str
    firmware_version: str
    status: ChargerStatus
    last_heartbeat: Moment | None
    connectors: list[ConnectorOut]
    location: str
    is_archived: bool


class ChargerData(ChargerOut):
    """The charger's own fields, and the charger under its name."""

    charger: ChargerOut


class ChargerAnswer(Camel):
    """One charger."""

    success: Literal[True]
    data: ChargerData


class ChargersAnswer(Camel):
    """A page of chargers."""

    success: Literal[True]
    data: list[ChargerOut]
    chargers: list[ChargerOut]
    pagination: Pagination


class ChargerStatsData(Camel):
    """`utilization`: percent of connectors that hold an open session, one decimal."""

    total_chargers: int
    online: int
    offline: int
    faulted: int
    utilization: float


class ChargerStatsAnswer(Camel):
    """Sums over chargers."""

    success: Literal[True]
    data: ChargerStatsData


class ChargerLiveData(Camel):
    """`currentPower` in kW over all connectors, `temperature` in °C; null where it is not said."""

    status: ChargerStatus
    current_power: float
    temperature: float | None
    last_heartbeat: Moment | None


class ChargerLiveAnswer(Camel):
    """What a charger does now."""

    success: Literal[True]
    data: ChargerLiveData


class Command(Camel):
    """`Reset` and `Unlock` are the contract's; the others take OCPP's own fields in `params`."""

    command: Action
    connector_id: Annotated[int, Field(ge=0, le=32_767)] | None = None
    params: Annotated[dict[str, Any], Field(default_factory=dict)]


class CommandResult(Camel):
    """The charger's answer; `status` where its answer has one."""

    command: Action
    status: str | None
    answer: dict[str, Any]


class CommandData(CommandResult):
    """The result's own fields, and the result under its name."""

    result: CommandResult


class CommandAnswer(Camel):
    """What the charger answered."""

    success: Literal[True]
    data: CommandData


class StartRequest(Camel):
    """Whom to charge where; `chargerId` as the charger's `id` or its OCPP identity."""

    charger_id: Text
    connector_id: Annotated[int, Field(ge=1, le=32_767)]
    user_id: Text
    vehicle_id: OptionalText | None = None


class StopRequest(Camel):
    """Why; kept in the log, the charger says its own reason."""

    reason: OptionalText | None = None


class SessionOut(Camel):
    """A charging session: meters in Wh, energy in kWh, duration in minutes, cost in the currency's unit."""

    id: str
    session_id: str
    user_id: str
    charger_id: str
    connector_id: int
    vehicle_id: str
    status: SessionStatus
    start_time: Moment
    end_time: Moment | None = None
    meter_start: int
    meter_stop: int | None = None
    energy_consumed: float | None = None
    duration: float | None = None
    cost: float | None = None
    payment_status: Literal["pending", "paid", "failed"]
    stop_reason: str | None = None
    ocpp_transaction_id: int


class SessionData(SessionOut):
    """The session's own fields, and the session under its name."""

    session: SessionOut


class SessionAnswer(Camel):
    """One session."""

    success: Literal[True]
    data: SessionData


class SessionsAnswer(Camel):
    """A page of sessions, newest first."""

    success: Literal[True]
    data: list[SessionOut]
    sessions: list[SessionOut]
    pagination: Pagination


class ActiveAnswer(Camel):
    """Open sessions, newest first."""

    success: Literal[True]
    data: list[SessionOut]
    sessions: list[SessionOut]


class Totals(Camel):
    """Sums over the whole list, not the page: kWh, minutes, the currency's unit."""

    sessions: int
    energy_consumed: float
    duration: float
    cost: float


class HistoryAnswer(SessionsAnswer):
    """Sessions of a span of time, with their sums."""

    totals: Totals


class CdrPricing(Camel):
    """What the total is made of; `energyRate` per kWh."""

    energy_rate: float
    total_energy_cost: float
    time_cost: float
    parking_fee: float
    gst: float


class CdrOut(Camel):
    """A charge detail record: written once, never changed."""

    session_id: str
    user_id: str
    user_name: str
    charger_id: str
    connector_id: int
    vehicle_info: str
    start_time: Moment
    end_time: Moment
    duration: float
    energy_consumed: float
    meter_start: int
    meter_stop: int
    total_cost: float
    currency: str
    pricing: CdrPricing


class CdrData(CdrOut):
    """The record's own fields, and the record under its name."""

    cdr: CdrOut


class CdrAnswer(Camel):
    """One record."""

    success: Literal[True]
    data: CdrData


class StopData(Camel):
    """The session as it ended, and what it came to."""

    session: SessionOut
    cdr: CdrOut


class StopAnswer(Camel):
    """Stopped and rated."""

    success: Literal[True]
    data: StopData
