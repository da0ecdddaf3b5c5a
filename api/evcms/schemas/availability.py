"""EV-CMS: which connectors of a station somebody could charge at now, and until when."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Self
from zoneinfo import ZoneInfo

from api.evcms.envelope import Maybe, Out, Time
from api.evcms.schemas.connector_states import StationWord, station_word
from api.evcms.schemas.stations import ConnectorType
from storage.queries.places import Place
from storage.queries.station_connectors import StationConnector, Taken

LAST_MINUTE = "23:59"
END_OF_DAY = "24:00"


def is_open(opens_at: str, closes_at: str, clock: str) -> bool:
    """Whether a station is open at `clock`; all three as HH:MM.

    It closes when the minute of `closes_at` begins, but 23:59 is the end of the day. Closing before opening
    is after midnight; the same time twice is never closing.
    """
    end = END_OF_DAY if closes_at == LAST_MINUTE else closes_at
    if opens_at == closes_at:
        return True
    if opens_at < end:
        return opens_at <= clock < end
    return clock >= opens_at or clock < end


class ConnectorAvailability(Out):
    """`status` is the connector's state now. `booked_until`: a booking holds it now, to that time.

    `next_booking`: when the next booking of this day, by the station's clock, begins.
    """

    connector_id: str
    type: ConnectorType
    power: float
    status: StationWord
    booked_until: Maybe[Time]
    next_booking: Maybe[Time]

    @classmethod
    def of(cls, connector: StationConnector, taken: Iterable[Taken], now: datetime) -> Self:
        """Show a connector with those of `taken` that are its own, in order of time."""
        own = [span for span in taken if span.station_connector_id == connector.id]
        facts: dict[str, Any] = {
            "connector_id": connector.label,
            "type": connector.type,
            "power": connector.power_kw,
            "status": station_word(connector.status),
            "booked_until": next((span.to for span in own if span.from_ <= now), None),
            "next_booking": next((span.from_ for span in own if span.from_ > now), None),
        }
        return cls.model_validate(facts)


class Availability(Out):
    """`available`: the station is active and open, and a connector is available and not booked now."""

    available: bool
    connectors: list[ConnectorAvailability]

    @classmethod
    def of(
        cls, place: Place, connectors: Sequence[StationConnector], taken: Sequence[Taken], now: datetime
    ) -> Self:
        """Show a station; `taken`: the bookings of this day, by connector and time."""
        shown = [ConnectorAvailability.of(each, taken, now) for each in connectors]
        clock = f"{now.astimezone(ZoneInfo(place.time_zone)):%H:%M}"
        is_serving = place.status == "active" and is_open(place.opens_at, place.closes_at, clock)
        free = [each for each in shown if each.status == "available" and each.booked_until is None]
        return cls(available=is_serving and bool(free), connectors=shown)
