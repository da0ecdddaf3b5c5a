"""The registry of meters and batteries in the portal: /api/mobile/admin/devices."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import Body, Depends, Query

from api.context import Context, Ctx, Db
from api.errors import Problem, not_found
from api.mobile.admin.callers import Admin
from api.mobile.admin.device_lookup import DeviceId, find_device, find_profile
from api.mobile.admin.paging import Paging
from api.mobile.admin.schemas.devices import (
    INT_MAX,
    DeviceChange,
    DeviceOut,
    DevicePage,
    ImportOut,
    KeyKind,
    Kind,
    NewDevice,
    NewKey,
    ReleasedOut,
    Replaced,
    Replacement,
)
from api.routing import Router
from storage.database import Connection
from storage.errors import AlreadyExistsError, NotFoundError
from storage.queries import device_registry, devices, profiles
from stream import replacement
from stream.device_import import import_devices, token_secret
from stream.release import release

router = Router(prefix="/devices")

SILENT_S_MAX = 366 * 86_400


@router.post("", status_code=201)
async def add(body: NewDevice, caller: Admin, db: Db) -> DeviceOut:
    """Enter a device: from now on what it reports is stored."""
    if await devices.find_device(db, body.kind, body.identity) is not None:
        raise Problem(409, "Device already exists", f"A {body.kind} has the identity {body.identity} already")
    if body.profile_id is not None:
        await find_profile(db, body.profile_id)
    device = await devices.register_device(db, body.kind, body.identity)
    await device_registry.describe(db, device.id, **body.model_dump(exclude={"identity", "kind"}))
    return await _shown(db, device.id)


@router.get("")
async def list_devices(
    caller: Admin,
    context: Ctx,
    db: Db,
    paging: Annotated[Paging, Depends()],
    kind: Kind | None = None,
    status: Literal["active", "quarantined", "archived"] | None = None,
    profile_id: Annotated[int | None, Query(ge=1, le=INT_MAX)] = None,
    silent_for_s: Annotated[int | None, Query(ge=1, le=SILENT_S_MAX, description="not heard of for")] = None,
) -> DevicePage:
    """List devices; `q` looks into identities and names."""
    silent_since = None if silent_for_s is None else context.now() - timedelta(seconds=silent_for_s)
    found = await device_registry.list_views(
        db,
        kind=kind,
        status=status,
        profile_id=profile_id,
        silent_since=silent_since,
        query=paging.q,
        after_id=paging.after,
        limit=paging.limit,
    )
    return DevicePage(devices=[DeviceOut.of(view) for view in found], next_after=paging.next_after(found))


@router.post("/import")
async def import_csv(
    caller: Admin,
    db: Db,
    text: Annotated[
        str,
        Body(
            media_type="text/csv",
            examples=["identity,profile,name\n70b3d5499c1d0001,acme-water,Water 101\n"],
        ),
    ],
    trial: Annotated[bool, Query(description="check only; write nothing")] = False,
) -> ImportOut:
    """Enter many devices from CSV, all or none: where a line is wrong, each error is told by its line."""
    return ImportOut.of(await import_devices(db, text, is_trial=trial), is_trial=trial)


@router.get("/{device_id}")
async def detail(device_id: DeviceId, caller: Admin, db: Db) -> DeviceOut:
    """Show a device."""
    return DeviceOut.of(await find_device(db, device_id))


@router.patch("/{device_id}")
async def change(device_id: DeviceId, body: DeviceChange, caller: Admin, db: Db) -> DeviceOut:
    """Change a device's description or profile."""
    view = await find_device(db, device_id)
    if body.profile_id is not None:
        await find_profile(db, body.profile_id)
    await device_registry.describe(db, view.id, **body.model_dump())
    return await _shown(db, view.id)


@router.post("/{device_id}/release")
async def let_in(device_id: DeviceId, caller: Admin, context: Ctx) -> ReleasedOut:
    """Let a quarantined or archived device in, with what it sent while it waited in quarantine."""
    view = await _view(context, device_id)
    released = await release(context.pool, view.id, context.clock())
    return ReleasedOut(
        device=DeviceOut.of(await _view(context, device_id)),
        stored=released.stored,
        duplicate=released.duplicate,
        quarantined=released.quarantined,
    )


@router.post("/{device_id}/quarantine")
async def quarantine(device_id: DeviceId, caller: Admin, db: Db) -> DeviceOut:
    """Hold back what a device sends from now on, until it is released."""
    return await _with_status(db, device_id, "quarantined")


@router.post("/{device_id}/archive")
async def archive(device_id: DeviceId, caller: Admin, db: Db) -> DeviceOut:
    """Shut a device out; what it has sent stays."""
    return await _with_status(db, device_id, "archived")


@router.post("/{device_id}/replace")
async def replace(device_id: DeviceId, body: Replacement, caller: Admin, context: Ctx, db: Db) -> Replaced:
    """Let another device take this one's place, at its meters too; this one is archived."""
    old = await find_device(db, device_id)
    if old.identity.lower() == body.identity.lower():
        raise Problem(400, "Validation failed", "identity: a device cannot take its own place")
    new = await devices.register_device(db, old.kind, body.identity)
    at = body.at or context.now()
    try:
        count = await replacement.replace(db, old.id, new.id, at)
    except NotFoundError as error:
        raise Problem(409, "Already replaced", f"{old.identity} was replaced before") from error
    except AlreadyExistsError as error:
        raise Problem(409, "Already installed", str(error)) from error
    return Replaced(device=await _shown(db, new.id), meters=count)


@router.put("/{device_id}/keys")
async def set_key(device_id: DeviceId, body: NewKey, caller: Admin, db: Db) -> DeviceOut:
    """Set a secret of a device; it is never shown again."""
    view = await find_device(db, device_id)
    secret = token_secret(body.value) if body.kind == "token" else bytes.fromhex(body.value)
    await profiles.put_device_key(db, view.id, body.kind, secret)
    return await _shown(db, view.id)


@router.delete("/{device_id}/keys/{kind}")
async def delete_key(device_id: DeviceId, kind: KeyKind, caller: Admin, db: Db) -> DeviceOut:
    """Take a secret of a device away."""
    view = await find_device(db, device_id)
    if not await profiles.delete_device_key(db, view.id, kind):
        raise not_found("Key", f"Device {view.identity} has no {kind}")
    return await _shown(db, view.id)


async def _with_status(db: Connection, device_id: str, status: str) -> DeviceOut:
    view = await find_device(db, device_id)
    await devices.set_device_status(db, view.id, status)
    return await _shown(db, view.id)


async def _shown(db: Connection, device_id: int) -> DeviceOut:
    view = await device_registry.get_view(db, device_id)
    assert view is not None
    return DeviceOut.of(view)


async def _view(context: Context, device_id: str) -> device_registry.DeviceView:
    async with context.pool.connection() as connection:
        return await find_device(connection, device_id)
