"""Sessions on a real database for the tests of settlement and reconciliation: chargers, drivers, samples."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from storage import ledger
from storage.database import Connection, Pool, fetch_value
from storage.queries import cdrs, devices, outbox, sessions, stations
from storage.queries.cdrs import Cdr
from storage.queries.chargers import set_connector_status
from storage.queries.reconciliation import Closure, get_closure
from storage.queries.sessions import Session, SessionDetail
from stream import settlement
from stream.reconciliation import Stop, close_stale, late_stop
from stream.settlement import LiveEvent

# Hours ago, as samples of long ago have no partition; a whole hour, as tariffs are by the hour.
T0 = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=20)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

_INSERT_SAMPLE = """
INSERT INTO charger_samples (ts, device_id, received_at, connector_id, measurand, phase, location, context,
                             transaction_id, value)
VALUES (%(ts)s, %(device_id)s, %(received_at)s, %(connector_id)s, 0, 0, 0, 0, %(transaction_id)s, %(value)s)
"""
_INSERT_USER = (
    "INSERT INTO users (system, role, name, email) VALUES ('evcms', 'user', 'D', %(email)s) RETURNING id"
)

_numbers = itertools.count(1)


class Scene:
    """One driver at one charger; every call is a transaction of its own."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.device_id = 0
        self.driver = 0

    @classmethod
    async def make(cls, pool: Pool, balance_minor: int = 10_000_000) -> "Scene":
        scene = cls(pool)
        async with pool.connection() as connection:
            device = await devices.register_device(connection, "charger", f"CP{next(_numbers)}")
            email = {"email": f"driver{next(_numbers)}@example.org"}
            scene.device_id = device.id
            scene.driver = int(await fetch_value(connection, _INSERT_USER, email))
        if balance_minor:
            await scene.top_up(balance_minor)
        return scene

    async def top_up(self, amount_minor: int) -> None:
        async with self.pool.connection() as connection:
            wallet = await ledger.ensure_wallet(connection, self.driver)
            funding = await ledger.house_account(connection, "funding")
            await ledger.transfer(
                connection, key=f"topup:{next(_numbers)}", debit_account_id=funding.id,
                credit_account_id=wallet.id, amount_minor=amount_minor, description="top-up",
            )  # fmt: skip
            await outbox.enqueue(connection, "settle_debts", {"user_id": self.driver})

    async def tariff(self, definition: dict[str, Any] | None = None, **simple: int) -> None:
        async with self.pool.connection() as connection:
            prices: dict[str, Any] = {"energy_minor_per_kwh": 0, **simple, "definition": definition}
            made = await stations.insert_tariff(connection, f"T{next(_numbers)}", **prices)
            station = await stations.insert_station(connection, "S", tariff_id=made.id, time_zone="UTC")
            await connection.execute(
                "UPDATE chargers SET station_id = %s WHERE device_id = %s", (station.id, self.device_id)
            )

    async def start(
        self,
        at: datetime = T0,
        register_wh: int = 0,
        *,
        connector_id: int = 1,
        received_at: datetime | None = None,
        id_tag: str = "TAG",
    ) -> Session:
        async with self.pool.connection() as connection:
            session, _ = await sessions.start_session(
                connection, device_id=self.device_id, connector_id=connector_id, id_tag=id_tag,
                user_id=self.driver, vehicle_id=None, started_at=at, received_at=received_at or at,
                meter_start_wh=register_wh,
            )  # fmt: skip
        return session

    async def sample(self, session: Session, at: datetime, register_wh: float, **changes: Any) -> None:
        row = {
            "ts": at, "received_at": at, "device_id": self.device_id, "connector_id": session.connector_id,
            "transaction_id": session.transaction_id, "value": register_wh, **changes,
        }  # fmt: skip
        async with self.pool.connection() as connection:
            await connection.execute(_INSERT_SAMPLE + "ON CONFLICT DO NOTHING", row)

    async def stop(
        self, session: Session, at: datetime, register_wh: int, *, received_at: datetime | None = None
    ) -> bool:
        """As the gateway does it; whether this was the first end."""
        stop = Stop(at, received_at or at, register_wh, "Local")
        async with self.pool.connection() as connection:
            _, is_new = await sessions.stop_session(
                connection, device_id=self.device_id, transaction_id=session.transaction_id,
                ended_at=stop.ended_at, received_at=stop.received_at, meter_stop_wh=stop.meter_stop_wh,
                reason=stop.reason,
            )  # fmt: skip
            if is_new:
                await outbox.enqueue(connection, "rate_session", {"session_id": session.id})
            else:
                await late_stop(connection, session.id, stop)
        return is_new

    async def status(self, status: str, at: datetime, connector_id: int = 1) -> None:
        async with self.pool.connection() as connection:
            await set_connector_status(connection, self.device_id, connector_id, status, "NoError", at)

    async def reconcile(self, now: datetime) -> int:
        return await close_stale(self.pool, now)

    async def work(self) -> list[LiveEvent]:
        """Carry out the whole outbox, due or not, each task in a transaction of its own."""
        events: list[LiveEvent] = []
        while True:
            async with self.pool.connection() as connection:
                tasks = await outbox.claim_due(connection, datetime.max.replace(tzinfo=UTC), limit=1)
                if not tasks:
                    return events
                events += await _carry_out(connection, tasks[0])
                await outbox.finish(connection, tasks[0].id, datetime.now(UTC))

    async def rated(self, session: Session) -> Cdr:
        async with self.pool.connection() as connection:
            record = await cdrs.latest_cdr(connection, session.id)
        assert record is not None
        return record

    async def seen(self, session: Session) -> SessionDetail:
        async with self.pool.connection() as connection:
            found = await sessions.get_session(connection, session.id)
        assert found is not None
        return found

    async def closure(self, session: Session) -> Closure | None:
        async with self.pool.connection() as connection:
            return await get_closure(connection, session.id)

    async def balance(self) -> int:
        async with self.pool.connection() as connection:
            wallet = await ledger.wallet(connection, self.driver)
        return 0 if wallet is None else wallet.balance_minor

    async def house(self) -> tuple[int, int]:
        """Revenue and tax."""
        async with self.pool.connection() as connection:
            revenue = await ledger.house_account(connection, "revenue")
            tax = await ledger.house_account(connection, "tax")
            assert await ledger.trial_balance(connection) == {"INR": 0}
        return revenue.balance_minor, tax.balance_minor


async def _carry_out(connection: Connection, task: outbox.Task) -> list[LiveEvent]:
    if task.kind == "rate_session":
        return await settlement.rate_session(connection, task.payload["session_id"])
    if task.kind == "settle_debts":
        await settlement.settle_debts(connection, task.payload["user_id"])
    return []  # what people and screens are told is no business of these tests
