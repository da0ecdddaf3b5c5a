"""Statuses of OCPP 2.x (part 2, block G) in the words of 1.6 (section 7.7), which are those stored.

Used by the gateway. 2.x says only that a connector is occupied; how its transaction stands says the rest.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType

OCCUPIED = "Occupied"
# What a connector with a vehicle may be in 1.6.
IN_USE = frozenset({"Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing"})
_FROM_2: Mapping[str, str] = MappingProxyType(
    {
        OCCUPIED: "Preparing",
        "Reserved": "Reserved",
        "Available": "Available",
        "Faulted": "Faulted",
        "Unavailable": "Unavailable",
    }
)
# An EVSE serves one connector at a time: the first of these that one of its connectors has.
_ORDER = tuple(_FROM_2)
_FROM_CHARGING_STATE: Mapping[str, str] = MappingProxyType(
    {
        "Charging": "Charging",
        "EVConnected": "Preparing",
        "SuspendedEV": "SuspendedEV",
        "SuspendedEVSE": "SuspendedEVSE",
        "Idle": "Finishing",
    }
)


def is_status(word: str) -> bool:
    """Whether it is a ConnectorStatusEnumType."""
    return word in _FROM_2


def evse_status(connectors: Collection[str], known: str | None) -> str:
    """The status of an EVSE from those of its connectors; `known` is what is stored of it.

    One that is occupied stays what its transaction made it. An unknown word is Unavailable.
    """
    word = next((status for status in _ORDER if status in connectors), "Unavailable")
    if word == OCCUPIED and known in IN_USE:
        return known
    return _FROM_2[word]


def transaction_status(charging_state: str | None, known: str | None, *, has_ended: bool) -> str | None:
    """The status of an EVSE from its transaction; None where that says nothing new.

    After the end the vehicle may still be there, or may be gone already: only the status tells.
    """
    if has_ended:
        return "Finishing" if known in IN_USE and known != "Finishing" else None
    word = _FROM_CHARGING_STATE.get(charging_state or "")
    return None if word == known else word
