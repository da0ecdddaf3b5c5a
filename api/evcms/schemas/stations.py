"""EV-CMS stations: the object, and what a request may set of it."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

from api.evcms.envelope import Maybe, Named, Out, Page, Rows, Time
from api.evcms.schemas.connector_states import StationWord, station_word
from api.fields import OptionalText, Storable, Text, minor_units, money
from storage.queries.places import Place, PlaceChange
from storage.queries.station_connectors import Offer, StationConnector
from stream.platform_settings import PlatformSettings

StationStatus = Literal["active", "inactive", "maintenance"]
ConnectorType = Literal["Type2", "CCS", "CHAdeMO"]
CONNECTORS_MAX = 50
AMENITIES_MAX = 50
IMAGES_MAX = 20

Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$"), Field(examples=["08:00"])]
Price = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=2)]
Power = Annotated[Decimal, Field(gt=0, le=10_000, decimal_places=2, description="kW")]
Amenity = Annotated[str, Field(min_length=1, max_length=50), Storable]
Image = Annotated[str, StringConstraints(max_length=500, pattern=r"^(https?://|/)[^\s\x00]*$")]


def _as_text(value: Any) -> Any:
    """Chargers, sessions and CDRs write the number of a connector; both are taken (conflict C56)."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Label = Annotated[
    str,
    BeforeValidator(_as_text),
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,19}$"),
]


