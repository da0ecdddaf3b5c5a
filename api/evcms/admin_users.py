"""EV-CMS accounts as admins manage them: /api/v1/admin/users (EV-098 to EV-103)."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem, forbidden, not_found, unauthenticated
from api.evcms.accounts import show_all
from api.evcms.audit import audit
from api.evcms.callers import FAMILY, Admin
from api.evcms.envelope import Answer, Done, Id, Paging
from api.evcms.schemas.users import (
    ManagedUserOut,
    NamedManagedUser,
    Role,
    Status,
    StatusChange,
    UserChange,
    UserPage,
)
from api.fields import Text, parse_id
from api.routing import Router
from storage.database import Connection
from storage.queries import refresh_tokens, users
from storage.queries.users import User

router = Router(prefix="/admin/users")


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of an account; None: as it is. `reason` goes with the status."""

    name: str | None = None
    role: str | None = None
    status: str | None = None
    reason: str | None = None


@router.get("")
async def list_users(
    caller: Admin,
    db: Db,
    paging: Annotated[Paging, Depends()],
    status: Status | None = None,
    role: Role | None = None,
    search: Annotated[Text | None, Query(description="part of a name or an e-mail")] = None,
) -> UserPage:
    """List accounts, newest first; deleted ones are left out."""
    found, total = await users.list_evcms_users(
        db, status=status, role=role, search=search, limit=paging.limit, offset=paging.offset
    )
    rows = await show_all(db, found, ManagedUserOut)
    return UserPage(success=True, data=rows, users=rows, pagination=paging.of(total))


@router.get("/{id}")
async def get_user(user_id: Id, caller: Admin, db: Db) -> Answer[NamedManagedUser]:
    """Show an account."""
    found = await users.get_user(db, _id(user_id))
    if found is None or found.system != FAMILY:
        raise _unknown(user_id)
    return await _named(db, found)


@router.put("/{id}")
async def update_user(
    user_id: Id, body: UserChange, caller: Admin, context: Ctx, db: Db
) -> Answer[NamedManagedUser]:
    """Change a name, a role or a status. With another role, or blocked, all logins of the account end.

    Nobody can block, suspend or demote himself (403).
    """
    change = Change(name=body.name, role=body.role, status=body.status)
    return await _named(db, await _apply(context, db, caller, user_id, change))


@router.put("/{id}/status")
async def set_status(
    user_id: Id, body: StatusChange, caller: Admin, context: Ctx, db: Db
) -> Answer[NamedManagedUser]:
    """Block, suspend or activate an account. While it is not active, its login and its tokens get 403."""
    change = Change(status=body.status, reason=body.reason)
    return await _named(db, await _apply(context, db, caller, user_id, change))


@router.delete("/{id}")
async def delete_user(user_id: Id, caller: Admin, context: Ctx, db: Db) -> Done:
    """Delete an account; it can be restored. Its logins end. Nobody can delete himself (403)."""
    found = await _locked(db, caller, user_id)
    if found.id == caller.id:
        raise forbidden("You cannot delete your own account: another admin can")
    await users.delete_user(db, found.id, context.now())
    await refresh_tokens.revoke_all(db, found.id, context.now())
    await audit(db, caller, context.now(), "user.delete", found.id, {})
    return Done.of("User deleted")


@router.patch("/{id}/restore")
async def restore_user(user_id: Id, caller: Admin, context: Ctx, db: Db) -> Answer[NamedManagedUser]:
    """Give a deleted account back, with its status; its owner logs in again."""
    restored = await users.restore_user(db, FAMILY, _id(user_id), context.now())
    if restored is None:
        if (found := await users.get_user(db, _id(user_id))) is None or found.system != FAMILY:
            raise _unknown(user_id)
        raise Problem(409, "User is not deleted", f"User {user_id} is there: nothing to restore")
    await audit(db, caller, context.now(), "user.restore", restored.id, {})
    return await _named(db, restored)


async def _apply(context: Context, db: Connection, caller: Caller, reference: str, change: Change) -> User:
    """Carry out a change, end the logins that it ends, and write it down."""
    before = await _locked(db, caller, reference)
    role, status = change.role or before.role, change.status or before.status
    if before.id == caller.id and (role != before.role or status != "active"):
        raise forbidden("You cannot block, suspend or demote your own account: another admin can")
    is_kept = change.status is None
    after = await users.update_standing(
        db,
        before.id,
        name=change.name or before.name,
        role=role,
        status=status,
        status_reason=before.status_reason if is_kept else change.reason,
        now=context.now(),
    )
    if role != before.role or status != "active":
        await refresh_tokens.revoke_all(db, before.id, context.now())
    detail = {
        name: {"from": getattr(before, name), "to": getattr(after, name)}
        for name in ("name", "role", "status", "status_reason")
        if getattr(before, name) != getattr(after, name)
    }
    if detail:
        await audit(db, caller, context.now(), "user.update", before.id, detail)
    return after


async def _locked(db: Connection, caller: Caller, reference: str) -> User:
    """Return the account, held until commit together with the caller's own; raises 404.

    Two admins who demote or delete each other at once come one after the other: the second is none by then.
    """
    user_id = _id(reference)
    found = await users.lock_users(db, [caller.id, user_id])
    own, user = found.get(caller.id), found.get(user_id)
    if own is None:
        raise unauthenticated("This account is gone")
    if own.role != "admin" or own.status != "active":
        raise forbidden("You are no admin any more")
    if user is None or user.system != FAMILY:
        raise _unknown(reference)
    return user


async def _named(db: Connection, user: User) -> Answer[NamedManagedUser]:
    (shown,) = await show_all(db, [user], ManagedUserOut)
    return Answer.of(NamedManagedUser.around(shown))


def _id(reference: str) -> int:
    user_id = parse_id(reference)
    if user_id is None:
        raise _unknown(reference)
    return user_id


def _unknown(reference: str) -> Problem:
    return not_found("User", f"No user has the id {reference}")
