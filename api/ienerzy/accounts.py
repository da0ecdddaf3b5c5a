"""Accounts of Ienerzy as admins make and change them: /api/admin/accounts (IE-X01 and IE-X07; extensions)."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Path, Query

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem, forbidden, not_found, unauthenticated
from api.fields import Text, parse_id
from api.ienerzy.account_schemas import (
    AccountChange,
    AccountOut,
    AccountStatus,
    NewAccount,
    ProfileIn,
    UserId,
)
from api.ienerzy.callers import FAMILY, Admin
from api.ienerzy.phones import phone_of
from api.ienerzy.schemas import Role
from api.routing import Router
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import accounts, technician_profiles, users
from storage.queries.admin_actions import record_action
from storage.queries.technician_profiles import ProfileFacts
from storage.queries.users import User

router = Router(prefix="/admin/accounts")

LIST_MAX = 10_000

AccountId = Annotated[str, Path(alias="id")]


@router.get("")
async def list_accounts(
    caller: Admin,
    db: Db,
    role: Role | None = None,
    status: AccountStatus | None = None,
    dealer_id: Annotated[UserId | None, Query()] = None,
    search: Annotated[Text | None, Query(description="part of a name or a phone number")] = None,
) -> list[AccountOut]:
    """List accounts of all roles, the newest first."""
    found = await accounts.list_accounts(
        db, role=role, status=status, dealer_id=dealer_id, search=search, limit=LIST_MAX
    )
    profiles = await technician_profiles.profiles_of(db, [each.id for each in found])
    return [AccountOut.of(each, profiles.get(each.id)) for each in found]


@router.post("", status_code=201)
async def create_account(body: NewAccount, caller: Admin, context: Ctx, db: Db) -> AccountOut:
    """Make an account, which signs in by its phone and role. A phone can have one of each role."""
    if body.technician is not None and body.role != "technician":
        raise Problem(400, "Validation failed", f"technician: a {body.role} has no such profile")
    dealer_id = await _dealer_of(db, body)
    made = await make_account(
        db,
        role=body.role,
        name=body.name,
        phone=phone_of(context, body.phone),
        dealer_id=dealer_id if body.role == "consumer" else None,
    )
    if body.role == "technician":
        before: ProfileFacts = {**technician_profiles.DEFAULTS, "dealer_id": dealer_id}
        await _put_profile(db, made.id, before, body.technician or ProfileIn())
    await _write_down(context, db, caller, "account.create", made.id, {"role": body.role})
    return await _shown(db, made.id)


@router.get("/{id}")
async def get_account(account_id: AccountId, caller: Admin, db: Db) -> AccountOut:
    """Show an account."""
    return await _shown(db, _id(account_id))


@router.patch("/{id}")
async def update_account(
    account_id: AccountId, body: AccountChange, caller: Admin, context: Ctx, db: Db
) -> AccountOut:
    """Change an account, block it, or let it in again. Nobody can block himself (403)."""
    before = await _locked(db, caller, account_id)
    status = body.status or before.status
    if before.id == caller.id and status != "active":
        raise forbidden("You cannot block your own account: another admin can")
    phone = before.phone if body.phone is None else phone_of(context, body.phone)
    assert phone is not None, "accounts of Ienerzy sign in by it"
    try:
        await accounts.update_account(
            db,
            before.id,
            name=body.name or before.name,
            phone=phone,
            status=status,
            status_reason=before.status_reason if body.status is None else body.reason,
            now=context.now(),
        )
    except AlreadyExistsError as error:
        raise _taken(before.role, phone) from error
    if body.technician is not None:
        await _change_profile(db, before, body.technician)
    detail = {
        "fields": sorted(body.model_fields_set),
        "status": {"from": before.status, "to": status},
    }
    await _write_down(context, db, caller, "account.update", before.id, detail)
    return await _shown(db, before.id)


async def make_account(db: Connection, *, role: str, name: str, phone: str, dealer_id: int | None) -> User:
    """Make an account of Ienerzy; raises 400 where one of its role has the phone (E.164)."""
    try:
        return await users.insert_user(
            db, system=FAMILY, role=role, name=name, phone=phone, dealer_id=dealer_id
        )
    except AlreadyExistsError as error:
        raise _taken(role, phone) from error


async def dealer_exists(db: Connection, dealer_id: int) -> None:
    """Raise 400 where no dealer has this id."""
    dealer = await users.get_user(db, dealer_id)
    if dealer is None or dealer.system != FAMILY or dealer.role != "dealer":
        raise Problem(400, "Unknown dealer", f"No dealer has the id {dealer_id}")


async def dealer_for(db: Connection, caller: Caller, named: int | None) -> int:
    """Return whose a new thing is: a dealer's are always his own, an admin names the dealer. Raises 400."""
    if caller.role == "dealer":
        return caller.id
    if named is None:
        raise Problem(400, "Missing required fields", "dealer_id is required of an admin")
    await dealer_exists(db, named)
    return named


