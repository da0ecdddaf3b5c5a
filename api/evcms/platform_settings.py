"""EV-CMS settings of the platform: /api/v1/settings (EV-125, EV-126)."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Body
from pydantic import ValidationError

from api.context import Ctx, Db
from api.errors import FIELD_ERRORS_MAX, FieldError, Problem, invalid
from api.evcms.callers import Admin
from api.evcms.envelope import Answer
from api.evcms.schemas.platform_settings import EXAMPLE, Changes, NamedSettings, SettingsOut
from api.routing import Router
from storage.queries import admin_actions, platform_settings
from stream.platform_settings import PlatformSettings, read_settings, settings_of

router = Router(prefix="/settings")

PATH = "/api/v1/settings"
JsonObject = dict[str, Any]


@router.get("")
async def get_settings(caller: Admin, db: Db) -> Answer[NamedSettings]:
    """Show the settings in force: percentages, minutes, days and rupees."""
    return _named(await read_settings(db))


@router.put("")
async def update_settings(
    body: Annotated[Changes, Body(examples=[EXAMPLE])], caller: Admin, context: Ctx, db: Db
) -> Answer[NamedSettings]:
    """Change some settings, by group or by dotted keys; the others stay (conflict C63).

    An unknown key, or a value that a setting cannot have, is a validation error of that key, and nothing
    changes then.
    """
    stored = await platform_settings.lock_stored(db)
    before, after = settings_of(stored), _checked(_merged(stored, _grouped(body)))
    await platform_settings.put_stored(
        db,
        after.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        updated_by=caller.id,
        now=context.now(),
    )
    await admin_actions.record_action(
        db,
        actor_id=caller.id,
        action="settings.update",
        subject="settings",
        detail=_difference(before, after),
        now=context.now(),
    )
    return _named(after)


def _named(settings: PlatformSettings) -> Answer[NamedSettings]:
    return Answer.of(NamedSettings.around(SettingsOut.of(settings)))


def _grouped(body: Mapping[str, Any]) -> JsonObject:
    """Return the changes by group; what is no group comes through, for the check to name it."""
    groups: JsonObject = {}
    for key, value in body.items():
        group, dot, name = key.partition(".")
        change = {name: value} if dot else value
        known = groups.get(group)
        if isinstance(known, dict) and isinstance(change, dict):
            change = {**known, **change}
        groups[group] = change
    return groups


def _merged(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> JsonObject:
    merged = dict(stored)
    for group, change in changes.items():
        before = merged.get(group, {})
        merged[group] = {**before, **change} if isinstance(change, dict) else change
    return merged


def _checked(merged: Mapping[str, Any]) -> PlatformSettings:
    """Return the settings; raises 422 that names each wrong one as `group.key`."""
    try:
        settings = settings_of(merged)
    except ValidationError as error:
        raise _invalid(error) from error
    if settings.payment.min_wallet_balance > settings.payment.max_wallet_balance:
        fault = FieldError("payment.minWalletBalance", "must not be above payment.maxWalletBalance")
        raise invalid(PATH, [fault])
    return settings


def _invalid(error: ValidationError) -> Problem:
    faults = [
        FieldError(
            ".".join(str(part) for part in each["loc"]),
            "Unknown setting" if each["type"] == "extra_forbidden" else each["msg"],
        )
        for each in error.errors(include_url=False, include_input=False)[:FIELD_ERRORS_MAX]
    ]
    return invalid(PATH, faults)


def _difference(before: PlatformSettings, after: PlatformSettings) -> JsonObject:
    """Return what changed, by dotted key."""
    old, new = (each.model_dump(mode="json", by_alias=True) for each in (before, after))
    return {
        f"{group}.{name}": {"from": old[group][name], "to": value}
        for group, values in new.items()
        for name, value in values.items()
        if old[group][name] != value
    }
