"""EV-CMS partners: /api/v1/partners (EV-115, EV-116)."""

from typing import Annotated

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.errors import Problem
from api.evcms.audit import audit
from api.evcms.callers import Admin, BrandOrAdmin
from api.evcms.envelope import Answer, Paging
from api.evcms.schemas.partners import NamedPartner, PartnerIn, PartnerOut, PartnerPage, PartnerStatus
from api.fields import Text
from api.routing import Router
from storage.errors import AlreadyExistsError
from storage.queries import partners

router = Router(prefix="/partners")


@router.post("", status_code=201)
async def create_partner(body: PartnerIn, caller: Admin, context: Ctx, db: Db) -> Answer[NamedPartner]:
    """Enter a partner; no two have the same e-mail."""
    try:
        partner = await partners.insert_partner(
            db,
            name=body.name,
            email=body.email,
            phone=body.phone,
            type_=body.type,
            address=body.address,
            now=context.now(),
        )
    except AlreadyExistsError as error:
        raise Problem(409, "Partner already exists", f"A partner has the e-mail {body.email}") from error
    await audit(db, caller, context.now(), "partner.create", partner.id, {"name": partner.name})
    return Answer.of(NamedPartner.around(PartnerOut.of(partner)))


@router.get("")
async def list_partners(
    caller: BrandOrAdmin,
    db: Db,
    paging: Annotated[Paging, Depends()],
    status: PartnerStatus | None = None,
    type_: Annotated[Text | None, Query(alias="type")] = None,
) -> PartnerPage:
    """List partners, newest first."""
    found, total = await partners.list_partners(
        db, status=status, type_=type_, limit=paging.limit, offset=paging.offset
    )
    rows = [PartnerOut.of(partner) for partner in found]
    return PartnerPage(success=True, data=rows, partners=rows, pagination=paging.of(total))
