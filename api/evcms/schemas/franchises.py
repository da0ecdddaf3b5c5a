"""EV-CMS franchises and their staff; one object for both groups of paths (conflict C13)."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.evcms.envelope import Maybe, Named, Out, Page, Rows, Time
from api.fields import Email, Storable, Text
from storage.queries.franchises import Franchise, Staff

FranchiseStatus = Literal["active", "inactive", "suspended"]
Phone = Annotated[str, Field(min_length=3, max_length=30), Storable]
Agreement = Annotated[str, Field(max_length=5_000), Storable]


class _In(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class FranchiseIn(_In):
    """A new franchise. `owner_id`: of which brand, where an admin enters it; a brand's is its own."""

    name: Text
    location: Text
    contact_person: Text
    phone: Phone | None = None
    email: Email | None = None
    agreement: Agreement | None = None
    owner_id: Text | None = None


class FranchiseChange(_In):
    """What is given is set."""

    name: Text | None = None
    location: Text | None = None
    contact_person: Text | None = None
    phone: Phone | None = None
    email: Email | None = None
    agreement: Agreement | None = None
    status: FranchiseStatus | None = None


class FranchiseOut(Out):
    """A franchise; `owner_id` is its brand's account."""

    id: str
    name: str
    location: str
    contact_person: str
    phone: Maybe[str]
    email: Maybe[str]
    agreement: Maybe[str]
    status: FranchiseStatus
    owner_id: str
    created_at: Time

    @classmethod
    def of(cls, franchise: Franchise) -> Self:
        """Show `franchise`."""
        return cls.model_validate(
            {
                "id": str(franchise.id),
                "name": franchise.name,
                "location": franchise.location,
                "contact_person": franchise.contact_person,
                "phone": franchise.phone,
                "email": franchise.email,
                "agreement": franchise.agreement,
                "status": franchise.status,
                "owner_id": str(franchise.owner_id),
                "created_at": franchise.created_at,
            }
        )


class NamedFranchise(FranchiseOut, Named):
    """`data` of an answer about one franchise."""

    franchise: FranchiseOut


class FranchisePage(Page[FranchiseOut]):
    """One page of franchises, newest first."""

    franchises: list[FranchiseOut]


class StaffIn(_In):
    """Somebody who works at a franchise; `role` in words of its own."""

    name: Text
    role: Text
    phone: Phone | None = None
    email: Email | None = None


class StaffOut(Out):
    """Somebody who works at a franchise."""

    id: str
    franchise_id: str
    name: str
    role: str
    phone: Maybe[str]
    email: Maybe[str]
    created_at: Time

    @classmethod
    def of(cls, staff: Staff) -> Self:
        """Show `staff`."""
        return cls.model_validate(
            {
                "id": str(staff.id),
                "franchise_id": str(staff.franchise_id),
                "name": staff.name,
                "role": staff.role,
                "phone": staff.phone,
                "email": staff.email,
                "created_at": staff.created_at,
            }
        )


class NamedStaff(StaffOut, Named):
    """`data` of an answer about one of the staff."""

    staff: StaffOut


class StaffRows(Rows[StaffOut]):
    """All who work at a franchise, in the order in which they were entered."""

    staff: list[StaffOut]
