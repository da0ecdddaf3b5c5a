"""EV-CMS security of a charger: password, profile, certificates; extensions of ours.

OCPP 1.6 security whitepaper edition 3, A00 to A03 and A05; OCPP 2.0.1 part 2, block A. No database
connection is held while a charger is waited for.
"""

import secrets
from typing import Any

from fastapi import Response

from api.callers import Caller
from api.context import Ctx, Db
from api.errors import Problem, forbidden
from api.evcms.callers import BrandOrAdmin
from api.evcms.charger_access import charger_of
from api.evcms.envelope import Answer, Id
from api.evcms.schemas.charger_security import (
    CertificatesOut,
    InstalledOut,
    PasswordOut,
    ProfileIn,
    SecurityOut,
    SignedOut,
)
from api.evcms.schemas.errors import EvcmsError
from api.routing import Router
from storage.database import Connection
from storage.queries import certificates
from storage.queries.charger_security import get_security, set_aliases, set_profile
from storage.queries.charger_views import ChargerView
from storage.queries.chargers import get_charger
from storage.queries.devices import find_device
from stream.bus import BusError, ChargerOfflineError
from stream.charger_passwords import PasswordRefusedError, PasswordsPendingError, rotate

router = Router(prefix="/chargers")

# As hexadecimal 32 characters: OCPP 1.6 A00.FR.205 asks for 16 bytes at least, 2.0.1 for 16 to 40 characters.
PASSWORD_BYTES = 16
CERTIFICATES_MAX = 50
_UNKNOWN: dict[int | str, dict[str, Any]] = {
    503: {"model": EvcmsError, "description": "Nobody knows whether the charger has it"}
}


@router.post("/{id}/password", responses=_UNKNOWN)
async def password(
    charger_id: Id, caller: BrandOrAdmin, context: Ctx, response: Response
) -> Answer[PasswordOut]:
    """Give a connected charger a new password, and show it this once.

    The old one is accepted until the charger connects with the new one.
    """
    async with context.pool.connection() as db:
        view = await charger_of(db, caller, charger_id)
        charger = await get_charger(db, view.device_id)
    assert charger is not None
    fresh = secrets.token_hex(PASSWORD_BYTES).upper()
    timeout_s = context.config.charger_answer_s
    try:
        rotation = await rotate(
            context.pool, context.bus, charger, fresh, now=context.now(), timeout_s=timeout_s
        )
    except ChargerOfflineError as error:
        details = f"Charger {charger.identity} is not connected: its password stays. Try when it is online"
        raise Problem(400, "Charger is offline", details, "CHARGER_OFFLINE") from error
    except PasswordRefusedError as error:
        details = f"{error}. Its password stays"
        raise Problem(409, "Charger rejected the password", details, "CHARGER_REJECTED") from error
    except PasswordsPendingError as error:
        raise Problem(409, "Earlier passwords are not in use yet", str(error)) from error
    except BusError as error:
        details = f"Nobody knows whether charger {charger.identity} has it: both passwords are accepted"
        raise Problem(503, "Charger could not be asked", details) from error
    response.headers["Cache-Control"] = "no-store"
    return Answer.of(PasswordOut.of(fresh, rotation))


@router.put("/{id}/security-profile")
async def security_profile(
    charger_id: Id, body: ProfileIn, caller: BrandOrAdmin, db: Db
) -> Answer[SecurityOut]:
    """Set the least security profile that the charger may connect with, from its next connection on."""
    view = await charger_of(db, caller, charger_id)
    before = await get_security(db, view.device_id)
    assert before is not None
    if body.profile in {1, 2} and not before.has_password:
        details = (
            f"Profile {body.profile} needs a password and charger {view.identity} has none: set it first"
        )
        raise Problem(409, "Charger has no password", details)
    if body.aliases is not None:
        await _set_aliases(db, caller, view, body.aliases)
    await set_profile(db, view.device_id, body.profile, may_upgrade=body.upgrade)
    after = await get_security(db, view.device_id)
    assert after is not None
    return Answer.of(SecurityOut.of(after))


@router.get("/{id}/certificates")
async def charger_certificates(charger_id: Id, caller: BrandOrAdmin, db: Db) -> Answer[CertificatesOut]:
    """List the newest certificates of a charger: signed here, and installed there as far as it told."""
    view = await charger_of(db, caller, charger_id)
    signed = await certificates.list_certificates(db, view.device_id, CERTIFICATES_MAX)
    installed = await certificates.list_installed(db, view.device_id)
    return Answer.of(
        CertificatesOut(
            signed=[SignedOut.of(each) for each in signed],
            installed=[InstalledOut.of(each) for each in installed],
        )
    )


async def _set_aliases(db: Connection, caller: Caller, charger: ChargerView, aliases: list[str]) -> None:
    """Raises 403 but for an admin, for a name decides whose certificate counts; 409 for a taken one."""
    if caller.role != "admin":
        raise forbidden("Aliases of a charger are set by an admin")
    for alias in aliases:
        other = await find_device(db, "charger", alias)
        if other is not None and other.id != charger.device_id:
            raise Problem(409, "Alias is taken", f"{alias} is the identity of another charger")
    await set_aliases(db, charger.device_id, aliases)
