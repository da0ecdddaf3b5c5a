"""Every command of OCPP 2.0.1 and 2.1, and who carries it out: one literal table, by functional block.

Used by `simulators.charger_commands`, which lets through only what the charger's version knows.
"""

from collections.abc import Mapping
from types import MappingProxyType

from simulators.answers import Handler
from simulators.v2 import (
    availability,
    customers,
    firmware,
    monitoring,
    provisioning,
    security,
    smart,
    tariffs,
    transactions,
)
from simulators.v16 import core
from simulators.v16 import security as security_16
from simulators.v16.firmware import get_log

HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        # blocks A, M, security and certificates
        "CertificateSigned": security_16.certificate_signed,
        "DeleteCertificate": security_16.delete_certificate,
        "GetInstalledCertificateIds": security.get_installed_certificate_ids,
        "InstallCertificate": security_16.install_certificate,
        # block B, provisioning
        "GetBaseReport": provisioning.get_base_report,
        "GetReport": provisioning.get_report,
        "GetVariables": provisioning.get_variables,
        "Reset": provisioning.reset,
        "SetNetworkProfile": provisioning.set_network_profile,
        "SetVariables": provisioning.set_variables,
        # blocks C, D, authorisation, local list
        "ClearCache": core.clear_cache,
        "GetLocalListVersion": transactions.get_local_list_version,
        "SendLocalList": transactions.send_local_list,
        # blocks E, F, transactions, remote control
        "GetTransactionStatus": transactions.get_transaction_status,
        "RequestStartTransaction": transactions.request_start_transaction,
        "RequestStopTransaction": transactions.request_stop_transaction,
        "TriggerMessage": availability.trigger_message,
        "UnlockConnector": availability.unlock_connector,
        # blocks G, H, availability, reservation
        "CancelReservation": core.cancel_reservation,
        "ChangeAvailability": availability.change_availability,
        "ReserveNow": availability.reserve_now,
        # block I, tariff and cost
        "ChangeTransactionTariff": tariffs.change_transaction_tariff,
        "ClearTariffs": tariffs.clear_tariffs,
        "CostUpdated": tariffs.cost_updated,
        "GetTariffs": tariffs.get_tariffs,
        "SetDefaultTariff": tariffs.set_default_tariff,
        # block K, smart charging
        "AFRRSignal": smart.afrr_signal,
        "ClearChargingProfile": smart.clear_charging_profile,
        "GetChargingProfiles": smart.get_charging_profiles,
        "GetCompositeSchedule": smart.get_composite_schedule,
        "NotifyAllowedEnergyTransfer": smart.notify_allowed_energy_transfer,
        "SetChargingProfile": smart.set_charging_profile,
        "UpdateDynamicSchedule": smart.update_dynamic_schedule,
        "UsePriorityCharging": smart.use_priority_charging,
        # block L, firmware
        "PublishFirmware": firmware.publish_firmware,
        "UnpublishFirmware": firmware.unpublish_firmware,
        "UpdateFirmware": firmware.update_firmware,
        # block N, diagnostics and monitoring
        "AdjustPeriodicEventStream": monitoring.adjust_periodic_event_stream,
        "ClearVariableMonitoring": monitoring.clear_variable_monitoring,
        "CustomerInformation": customers.customer_information,
        "GetLog": get_log,
        "GetMonitoringReport": monitoring.get_monitoring_report,
        "GetPeriodicEventStream": monitoring.get_periodic_event_stream,
        "SetMonitoringBase": monitoring.set_monitoring_base,
        "SetMonitoringLevel": monitoring.set_monitoring_level,
        "SetVariableMonitoring": monitoring.set_variable_monitoring,
        # blocks O, P, display messages, data transfer
        "ClearDisplayMessage": customers.clear_display_message,
        "DataTransfer": core.data_transfer,
        "GetDisplayMessages": customers.get_display_messages,
        "SetDisplayMessage": customers.set_display_message,
        # blocks R, S, distributed energy resources, battery swap
        "ClearDERControl": tariffs.clear_der_control,
        "GetDERControl": tariffs.get_der_control,
        "RequestBatterySwap": tariffs.request_battery_swap,
        "SetDERControl": tariffs.set_der_control,
    }
)
