"""Tariffs of utilities in the portal: /api/mobile/admin/meter-tariffs."""

from typing import Annotated

from fastapi import Depends

from api.context import Db
from api.errors import Problem
from api.mobile.admin.callers import Admin
from api.mobile.admin.paging import Paging
from api.mobile.admin.schemas.meters import NewTariff, TariffOut, TariffPage
from api.routing import Router
from storage.errors import AlreadyExistsError
from storage.queries import meter_tariffs
from stream.metering.tariff import TariffError, tariff_of

router = Router(prefix="/meter-tariffs")


@router.post("", status_code=201)
async def add(body: NewTariff, caller: Admin, db: Db) -> TariffOut:
    """Enter a tariff; `docs/metering.md` says what a definition may be."""
    try:
        tariff_of(body.definition)
    except TariffError as error:
        raise Problem(400, "Validation failed", str(error)) from error
    try:
        made = await meter_tariffs.insert_tariff(
            db, body.name, body.utility_type, body.currency, body.definition
        )
    except AlreadyExistsError as error:
        raise Problem(409, "Tariff already exists", f"A tariff has the name {body.name} already") from error
    return TariffOut.of(made)


@router.get("")
async def list_tariffs(caller: Admin, db: Db, paging: Annotated[Paging, Depends()]) -> TariffPage:
    """List tariffs in order of id."""
    found = await meter_tariffs.list_tariffs(db, after_id=paging.after, limit=paging.limit)
    shown = [TariffOut.of(tariff) for tariff in found]
    return TariffPage(tariffs=shown, next_after=paging.next_after(found))
