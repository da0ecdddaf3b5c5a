"""An admin's own words to many users: tasks of the outbox that each write a bounded batch of notifications.

The API calls `broadcast` in its transaction; `stream.jobs` carries out `write_batch` (kind `broadcast`).
A task that is carried out again tells nobody twice: the news has one key.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from storage.database import Connection
from storage.queries import notifications, outbox
from stream.notify import Kind, News, Type, write
from stream.settlement import LiveEvent

KIND = "broadcast"
BATCH_MAX = 200  # users of one task, which is one transaction

Everybody = Literal["everybody"]


def words_of(key: str, type_: Type, title: str, message: str) -> News:
    """Return an admin's words as news; promotions go by their own preference."""
    kind = Kind.PROMOTION if type_ == "promotion" else Kind.SYSTEM
    return News(key, kind, {"title": title, "message": message}, type=type_)


async def broadcast(connection: Connection, news: News, user_ids: Sequence[int] | Everybody) -> None:
    """Have these users told, or everybody of the family, soon after the commit; `news` of `words_of`."""
    told = {"key": news.key, "type": news.type, **news.values}
    if user_ids == "everybody":
        await outbox.enqueue(connection, KIND, {**told, "after_id": 0})
        return
    for first in range(0, len(user_ids), BATCH_MAX):
        batch = list(user_ids[first : first + BATCH_MAX])
        await outbox.enqueue(connection, KIND, {**told, "user_ids": batch})


async def write_batch(connection: Connection, payload: Mapping[str, Any], now: datetime) -> list[LiveEvent]:
    """Tell one batch, and enqueue the next where everybody is meant; returns what the socket announces."""
    news = words_of(payload["key"], payload["type"], payload["title"], payload["message"])
    user_ids = payload.get("user_ids")
    if user_ids is None:
        user_ids = await notifications.users_after(connection, int(payload["after_id"]), BATCH_MAX)
        if len(user_ids) == BATCH_MAX:
            await outbox.enqueue(connection, KIND, {**payload, "after_id": user_ids[-1]})
    events: list[LiveEvent] = []
    for user_id in user_ids:
        told = await write(connection, user_id, news, now)
        if told is not None and told.is_live:
            events.append(LiveEvent("notification", told.event))
    return events
