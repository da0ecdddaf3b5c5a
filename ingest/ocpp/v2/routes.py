"""What a charger may ask over OCPP 2.0.1 and 2.1: action to handler."""

from collections.abc import Mapping

from ingest.ocpp import jobs
from ingest.ocpp.context import Handler
from ingest.ocpp.v2 import (
    authorize,
    boot_notification,
    certificates,
    meter_values,
    notify_event,
    reports,
    reservation_status_update,
    sign_certificate,
    status_notification,
    transaction_event,
)
from ingest.ocpp.v2.recorded import recorder
from ingest.ocpp.v16 import data_transfer, heartbeat

ROUTES_201: Mapping[str, Handler] = {
    "Authorize": authorize.handle,
    "BootNotification": boot_notification.handle,
    "ClearedChargingLimit": recorder("ClearedChargingLimit"),
    "DataTransfer": data_transfer.handle,  # the same in all versions
    "FirmwareStatusNotification": jobs.firmware_status,
    "Get15118EVCertificate": certificates.get_15118_ev_certificate,
    "GetCertificateStatus": certificates.get_certificate_status,
    "Heartbeat": heartbeat.handle,  # the same in all versions
    "LogStatusNotification": jobs.log_status,
    "MeterValues": meter_values.handle,
    "NotifyChargingLimit": recorder("NotifyChargingLimit"),
    "NotifyCustomerInformation": reports.notify_customer_information,
    "NotifyDisplayMessages": reports.notify_display_messages,
    "NotifyEVChargingNeeds": recorder("NotifyEVChargingNeeds"),
    "NotifyEVChargingSchedule": recorder("NotifyEVChargingSchedule"),
    "NotifyEvent": notify_event.handle,
    "NotifyMonitoringReport": reports.notify_monitoring_report,
    "NotifyReport": reports.notify_report,
    "PublishFirmwareStatusNotification": jobs.publish_firmware_status,
    "ReportChargingProfiles": reports.report_charging_profiles,
    "ReservationStatusUpdate": reservation_status_update.handle,
    "SecurityEventNotification": jobs.security_event,
    "SignCertificate": sign_certificate.handle,
    "StatusNotification": status_notification.handle,
    "TransactionEvent": transaction_event.handle,
}
ROUTES_21: Mapping[str, Handler] = {
    **ROUTES_201,
    "BatterySwap": recorder("BatterySwap"),
    "ClosePeriodicEventStream": recorder("ClosePeriodicEventStream"),
    "GetCertificateChainStatus": certificates.get_certificate_chain_status,
    "NotifyDERAlarm": recorder("NotifyDERAlarm"),
    "NotifyDERStartStop": recorder("NotifyDERStartStop"),
    "NotifyPeriodicEventStream": recorder("NotifyPeriodicEventStream"),
    "NotifyPriorityCharging": recorder("NotifyPriorityCharging"),
    "NotifySettlement": recorder("NotifySettlement"),
    "NotifyWebPaymentStarted": recorder("NotifyWebPaymentStarted"),
    "OpenPeriodicEventStream": recorder("OpenPeriodicEventStream"),
    "PullDynamicScheduleUpdate": recorder("PullDynamicScheduleUpdate"),
    "ReportDERControl": recorder("ReportDERControl"),
    "VatNumberValidation": recorder("VatNumberValidation"),
}
