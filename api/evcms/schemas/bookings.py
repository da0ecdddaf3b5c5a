"""EV-CMS bookings."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from api.evcms.envelope import Maybe, Named, Out, Page, Time
from api.evcms.moments import Moment, parse_moment
from api.evcms.schemas.receipts import WH_PER_KWH, minutes
from api.fields import Storable, Text, money
from storage.queries.bookings import Booking
from stream.bookings.cost import Cost, cost_of
from stream.bookings.rules import ESTIMATED_MINUTES_MAX

BookingStatus = Literal["pending", "confirmed", "active", "completed", "cancelled"]

CONNECTOR_NUMBER_MAX = 1_000_000_000
ENERGY_KWH_MAX = 10_000
REVIEW_CHARACTERS_MAX = 2_000
IMAGES_MAX = 10
IMAGE_CHARACTERS_MAX = 500

# A station's label of a connector: a text here, a number elsewhere (conflict C56).
ConnectorLabel = Annotated[Text | Annotated[int, Field(ge=0, le=CONNECTOR_NUMBER_MAX)], AfterValidator(str)]
Image = Annotated[str, Field(min_length=1, max_length=IMAGE_CHARACTERS_MAX), Storable]


class BookingIn(BaseModel):
    """Which connector of which station, for which of the caller's vehicles, from when and for how long.

    `scheduledTime` in ISO 8601, UTC where it names no zone; `estimatedDuration` in minutes.
    """

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "stationId": "12",
                    "connectorId": "1",
                    "vehicleId": "7",
                    "scheduledTime": "2026-03-01T10:00:00.000Z",
                    "estimatedDuration": 60,
                }
            ]
        }
    }

    station_id: Annotated[Text, Field(alias="stationId")]
    connector_id: Annotated[ConnectorLabel, Field(alias="connectorId")]
    vehicle_id: Annotated[Text, Field(alias="vehicleId")]
    scheduled_time: Annotated[Moment, Field(alias="scheduledTime")]
    estimated_duration: Annotated[int, Field(alias="estimatedDuration", ge=1, le=ESTIMATED_MINUTES_MAX)]

    @property
    def scheduled_at(self) -> datetime:
        """When it begins."""
        return parse_moment(self.scheduled_time)

    @property
    def label(self) -> str:
        """The connector's label."""
        return str(self.connector_id)


class RatingIn(BaseModel):
    """What the driver thinks of the station; `score` from 1 to 5."""

    score: Annotated[int, Field(ge=1, le=5)]
    review: Annotated[str, Field(max_length=REVIEW_CHARACTERS_MAX), Storable] = ""
    images: Annotated[list[Image], Field(max_length=IMAGES_MAX)] = []


class CompleteIn(BaseModel):
    """`energyConsumed` in kWh, of use only where no meter has counted; `finalSoC` in percent."""

    energy_consumed: Annotated[float, Field(alias="energyConsumed", ge=0, le=ENERGY_KWH_MAX)]
    final_soc: Annotated[float, Field(alias="finalSoC", ge=0, le=100)]
    rating: RatingIn | None = None

    @property
    def energy_wh(self) -> int:
        """What the client says, Wh."""
        return round(self.energy_consumed * WH_PER_KWH)


class CancelIn(BaseModel):
    """Why the booking is cancelled."""

    reason: Text


class CostOut(Out):
    """A price in rupees: as estimated, and once the session is rated as its record says.

    `subtotal` is energy, parking and platform fee less the discount; `total` is that with GST and the
    reservation fee, which is held when the booking is made and comes on top of the session's price.
    """

    energy_cost: float
    reservation_fee: float
    parking_fee: float
    platform_fee: float
    discount: float
    subtotal: float
    gst: float
    total: float

    @classmethod
    def of(cls, cost: Cost) -> "CostOut":
        """Show `cost`."""
        return cls(
            energy_cost=money(cost.energy_minor),
            reservation_fee=money(cost.reservation_fee_minor),
            parking_fee=money(cost.parking_minor),
            platform_fee=money(cost.platform_fee_minor),
            discount=money(cost.discount_minor),
            subtotal=money(cost.subtotal_minor),
            gst=money(cost.gst_minor),
            total=money(cost.total_minor),
        )


class RatingOut(Out):
    """What the driver thought of the station."""

    score: int
    review: str
    images: list[str]
    rated_at: Time


class LogOut(Out):
    """One thing that happened to a booking."""

    event: str
    timestamp: Time


class BookingOut(Out):
    """A booking. `estimated_duration` and `duration` in minutes, `energy_consumed` in kWh, SoC in percent.

    Extensions: `station_name`, `session_id` and `reservation` (whether the charger holds the connector).
    """

    id: str
    booking_number: str
    user_id: str
    station_id: str
    station_name: str
    connector_id: str
    vehicle_id: str
    status: BookingStatus
    scheduled_time: Time
    start_time: Maybe[Time]
    end_time: Maybe[Time]
    estimated_duration: int
    duration: Maybe[float]
    energy_consumed: Maybe[float]
    initial_soc: Annotated[Maybe[float], Field(alias="initialSoC")]
    final_soc: Annotated[Maybe[float], Field(alias="finalSoC")]
    cost: CostOut
    rating: Maybe[RatingOut]
    cancellation_reason: Maybe[str]
    logs: list[LogOut]
    session_id: Maybe[str]
    reservation: Literal["none", "asked", "accepted", "refused", "cancelled"]
    created_at: Time

    @classmethod
    def of(cls, booking: Booking) -> "BookingOut":
        """Show `booking`."""
        return cls.model_validate(
            {
                "id": str(booking.id),
                "booking_number": booking.booking_number,
                "user_id": str(booking.user_id),
                "station_id": str(booking.station_id),
                "station_name": booking.station_name,
                "connector_id": booking.label,
                "vehicle_id": "" if booking.vehicle_id is None else str(booking.vehicle_id),
                "status": booking.status,
                "scheduled_time": booking.scheduled_at,
                "start_time": booking.started_at,
                "end_time": booking.ended_at,
                "estimated_duration": booking.estimated_minutes,
                "duration": _duration(booking),
                "energy_consumed": _kwh(booking.energy_wh),
                "initial_soc": booking.initial_soc_pct,
                "final_soc": booking.final_soc_pct,
                "cost": CostOut.of(cost_of(booking)),
                "rating": _rating(booking),
                "cancellation_reason": booking.cancellation_reason,
                "logs": booking.logs,
                "session_id": None if booking.session_id is None else str(booking.session_id),
                "reservation": booking.reservation_state,
                "created_at": booking.created_at,
            }
        )


def _kwh(energy_wh: int | None) -> float | None:
    return None if energy_wh is None else round(energy_wh / WH_PER_KWH, 3)


def _duration(booking: Booking) -> float | None:
    if booking.started_at is None or booking.ended_at is None:
        return None
    return minutes(max(0.0, (booking.ended_at - booking.started_at).total_seconds()))


def _rating(booking: Booking) -> RatingOut | None:
    if booking.review_score is None or booking.reviewed_at is None:
        return None
    return RatingOut(
        score=booking.review_score,
        review=booking.review_text or "",
        images=booking.review_images or [],
        rated_at=booking.reviewed_at,
    )


class NamedBooking(BookingOut, Named):
    """`data` of an answer about one booking."""

    booking: BookingOut


class BookingPage(Page[BookingOut]):
    """One page of bookings, newest first."""

    bookings: list[BookingOut]
