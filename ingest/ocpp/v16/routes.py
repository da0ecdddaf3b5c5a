"""What a charger may ask over OCPP 1.6: action to handler."""

from collections.abc import Mapping

from ingest.ocpp import jobs
from ingest.ocpp.context import Handler
from ingest.ocpp.v16 import (
    authorize,
    boot_notification,
    data_transfer,
    heartbeat,
    meter_values,
    sign_certificate,
    start_transaction,
    status_notification,
    stop_transaction,
)

ROUTES: Mapping[str, Handler] = {
    "Authorize": authorize.handle,
    "BootNotification": boot_notification.handle,
    "DataTransfer": data_transfer.handle,
    "DiagnosticsStatusNotification": jobs.diagnostics_status,
    "FirmwareStatusNotification": jobs.firmware_status,
    "Heartbeat": heartbeat.handle,
    "LogStatusNotification": jobs.log_status,
    "MeterValues": meter_values.handle,
    "SecurityEventNotification": jobs.security_event,
    "SignCertificate": sign_certificate.handle,
    "SignedFirmwareStatusNotification": jobs.firmware_status,
    "StartTransaction": start_transaction.handle,
    "StatusNotification": status_notification.handle,
    "StopTransaction": stop_transaction.handle,
}