async def _dealer_of(db: Connection, body: NewAccount) -> int | None:
    """A consumer is somebody's, a technician may be; others have no dealer."""
    if body.role == "consumer" and body.dealer_id is None:
        raise Problem(400, "Missing required fields", "dealer_id is required of a consumer")
    if body.role not in {"consumer", "technician"} or body.dealer_id is None:
        return None
    await dealer_exists(db, body.dealer_id)
    return body.dealer_id


async def _change_profile(db: Connection, user: User, change: ProfileIn) -> None:
    held = await technician_profiles.lock_profile(db, user.id)
    if user.role != "technician":
        raise Problem(400, "Validation failed", f"technician: a {user.role} has no such profile")
    if held is None:
        await _put_profile(db, user.id, technician_profiles.DEFAULTS, change)
        return
    if "rating" in change.model_fields_set and held.ratings and change.rating != held.rating:
        details = f"technician.rating: it comes from the {held.ratings} ratings of tickets"
        raise Problem(400, "Validation failed", details)
    await _put_profile(db, user.id, technician_profiles.facts_of(held), change)


async def _put_profile(db: Connection, user_id: int, before: ProfileFacts, change: ProfileIn) -> None:
    if change.dealer_id is not None:
        await dealer_exists(db, change.dealer_id)
    # the model's fields are those of the facts; what was not sent stays
    facts: ProfileFacts = {**before, **change.model_dump(exclude_unset=True)}  # type: ignore[typeddict-item]
    await technician_profiles.put_profile(db, user_id, **facts)


async def _locked(db: Connection, caller: Caller, reference: str) -> User:
    """Return the account, held until commit together with the caller's own; raises 404.

    Two admins who block each other at once come one after the other: the second is none by then.
    """
    user_id = _id(reference)
    found = await users.lock_users(db, [caller.id, user_id])
    own, user = found.get(caller.id), found.get(user_id)
    if own is None:
        raise unauthenticated("This account is gone")
    if own.status != "active":
        raise forbidden("This account is blocked")
    if user is None or user.system != FAMILY:
        raise _unknown(reference)
    return user


async def _shown(db: Connection, user_id: int) -> AccountOut:
    found = await accounts.get_account(db, user_id)
    if found is None:
        raise _unknown(str(user_id))
    profiles = await technician_profiles.profiles_of(db, [user_id])
    return AccountOut.of(found, profiles.get(user_id))


async def _write_down(
    context: Context, db: Connection, caller: Caller, action: str, user_id: int, detail: Mapping[str, object]
) -> None:
    await record_action(
        db,
        actor_id=caller.id,
        action=f"ienerzy.{action}",
        subject=f"user:{user_id}",
        detail=detail,
        now=context.now(),
    )


def _id(reference: str) -> int:
    user_id = parse_id(reference)
    if user_id is None:
        raise _unknown(reference)
    return user_id


def _unknown(reference: str) -> Problem:
    return not_found("Account", f"No account has the id {reference}")


def _taken(role: str, phone: str) -> Problem:
    return Problem(
        400, "Account already exists", f"A {role} has the phone number {phone} already", "DUPLICATE"
    )
