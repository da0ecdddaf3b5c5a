"""The status of a simulated connector, and how it changes: one table.

Used by `simulators.connector` and the dialects, which say it each in their words.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """ChargePointStatus (OCPP 1.6 section 7.7)."""

    AVAILABLE = "Available"
    PREPARING = "Preparing"
    CHARGING = "Charging"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"
    FINISHING = "Finishing"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


class Event(Enum):
    """What can befall a connector."""

    PLUG = "plug"
    UNPLUG = "unplug"
    START = "start"
    FULL = "full"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    BREAK = "break"
    MEND = "mend"
    RESERVE = "reserve"
    RELEASE = "release"
    DISABLE = "disable"
    ENABLE = "enable"


# Section 4.9: what is not in the table does not change the status.
TRANSITIONS: Mapping[tuple[Status, Event], Status] = MappingProxyType(
    {
        (Status.AVAILABLE, Event.PLUG): Status.PREPARING,
        (Status.PREPARING, Event.UNPLUG): Status.AVAILABLE,
        (Status.PREPARING, Event.START): Status.CHARGING,
        (Status.CHARGING, Event.FULL): Status.SUSPENDED_EV,
        (Status.CHARGING, Event.PAUSE): Status.SUSPENDED_EVSE,
        (Status.SUSPENDED_EVSE, Event.RESUME): Status.CHARGING,
        (Status.CHARGING, Event.STOP): Status.FINISHING,
        (Status.SUSPENDED_EV, Event.STOP): Status.FINISHING,
        (Status.SUSPENDED_EVSE, Event.STOP): Status.FINISHING,
        (Status.FINISHING, Event.UNPLUG): Status.AVAILABLE,
        (Status.FINISHING, Event.BREAK): Status.FAULTED,
        (Status.FAULTED, Event.MEND): Status.AVAILABLE,
        (Status.AVAILABLE, Event.RESERVE): Status.RESERVED,
        (Status.RESERVED, Event.RELEASE): Status.AVAILABLE,
        (Status.RESERVED, Event.PLUG): Status.PREPARING,
        (Status.RESERVED, Event.DISABLE): Status.UNAVAILABLE,
        (Status.AVAILABLE, Event.DISABLE): Status.UNAVAILABLE,
        (Status.UNAVAILABLE, Event.ENABLE): Status.AVAILABLE,
    }
)
