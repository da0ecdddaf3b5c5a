"""What devices sent, and what is sent to them, in the portal: payloads as they came, samples, commands."""

from datetime import timedelta
from typing import Annotated
from uuid import uuid4
from zoneinfo import ZoneInfo

from fastapi import Query

from api.context import Ctx, Db
from api.errors import Problem
from api.mobile.admin.callers import Admin
from api.mobile.admin.device_lookup import DeviceId, find_device
from api.mobile.admin.schemas.devices import (
    CommandOut,
    Commands,
    CompletenessReport,
    DayOut,
    NewCommand,
    PayloadOut,
    Payloads,
    SampleOut,
    Samples,
)
from api.mobile.admin.schemas.profiles import Downlink
from api.routing import Router
from storage.queries import completeness, device_commands, device_samples, profiles, raw_payloads
from storage.queries.profiles import Profile
from stream.bus import nudge_device
from stream.completeness import by_day

router = Router(prefix="/devices/{device_id}")

DAYS_MAX = 400
PAGE_MAX = 500
DAY_US = 86_400_000_000
REASON = "operator"

Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="of history")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


@router.get("/payloads")
async def list_payloads(
    device_id: DeviceId, caller: Admin, context: Ctx, db: Db, days: Days = 7, limit: Limit = 50
) -> Payloads:
    """List what a device sent, as it came, newest first, with what its decoder made of it."""
    view = await find_device(db, device_id)
    now_us = context.clock()
    found = await raw_payloads.newest_payloads(
        db, view.id, since_us=now_us - days * DAY_US, before_us=now_us + DAY_US, limit=limit
    )
    return Payloads(payloads=[PayloadOut.of(payload) for payload in found])


@router.get("/samples")
async def list_samples(device_id: DeviceId, caller: Admin, context: Ctx, db: Db, days: Days = 7) -> Samples:
    """Show a device's newest value of each quantity."""
    view = await find_device(db, device_id)
    found = await device_samples.newest_samples(db, view.id, since_us=context.clock() - days * DAY_US)
    return Samples(samples=[SampleOut.of(sample) for sample in found])


@router.get("/completeness")
async def list_completeness(
    device_id: DeviceId, caller: Admin, context: Ctx, db: Db, days: Days = 7
) -> CompletenessReport:
    """Say day by day (UTC) how much of what a device counted has arrived, newest first."""
    view = await find_device(db, device_id)
    until = context.now()
    since = (until - timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    counted = await completeness.counters_of(db, view.id, since, until)
    found = by_day(
        counted.heard_at_us,
        counted.counters,
        joined_at_us=counted.joined_at_us,
        before=counted.before,
        zone=ZoneInfo("UTC"),
        since=since,
        until=until,
        interval_s=view.interval_s,
    )
    return CompletenessReport(days=[DayOut.of(day) for day in reversed(found)], is_cut=counted.is_cut)


@router.post("/commands", status_code=201)
async def send(device_id: DeviceId, body: NewCommand, caller: Admin, context: Ctx) -> CommandOut:
    """Send something to a device: at once if it listens, else after it was heard next.

    A command of the same action that waits still is superseded; `open` and `close` supersede each other.
    """
    async with context.pool.connection() as connection:
        view = await find_device(connection, device_id)
        profile = await profiles.profile_of_device(connection, view.id)
        downlink = _downlink(body, profile)
        now = context.now()
        made = await device_commands.insert_command(
            connection,
            command_id=uuid4(),
            device_id=view.id,
            action=body.action,
            port=downlink.port,
            payload=bytes.fromhex(downlink.payload_hex),
            is_confirmed=downlink.is_confirmed,
            reason=REASON,
            requested_by=caller.id,
            created_at=now,
            expires_at=now + timedelta(seconds=body.expires_in_s),
        )
    await nudge_device(context.bus, view.id)  # committed by now
    return CommandOut.of(made)


@router.get("/commands")
async def list_commands(device_id: DeviceId, caller: Admin, db: Db, limit: Limit = 50) -> Commands:
    """List what was sent to a device, newest first."""
    view = await find_device(db, device_id)
    found = await device_commands.list_commands(db, view.id, limit=limit)
    return Commands(commands=[CommandOut.of(command) for command in found])


def _downlink(body: NewCommand, profile: Profile | None) -> Downlink:
    """Return the bytes of the body, or those that the profile has for its action."""
    if body.payload_hex is not None:
        return Downlink(port=body.port, payload_hex=body.payload_hex, is_confirmed=body.is_confirmed)
    known = {} if profile is None else profile.downlinks
    if body.action not in known:
        names = ", ".join(sorted(known)) or "none"
        details = f"action: the device's profile has no downlink {body.action!r} (it has: {names})"
        raise Problem(400, "Validation failed", f"{details}; name one of them, or give payload_hex")
    return Downlink.model_validate(known[body.action])
