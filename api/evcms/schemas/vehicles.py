"""EV-CMS vehicles, and what they have charged."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.evcms.envelope import Named, Out, Rows, Time
from api.evcms.schemas.receipts import WH_PER_KWH, minutes
from api.fields import Text, money
from storage.queries.vehicles import Vehicle, VehicleTotals
from stream.co2 import co2_saved_kg

YEAR_MIN = 1900
YEAR_MAX = 9_999  # the handler knows what year it is

Capacity = Annotated[Decimal, Field(gt=0, le=10_000, decimal_places=2)]
Registration = Annotated[Text, Field(max_length=32, pattern=r"[A-Za-z0-9]")]


class VehicleIn(BaseModel):
    """A new vehicle; `batteryCapacity` in kWh."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "make": "Tata",
                    "model": "Nexon EV",
                    "year": 2024,
                    "batteryCapacity": 40.5,
                    "registrationNumber": "MH12AB1234",
                }
            ]
        }
    )

    make: Text
    model: Text
    year: Annotated[int, Field(ge=YEAR_MIN, le=YEAR_MAX)]
    battery_capacity: Annotated[Capacity, Field(alias="batteryCapacity")]
    registration_number: Annotated[Registration, Field(alias="registrationNumber")]


class VehicleChange(BaseModel):
    """What is left out stays as it is."""

    make: Text | None = None
    model: Text | None = None
    battery_capacity: Annotated[Capacity | None, Field(alias="batteryCapacity")] = None


class VehicleOut(Out):
    """A vehicle; `battery_capacity` in kWh."""

    id: str
    make: str
    model: str
    year: int
    battery_capacity: float
    registration_number: str
    is_default: bool
    created_at: Time

    @classmethod
    def of(cls, vehicle: Vehicle) -> "VehicleOut":
        """Show `vehicle`."""
        return cls(
            id=str(vehicle.id),
            make=vehicle.make,
            model=vehicle.model,
            year=vehicle.year,
            battery_capacity=float(vehicle.battery_capacity_kwh),
            registration_number=vehicle.registration_number,
            is_default=vehicle.is_default,
            created_at=vehicle.created_at,
        )


class NamedVehicle(VehicleOut, Named):
    """`data` of an answer about one vehicle."""

    vehicle: VehicleOut


class VehicleRows(Rows[VehicleOut]):
    """A person's vehicles, in the order they came."""

    vehicles: list[VehicleOut]


class VehicleStats(Out):
    """Sums over a vehicle's ended sessions: kWh, rupees, minutes a session, kilograms of CO2."""

    total_sessions: int
    total_energy: float
    total_cost: float
    avg_session_duration: float
    co2_saved: float

    @classmethod
    def of(cls, totals: VehicleTotals) -> "VehicleStats":
        """Show `totals`."""
        return cls(
            total_sessions=totals.sessions,
            total_energy=round(totals.energy_wh / WH_PER_KWH, 3),
            total_cost=money(totals.total_minor),
            avg_session_duration=minutes(totals.duration_s / totals.rated) if totals.rated else 0.0,
            co2_saved=co2_saved_kg(totals.energy_wh),
        )
