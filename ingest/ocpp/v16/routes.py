"""What a charger may ask over OCPP 1.6: action to handler."""

from collections.abc import Mapping

from ingest.ocpp.context import Handler
from ingest.ocpp.v16 import (
    authorize,
    boot_notification,
    data_transfer,
    heartbeat,
    meter_values,
    start_transaction,
    status_notification,
    stop_transaction,
)

ROUTES: Mapping[str, Handler] = {
    "Authorize": authorize.handle,
    "BootNotification": boot_notification.handle,
    "DataTransfer": data_transfer.handle,
    "Heartbeat": heartbeat.handle,
    "MeterValues": meter_values.handle,
    "StartTransaction": start_transaction.handle,
    "StatusNotification": status_notification.handle,
    "StopTransaction": stop_transaction.handle,
}
