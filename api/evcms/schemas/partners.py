"""EV-CMS partners."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.evcms.envelope import Named, Out, Page, Time
from api.fields import Email, Storable, Text
from storage.queries.partners import Partner

ADDRESS_CHARACTERS_MAX = 500

PartnerStatus = Literal["active", "inactive"]


class PartnerIn(BaseModel):
    """A new partner; `type` is the platform's own word for what it does."""

    name: Text
    email: Email
    phone: Annotated[Text, Field(max_length=32)]
    type: Annotated[Text, Field(max_length=64)]
    address: Annotated[str, Field(min_length=1, max_length=ADDRESS_CHARACTERS_MAX), Storable]


class PartnerOut(Out):
    """A partner."""

    id: str
    name: str
    email: str
    phone: str
    type: str
    address: str
    status: PartnerStatus
    created_at: Time

    @classmethod
    def of(cls, partner: Partner) -> "PartnerOut":
        """Show `partner`."""
        return cls.model_validate(
            {
                "id": str(partner.id),
                "name": partner.name,
                "email": partner.email,
                "phone": partner.phone,
                "type": partner.type,
                "address": partner.address,
                "status": partner.status,
                "created_at": partner.created_at,
            }
        )


class NamedPartner(PartnerOut, Named):
    """`data` of an answer about one partner."""

    partner: PartnerOut


class PartnerPage(Page[PartnerOut]):
    """One page of partners, newest first."""

    partners: list[PartnerOut]
