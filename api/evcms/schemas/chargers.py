"""EV-CMS chargers: the object, its live status, statistics and commands."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.evcms.envelope import Maybe, Named, Out, Page, Time
from protocols.vocabulary import LOCATION_CODES, MEASURAND_CODES, PHASE_CODES
from storage.queries.charger_views import ChargerTotals, ChargerView, ConnectorView
from storage.queries.samples import ChargerValue

ChargerStatus = Literal["Online", "Offline", "Faulted", "Maintenance"]
ConnectorStatus = Literal["Available", "Charging", "Faulted", "Unavailable"]
ConnectorType = Literal["Type2", "CCS", "CHAdeMO"]
Command = Literal[
    "Reset",
    "Unlock",
    "UnlockConnector",
    "ChangeAvailability",
    "ChangeConfiguration",
    "ClearCache",
    "DataTransfer",
    "GetConfiguration",
    "RemoteStartTransaction",
    "RemoteStopTransaction",
    "TriggerMessage",
]
CONNECTOR_ID_MAX = 32_767
W_PER_KW = 1_000

# OCPP 1.6 section 7.7 in the four words of this API (conflict C57): charging is being occupied.
_PRINTED: dict[str, ConnectorStatus] = {
    "Available": "Available",
    "Preparing": "Charging",
    "Charging": "Charging",
    "SuspendedEV": "Charging",
    "SuspendedEVSE": "Charging",
    "Finishing": "Charging",
    "Reserved": "Unavailable",
    "Unavailable": "Unavailable",
    "Faulted": "Faulted",
}


class ConnectorOut(Out):
    """One connector; `power` in kW. That of an offline charger is Unavailable, whatever it said last."""

    connector_id: int
    type: ConnectorType
    power: float
    status: ConnectorStatus
    current_session: Maybe[str]

    @classmethod
    def of(cls, connector: ConnectorView, is_offline: bool) -> "ConnectorOut":
        """Show `connector`."""
        status = "Unavailable" if is_offline else _PRINTED.get(connector.status, "Unavailable")
        session = None if connector.session_id is None else str(connector.session_id)
        return cls.model_validate(
            {
                "connector_id": connector.connector_id,
                "type": connector.type,
                "power": connector.power_kw,
                "status": status,
                "current_session": session,
            }
        )


class ChargerOut(Out):
    """A charger: `id` is ours, `charger_id` its OCPP identity. Texts that are not known are empty."""

    id: str
    charger_id: str
    charger_name: str
    station_id: str
    manufacturer: str
    model: str
    firmware_version: str
    status: ChargerStatus
    last_heartbeat: Time | None
    connectors: list[ConnectorOut]
    location: str
    is_archived: bool

    @classmethod
    def of(cls, view: ChargerView, connectors: Iterable[ConnectorView]) -> "ChargerOut":
        """Show a charger with those of `connectors` that are its own."""
        is_offline = view.status == "Offline"
        own = [each for each in connectors if each.device_id == view.device_id]
        return cls.model_validate(
            {
                "id": str(view.device_id),
                "charger_id": view.identity,
                "charger_name": view.name or view.identity,
                "station_id": "" if view.station_id is None else str(view.station_id),
                "manufacturer": view.vendor or "",
                "model": view.model or "",
                "firmware_version": view.firmware or "",
                "status": view.status,
                "last_heartbeat": view.last_heartbeat_at,
                "connectors": [ConnectorOut.of(each, is_offline) for each in own],
                "location": view.station_name or "",
                "is_archived": view.registry == "archived",
            }
        )


class NamedCharger(ChargerOut, Named):
    """`data` of an answer about one charger."""

    charger: ChargerOut


class ChargerPage(Page[ChargerOut]):
    """One page of chargers, in order of id."""

    chargers: list[ChargerOut]


class ChargerStats(Out):
    """Numbers of chargers. `utilization`: percent of connectors with an open session now, one decimal."""

    total_chargers: int
    online: int
    offline: int
    faulted: int
    utilization: float

    @classmethod
    def of(cls, totals: ChargerTotals) -> "ChargerStats":
        """Show `totals`; without connectors nothing is utilized."""
        share = 100 * totals.occupied / totals.connectors if totals.connectors else 0.0
        return cls(
            total_chargers=totals.total,
            online=totals.online,
            offline=totals.offline,
            faulted=totals.faulted,
            utilization=round(min(share, 100.0), 1),
        )


class ChargerLive(Out):
    """What a charger is doing now. `current_power` in kW; `temperature` in °C, None where it sends none."""

    status: ChargerStatus
    current_power: float
    temperature: float | None
    last_heartbeat: Time | None

    @classmethod
    def of(
        cls, view: ChargerView, connectors: Iterable[ConnectorView], values: Sequence[ChargerValue]
    ) -> "ChargerLive":
        """Sum the power of connectors that hold a session: the last value of one that stopped is stale."""
        charging = [each.connector_id for each in connectors if each.session_id is not None]
        temperatures = [each.value for each in values if each.measurand == MEASURAND_CODES["Temperature"]]
        return cls.model_validate(
            {
                "status": view.status,
                "current_power": round(sum(_power_w(values, number) for number in charging) / W_PER_KW, 3),
                "temperature": round(max(temperatures), 1) if temperatures else None,
                "last_heartbeat": view.last_heartbeat_at,
            }
        )


def _power_w(values: Sequence[ChargerValue], connector_id: int) -> float:
    """At the outlet: the value over all phases if the charger sends it, else the sum of its phases."""
    own = {
        value.phase: value.value
        for value in values
        if value.connector_id == connector_id
        and value.measurand == MEASURAND_CODES["Power.Active.Import"]
        and value.location == LOCATION_CODES["Outlet"]
    }
    return own.get(PHASE_CODES[None], sum(own.values()))


class CommandIn(BaseModel):
    """A command: Reset and Unlock, and, beyond the documentation, OCPP 1.6's other core commands.

    `params` are the fields of the OCPP call; `connectorId` and, for Reset, `type` (Soft unless said
    otherwise) may stand beside it.
    """

    model_config = ConfigDict(populate_by_name=True)

    command: Command
    connector_id: Annotated[int | None, Field(alias="connectorId", ge=0, le=CONNECTOR_ID_MAX)] = None
    type: Literal["Hard", "Soft"] | None = None
    params: dict[str, Any] = {}

    @model_validator(mode="after")
    def _names_a_connector(self) -> "CommandIn":
        unlocks = self.command in {"Unlock", "UnlockConnector"}
        if unlocks and self.connector_id is None and "connectorId" not in self.params:
            raise ValueError("connectorId is required to unlock a connector")
        return self


assert set(get_args(ConnectorStatus)) == set(_PRINTED.values())


class CommandResult(Out):
    """The charger's answer, all of it, and which command it answers."""

    model_config = ConfigDict(extra="allow")

    command: Command
    status: str


class NamedResult(CommandResult):
    """`data` of an answer to a command."""

    result: dict[str, Any]
