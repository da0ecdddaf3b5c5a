"""Accounts of Lithovolt: one's own at /api/users/me/ (LI-X02), all for admins at /api/users/ (LI-X03)."""

from typing import Annotated, Any

from fastapi import Query

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem, forbidden, not_found
from api.fields import Text, parse_id
from api.lithovolt.accounts import changed, create, phone_taken, send_reset
from api.lithovolt.callers import Admin, AnyUser, unauthenticated
from api.lithovolt.paging import Page, Pages
from api.lithovolt.schemas import Id
from api.lithovolt.user_schemas import ProfileIn, Role, StandingIn, Status, UserIn, UserOut
from api.routing import Router
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import lithovolt_users, refresh_tokens
from storage.queries.admin_actions import record_action
from storage.queries.lithovolt_users import Account
from stream.lithovolt_words import tell

router = Router(prefix="/users")


@router.get("/me/")
async def get_me(caller: AnyUser, db: Db) -> UserOut:
    """Show the caller's account."""
    return UserOut.of(await _get(db, str(caller.id)))


@router.patch("/me/")
async def update_me(body: ProfileIn, caller: AnyUser, context: Ctx, db: Db) -> UserOut:
    """Change the caller's names, phone, company, GSTIN or address; a phone of null takes it away."""
    own = (await lithovolt_users.lock_accounts(db, [caller.id])).get(caller.id)
    if own is None:
        raise unauthenticated("This account is gone")
    return UserOut.of(await _change(context, db, own, body.model_dump(exclude_unset=True)))


@router.get("/")
async def list_users(
    caller: Admin,
    db: Db,
    paging: Pages,
    role: Role | None = None,
    status: Status | None = None,
    is_approved: bool | None = None,
    search: Annotated[Text | None, Query(description="part of a name, e-mail, phone or company")] = None,
) -> Page[UserOut]:
    """List accounts, newest first. Wholesalers who wait for approval: `is_approved=false`."""
    found, count = await lithovolt_users.list_accounts(
        db,
        role=role,
        status=status,
        is_approved=is_approved,
        search=search,
        limit=paging.page_size,
        offset=paging.offset,
    )
    return Page[UserOut].of([UserOut.of(account) for account in found], count, paging)


@router.post("/", status_code=201)
async def create_user(body: UserIn, caller: Admin, context: Ctx, db: Db) -> UserOut:
    """Make an account of any role, approved. Without a password its owner is sent a token to set one."""
    account = await create(context, db, body, role=body.role, password=body.password, is_approved=True)
    if body.password is None:
        await send_reset(context, db, account)
    await _record(context, db, caller, "user.create", account, {"role": account.role})
    return UserOut.of(account)


@router.get("/{id}/")
async def get_user(user_id: Id, caller: Admin, db: Db) -> UserOut:
    """Show an account."""
    return UserOut.of(await _get(db, user_id))


@router.patch("/{id}/")
async def update_user(user_id: Id, body: StandingIn, caller: Admin, context: Ctx, db: Db) -> UserOut:
    """Change an account: its role, block it, or approve a wholesaler, who is told.

    With another role, blocked, or not approved any more, all its logins end. Nobody can block or demote
    himself (403).
    """
    before = await _locked(db, caller, user_id)
    after = await _change(context, db, before, body.model_dump(exclude_unset=True), caller)
    has_lost = after.role != before.role or after.status != "active" or not after.is_approved
    if has_lost:
        await refresh_tokens.revoke_all(db, after.id, context.now())
    if after.is_approved and not before.is_approved:
        values = {"company": after.company}
        await tell(db, after.id, "wholesaler_approved", values, context.now(), str(context.clock()))
    return UserOut.of(after)


async def _change(
    context: Context, db: Connection, before: Account, changes: dict[str, Any], admin: Caller | None = None
) -> Account:
    """Change an account that is held; of an admin's changes it is written down what they were."""
    standing = {
        name: getattr(before, name) if changes.get(name) is None else changes[name]
        for name in ("role", "status", "is_approved")
    }
    is_own = admin is not None and admin.id == before.id
    may_sign_in = standing["status"] == "active" and standing["is_approved"]
    if is_own and not (may_sign_in and standing["role"] == "admin"):
        raise forbidden("You cannot block or demote your own account: another admin can")
    is_kept = changes.get("status") is None
    reason = before.status_reason if is_kept else changes.get("status_reason")
    try:
        after = await lithovolt_users.update_account(
            db,
            before.id,
            status_reason=reason,
            now=context.now(),
            **standing,
            **changed(context, before, changes),
        )
    except AlreadyExistsError as error:
        raise phone_taken() from error
    if admin is not None:
        await _record(context, db, admin, "user.update", after, _differences(before, after))
    return after


def _differences(before: Account, after: Account) -> dict[str, Any]:
    names = ("name", "phone", "company", "gstin", "address", "role", "status", "status_reason", "is_approved")
    return {
        name: {"from": getattr(before, name), "to": getattr(after, name)}
        for name in names
        if getattr(before, name) != getattr(after, name)
    }


async def _record(
    context: Context, db: Connection, caller: Caller, action: str, account: Account, detail: dict[str, Any]
) -> None:
    if detail:
        await record_action(
            db,
            actor_id=caller.id,
            action=action,
            subject=f"user:{account.id}",
            detail=detail,
            now=context.now(),
        )


async def _locked(db: Connection, caller: Caller, reference: str) -> Account:
    """Return the account, held until commit together with the caller's own; raises 404.

    Two admins who demote each other at once come one after the other: the second is none by then.
    """
    user_id = _id(reference)
    found = await lithovolt_users.lock_accounts(db, [caller.id, user_id])
    own = found.get(caller.id)
    if own is None or own.role != "admin" or own.status != "active":
        raise forbidden("You are no admin any more")
    if user_id not in found:
        raise _unknown(reference)
    return found[user_id]


async def _get(db: Connection, reference: str) -> Account:
    account = await lithovolt_users.get_account(db, _id(reference))
    if account is None:
        raise _unknown(reference)
    return account


def _id(reference: str) -> int:
    user_id = parse_id(reference)
    if user_id is None:
        raise _unknown(reference)
    return user_id


def _unknown(reference: str) -> Problem:
    return not_found("User", f"No user has the id {reference}")
