"""EV-CMS notifications: /api/v1/notifications (EV-071 to EV-080), and the phones that push reaches."""

import secrets
from typing import Annotated

from fastapi import Depends

from api.callers import Caller
from api.context import Ctx, Db
from api.errors import Problem, forbidden, not_found
from api.evcms.audit import audit
from api.evcms.callers import Admin, AnyUser
from api.evcms.envelope import Answer, Done, Id, Paging
from api.evcms.schemas.notifications import (
    AlertIn,
    BulkDone,
    BulkIn,
    CountOut,
    NamedChannelPreferences,
    NamedNotification,
    NewPushToken,
    NotificationOut,
    NotificationPage,
    PreferencesIn,
    PreferencesOut,
    PushTokenIn,
    ReadStatus,
)
from api.fields import parse_id
from api.routing import Router
from storage.database import Connection
from storage.queries import notices, notifications
from storage.queries.admin_actions import record_action
from storage.queries.notifications import Notification
from stream.broadcast import broadcast, words_of
from stream.notify import Type, notify

router = Router(prefix="/notifications")

KEY_BYTES = 12


@router.get("")
async def list_notifications(
    caller: AnyUser,
    db: Db,
    paging: Annotated[Paging, Depends()],
    status: ReadStatus | None = None,
    type: Type | None = None,  # noqa: A002 (the contract's name)
) -> NotificationPage:
    """List the caller's own notifications, newest first."""
    found, counts = await notifications.list_notifications(
        db,
        caller.id,
        is_read=None if status is None else status == "read",
        type_=type,
        limit=paging.limit,
        offset=paging.offset,
    )
    rows = [NotificationOut.of(each) for each in found]
    return NotificationPage(
        success=True,
        data=rows,
        notifications=rows,
        unread_count=counts.unread,
        pagination=paging.of(counts.found),
    )


@router.get("/preferences")
async def preferences(caller: AnyUser, db: Db) -> Answer[NamedChannelPreferences]:
    """Show what the caller wants to hear by which channel. Until changed, all but promotions by e-mail."""
    changed = await notifications.get_preferences(db, caller.id)
    return Answer.of(NamedChannelPreferences.around(PreferencesOut.of(changed)))


@router.put("/preferences")
async def change_preferences(
    body: PreferencesIn, caller: AnyUser, context: Ctx, db: Db
) -> Answer[NamedChannelPreferences]:
    """Change what the caller wants to hear; what is left out stays. Unknown names are a 422.

    Invoices, identity checks, answers to tickets and the confirmation of an address go by e-mail always.
    """
    changed = await notifications.change_preferences(db, caller.id, body.changes, context.now())
    return Answer.of(NamedChannelPreferences.around(PreferencesOut.of(changed)))


@router.put("/read-all")
async def read_all(caller: AnyUser, context: Ctx, db: Db) -> Done:
    """Mark all of the caller's notifications as read."""
    count = await notifications.mark_all_read(db, caller.id, context.now())
    return Done.of(f"{count} notifications marked as read")


@router.delete("")
async def delete_all(caller: AnyUser, db: Db) -> Done:
    """Delete all of the caller's notifications."""
    count = await notifications.delete_notifications(db, caller.id)
    return Done.of(f"{count} notifications deleted")


@router.post("/push-tokens", status_code=201)
async def add_push_token(body: NewPushToken, caller: AnyUser, db: Db) -> Done:
    """Register a phone for push; whoever had this token before has it no longer. An extension."""
    await notices.put_push_token(db, caller.id, body.token, body.platform)
    return Done.of("This phone is registered for push")


@router.delete("/push-tokens")
async def remove_push_token(body: PushTokenIn, caller: AnyUser, db: Db) -> Done:
    """Forget a phone, as at sign-out; nothing happens where it is not the caller's. An extension."""
    await notices.delete_push_token(db, caller.id, body.token)
    return Done.of("This phone is not registered for push")


@router.get("/{id}")
async def notification(notification_id: Id, caller: AnyUser, db: Db) -> Answer[NamedNotification]:
    """Show one of the caller's notifications."""
    found = await _notification_of(db, caller, notification_id)
    return Answer.of(NamedNotification.around(NotificationOut.of(found)))


@router.patch("/{id}/read")
async def read(notification_id: Id, caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedNotification]:
    """Mark one as read; a second time changes nothing."""
    found = await _notification_of(db, caller, notification_id)
    marked = await notifications.mark_read(db, found.id, context.now())
    return Answer.of(NamedNotification.around(NotificationOut.of(marked or found)))


@router.delete("/{id}")
async def delete(notification_id: Id, caller: AnyUser, db: Db) -> Done:
    """Delete one of the caller's notifications."""
    found = await _notification_of(db, caller, notification_id)
    await notifications.delete_notification(db, found.id)
    return Done.of("Notification deleted")


@router.post("", status_code=201)
async def alert(body: AlertIn, caller: Admin, context: Ctx, db: Db) -> Answer[NamedNotification]:
    """Tell these users, or everybody, something. Answers with the first notification; the rest follow soon.

    The first is the admin's own where the admin is among those who are told. Ids that are nobody's are passed
    over; it is a 400 if all are. Promotions go by e-mail to those who asked for them.
    """
    targets = None if body.target_users is None else await _known(db, body.target_users)
    if targets is not None and not targets:
        raise _nobody()
    news = words_of(f"alert:{secrets.token_hex(KEY_BYTES)}", body.type, body.title, body.message)
    first = caller.id if targets is None or caller.id in targets else targets[0]
    told = await notify(db, first, news, context.now())
    if told is None:
        raise _nobody()
    await broadcast(db, news, "everybody" if targets is None else targets)
    detail = {
        "title": body.title,
        "type": body.type,
        "users": "everybody" if targets is None else len(targets),
    }
    await audit(db, caller, context.now(), "notification.alert", told.id, detail)
    return Answer.of(NamedNotification.around(NotificationOut.of(told)))


@router.post("/bulk", status_code=201)
async def bulk(body: BulkIn, caller: Admin, context: Ctx, db: Db) -> BulkDone:
    """Tell many users something; `count` is how many of the ids are users', who hear of it soon."""
    targets = await _known(db, body.user_ids)
    key = secrets.token_hex(KEY_BYTES)
    await broadcast(db, words_of(f"bulk:{key}", "system", body.title, body.message), targets)
    await record_action(
        db,
        actor_id=caller.id,
        action="notification.bulk",
        subject=f"bulk:{key}",
        detail={"title": body.title, "users": len(targets)},
        now=context.now(),
    )
    count = len(targets)
    return BulkDone(success=True, message=f"{count} users are told", count=count, data=CountOut(count=count))


def _nobody() -> Problem:
    return Problem(400, "Nobody to tell", "None of targetUsers is the id of a user")


async def _known(db: Connection, references: list[str]) -> list[int]:
    ids = [user_id for user_id in map(parse_id, references) if user_id is not None]
    return await notifications.known_users(db, ids)


async def _notification_of(db: Connection, caller: Caller, reference: str) -> Notification:
    """Return the notification with this id; raises 404, or 403 for another's, also for admins."""
    notification_id = parse_id(reference)
    found = None if notification_id is None else await notifications.get_notification(db, notification_id)
    if found is None:
        raise not_found("Notification", f"No notification has the id {reference}")
    if found.user_id != caller.id:
        raise forbidden("This notification is another user's")
    return found
