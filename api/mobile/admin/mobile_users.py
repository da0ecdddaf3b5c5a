"""Users of the app in the portal: /api/mobile/admin/mobile-users."""

from typing import Annotated

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.mobile.admin.accounts import reset_password
from api.mobile.admin.callers import Admin
from api.mobile.admin.paging import ID_MAX, LIMIT_DEFAULT, LIMIT_MAX, Paging
from api.mobile.admin.schemas.people import MobileUser, MobileUserOut, MobileUserPage, NoticeOut, Notices
from api.mobile.lookup import UserId, find_account
from api.routing import Router
from storage.database import Connection
from storage.queries import notices, residents

router = Router(prefix="/mobile-users")


@router.get("")
async def list_users(caller: Admin, db: Db, paging: Annotated[Paging, Depends()]) -> MobileUserPage:
    """List users of the app; `q` looks into their names and phones."""
    found = await residents.list_accounts(db, query=paging.q, after_id=paging.after, limit=paging.limit)
    shown = [MobileUserOut.of(account) for account in found]
    return MobileUserPage(mobile_users=shown, next_after=paging.next_after(found))


@router.get("/{user_id}")
async def detail(user_id: UserId, caller: Admin, db: Db) -> MobileUserOut:
    """Show a user of the app."""
    return MobileUserOut.of(await find_account(db, user_id))


@router.post("/{user_id}/deactivate")
async def deactivate(user_id: UserId, caller: Admin, db: Db) -> MobileUserOut:
    """Shut the user out at once, with every token that it has."""
    return await _set_status(db, user_id, "suspended")


@router.post("/{user_id}/reactivate")
async def reactivate(user_id: UserId, caller: Admin, db: Db) -> MobileUserOut:
    """Let the user in again."""
    return await _set_status(db, user_id, "active")


@router.post("/{user_id}/reset-password")
async def reset(user_id: UserId, caller: Admin, context: Ctx, db: Db) -> MobileUser:
    """Give the user a new temporary password, by SMS too; every login of the user ends."""
    return await reset_password(context, db, await find_account(db, user_id))


@router.get("/{user_id}/notices")
async def list_notices(
    user_id: UserId,
    caller: Admin,
    db: Db,
    before: Annotated[int | None, Query(ge=1, le=ID_MAX)] = None,
    limit: Annotated[int, Query(ge=1, description=f"at most {LIMIT_MAX}")] = LIMIT_DEFAULT,
) -> Notices:
    """List what was sent to the user and what became of it, newest first."""
    account = await find_account(db, user_id)
    size = min(limit, LIMIT_MAX)
    found = await notices.list_notices(db, account.id, before_id=before, limit=size)
    return Notices(
        notices=[NoticeOut.of(notice) for notice in found],
        next_before=found[-1].id if len(found) == size else None,
    )


async def _set_status(db: Connection, user_id: str, status: str) -> MobileUserOut:
    account = await find_account(db, user_id)
    await residents.set_status(db, account.id, status)
    return MobileUserOut.of(await find_account(db, account.id))
