"""A station with a connector and its charger, and drivers with a vehicle and money in their wallets."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from protocols.vocabulary import MEASURAND_CODES
from storage import ledger, partitions
from storage.database import Connection, Pool, fetch_value
from storage.ledger import Account
from storage.queries import sessions
from stream.settlement import rate_session
from tests.api.helpers import Clock, Person, make_charger

URL = "/api/v1/bookings"
FEE_MINOR = 5_000  # of the platform's default settings
WEALTH_MINOR = 100_000


@dataclass(frozen=True)
class Scene:
    """`device_id` is the charger behind the station's connector 1."""

    pool: Pool
    api: httpx.AsyncClient
    clock: Clock
    station_id: int
    device_id: int

    async def order(self, driver: Person, *, ahead_minutes: float = 120, **changes: Any) -> dict[str, Any]:
        vehicle_id = changes.pop("vehicleId", None) or await give_vehicle(self.pool, driver.id)
        begins = self.clock.moment() + timedelta(minutes=ahead_minutes)
        return {
            "stationId": str(self.station_id),
            "connectorId": "1",
            "vehicleId": str(vehicle_id),
            "scheduledTime": begins.isoformat(),
            "estimatedDuration": 60,
            **changes,
        }

    async def book(self, driver: Person, **changes: Any) -> dict[str, Any]:
        body = await self.order(driver, **changes)
        answer = await self.api.post(URL, json=body, headers=driver.headers)
        assert answer.status_code == 201, answer.text
        return dict(answer.json()["data"]["booking"])

    async def get(self, driver: Person, booking_id: str) -> dict[str, Any]:
        answer = await self.api.get(f"{URL}/{booking_id}", headers=driver.headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["data"]["booking"])

    async def put(
        self, driver: Person, booking_id: str, step: str, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        return await self.api.put(f"{URL}/{booking_id}/{step}", json=body, headers=driver.headers)


async def make_scene(
    pool: Pool, api: httpx.AsyncClient, clock: Clock, owner_id: int | None = None, *, online: bool = True
) -> Scene:
    device_id = await make_charger(pool, owner_id=owner_id, online=online)
    async with pool.connection() as db:
        station_id = await make_station(db, owner_id)
        await db.execute("UPDATE chargers SET station_id = %s WHERE device_id = %s", (station_id, device_id))
    return Scene(pool, api, clock, station_id, device_id)


async def make_station(db: Connection, owner_id: int | None, name: str = "Harbour") -> int:
    query = "INSERT INTO stations (name, owner_id) VALUES (%(name)s, %(owner)s) RETURNING id"
    return int(await fetch_value(db, query, {"name": name, "owner": owner_id}))


async def give_vehicle(pool: Pool, user_id: int) -> int:
    """The user's vehicle; the same when asked again."""
    known = "SELECT id FROM vehicles WHERE user_id = %(user)s ORDER BY id LIMIT 1"
    made = """
        INSERT INTO vehicles (user_id, make, model, year, battery_capacity_kwh, registration_number)
        VALUES (%(user)s, 'Tata', 'Nexon', 2025, 40, 'MH12AB1234') RETURNING id
    """
    async with pool.connection() as db:
        found = await fetch_value(db, known, {"user": user_id})
        return int(found or await fetch_value(db, made, {"user": user_id}))


async def enrich(pool: Pool, user_id: int, amount_minor: int = WEALTH_MINOR) -> None:
    async with pool.connection() as db:
        wallet = await ledger.ensure_wallet(db, user_id)
        funding = await ledger.house_account(db, "funding")
        await ledger.transfer(
            db,
            key=f"given:{user_id}",
            debit_account_id=funding.id,
            credit_account_id=wallet.id,
            amount_minor=amount_minor,
            description="Given",
        )


async def wallet_of(pool: Pool, user_id: int) -> Account:
    async with pool.connection() as db:
        return await ledger.ensure_wallet(db, user_id)


async def charge_level(pool: Pool, clock: Clock, session_id: int, percent: float) -> None:
    """As a charger's MeterValues with the vehicle's SoC."""
    query = """
        INSERT INTO charger_samples (ts, device_id, received_at, connector_id, measurand, phase, location,
                                     context, transaction_id, value)
        SELECT %(at)s, device_id, %(at)s, connector_id, %(measurand)s, 0, 0, 0, transaction_id, %(value)s
        FROM sessions WHERE id = %(id)s
    """
    facts = {"at": clock.moment(), "measurand": MEASURAND_CODES["SoC"], "id": session_id, "value": percent}
    async with pool.connection() as db:
        await partitions.maintain(db, clock.moment())
        await db.execute(query, facts)


async def end_session(pool: Pool, clock: Clock, session_id: int, *, energy_wh: int = 10_000) -> None:
    """As a charger's StopTransaction and the rating that follows."""
    async with pool.connection() as db:
        session = await sessions.get_session(db, session_id)
        assert session is not None
        await sessions.stop_session(
            db,
            device_id=session.device_id,
            transaction_id=session.transaction_id,
            ended_at=clock.moment(),
            received_at=clock.moment(),
            meter_stop_wh=session.meter_start_wh + energy_wh,
            reason="Local",
        )
        await rate_session(db, session_id)
