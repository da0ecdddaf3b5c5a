"""Sign-in of the app: /api/mobile/auth (MO-001 to MO-004)."""

from api.context import Ctx, Db
from api.errors import Problem
from api.mobile.callers import Resident, inactive
from api.mobile.logins import begin, end_others, try_password
from api.mobile.passwords import shortcomings
from api.mobile.schemas.common import Done, parse_phone
from api.mobile.schemas.people import (
    ChangePassword,
    Login,
    LoginUserOut,
    PersonOut,
    Profile,
    SignedIn,
    UnitOut,
    Units,
    UserOut,
)
from api.passwords import hash_password
from api.routing import Router
from storage.queries import occupancy, residents

router = Router(prefix="/auth")


@router.post("/login")
async def login(body: Login, context: Ctx, db: Db) -> SignedIn:
    """Sign in by phone number and password."""
    phone = parse_phone(body.phone_number)
    found = None if phone is None else await residents.find_account(db, phone)
    hashed = None if found is None else found.password_hash
    if not await try_password(context, phone or body.phone_number, body.password, hashed):
        raise Problem(401, "Invalid credentials", "Invalid phone number or password")
    assert found is not None, "nobody's password is never right"
    if not found.is_active:
        raise inactive()
    await residents.note_login(db, found.id, context.now())
    account = await residents.get_account(db, found.id)
    assert account is not None
    token = await begin(context, db, account.id, account.token_version, context.config.mobile_access_s)
    units = await occupancy.units_of(db, account.person_id, context.now())
    return SignedIn(
        token=token,
        user=LoginUserOut.of(account),
        person=PersonOut.of(account),
        units=[UnitOut.of(unit) for unit in units],
        password_must_change=account.password_must_change,
    )


@router.post("/change-password")
async def change_password(body: ChangePassword, caller: Resident, context: Ctx, db: Db) -> Done:
    """Set a password of one's own. This login goes on, the account's others end."""
    lacking = shortcomings(body.new_password)
    if lacking:
        raise Problem(400, "Password does not meet requirements", f"It needs {', '.join(lacking)}")
    account = caller.account
    if body.current_password is not None and not await try_password(
        context, account.phone, body.current_password, account.password_hash
    ):
        raise Problem(401, "Invalid credentials", "Current password is incorrect")
    await residents.change_password(db, account.id, await hash_password(body.new_password))
    await end_others(context, db, account.id, caller.session)
    return Done(message="Password changed successfully")


@router.get("/user")
async def user(caller: Resident) -> Profile:
    """Show the caller's account and person."""
    return Profile(user=UserOut.of(caller.account), person=PersonOut.of(caller.account))


@router.get("/units")
async def units(caller: Resident, context: Ctx, db: Db) -> Units:
    """List all units that the caller owns, or rents today."""
    found = await occupancy.units_of(db, caller.account.person_id, context.now())
    return Units(units=[UnitOut.of(unit) for unit in found])
