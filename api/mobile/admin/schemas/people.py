"""Persons, owners, tenants and users of the app as the portal has them."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from api.fields import AMOUNT_MAX, Email, Text, minor_units, money
from api.mobile.schemas.common import Body, Phone, Time, example
from storage.queries.notices import Notice
from storage.queries.occupancy import Owner, Tenancy
from storage.queries.persons import Person
from storage.queries.residents import Account

BIGINT_MAX = 2**63 - 1
BASIS_POINTS_PER_PERCENT = 100

Id = Annotated[int, Field(ge=1, le=BIGINT_MAX)]


class NewPerson(Body):
    """A person; the phone, as +27821234567 or 0821234567, becomes the login of the app."""

    model_config = example(first_name="John", last_name="Doe", phone="+27821234567", email="john@example.com")

    first_name: Text
    last_name: Text
    phone: Phone
    email: Email | None = None


class PersonOut(BaseModel):
    """A person; `mobile_user_id` where it has the app."""

    id: int
    first_name: str
    last_name: str
    full_name: str
    phone: str
    email: str | None
    mobile_user_id: int | None
    created_at: Time

    @classmethod
    def of(cls, person: Person) -> "PersonOut":
        """Show `person`."""
        return cls(
            id=person.id,
            first_name=person.first_name,
            last_name=person.last_name,
            full_name=f"{person.first_name} {person.last_name}",
            phone=person.phone,
            email=person.email,
            mobile_user_id=person.user_id,
            created_at=person.created_at,
        )


class PersonPage(BaseModel):
    """One page of persons."""

    persons: list[PersonOut]
    next_after: int | None


class NewOwner(Body):
    """Who owns a unit, and since when; without a date since today."""

    model_config = example(person_id=4, ownership_percentage=100.0)

    person_id: Id
    ownership_percentage: Annotated[Decimal, Field(gt=0, le=100, decimal_places=2)] = Decimal(100)
    is_primary: bool | None = None
    since: date | None = None

    @property
    def basis_points(self) -> int:
        """The share, exactly."""
        return int(self.ownership_percentage * BASIS_POINTS_PER_PERCENT)


class NewTenant(Body):
    """Who rents a unit; the lease ends with its last day."""

    model_config = example(
        person_id=4, monthly_rent=8500.0, lease_start_date="2024-01-01", lease_end_date="2024-12-31"
    )

    person_id: Id
    monthly_rent: Annotated[Decimal, Field(ge=0, le=AMOUNT_MAX, decimal_places=2)]
    lease_start_date: date
    lease_end_date: date
    is_primary: bool | None = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> "NewTenant":
        if self.lease_end_date < self.lease_start_date:
            raise ValueError("lease_end_date must not be before lease_start_date")
        return self

    @property
    def monthly_rent_minor(self) -> int:
        """The rent in minor units, exactly."""
        return minor_units(self.monthly_rent)


class LastDay(Body):
    """The last day of it; without one it was yesterday, where the estate is."""

    # the day after it is a date as well
    last_day: Annotated[date, Field(lt=date.max)] | None = None


class OwnerOut(BaseModel):
    """An ownership; `last_day` is null while it lasts."""

    id: int
    unit_id: int
    person_id: int
    full_name: str
    ownership_percentage: float
    is_primary: bool
    since: date
    last_day: date | None

    @classmethod
    def of(cls, owner: Owner) -> "OwnerOut":
        """Show `owner`."""
        return cls(
            id=owner.id,
            unit_id=owner.unit_id,
            person_id=owner.person_id,
            full_name=f"{owner.first_name} {owner.last_name}",
            ownership_percentage=owner.ownership_basis_points / BASIS_POINTS_PER_PERCENT,
            is_primary=owner.is_primary,
            since=owner.since,
            last_day=None if owner.until is None else date.fromordinal(owner.until.toordinal() - 1),
        )


class TenantOut(BaseModel):
    """A lease."""

    id: int
    unit_id: int
    person_id: int
    full_name: str
    monthly_rent: float
    is_primary: bool
    lease_start_date: date
    lease_end_date: date

    @classmethod
    def of(cls, tenancy: Tenancy) -> "TenantOut":
        """Show `tenancy`."""
        return cls(
            id=tenancy.id,
            unit_id=tenancy.unit_id,
            person_id=tenancy.person_id,
            full_name=f"{tenancy.first_name} {tenancy.last_name}",
            monthly_rent=money(tenancy.monthly_rent_minor),
            is_primary=tenancy.is_primary,
            lease_start_date=tenancy.lease_start_date,
            lease_end_date=tenancy.lease_end_date,
        )


class MobileUser(BaseModel):
    """The user of the app that came with it; `temporary_password` is shown here and texted, once."""

    model_config = example(
        mobile_user_created=True,
        phone_number="+27821234567",
        temporary_password="Abc12345",  # noqa: S106
        message="Mobile app account created. Please provide the temporary password to the owner.",
    )

    mobile_user_created: bool
    phone_number: str
    temporary_password: str | None
    message: str


class OwnerAdded(BaseModel):
    """The ownership, and the user of the app."""

    message: str
    owner: OwnerOut
    mobile_user: MobileUser


class TenantAdded(BaseModel):
    """The lease, and the user of the app."""

    message: str
    tenant: TenantOut
    mobile_user: MobileUser


class OwnerEnded(BaseModel):
    """The ownership as it was; null where it had not begun, and so is gone."""

    message: str
    owner: OwnerOut | None


class TenancyEnded(BaseModel):
    """The lease as it was; null where it had not begun, and so is gone."""

    message: str
    tenant: TenantOut | None


class MobileUserOut(BaseModel):
    """A user of the app."""

    id: int
    person_id: int
    full_name: str
    phone_number: str
    password_must_change: bool
    is_active: bool
    last_login: Time | None
    created_at: Time

    @classmethod
    def of(cls, account: Account) -> "MobileUserOut":
        """Show `account`."""
        return cls(
            id=account.id,
            person_id=account.person_id,
            full_name=f"{account.first_name} {account.last_name}",
            phone_number=account.phone,
            password_must_change=account.password_must_change,
            is_active=account.is_active,
            last_login=account.last_login_at,
            created_at=account.created_at,
        )


class MobileUserPage(BaseModel):
    """One page of users of the app."""

    mobile_users: list[MobileUserOut]
    next_after: int | None


class NoticeOut(BaseModel):
    """A message to a user; `body` is null where it had a secret and has gone. `detail`: why it failed."""

    id: int
    channel: Literal["sms", "push"]
    kind: str
    body: str | None
    state: Literal["pending", "sent", "delivered", "failed"]
    provider: str | None
    detail: str | None
    created_at: Time
    done_at: Time | None

    @classmethod
    def of(cls, notice: Notice) -> "NoticeOut":
        """Show `notice`; what has not gone yet may have a secret, and is not shown either."""
        shown = cls.model_validate(notice, from_attributes=True)
        return shown.model_copy(update={"body": None}) if notice.state == "pending" else shown


class Notices(BaseModel):
    """A user's messages, newest first."""

    notices: list[NoticeOut]
    next_before: int | None
