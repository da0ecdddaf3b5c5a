"""Estates and units as the portal has them."""

import zoneinfo
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from api.fields import OptionalText, Text
from api.mobile.admin.schemas.people import MobileUser, NewOwner, OwnerOut, TenantOut
from api.mobile.schemas.common import Body, Maybe, Time, example
from storage.queries.estates import Estate
from storage.queries.units import Unit

BIGINT_MAX = 2**63 - 1


def _time_zone(name: str) -> str:
    if name not in zoneinfo.available_timezones():
        raise ValueError(f"{name!r} is no time zone: write it as Africa/Johannesburg")
    return name


Id = Annotated[int, Field(ge=1, le=BIGINT_MAX)]


class NewEstate(Body):
    """An estate to enter; a day of usage begins and ends in its time zone."""

    model_config = example(name="Sunset Estate", address="1 Main Road, Cape Town")

    name: Text
    address: OptionalText | None = None
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "Africa/Johannesburg"
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "ZAR"


class EstateOut(BaseModel):
    """An estate."""

    id: int
    name: str
    address: str | None
    time_zone: str
    currency: str
    created_at: Time

    @classmethod
    def of(cls, estate: Estate) -> "EstateOut":
        """Show `estate`."""
        return cls.model_validate(estate, from_attributes=True)


class EstatePage(BaseModel):
    """One page of estates."""

    estates: list[EstateOut]
    next_after: int | None


class NewUnit(Body):
    """A unit to enter, with its first owner where there is one."""

    model_config = example(
        estate_id=1, unit_number="101", owner={"person_id": 4, "ownership_percentage": 100.0}
    )

    estate_id: Id
    unit_number: Text
    owner: NewOwner | None = None


class UnitOut(BaseModel):
    """A unit."""

    id: int
    unit_number: str
    estate_id: int
    estate_name: str
    created_at: Time

    @classmethod
    def of(cls, unit: Unit) -> "UnitOut":
        """Show `unit`."""
        return cls.model_validate(unit, from_attributes=True)


class UnitDetail(UnitOut):
    """A unit and its people, former ones too, newest first."""

    owners: list[OwnerOut]
    tenants: list[TenantOut]


class UnitPage(BaseModel):
    """One page of units."""

    units: list[UnitOut]
    next_after: int | None


class UnitAdded(BaseModel):
    """The unit; `owner` and `mobile_user` where it was entered with an owner (rule R612)."""

    message: str
    unit: UnitOut
    owner: Maybe[OwnerOut]
    mobile_user: Maybe[MobileUser]