class _In(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class GeoPoint(_In):
    """A GeoJSON Point: longitude first (RFC 7946 section 3.1.1), in degrees."""

    type: Literal["Point"]
    coordinates: tuple[Longitude, Latitude]


class LatitudeLongitude(_In):
    """The same in two words."""

    latitude: Latitude
    longitude: Longitude


def _as_point(value: Any) -> Any:
    if isinstance(value, dict) and "latitude" in value and "coordinates" not in value:
        return {"type": "Point", "coordinates": [value.get("longitude"), value["latitude"]]}
    return value


Location = Annotated[
    GeoPoint, BeforeValidator(_as_point, json_schema_input_type=GeoPoint | LatitudeLongitude)
]


class PricingIn(_In):
    """Rupees: `base_price` per kWh, `parking_fee` per minute. What is left out is the platform's price."""

    base_price: Price | None = None
    parking_fee: Price | None = None
    reservation_fee: Price | None = None


class ConnectorIn(_In):
    """A connector that a station offers; without `connector_id` it gets the next number."""

    connector_id: Label | None = None
    type: ConnectorType
    power: Power
    pricing: PricingIn = PricingIn()


class HoursIn(_In):
    """By the station's own clock; 00:00 to 23:59 is all day."""

    open: ClockTime
    close: ClockTime


class _StationFields(_In):
    """What a station may have beyond its name, address and place."""

    city: OptionalText | None = None
    state: OptionalText | None = None
    pincode: Annotated[str, Field(max_length=20), Storable] | None = None
    amenities: Annotated[list[Amenity], Field(max_length=AMENITIES_MAX)] | None = None
    operating_hours: HoursIn | None = None
    images: Annotated[list[Image], Field(max_length=IMAGES_MAX)] | None = None
    franchise_id: Annotated[
        Text | None, Field(description="one of the owner's; it then runs the station")
    ] = None


def _refuse_twice(connectors: Iterable[ConnectorIn] | None) -> None:
    labels = [each.connector_id for each in connectors or () if each.connector_id is not None]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise ValueError(f"connectors: connectorId {min(twice)} is given twice")


class StationIn(_StationFields):
    """A new station. `owner_id`: of whom, where an admin enters it; a brand's is its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "Airport Road",
                "address": "12 Airport Road",
                "city": "Bengaluru",
                "location": {"type": "Point", "coordinates": [77.5946, 12.9716]},
                "connectors": [
                    {"connectorId": "1", "type": "CCS", "power": 50, "pricing": {"basePrice": 18.5}}
                ],
                "amenities": ["wifi", "restroom"],
                "operatingHours": {"open": "06:00", "close": "22:00"},
            }
        }
    )

    name: Text
    address: Text
    location: Location
    connectors: Annotated[list[ConnectorIn], Field(min_length=1, max_length=CONNECTORS_MAX)]
    owner_id: Text | None = None

    @model_validator(mode="after")
    def _labels_are_unique(self) -> Self:
        _refuse_twice(self.connectors)
        return self


class StationChange(_StationFields):
    """What is given is set. `connectors` is the whole list: others of the station are taken away."""

    name: Text | None = None
    address: Text | None = None
    location: Location | None = None
    status: StationStatus | None = None
    connectors: Annotated[list[ConnectorIn], Field(min_length=1, max_length=CONNECTORS_MAX)] | None = None

    @model_validator(mode="after")
    def _labels_are_unique(self) -> Self:
        _refuse_twice(self.connectors)
        return self


def changes_of(body: StationIn | StationChange) -> PlaceChange:
    """Return what the request sets of the station itself, in the words of its table."""
    same = {"name", "address", "city", "state", "pincode", "amenities", "images", "status"}
    given = {name: getattr(body, name, None) for name in same}
    if body.location is not None:
        given["longitude"], given["latitude"] = body.location.coordinates
    if body.operating_hours is not None:
        given["opens_at"], given["closes_at"] = body.operating_hours.open, body.operating_hours.close
    return cast("PlaceChange", {name: value for name, value in given.items() if value is not None})


def offers_of(connectors: Iterable[ConnectorIn], taken: Iterable[str]) -> list[Offer]:
    """Return what is to be offered; who has no label gets the next number behind all of them."""
    given = list(connectors)
    labels = {*taken, *(each.connector_id for each in given if each.connector_id is not None)}
    last = max((int(label) for label in labels if label.isdecimal()), default=0)
    offers = []
    for each in given:
        if each.connector_id is None:
            last += 1
        offers.append(_offer(each, each.connector_id or str(last)))
    return offers


def _offer(connector: ConnectorIn, label: str) -> Offer:
    def minor(price: Decimal | None) -> int | None:
        return None if price is None else minor_units(price)

    pricing = connector.pricing
    return Offer(
        label=label,
        type=connector.type,
        power_kw=connector.power,
        base_price_minor=minor(pricing.base_price),
        parking_fee_minor=minor(pricing.parking_fee),
        reservation_fee_minor=minor(pricing.reservation_fee),
    )


class Point(Out):
    """A GeoJSON Point: longitude, latitude."""

    type: Literal["Point"]
    coordinates: tuple[float, float]


class PricingOut(Out):
    """Rupees: per kWh, per minute, and for a reservation; the platform's where the station has none."""

    base_price: float
    parking_fee: float
    reservation_fee: float


class StationConnectorOut(Out):
    """`power` in kW. `status`: unavailable also while no charger that is online stands behind it."""

    connector_id: str
    type: ConnectorType
    power: float
    status: StationWord
    pricing: PricingOut

    @classmethod
    def of(cls, connector: StationConnector, settings: PlatformSettings) -> Self:
        """Show `connector`."""
        own = (connector.base_price_minor, connector.parking_fee_minor, connector.reservation_fee_minor)
        platform = (settings.pricing.default_price_minor_per_kwh, 0, settings.booking.reservation_fee_minor)
        base, parking, reservation = (
            money(usual if price is None else price) for price, usual in zip(own, platform, strict=True)
        )
        return cls.model_validate(
            {
                "connector_id": connector.label,
                "type": connector.type,
                "power": connector.power_kw,
                "status": station_word(connector.status),
                "pricing": PricingOut(base_price=base, parking_fee=parking, reservation_fee=reservation),
            }
        )


class HoursOut(Out):
    """HH:MM by the station's own clock."""

    open: str
    close: str


class StationOut(Out):
    """A station. `owner_id` is of a brand's account or, with that `owner_type`, of a franchise.

    `location` is null where nobody told it. Extensions: `verified`; `distance` in metres in a search by
    place; `verification_notes` for its owner and admins.
    """

    id: str
    name: str
    address: str
    location: Point | None
    city: str
    state: str
    pincode: str
    status: StationStatus
    rating: float
    total_reviews: int
    amenities: list[str]
    operating_hours: HoursOut
    images: list[str]
    connectors: list[StationConnectorOut]
    owner_id: str
    owner_type: Literal["brand", "franchise"]
    verified: bool
    verification_notes: Maybe[str]
    distance: Maybe[float]
    created_at: Time

    @classmethod
    def of(
        cls,
        place: Place,
        connectors: Iterable[StationConnector],
        settings: PlatformSettings,
        *,
        has_notes: bool,
    ) -> Self:
        """Show a station with those of `connectors` that are its own; `has_notes`: the caller runs it."""
        owner = place.owner_id if place.franchise_id is None else place.franchise_id
        return cls.model_validate(
            {
                "id": str(place.id),
                "name": place.name,
                "address": place.address,
                "location": _point(place),
                "city": place.city,
                "state": place.state,
                "pincode": place.pincode,
                "status": place.status,
                "rating": place.rating,
                "total_reviews": place.total_reviews,
                "amenities": place.amenities,
                "operating_hours": HoursOut(open=place.opens_at, close=place.closes_at),
                "images": place.images,
                "connectors": [
                    StationConnectorOut.of(each, settings)
                    for each in connectors
                    if each.station_id == place.id
                ],
                "owner_id": "" if owner is None else str(owner),
                "owner_type": "brand" if place.franchise_id is None else "franchise",
                "verified": place.is_verified,
                "verification_notes": place.verify_notes if has_notes else None,
                "distance": None if place.distance_m is None else round(place.distance_m, 1),
                "created_at": place.created_at,
            }
        )


def _point(place: Place) -> Point | None:
    if place.latitude is None or place.longitude is None:
        return None
    return Point(type="Point", coordinates=(place.longitude, place.latitude))


class NamedStation(StationOut, Named):
    """`data` of an answer about one station."""

    station: StationOut


class StationPage(Page[StationOut]):
    """One page of stations."""

    stations: list[StationOut]


class StationRows(Rows[StationOut]):
    """Stations around a point, the nearest first; `count` is the number of those in this answer."""

    stations: list[StationOut]
    count: int


class VerifyIn(_In):
    """Whether the station is as it says; `notes` are for its owner and admins."""

    verified: bool
    notes: Annotated[str, Field(max_length=2_000), Storable] | None = None
