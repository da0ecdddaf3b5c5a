"""Accounts, persons and the units that they reach."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from api.errors import Problem
from api.fields import money
from api.mobile.passwords import CHARACTERS_MAX
from api.mobile.schemas.common import Maybe, Plain, Time, example
from storage.queries.occupancy import UnitAccess
from storage.queries.residents import Account

LOGIN_CHARACTERS_MAX = 64
BASIS_POINTS_PER_PERCENT = 100


class Login(BaseModel):
    """A phone number, as +27821234567 or 0821234567, and the password."""

    model_config = example(phone_number="+27821234567", password="MyPass123")  # noqa: S106

    phone_number: Annotated[str, Field(max_length=LOGIN_CHARACTERS_MAX)]
    password: Annotated[str, Field(max_length=CHARACTERS_MAX)]

    @model_validator(mode="before")
    @classmethod
    def _has_both(cls, body: Any) -> Any:
        """Rule R606: one sentence for whatever is missing, empty or null."""
        if isinstance(body, dict) and not (body.get("phone_number") and body.get("password")):
            raise Problem(400, "Missing required fields", "phone_number and password are required")
        return body


class ChangePassword(BaseModel):
    """The new password; the current one may be left out, and must be right where it is given."""

    model_config = example(current_password="OldPass123", new_password="NewPass456")  # noqa: S106

    current_password: Annotated[str, Field(max_length=CHARACTERS_MAX)] | None = None
    new_password: Plain


class UserOut(BaseModel):
    """The account of a person with the app."""

    id: int
    person_id: int
    phone_number: str
    password_must_change: bool
    last_login: Time | None
    is_active: bool

    @classmethod
    def of(cls, account: Account) -> "UserOut":
        """Show `account`."""
        return cls.model_validate(_facts(account))


class LoginUserOut(UserOut):
    """The account as login shows it: with the time it was made."""

    created_at: Time

    @classmethod
    def of(cls, account: Account) -> "LoginUserOut":
        """Show `account`."""
        return cls.model_validate({**_facts(account), "created_at": account.created_at})


def _facts(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "person_id": account.person_id,
        "phone_number": account.phone,
        "password_must_change": account.password_must_change,
        "last_login": account.last_login_at,
        "is_active": account.is_active,
    }


class PersonOut(BaseModel):
    """The person behind an account."""

    id: int
    first_name: str
    last_name: str
    full_name: str
    phone: str
    email: str | None

    @classmethod
    def of(cls, account: Account) -> "PersonOut":
        """Show the person of `account`."""
        return cls(
            id=account.person_id,
            first_name=account.first_name,
            last_name=account.last_name,
            full_name=f"{account.first_name} {account.last_name}",
            phone=account.phone,
            email=account.email,
        )


class UnitOut(BaseModel):
    """A unit that the caller owns or rents: an owner has a share, a tenant a lease (rule R623)."""

    model_config = example(
        unit_id=10,
        unit_number="101",
        estate_id=1,
        estate_name="Sunset Estate",
        role="owner",
        is_primary=True,
        ownership_percentage=100.0,
    )

    unit_id: int
    unit_number: str
    estate_id: int
    estate_name: str
    role: Literal["owner", "tenant"]
    is_primary: bool
    ownership_percentage: Maybe[float]
    monthly_rent: Maybe[float]
    lease_start_date: Maybe[date]
    lease_end_date: Maybe[date]

    @classmethod
    def of(cls, access: UnitAccess) -> "UnitOut":
        """Show `access`."""
        points, rent_minor = access.ownership_basis_points, access.monthly_rent_minor
        return cls(
            unit_id=access.unit_id,
            unit_number=access.unit_number,
            estate_id=access.estate_id,
            estate_name=access.estate_name,
            role="owner" if access.role == "owner" else "tenant",
            is_primary=access.is_primary,
            ownership_percentage=None if points is None else points / BASIS_POINTS_PER_PERCENT,
            monthly_rent=None if rent_minor is None else money(rent_minor),
            lease_start_date=access.lease_start_date,
            lease_end_date=access.lease_end_date,
        )


class SignedIn(BaseModel):
    """A token for 30 days, and all that the app's first screen shows."""

    token: str
    user: LoginUserOut
    person: PersonOut
    units: list[UnitOut]
    password_must_change: bool


class Profile(BaseModel):
    """The caller's account and person."""

    user: UserOut
    person: PersonOut


class Units(BaseModel):
    """The units that the caller reaches today."""

    units: list[UnitOut]
