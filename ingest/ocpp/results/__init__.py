"""What follows from a charger's answer to a call of ours: action to handler, for each version.

Used by `ingest.ocpp.commands` once the answer has kept its schema. What is accepted changes a table that can
be asked for; an answer that changes none is kept as a device event of the kind `call_answered`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.results import (
    charging_profiles,
    configuration,
    display_messages,
    local_list,
    monitoring,
    reservations,
    transactions,
    variables,
    work,
)
from ingest.ocpp.results.recording import ResultHandler, recorded
from ingest.ocpp.security import results as security
from protocols.ocpp.storable import storable
from protocols.ocpp.surface import TO_CHARGER, Version

__all__ = ["RESULTS", "ResultHandler"]

_BOTH: Mapping[str, ResultHandler] = {
    "CancelReservation": reservations.cancel_reservation,
    "CertificateSigned": security.certificate_signed,
    "ClearChargingProfile": charging_profiles.clear_charging_profile,
    "DeleteCertificate": security.delete_certificate,
    "GetInstalledCertificateIds": security.get_installed_certificate_ids,
    "GetLocalListVersion": local_list.get_local_list_version,
    "GetLog": work.job("GetLog", "log"),
    "InstallCertificate": security.install_certificate,
    "ReserveNow": reservations.reserve_now,
    "SendLocalList": local_list.send_local_list,
    "SetChargingProfile": charging_profiles.set_charging_profile,
    "UpdateFirmware": work.job("UpdateFirmware", "firmware"),
}
_V16: Mapping[str, ResultHandler] = {
    **_BOTH,
    "ChangeConfiguration": security.noting_password(configuration.change_configuration),
    "GetConfiguration": configuration.get_configuration,
    "GetDiagnostics": work.get_diagnostics,
    "RemoteStartTransaction": charging_profiles.remote_start_transaction,
    "SignedUpdateFirmware": work.job("SignedUpdateFirmware", "firmware"),
}
_V2: Mapping[str, ResultHandler] = {
    **_BOTH,
    "ClearDisplayMessage": display_messages.clear_display_message,
    "ClearVariableMonitoring": monitoring.clear_variable_monitoring,
    "CustomerInformation": work.job("CustomerInformation", "customer_information"),
    "GetBaseReport": work.job("GetBaseReport", "report"),
    "GetChargingProfiles": work.job("GetChargingProfiles", "charging_profiles"),
    "GetDisplayMessages": work.job("GetDisplayMessages", "display_messages"),
    "GetMonitoringReport": work.job("GetMonitoringReport", "monitoring_report"),
    "GetReport": work.job("GetReport", "report"),
    "GetTransactionStatus": transactions.get_transaction_status,
    "GetVariables": variables.get_variables,
    "PublishFirmware": work.job("PublishFirmware", "publish_firmware"),
    "RequestStartTransaction": charging_profiles.request_start_transaction,
    "SetDisplayMessage": display_messages.set_display_message,
    "SetMonitoringBase": monitoring.set_monitoring_base,
    "SetVariableMonitoring": monitoring.set_variable_monitoring,
    "SetVariables": security.noting_password(variables.set_variables),
}
_TABLES = {Version.V16: _V16, Version.V201: _V2, Version.V21: _V2}


def _cleaned(handler: ResultHandler) -> ResultHandler:
    """The handler on payloads that the database takes."""

    async def handle(context: Context, request: Payload, answer: Payload) -> None:
        await handler(context, storable(request), storable(answer))

    return handle


RESULTS: Mapping[Version, Mapping[str, ResultHandler]] = MappingProxyType(
    {
        version: MappingProxyType(
            {action: _cleaned(table.get(action, recorded(action))) for action in TO_CHARGER[version]}
        )
        for version, table in _TABLES.items()
    }
)
