"""Meters, what measures them, and their tariffs as the portal has them."""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from api.fields import Text
from api.mobile.admin.schemas.people import Id
from api.mobile.schemas.common import Body, JsonMap, Moment, Time, example
from api.mobile.schemas.wallets import Utility
from protocols.quantities import CODES, QUANTITIES
from storage.queries.meter_tariffs import Assignment, MeterTariff
from storage.queries.meters import Installation, Meter

INTEGER_MAX = 2**31 - 1
CHANNEL_MAX = 2**15 - 1
FACTOR_MAX = 10**9

REGISTERS = tuple(each.name for each in QUANTITIES if each.is_register)

Status = Literal["active", "inactive", "faulty"]
Factor = Annotated[Decimal, Field(gt=0, le=FACTOR_MAX, decimal_places=9)]


def _register(name: str) -> str:
    code = CODES.get(name)
    if code is None or not QUANTITIES[code].is_register:
        raise ValueError(f"{name!r} is no register that counts up: choose one of {', '.join(REGISTERS)}")
    return name


class NewMeter(Body):
    """A meter of a unit; which device measures it is an installation."""

    model_config = example(
        unit_id=10,
        serial_number="MTR001",
        utility_type="electricity",
        device_type="Smart Meter",
        communication_type="LoRa",
    )

    unit_id: Id
    serial_number: Text
    utility_type: Utility
    device_type: Text
    communication_type: Text
    meter_type: Literal["prepaid", "postpaid"] = "prepaid"


class MeterOut(BaseModel):
    """A meter; `supply` is what was commanded last."""

    id: int
    unit_id: int
    serial_number: str
    meter_type: str
    utility_type: str
    status: str
    device_type: str
    communication_type: str
    supply: str
    created_at: Time

    @classmethod
    def of(cls, meter: Meter) -> "MeterOut":
        """Show `meter`."""
        return cls.model_validate(meter, from_attributes=True)


class MeterPage(BaseModel):
    """One page of meters."""

    meters: list[MeterOut]
    next_after: int | None


class MeterStatus(Body):
    """Whether a meter is in use."""

    status: Status


class NewInstallation(Body):
    """Which register measures the meter from `since` on: of a device by its id or its identity.

    `multiplier`: from the register to Wh or m3. `register_modulus`: the register rolls over to 0 there.
    """

    model_config = example(
        device_identity="0102030405060708", quantity="energy_import_wh", since="2026-01-01T00:00:00Z"
    )

    device_id: Annotated[int, Field(ge=1, le=INTEGER_MAX)] | None = None
    device_identity: Text | None = None
    quantity: Annotated[str, AfterValidator(_register)]
    since: Moment
    channel: Annotated[int, Field(ge=0, le=CHANNEL_MAX)] = 0
    multiplier: Factor = Decimal(1)
    register_modulus: Factor | None = None

    @model_validator(mode="after")
    def _names_one_device(self) -> Self:
        if (self.device_id is None) == (self.device_identity is None):
            raise ValueError("give device_id or device_identity")
        return self


class InstallationOut(BaseModel):
    """A device at a meter; `until` is null while it is there."""

    id: int
    meter_id: int
    device_id: int
    channel: int
    quantity: str
    multiplier: float
    register_modulus: float | None
    since: Time
    until: Time | None

    @classmethod
    def of(cls, installation: Installation) -> "InstallationOut":
        """Show `installation`."""
        return cls.model_validate(installation, from_attributes=True)


class Installations(BaseModel):
    """What measures and measured a meter, oldest first."""

    installations: list[InstallationOut]


class Removal(Body):
    """When the device was taken away."""

    until: Moment


class NewTariff(Body):
    """A tariff; its definition never changes: a new price is a new tariff."""

    model_config = example(
        name="Residential 2026",
        utility_type="electricity",
        definition={"energy": {"kind": "flat", "price_minor": "234.5"}},
    )

    name: Text
    utility_type: Utility
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "ZAR"
    definition: JsonMap


class TariffOut(BaseModel):
    """A tariff."""

    id: int
    name: str
    utility_type: str
    currency: str
    definition: dict[str, Any]
    created_at: Time

    @classmethod
    def of(cls, tariff: MeterTariff) -> "TariffOut":
        """Show `tariff`."""
        return cls(
            id=tariff.id,
            name=tariff.name,
            utility_type=tariff.utility,
            currency=tariff.currency,
            definition=tariff.definition,
            created_at=tariff.created_at,
        )


class TariffPage(BaseModel):
    """One page of tariffs."""

    tariffs: list[TariffOut]
    next_after: int | None


class NewAssignment(Body):
    """From the local day of `since` on the meter has this tariff."""

    tariff_id: Id
    since: Moment


class AssignmentOut(BaseModel):
    """A tariff as a meter has it."""

    tariff_id: int
    name: str
    currency: str
    since: Time

    @classmethod
    def of(cls, assignment: Assignment) -> "AssignmentOut":
        """Show `assignment`."""
        return cls.model_validate(assignment, from_attributes=True)


class Assignments(BaseModel):
    """A meter's tariffs, oldest first."""

    tariffs: list[AssignmentOut]
