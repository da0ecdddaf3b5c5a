"""EV-CMS: what a charger is made of, what it was told to keep, and its work. Extensions of ours."""

from typing import Annotated

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.evcms.callers import BrandOrAdmin
from api.evcms.charger_access import charger_of
from api.evcms.envelope import Id, Paging
from api.evcms.schemas.device_model import (
    DisplayMessageOut,
    DisplayMessagePage,
    JobOut,
    JobPage,
    LocalListEntryOut,
    LocalListOut,
    LocalListPage,
    MonitorOut,
    MonitorPage,
    ProfileOut,
    ProfilePage,
    ReservationOut,
    ReservationPage,
    VariableOut,
    VariablePage,
)
from api.fields import OptionalText
from api.routing import Router
from storage.queries import (
    charger_jobs,
    charging_profiles,
    device_model,
    display_messages,
    local_lists,
    reservations,
    variable_monitors,
)
from storage.queries.charger_jobs import JobKind

router = Router(prefix="/chargers/{id}")

Pages = Annotated[Paging, Depends()]
Component = Annotated[OptionalText | None, Query(description='"" for the configuration keys of OCPP 1.6')]


async def _device_id(charger_id: Id, caller: BrandOrAdmin, db: Db) -> int:
    return (await charger_of(db, caller, charger_id)).device_id


DeviceId = Annotated[int, Depends(_device_id)]


@router.get("/variables")
async def variables(
    device_id: DeviceId,
    db: Db,
    paging: Pages,
    component: Component = None,
    variable: OptionalText | None = None,
) -> VariablePage:
    """List the variables or configuration keys of a charger, as it last told or confirmed them."""
    found, total = await device_model.list_variables(
        db,
        device_id,
        component=component,
        variable=variable or None,
        limit=paging.limit,
        offset=paging.offset,
    )
    rows = [VariableOut.of(each) for each in found]
    return VariablePage(success=True, data=rows, variables=rows, pagination=paging.of(total))


@router.get("/charging-profiles")
async def profiles(device_id: DeviceId, db: Db, paging: Pages) -> ProfilePage:
    """List the charging profiles that a charger holds."""
    found, total = await charging_profiles.list_profiles(
        db, device_id, limit=paging.limit, offset=paging.offset
    )
    rows = [ProfileOut.of(each) for each in found]
    return ProfilePage(success=True, data=rows, charging_profiles=rows, pagination=paging.of(total))


@router.get("/reservations")
async def list_reservations(device_id: DeviceId, context: Ctx, db: Db, paging: Pages) -> ReservationPage:
    """List the reservations that a charger accepted, newest first, and what became of them."""
    found, total = await reservations.list_reservations(
        db, device_id, now=context.now(), limit=paging.limit, offset=paging.offset
    )
    rows = [ReservationOut.of(each) for each in found]
    return ReservationPage(success=True, data=rows, reservations=rows, pagination=paging.of(total))


@router.get("/local-list")
async def local_list(device_id: DeviceId, db: Db, paging: Pages) -> LocalListPage:
    """List the tokens that a charger may start without us, with the version of its list."""
    found, total = await local_lists.list_entries(db, device_id, limit=paging.limit, offset=paging.offset)
    stored = await local_lists.get_local_list(db, device_id)
    rows = [LocalListEntryOut.of(each) for each in found]
    return LocalListPage(
        success=True,
        data=rows,
        entries=rows,
        local_list=None if stored is None else LocalListOut.of(stored),
        pagination=paging.of(total),
    )


@router.get("/jobs")
async def jobs(device_id: DeviceId, db: Db, paging: Pages, kind: JobKind | None = None) -> JobPage:
    """List the work of a charger, newest first: firmware updates, uploads and reports."""
    found, total = await charger_jobs.list_jobs(
        db, device_id, kind=kind, limit=paging.limit, offset=paging.offset
    )
    rows = [JobOut.of(each) for each in found]
    return JobPage(success=True, data=rows, jobs=rows, pagination=paging.of(total))


@router.get("/display-messages")
async def messages(device_id: DeviceId, db: Db, paging: Pages) -> DisplayMessagePage:
    """List the messages that a charger shows on its display."""
    found, total = await display_messages.list_messages(
        db, device_id, limit=paging.limit, offset=paging.offset
    )
    rows = [DisplayMessageOut.of(each) for each in found]
    return DisplayMessagePage(success=True, data=rows, display_messages=rows, pagination=paging.of(total))


@router.get("/monitors")
async def monitors(device_id: DeviceId, db: Db, paging: Pages) -> MonitorPage:
    """List the monitors that a charger runs on its variables."""
    found, total = await variable_monitors.list_monitors(
        db, device_id, limit=paging.limit, offset=paging.offset
    )
    rows = [MonitorOut.of(each) for each in found]
    return MonitorPage(success=True, data=rows, monitors=rows, pagination=paging.of(total))
