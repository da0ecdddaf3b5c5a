"""Variable monitors of a simulated charger of 2.x, and the events that they raise (part 2, N04 to N08).

Used by `simulators.charger` (changes of status) and the commands of 2.x.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocols.ocpp.surface import Version
from protocols.timestamps import format_utc_ms
from simulators.charger_queue import Payload
from simulators.device_model import Name, Variable, named
from simulators.dialect import Message
from simulators.dialect_2 import CONNECTOR_ID

if TYPE_CHECKING:
    from simulators.charger import ChargePoint
    from simulators.connector import Connector

MONITORS_MAX = 100
PERIOD_S_MIN = 1.0
ALERT_SEVERITY_MAX = 9  # InsignificantEvents: SeverityEnum of part 2 ends there
_CRITERIA = {
    "UpperThreshold": "ThresholdMonitoring",
    "LowerThreshold": "ThresholdMonitoring",
    "Delta": "DeltaMonitoring",
    "Periodic": "PeriodicMonitoring",
    "PeriodicClockAligned": "PeriodicMonitoring",
}


@dataclass(frozen=True, slots=True)
class Monitor:
    """What the central system asked to hear of (VariableMonitoringType)."""

    monitor_id: int
    variable: Variable
    kind: str
    value: float
    severity: int
    is_of_transaction: bool

    @property
    def criterion(self) -> str:
        """MonitoringCriterionEnumType."""
        return _CRITERIA[self.kind]


class Monitors:
    """Those that are set. `level`: events of a higher severity number are not sent."""

    def __init__(self, charger: "ChargePoint") -> None:
        self._charger = charger
        self._monitors: dict[int, Monitor] = {}
        self._last_id = 0
        self._last_event = 0
        self.level = ALERT_SEVERITY_MAX

    def put(self, asked: Mapping[str, Any]) -> tuple[str, int | None]:
        """One item of SetVariableMonitoring: its SetMonitoringStatusEnumType, and the monitor's id."""
        variable = self._charger.device_model.find(asked["component"], asked["variable"])
        if isinstance(variable, str):
            return variable, None
        if asked["type"] not in _CRITERIA:
            return "UnsupportedMonitorType", None
        monitor_id = asked.get("id")
        is_known = monitor_id in self._monitors
        too_many = not is_known and len(self._monitors) >= MONITORS_MAX
        if asked["value"] < 0 or not 0 <= asked["severity"] <= ALERT_SEVERITY_MAX or too_many:
            return "Rejected", None
        if monitor_id is not None and not is_known:
            return "Rejected", None
        if monitor_id is None:
            place = (variable.name, asked["type"], asked["severity"])
            if any((m.variable.name, m.kind, m.severity) == place for m in self._monitors.values()):
                return "Duplicate", None
            self._last_id += 1
            monitor_id = self._last_id
        monitor = Monitor(
            monitor_id, variable, asked["type"], asked["value"], asked["severity"],
            asked.get("transaction", False),
        )  # fmt: skip
        self._monitors[monitor_id] = monitor
        self._repeat(monitor)
        return "Accepted", monitor_id

    def clear(self, monitor_id: int) -> str:
        """ClearMonitoringStatusEnumType."""
        self._charger.timers.cancel(f"monitor {monitor_id}")
        return "NotFound" if self._monitors.pop(monitor_id, None) is None else "Accepted"

    def clear_all(self) -> None:
        """SetMonitoringBase to what the factory set, which is nothing."""
        for monitor_id in list(self._monitors):
            self.clear(monitor_id)

    def select(self, criteria: Collection[str], chosen: Callable[[Name], bool]) -> list[Payload]:
        """MonitoringDataType of each variable that has monitors of these criteria; no criterion is all."""
        found: dict[Name, list[Payload]] = {}
        for one in self._monitors.values():
            if (not criteria or one.criterion in criteria) and chosen(one.variable.name):
                entry: Payload = {
                    "id": one.monitor_id,
                    "transaction": one.is_of_transaction,
                    "value": one.value,
                    "type": one.kind,
                    "severity": one.severity,
                }
                if self._charger.version is Version.V21:
                    entry["eventNotificationType"] = "CustomMonitor"
                found.setdefault(one.variable.name, []).append(entry)
        return [{**named(name), "variableMonitoring": entries} for name, entries in found.items()]

    def status_changed(self, connector: "Connector") -> None:
        """Faults are told without being asked for; else those who watch the availability."""
        if not self._charger.version.is_2 or not self._charger.is_accepted:
            return
        place = (connector.number, CONNECTOR_ID)
        if connector.error_code != "NoError":
            name = Name("Connector", "Problem", *place)
            self._tell(name, "true", "Alerting", "HardWiredNotification", {"techCode": connector.error_code})
        for monitor in list(self._monitors.values()):
            name = monitor.variable.name
            if (name.evse_id, name.variable.casefold(), monitor.kind) == (
                connector.number, "availabilitystate", "Delta",
            ):  # fmt: skip
                self._raise(monitor, "Delta")

    def _repeat(self, monitor: Monitor) -> None:
        """Periodic monitors: `value` is in seconds."""

        def due() -> None:
            self._raise(monitor, "Periodic")
            self._repeat(monitor)

        timer = f"monitor {monitor.monitor_id}"
        self._charger.timers.cancel(timer)
        if monitor.criterion == "PeriodicMonitoring":
            self._charger.timers.set(timer, max(PERIOD_S_MIN, monitor.value), due)

    def _raise(self, monitor: Monitor, trigger: str) -> None:
        read = monitor.variable.read
        if read is not None and monitor.severity <= self.level and self._charger.is_accepted:
            more: Payload = {"variableMonitoringId": monitor.monitor_id}
            self._tell(monitor.variable.name, read(), trigger, "CustomMonitor", more)

    def _tell(self, name: Name, value: str, trigger: str, kind: str, more: Payload) -> None:
        """NotifyEvent (N07) with one event."""
        now = format_utc_ms(self._charger.wall_us)
        self._last_event += 1
        event: Payload = {
            "eventId": self._last_event,
            "timestamp": now,
            "trigger": trigger,
            "actualValue": value,
            "eventNotificationType": kind,
            **named(name),
            **more,
        }
        payload: Payload = {"generatedAt": now, "seqNo": 0, "eventData": [event]}
        self._charger.tell(Message("NotifyEvent", payload))
