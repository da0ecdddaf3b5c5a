"""What a charger may ask over OCPP 2.0.1 and 2.1: action to handler."""

from collections.abc import Mapping

from ingest.ocpp.context import Handler
from ingest.ocpp.v16 import heartbeat

ROUTES_201: Mapping[str, Handler] = {
    "Heartbeat": heartbeat.handle,  # the same in all versions
}
ROUTES_21: Mapping[str, Handler] = {**ROUTES_201}
