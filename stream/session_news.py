"""What drivers hear of their sessions: that charging began, what it cost, that the wallet paid.

The gateway calls `announce_start` in the transaction that begins a session, `stream.jobs` carries out
`tell_started`; `stream.settlement` calls the others when it has rated and debited.
"""

from datetime import datetime

from storage import ledger
from storage.database import Connection
from storage.queries import outbox, sessions
from storage.queries.cdrs import Cdr
from storage.queries.sessions import Session, SessionDetail
from stream.notices import amount
from stream.notify import Kind, News, notify
from stream.platform_settings import read_settings
from stream.user_wallets import tell_if_low

KIND = "tell_session_started"
WH_PER_KWH = 1_000


async def announce_start(connection: Connection, session: Session) -> None:
    """Have the driver of a session that has just begun told, if it is known who drives."""
    if session.user_id is not None:
        await outbox.enqueue(connection, KIND, {"session_id": session.id})


async def tell_started(connection: Connection, session_id: int, now: datetime) -> None:
    """Tell the driver that charging has started."""
    session = await sessions.get_session(connection, session_id)
    if session is None or session.user_id is None:
        return
    values = {"connector": str(session.connector_id), "charger": session.charger_identity}
    news = News(f"session:{session.id}:started", Kind.SESSION_STARTED, values, _data(session.id))
    await notify(connection, session.user_id, news, now)


async def tell_completed(
    connection: Connection, session: SessionDetail, record: Cdr, *, is_paid: bool, now: datetime
) -> None:
    """Tell the driver what the session came to, and, where the wallet had enough, that it paid."""
    if record.user_id is None:
        return
    values = {
        "energy": f"{record.energy_wh / WH_PER_KWH:.2f}",
        "amount": amount(record.currency, record.total_minor),
        "charger": session.charger_identity,
        **({} if is_paid else {"is_owed": "yes"}),
    }
    news = News(f"session:{session.id}:completed", Kind.SESSION_COMPLETED, values, _data(session.id))
    await notify(connection, record.user_id, news, now)
    if is_paid:
        await tell_paid(connection, record, now)


async def tell_paid(connection: Connection, record: Cdr, now: datetime) -> None:
    """Tell the driver that the wallet has paid for a session, unless it was free, and if it is low now."""
    if record.user_id is None or record.total_minor == 0:
        return
    values = {
        "amount": amount(record.currency, record.total_minor),
        "description": f"charging session {record.session_id}",
    }
    news = News(f"session:{record.session_id}:paid", Kind.PAYMENT_MADE, values, _data(record.session_id))
    await notify(connection, record.user_id, news, now)
    paid = await ledger.find_transfer(connection, f"session:{record.session_id}")
    if paid is not None:
        minimum_minor = (await read_settings(connection)).payment.min_wallet_balance_minor
        await tell_if_low(connection, record.user_id, paid, minimum_minor, now)


def _data(session_id: int) -> dict[str, str]:
    return {"sessionId": str(session_id)}
