"""A connector's state in this API's two vocabularies (conflict C57), from the one that is stored.

Stations say it in lower case, chargers capitalised, and what a station calls occupied a charger calls
Charging. Stored is an OCPP 1.6 ChargePointStatus (section 7.7), for chargers of 2.x too.
"""

from collections.abc import Mapping
from typing import Literal

StationWord = Literal["available", "occupied", "faulted", "unavailable"]
ChargerWord = Literal["Available", "Charging", "Faulted", "Unavailable"]

# A reserved connector is free for one driver only: to all others it is unavailable.
_STATION_WORDS: Mapping[str, StationWord] = {
    "Available": "available",
    "Preparing": "occupied",
    "Charging": "occupied",
    "SuspendedEV": "occupied",
    "SuspendedEVSE": "occupied",
    "Finishing": "occupied",
    "Occupied": "occupied",
    "Reserved": "unavailable",
    "Unavailable": "unavailable",
    "Faulted": "faulted",
}

_CHARGER_WORDS: Mapping[StationWord, ChargerWord] = {
    "available": "Available",
    "occupied": "Charging",
    "faulted": "Faulted",
    "unavailable": "Unavailable",
}


def station_word(status: str) -> StationWord:
    """Say a ChargePointStatus as stations do; an unknown one is unavailable."""
    return _STATION_WORDS.get(status, "unavailable")


def charger_word(status: str) -> ChargerWord:
    """Say a ChargePointStatus as chargers do; an unknown one is Unavailable."""
    return _CHARGER_WORDS[station_word(status)]
