"""What a simulated charger is made of, and the configuration keys that a central system may change.

Used by the charger model and the fleet. Keys and their meanings are those of OCPP 1.6 section 9 and of the
security whitepaper; `simulators.device_model` shows them as the variables of 2.x.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocols.ocpp.surface import Version
from simulators.faults import NO_FAULTS, Faults
from simulators.meter_values import DEFAULT_MEASURANDS

Span = tuple[float, float]
VENDOR = "Gridwire"
MODEL = "Simulator 22"
FIRMWARE = "1.0.0"
INTERVAL_S_MAX = 86_400
PASSWORD_KEY = "AuthorizationKey"  # noqa: S105  # the name of the key, not its value
PASSWORD_LENGTH_MIN, PASSWORD_LENGTH_MAX = 16, 40


@dataclass(frozen=True, slots=True)
class ChargerSettings:
    """One charger, the OCPP version that it speaks, and its drivers.

    Spans are (from, to) in seconds, chosen within by the seed.
    `clock_aligned_s`: 0, or how often every connector's meter is read at round times, sessions or not.
    `sessions_max`: None for endless. `speed` shortens sessions and pauses and fills cars faster; sample
    intervals and timestamps stay real. `register_wh`: None lets the seed choose the meters' first values.
    """

    identity: str
    id_tags: tuple[str, ...]
    version: Version = Version.V16
    connectors: int = 2
    sample_interval_s: int = 10
    clock_aligned_s: int = 0
    first_plug_s: Span = (0.0, 25.0)
    session_s: Span = (60.0, 240.0)
    pause_s: Span = (10.0, 60.0)
    sessions_max: int | None = None
    speed: float = 1.0
    register_wh: int | None = None
    call_timeout_s: float = 30.0
    retry_s: int = 2
    faults: Faults = NO_FAULTS


class Configuration:
    """The keys of GetConfiguration and ChangeConfiguration.

    `password`: the AuthorizationKey that the central system set, which nobody can read back; None before.
    """

    def __init__(self, settings: ChargerSettings, measurands: Sequence[str] = DEFAULT_MEASURANDS) -> None:
        self._measurands = measurands
        self._read_only = {
            "ChargeProfileMaxStackLevel": "100",
            "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
            "ChargingScheduleMaxPeriods": "1024",
            "GetConfigurationMaxKeys": "60",
            "LocalAuthListMaxLength": "10000",
            "MaxChargingProfilesInstalled": "100",
            "MeterValuesSampledDataMaxLength": str(len(measurands)),
            "NumberOfConnectors": str(settings.connectors),
            "ReserveConnectorZeroSupported": "true",
            "SecurityProfile": "1",
            "SendLocalListMaxLength": "1000",
            "SupportedFeatureProfiles": (
                "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger"
            ),
            "SupportedFileTransferProtocols": "HTTPS",
        }
        self._values = {
            "AuthorizeRemoteTxRequests": "true",
            "ClockAlignedDataInterval": str(settings.clock_aligned_s),
            "ConnectionTimeOut": "60",
            "ConnectorPhaseRotation": "0.RST",
            "CpoName": "Gridwire",
            "HeartbeatInterval": "300",
            "LocalAuthListEnabled": "true",
            "LocalAuthorizeOffline": "true",
            "LocalPreAuthorize": "false",
            "MeterValueSampleInterval": str(settings.sample_interval_s),
            "MeterValuesAlignedData": "Energy.Active.Import.Register",
            "MeterValuesSampledData": ",".join(measurands),
            "ResetRetries": "1",
            "StopTransactionOnEVSideDisconnect": "true",
            "StopTransactionOnInvalidId": "true",
            "StopTxnAlignedData": "",
            "StopTxnSampledData": "",
            "TransactionMessageAttempts": "0",
            "TransactionMessageRetryInterval": str(settings.retry_s),
            "UnlockConnectorOnEVSideDisconnect": "true",
        }
        self.password: str | None = None

    def seconds(self, key: str) -> int:
        """The value of a key that holds seconds; 0 is off."""
        return int(self._values[key])

    def is_true(self, key: str) -> bool:
        """The value of a key that holds true or false."""
        return self._values[key] == "true"

    def words(self, key: str) -> tuple[str, ...]:
        """The value of a key that holds a comma separated list."""
        return tuple(word.strip() for word in self._values[key].split(",") if word.strip())

    def change(self, key: str, value: str) -> str:
        """Set a key; returns the ConfigurationStatus (section 7.22)."""
        if key == PASSWORD_KEY:
            return self._change_password(value)
        if key not in self._values:
            return "Rejected" if key in self._read_only else "NotSupported"
        if not self._is_valid(key, value):
            return "Rejected"
        self._values[key] = value.strip()
        return "Accepted"

    def report(self, keys: Iterable[str] = ()) -> dict[str, object]:
        """The answer to GetConfiguration (section 6.28): the keys asked for, or all."""
        every = {**self._read_only, **self._values}
        wanted = tuple(keys) or tuple(sorted(every))
        known = [
            {"key": key, "readonly": key in self._read_only, "value": every[key]}
            for key in wanted
            if key in every
        ]
        return {"configurationKey": known, "unknownKey": [key for key in wanted if key not in every]}

    def value(self, key: str) -> str:
        """The value of any key that may be read."""
        return self._read_only[key] if key in self._read_only else self._values[key]

    def _change_password(self, value: str) -> str:
        if not PASSWORD_LENGTH_MIN <= len(value) <= PASSWORD_LENGTH_MAX:
            return "Rejected"
        self.password = value
        return "Accepted"

    def _is_valid(self, key: str, value: str) -> bool:
        now = self._values[key]
        if now in {"true", "false"}:
            return value.strip() in {"true", "false"}
        if now.isdecimal():
            return value.strip().isdecimal() and int(value) <= INTERVAL_S_MAX
        if key == "MeterValuesSampledData":
            return all(word.strip() in self._measurands for word in value.split(",") if word.strip())
        return len(value) <= 500
