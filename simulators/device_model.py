"""The device model of a simulated charger of 2.x: components, variables, reports (part 2, block B; part 3).

Used by the commands of 2.x. A variable is either one of the keys of `simulators.charger_settings`, under its
2.x name, or read from the charger. Only the attribute Actual exists.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from protocols.timestamps import format_utc_ms
from simulators.charger_settings import MODEL, PASSWORD_KEY, VENDOR
from simulators.dialect_2 import CONNECTOR_ID, connector_status

if TYPE_CHECKING:
    from simulators.charger import ChargePoint
    from simulators.connector import Connector

VALUE_LENGTH_MAX = 1_000
# component, variable, its instance, key of the configuration, data type, unit
_KEYED = """
AlignedDataCtrlr   Interval                 -                ClockAlignedDataInterval          integer    s
AlignedDataCtrlr   Measurands               -                MeterValuesAlignedData            MemberList -
AuthCtrlr          AuthorizeRemoteStart     -                AuthorizeRemoteTxRequests         boolean    -
AuthCtrlr          LocalAuthorizeOffline    -                LocalAuthorizeOffline             boolean    -
AuthCtrlr          LocalPreAuthorize        -                LocalPreAuthorize                 boolean    -
LocalAuthListCtrlr Enabled                  -                LocalAuthListEnabled              boolean    -
OCPPCommCtrlr      HeartbeatInterval        -                HeartbeatInterval                 integer    s
OCPPCommCtrlr      MessageAttemptInterval   TransactionEvent TransactionMessageRetryInterval   integer    s
OCPPCommCtrlr      MessageAttempts          TransactionEvent TransactionMessageAttempts        integer    -
OCPPCommCtrlr      ResetRetries             -                ResetRetries                      integer    -
OCPPCommCtrlr      UnlockOnEVSideDisconnect -                UnlockConnectorOnEVSideDisconnect boolean    -
SampledDataCtrlr   TxUpdatedInterval        -                MeterValueSampleInterval          integer    s
SampledDataCtrlr   TxUpdatedMeasurands      -                MeterValuesSampledData            MemberList -
SecurityCtrlr      OrganizationName         -                CpoName                           string     -
TxCtrlr            EVConnectionTimeOut      -                ConnectionTimeOut                 integer    s
TxCtrlr            StopTxOnEVSideDisconnect -                StopTransactionOnEVSideDisconnect boolean    -
TxCtrlr            StopTxOnInvalidId        -                StopTransactionOnInvalidId        boolean    -
"""
# component, variable, its instance, data type, value
_FIXED = """
AlignedDataCtrlr    Available                        -                boolean      true
AuthCtrlr           Enabled                          -                boolean      true
ClockCtrlr          TimeSource                       -                SequenceList Heartbeat
CustomizationCtrlr  CustomImplementationEnabled      -                boolean      false
DeviceDataCtrlr     BytesPerMessage                  GetReport        integer      65536
DeviceDataCtrlr     BytesPerMessage                  GetVariables     integer      65536
DeviceDataCtrlr     BytesPerMessage                  SetVariables     integer      65536
DeviceDataCtrlr     ItemsPerMessage                  GetReport        integer      20
DeviceDataCtrlr     ItemsPerMessage                  GetVariables     integer      50
DeviceDataCtrlr     ItemsPerMessage                  SetVariables     integer      50
DisplayMessageCtrlr SupportedFormats                 -                MemberList   ASCII,UTF8
DisplayMessageCtrlr SupportedPriorities - MemberList AlwaysFront,InFront,NormalCycle
LocalAuthListCtrlr  ItemsPerMessage                  -                integer      1000
MonitoringCtrlr     Enabled                          -                boolean      true
OCPPCommCtrlr       FileTransferProtocols            -                MemberList   HTTPS
OCPPCommCtrlr       MessageTimeout                   Default          integer      30
OCPPCommCtrlr       NetworkConfigurationPriority     -                SequenceList 1
OCPPCommCtrlr       NetworkProfileConnectionAttempts -                integer      3
OCPPCommCtrlr       OfflineThreshold                 -                integer      60
OCPPCommCtrlr       QueueAllMessages                 -                boolean      true
ReservationCtrlr    Enabled                          -                boolean      true
SecurityCtrlr       CertificateEntries               -                integer      50
SecurityCtrlr       SecurityProfile                  -                integer      1
SmartChargingCtrlr  Enabled                          -                boolean      true
SmartChargingCtrlr  Entries                          ChargingProfiles integer      100
SmartChargingCtrlr  LimitChangeSignificance          -                decimal      0
SmartChargingCtrlr  PeriodsPerSchedule               -                integer      1024
SmartChargingCtrlr  ProfileStackLevel                -                integer      100
SmartChargingCtrlr  RateUnit                         -                MemberList   A,W
TariffCostCtrlr     Currency                         -                string       INR
TxCtrlr             TxStartPoint                     -                MemberList   Authorized
TxCtrlr             TxStopPoint                      -                MemberList   Authorized
"""


class Name(NamedTuple):
    """What a variable is called (ComponentType and VariableType). Names are matched whatever their case."""

    component: str
    variable: str
    evse_id: int | None = None
    connector_id: int | None = None
    component_instance: str | None = None
    variable_instance: str | None = None

    def folded(self) -> "Name":
        """For comparing: part 1 has names case-insensitive."""
        words = (word if isinstance(word, int) or word is None else word.casefold() for word in self)
        return Name(*words)  # type: ignore[arg-type]  # each in its place


@dataclass(frozen=True, slots=True)
class Variable:
    """`read`: None if it can only be written. `key`: of the configuration, None if it cannot be written."""

    name: Name
    data_type: str
    read: Callable[[], str] | None
    key: str | None = None
    unit: str | None = None

    @property
    def mutability(self) -> str:
        """MutabilityEnumType."""
        if self.read is None:
            return "WriteOnly"
        return "ReadOnly" if self.key is None else "ReadWrite"


class DeviceModel:
    """All variables of one charger."""

    def __init__(self, charger: "ChargePoint") -> None:
        self._charger = charger

    @cached_property
    def _variables(self) -> Mapping[Name, Variable]:
        """Made when somebody asks: a fleet is large, and few are asked."""
        return {one.name.folded(): one for one in _variables(self._charger)}

    def find(self, component: Mapping[str, Any], variable: Mapping[str, Any]) -> Variable | str:
        """The variable, or why there is none: UnknownComponent, UnknownVariable."""
        wanted = name_of(component, variable).folded()
        found = self._variables.get(wanted)
        if found is not None:
            return found
        place = wanted._replace(variable="", variable_instance=None)
        known = any(name._replace(variable="", variable_instance=None) == place for name in self._variables)
        return "UnknownVariable" if known else "UnknownComponent"

    def write(self, variable: Variable, value: str) -> str:
        """Returns the SetVariableStatusEnumType."""
        if variable.key is None:
            return "Rejected"
        status = self._charger.configuration.change(variable.key, value)
        return "Accepted" if status == "Accepted" else "Rejected"

    def select(self, chosen: Callable[[Variable], bool]) -> list[Variable]:
        """Those that are wanted, in the order of the model."""
        return [variable for variable in self._variables.values() if chosen(variable)]


def report_entry(variable: Variable) -> dict[str, object]:
    """ReportDataType."""
    attribute: dict[str, object] = {"type": "Actual", "mutability": variable.mutability}
    if variable.read is not None:
        attribute["value"] = variable.read()[:VALUE_LENGTH_MAX]
    characteristics: dict[str, object] = {"dataType": variable.data_type, "supportsMonitoring": True}
    if variable.unit is not None:
        characteristics["unit"] = variable.unit
    return {
        **named(variable.name),
        "variableAttribute": [attribute],
        "variableCharacteristics": characteristics,
    }


def named(name: Name) -> dict[str, object]:
    """The fields `component` and `variable` of a message."""
    component: dict[str, object] = {"name": name.component}
    if name.component_instance is not None:
        component["instance"] = name.component_instance
    if name.evse_id is not None:
        evse = {"id": name.evse_id}
        component["evse"] = evse if name.connector_id is None else {**evse, "connectorId": name.connector_id}
    variable = {"name": name.variable}
    if name.variable_instance is not None:
        variable["instance"] = name.variable_instance
    return {"component": component, "variable": variable}


def name_of(component: Mapping[str, Any], variable: Mapping[str, Any]) -> Name:
    """The name that the fields `component` and `variable` of a message give."""
    evse = component.get("evse", {})
    return Name(
        component["name"],
        variable["name"],
        evse.get("id"),
        evse.get("connectorId"),
        component.get("instance"),
        variable.get("instance"),
    )


def _variables(charger: "ChargePoint") -> Sequence[Variable]:
    places = [one for connector in charger.connectors.values() for one in _of_evse(connector)]
    return [*_keyed(charger), *_fixed(), *_of_station(charger), *places]


def _keyed(charger: "ChargePoint") -> list[Variable]:
    def reader(key: str) -> Callable[[], str]:
        return lambda: charger.configuration.value(key)

    found: list[Variable] = []
    for line in _KEYED.strip().splitlines():
        component, variable, instance, key, data_type, unit = line.split()
        name = Name(component, variable, variable_instance=None if instance == "-" else instance)
        found.append(Variable(name, data_type, reader(key), key, None if unit == "-" else unit))
    return found


def _fixed() -> list[Variable]:
    def reader(value: str) -> Callable[[], str]:
        return lambda: value

    found: list[Variable] = []
    for line in _FIXED.strip().splitlines():
        component, variable, instance, data_type, value = line.split()
        name = Name(component, variable, variable_instance=None if instance == "-" else instance)
        found.append(Variable(name, data_type, reader(value)))
    return found


def _of_station(charger: "ChargePoint") -> list[Variable]:
    identity = charger.settings.identity
    return [
        Variable(Name("ChargingStation", "AvailabilityState"), "OptionList", lambda: _availability(charger)),
        Variable(Name("ChargingStation", "FirmwareVersion"), "string", lambda: charger.jobs.firmware),
        Variable(Name("ChargingStation", "Model"), "string", lambda: MODEL),
        Variable(Name("ChargingStation", "Problem"), "boolean", lambda: _is_broken(charger)),
        Variable(Name("ChargingStation", "SerialNumber"), "string", lambda: identity[:25]),
        Variable(Name("ChargingStation", "VendorName"), "string", lambda: VENDOR),
        Variable(Name("ClockCtrlr", "DateTime"), "dateTime", lambda: format_utc_ms(charger.wall_us)),
        Variable(Name("LocalAuthListCtrlr", "Entries"), "integer", lambda: str(len(charger.local_list))),
        Variable(Name("SecurityCtrlr", "BasicAuthPassword"), "string", None, PASSWORD_KEY),
        Variable(Name("SecurityCtrlr", "Identity"), "string", lambda: identity),
    ]


def _of_evse(connector: "Connector") -> list[Variable]:
    number = connector.number

    def availability() -> str:
        return connector_status(connector.status)

    def problem() -> str:
        return _word(connector.error_code != "NoError")

    def evse(variable: str) -> Name:
        return Name("EVSE", variable, number)

    def plug(variable: str) -> Name:
        return Name("Connector", variable, number, CONNECTOR_ID)

    return [
        Variable(evse("AvailabilityState"), "OptionList", availability),
        Variable(evse("Available"), "boolean", lambda: "true"),
        Variable(evse("Power"), "decimal", lambda: "22000", unit="W"),
        Variable(evse("SupplyPhases"), "integer", lambda: "3"),
        Variable(plug("AvailabilityState"), "OptionList", availability),
        Variable(plug("Available"), "boolean", lambda: "true"),
        Variable(plug("ConnectorType"), "string", lambda: "sType2"),
        Variable(plug("Problem"), "boolean", problem),
        Variable(plug("SupplyPhases"), "integer", lambda: "3"),
    ]


def _availability(charger: "ChargePoint") -> str:
    found = {connector_status(connector.status) for connector in charger.connectors.values()}
    return next(iter(found)) if len(found) == 1 else "Available"


def _is_broken(charger: "ChargePoint") -> str:
    return _word(any(connector.error_code != "NoError" for connector in charger.connectors.values()))


def _word(is_true: bool) -> str:
    return "true" if is_true else "false"
