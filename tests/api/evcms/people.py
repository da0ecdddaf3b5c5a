"""Files that people have uploaded, and sessions of their vehicles."""

from datetime import UTC, datetime, timedelta

from storage.database import Pool
from storage.queries import sessions, uploads
from stream.settlement import rate_session

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


async def upload(pool: Pool, user_id: int, type_: str, filename: str) -> str:
    """Write down an upload; returns its url."""
    async with pool.connection() as db:
        await uploads.insert_upload(
            db,
            user_id=user_id,
            type_=type_,
            filename=filename,
            original="scan.png",
            mimetype="image/png",
            size_bytes=10,
            sha256=b"",
            now=START,
        )
    return f"/uploads/{type_}/{filename}"


async def charge(
    pool: Pool,
    device_id: int,
    user_id: int,
    *,
    vehicle: str | None = None,
    energy_wh: int = 10_000,
    at: datetime = START,
) -> int:
    """A session of an hour, stopped and rated; returns its id."""
    async with pool.connection() as db:
        session, _ = await sessions.start_session(
            db,
            device_id=device_id,
            connector_id=1,
            id_tag="TAG",
            user_id=user_id,
            vehicle_id=vehicle,
            started_at=at,
            received_at=at,
            meter_start_wh=1_000,
        )
        end = at + timedelta(hours=1)
        await sessions.stop_session(
            db,
            device_id=device_id,
            transaction_id=session.transaction_id,
            ended_at=end,
            received_at=end,
            meter_stop_wh=1_000 + energy_wh,
            reason="Local",
        )
        await rate_session(db, session.id)
    return session.id
