"""EV-CMS chargers: the object, its registration, live status, statistics and commands."""

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

from api.evcms.envelope import Maybe, Named, Out, Page, Rows, Time
from api.evcms.schemas.connector_states import ChargerWord, charger_word
from api.evcms.schemas.maintenance import RecordOut
from api.evcms.schemas.stations import ConnectorType
from api.fields import Text
from protocols.vocabulary import LOCATION_CODES, MEASURAND_CODES, PHASE_CODES
from storage.queries.charger_views import ChargerTotals, ChargerView, ConnectorView
from storage.queries.samples import ChargerValue

ChargerStatus = Literal["Online", "Offline", "Faulted", "Maintenance"]
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


class ConnectorOut(Out):
    """One connector; `power` in kW. That of a charger that is not ready for use is Unavailable."""

    connector_id: int
    type: ConnectorType
    power: float
    status: ChargerWord
    current_session: Maybe[str]

    @classmethod
    def of(cls, connector: ConnectorView) -> "ConnectorOut":
        """Show `connector`."""
        session = None if connector.session_id is None else str(connector.session_id)
        return cls.model_validate(
            {
                "connector_id": connector.connector_id,
                "type": connector.type,
                "power": connector.power_kw,
                "status": charger_word(connector.status),
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
                "connectors": [ConnectorOut.of(each) for each in own],
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


class HistoryRows(Rows[RecordOut]):
    """The work on one charger, newest first."""

    history: list[RecordOut]


class ChargerStats(Out):
    """Numbers of chargers. `utilization`: percent of the last 24 hours in which connectors held a session.

    The mean over all chargers, one decimal; of a charger, the mean over its connectors.
    """

    total_chargers: int
    online: int
    offline: int
    faulted: int
    utilization: float

    @classmethod
    def of(cls, totals: ChargerTotals, shares: Collection[float]) -> "ChargerStats":
        """Show `totals`; `shares`: of each charger's time, 0 to 1. Without chargers nothing is utilized."""
        share = sum(shares) / len(shares) if shares else 0.0
        return cls(
            total_chargers=totals.total,
            online=totals.online,
            offline=totals.offline,
            faulted=totals.faulted,
            utilization=round(100 * share, 1),
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


def _identity(text: str) -> str:
    if not text.isprintable() or "/" in text:
        raise ValueError("must be printable, without a slash: the charger's URL ends in it")
    return text


Identity = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=48), AfterValidator(_identity)
]
# Requests say `name`, the object says `chargerName` (conflict C58).
Name = Annotated[Text, Field(validation_alias=AliasChoices("name", "chargerName"))]
OptionalName = Annotated[Text | None, Field(validation_alias=AliasChoices("name", "chargerName"))]


class _In(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class ChargerIn(_In):
    """A new charger; `chargerId` is its OCPP identity, the end of the URL that it connects to."""

    charger_id: Identity
    name: Name
    station_id: Text
    manufacturer: Text
    model: Text


class ChargerChange(_In):
    """What is given is set. Maintenance takes the charger out of use, each other status puts it back.

    Extensions: `stationId` moves it, `manufacturer` and `model` describe it until it boots.
    """

    name: OptionalName = None
    status: ChargerStatus | None = None
    station_id: Text | None = None
    manufacturer: Text | None = None
    model: Text | None = None


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


class CommandResult(Out):
    """The charger's answer, all of it, and which command it answers."""

    model_config = ConfigDict(extra="allow")

    command: Command
    status: str


class NamedResult(CommandResult):
    """`data` of an answer to a command."""

    result: dict[str, Any]
