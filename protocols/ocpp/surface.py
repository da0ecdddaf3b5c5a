"""The whole protocol surface: every message of every OCPP version, and who may send it.

Used by `protocols.ocpp.schemas` (one validator a line), the gateway's routing, the API's list of commands
and the tests that walk it. 1.6: OCPP 1.6 edition 2 section 6, with the security whitepaper edition 3.
2.0.1 and 2.1: part 2, functional blocks A to S, named by the letter in front of each line.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Version(StrEnum):
    """An OCPP version as it is stored and counted; its WebSocket subprotocol is `subprotocol`."""

    V16 = "1.6"
    V201 = "2.0.1"
    V21 = "2.1"

    # a text's own: that of Enum is Python, and every message looks several tables up by its version
    __hash__ = str.__hash__

    @property
    def subprotocol(self) -> str:
        """As registered with IANA."""
        return f"ocpp{self.value}"

    @property
    def is_2(self) -> bool:
        """Whether it is of the 2.x family: 2.1 is 2.0.1 with additions."""
        return self is not Version.V16


_V16_FROM = """
core      Authorize BootNotification DataTransfer Heartbeat MeterValues StartTransaction StatusNotification
core      StopTransaction
firmware  DiagnosticsStatusNotification FirmwareStatusNotification
security  LogStatusNotification SecurityEventNotification SignCertificate SignedFirmwareStatusNotification
"""
_V16_TO = """
core         ChangeAvailability ChangeConfiguration ClearCache DataTransfer GetConfiguration
core         RemoteStartTransaction RemoteStopTransaction Reset UnlockConnector
firmware     GetDiagnostics UpdateFirmware
local-list   GetLocalListVersion SendLocalList
reservation  CancelReservation ReserveNow
smart        ClearChargingProfile GetCompositeSchedule SetChargingProfile
trigger      TriggerMessage
security     CertificateSigned DeleteCertificate ExtendedTriggerMessage GetInstalledCertificateIds GetLog
security     InstallCertificate SignedUpdateFirmware
"""
_V201_FROM = """
A  SecurityEventNotification SignCertificate
B  BootNotification NotifyReport
C  Authorize
E  TransactionEvent
G  Heartbeat StatusNotification
H  ReservationStatusUpdate
J  MeterValues
K  ClearedChargingLimit NotifyChargingLimit NotifyEVChargingNeeds NotifyEVChargingSchedule
K  ReportChargingProfiles
L  FirmwareStatusNotification PublishFirmwareStatusNotification
M  Get15118EVCertificate GetCertificateStatus
N  LogStatusNotification NotifyCustomerInformation NotifyEvent NotifyMonitoringReport
O  NotifyDisplayMessages
P  DataTransfer
"""
_V201_TO = """
A  CertificateSigned
B  GetBaseReport GetReport GetVariables Reset SetNetworkProfile SetVariables
C  ClearCache
D  GetLocalListVersion SendLocalList
E  GetTransactionStatus
F  RequestStartTransaction RequestStopTransaction TriggerMessage UnlockConnector
G  ChangeAvailability
H  CancelReservation ReserveNow
I  CostUpdated
K  ClearChargingProfile GetChargingProfiles GetCompositeSchedule SetChargingProfile
L  PublishFirmware UnpublishFirmware UpdateFirmware
M  DeleteCertificate GetInstalledCertificateIds InstallCertificate
N  ClearVariableMonitoring CustomerInformation GetLog GetMonitoringReport SetMonitoringBase
N  SetMonitoringLevel SetVariableMonitoring
O  ClearDisplayMessage GetDisplayMessages SetDisplayMessage
P  DataTransfer
"""
_V21_FROM_NEW = """
C  VatNumberValidation
I  NotifySettlement NotifyWebPaymentStarted
K  NotifyPriorityCharging PullDynamicScheduleUpdate
M  GetCertificateChainStatus
N  NotifyPeriodicEventStream ClosePeriodicEventStream OpenPeriodicEventStream
R  NotifyDERAlarm NotifyDERStartStop ReportDERControl
S  BatterySwap
"""
_V21_TO_NEW = """
I  ChangeTransactionTariff ClearTariffs GetTariffs SetDefaultTariff
K  AFRRSignal NotifyAllowedEnergyTransfer UpdateDynamicSchedule UsePriorityCharging
N  AdjustPeriodicEventStream GetPeriodicEventStream
R  ClearDERControl GetDERControl SetDERControl
S  RequestBatterySwap
"""


def _actions(*tables: str) -> Mapping[str, str]:
    """Action to its block."""
    found: dict[str, str] = {}
    for line in "".join(tables).split("\n"):
        block, *actions = line.split() or [""]
        found.update(dict.fromkeys(actions, block))
    return MappingProxyType(dict(sorted(found.items())))


# What a charger sends to us, and what we send to it, with the block or profile of each action.
FROM_CHARGER: Mapping[Version, Mapping[str, str]] = MappingProxyType(
    {
        Version.V16: _actions(_V16_FROM),
        Version.V201: _actions(_V201_FROM),
        Version.V21: _actions(_V201_FROM, _V21_FROM_NEW),
    }
)
TO_CHARGER: Mapping[Version, Mapping[str, str]] = MappingProxyType(
    {
        Version.V16: _actions(_V16_TO),
        Version.V201: _actions(_V201_TO),
        Version.V21: _actions(_V201_TO, _V21_TO_NEW),
    }
)
# Sent as a SEND frame (OCPP-J 2.1 section 4.2.4): it has no answer.
UNANSWERED = frozenset({"NotifyPeriodicEventStream"})
