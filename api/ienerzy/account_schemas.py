"""Accounts and technicians' profiles, as admins enter and see them (extensions beside the contract)."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.fields import OptionalText, Text
from api.ienerzy.schemas import BIGINT_MAX, Phone, Role, Time, plain
from storage.queries.accounts import Account
from storage.queries.technician_profiles import TechnicianProfile

SKILLS_MAX = 30

AccountStatus = Literal["active", "blocked"]
WorkStatus = Literal["available", "busy", "off_duty"]
UserId = Annotated[int, Field(ge=1, le=BIGINT_MAX)]
Skill = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_ -]{0,49}$")]


class ProfileIn(BaseModel):
    """A technician: where, what for, how good. What is left out stays as it is, at first the default.

    `latitude` and `longitude` in degrees go together; `dealer_id` null: works for every dealer.
    `load_max`: how many tickets at a time.
    """

    dealer_id: UserId | None = None
    location: OptionalText = ""
    latitude: Annotated[float | None, Field(ge=-90, le=90)] = None
    longitude: Annotated[float | None, Field(ge=-180, le=180)] = None
    skills: Annotated[list[Skill], Field(max_length=SKILLS_MAX)] = []
    rating: Annotated[Decimal, Field(ge=0, le=5, decimal_places=1)] = Decimal(0)
    experience_years: Annotated[Decimal, Field(ge=0, le=80, decimal_places=1)] = Decimal(0)
    status: WorkStatus = "available"
    load_max: Annotated[int, Field(ge=1, le=100)] = 5

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if ("latitude" in self.model_fields_set) != ("longitude" in self.model_fields_set) or (
            self.latitude is None
        ) != (self.longitude is None):
            raise ValueError("latitude and longitude go together")
        return self


class NewAccount(BaseModel):
    """An account to make; it signs in by its phone and role. `technician` is of that role alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"role": "dealer", "name": "ABC Motors", "phone": "+919876543210"},
                {
                    "role": "technician",
                    "name": "Asha Rao",
                    "phone": "+919876543213",
                    "technician": {"location": "Bengaluru", "skills": ["electrical"], "rating": 4.5},
                },
            ]
        }
    )

    role: Role
    name: Text
    phone: Phone
    dealer_id: Annotated[
        UserId | None, Field(description="A consumer's dealer, required of one; a technician's only one.")
    ] = None
    technician: ProfileIn | None = None


class AccountChange(BaseModel):
    """What is to be another; what is left out stays. With another phone, or blocked, its logins end."""

    name: Text | None = None
    phone: Phone | None = None
    status: AccountStatus | None = None
    reason: Annotated[OptionalText | None, Field(description="Why it is blocked.")] = None
    technician: ProfileIn | None = None


class ProfileOut(BaseModel):
    """A technician's profile; `ratings`: how many the rating comes from, 0: it was entered."""

    dealer_id: int | None
    location: str
    latitude: float | None
    longitude: float | None
    skills: list[str]
    rating: int | float
    ratings: int
    experience_years: int | float
    status: WorkStatus
    load_max: int

    @classmethod
    def of(cls, profile: TechnicianProfile) -> Self:
        """Show `profile`."""
        return cls.model_validate(
            {
                "dealer_id": profile.dealer_id,
                "location": profile.location,
                "latitude": profile.latitude,
                "longitude": profile.longitude,
                "skills": profile.skills,
                "rating": plain(profile.rating),
                "ratings": profile.ratings,
                "experience_years": plain(profile.experience_years),
                "status": profile.status,
                "load_max": profile.load_max,
            }
        )


class AccountOut(BaseModel):
    """An account; `technician` is None of another role."""

    id: int
    role: Role
    name: str
    phone: str
    status: str
    status_reason: str | None
    dealer_id: int | None
    dealer_name: str | None
    created_at: Time
    technician: ProfileOut | None

    @classmethod
    def of(cls, account: Account, profile: TechnicianProfile | None) -> Self:
        """Show `account`."""
        return cls.model_validate(
            {
                "id": account.id,
                "role": account.role,
                "name": account.name,
                "phone": account.phone,
                "status": account.status,
                "status_reason": account.status_reason,
                "dealer_id": account.dealer_id,
                "dealer_name": account.dealer_name,
                "created_at": account.created_at,
                "technician": None if profile is None else ProfileOut.of(profile),
            }
        )
