"""Every command of OCPP 1.6 and its security whitepaper, and who carries it out: one literal table.

Used by `simulators.charger_commands`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from simulators.answers import Handler
from simulators.v16 import core, firmware, security, smart

HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        "CancelReservation": core.cancel_reservation,
        "CertificateSigned": security.certificate_signed,
        "ChangeAvailability": core.change_availability,
        "ChangeConfiguration": core.change_configuration,
        "ClearCache": core.clear_cache,
        "ClearChargingProfile": smart.clear_charging_profile,
        "DataTransfer": core.data_transfer,
        "DeleteCertificate": security.delete_certificate,
        "ExtendedTriggerMessage": core.extended_trigger_message,
        "GetCompositeSchedule": smart.get_composite_schedule,
        "GetConfiguration": core.get_configuration,
        "GetDiagnostics": firmware.get_diagnostics,
        "GetInstalledCertificateIds": security.get_installed_certificate_ids,
        "GetLocalListVersion": core.get_local_list_version,
        "GetLog": firmware.get_log,
        "InstallCertificate": security.install_certificate,
        "RemoteStartTransaction": core.remote_start_transaction,
        "RemoteStopTransaction": core.remote_stop_transaction,
        "ReserveNow": core.reserve_now,
        "Reset": core.reset,
        "SendLocalList": core.send_local_list,
        "SetChargingProfile": smart.set_charging_profile,
        "SignedUpdateFirmware": firmware.signed_update_firmware,
        "TriggerMessage": core.trigger_message,
        "UnlockConnector": core.unlock_connector,
        "UpdateFirmware": firmware.update_firmware,
    }
)
