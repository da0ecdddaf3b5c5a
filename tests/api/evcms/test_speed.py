"""No list asks the database once for each of its rows: as many statements for 2 rows as for 50."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from storage.database import Pool
from storage.queries import session_pages
from tests.api.evcms.figures_scene import make_station
from tests.api.helpers import Clock, Person

FEW, MANY = 2, 50


@dataclass
class Statements:
    """Statements that went to the database since `begin`."""

    count: int = 0


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    counted = Statements()
    execute = psycopg.AsyncCursor.execute

    async def counting(self: psycopg.AsyncCursor[Any], *arguments: Any, **options: Any) -> Any:
        counted.count += 1
        return await execute(self, *arguments, **options)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", counting)
    return counted


# What makes rows %(first)s to %(last)s of each list, for the driver and the brand.
_CHARGERS = """
INSERT INTO devices (kind, identity, owner_id, name)
SELECT 'charger', 'CP-' || n, %(brand)s, 'Gate' FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO stations (name, owner_id, latitude, longitude)
SELECT 'Station ' || n, %(brand)s, 12, 77 FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO chargers (device_id, station_id)
SELECT id, (SELECT min(id) FROM stations) FROM devices
WHERE NOT EXISTS (SELECT FROM chargers WHERE device_id = devices.id);
INSERT INTO connectors (device_id, connector_id)
SELECT device_id, n FROM chargers, generate_series(1, 2) AS n ON CONFLICT DO NOTHING;
INSERT INTO favourite_stations (user_id, station_id)
SELECT %(driver)s, id FROM stations ON CONFLICT DO NOTHING;
"""
_SESSIONS = """
INSERT INTO sessions (device_id, connector_id, user_id, id_tag, status, started_at, start_received_at,
                      meter_start_wh, ended_at, stop_received_at, meter_stop_wh)
SELECT (SELECT max(id) FROM devices), 1, %(driver)s, state || n, state, %(now)s - n * interval '1 hour',
       %(now)s, 1000, end_at, end_at, CASE WHEN end_at IS NOT NULL THEN 11000 END
FROM generate_series(%(first)s, %(last)s) AS n,
     (VALUES ('completed', %(now)s), ('active', NULL)) AS kind (state, end_at);
INSERT INTO cdrs (session_id, user_id, tariff_id, currency, energy_wh, duration_s, energy_minor_per_kwh,
                  energy_minor, time_minor, parking_minor, gst_minor, total_minor)
SELECT id, user_id, 1, 'INR', 10000, 60, 1500, 15000, 0, 0, 2700, 17700 FROM sessions
WHERE status = 'completed' ON CONFLICT DO NOTHING;
"""
_PEOPLE = """
INSERT INTO users (system, role, name, email)
SELECT 'evcms', 'user', 'Person ' || n, 'person' || n || '@example.com'
FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO partners (name, email, phone, type, address)
SELECT 'P' || n, 'p' || n || '@example.com', '1', 'vendor', 'x'
FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO franchises (owner_id, name, location, contact_person)
SELECT %(brand)s, 'F' || n, 'x', 'y' FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO kyc_records (user_id, submitted_at)
SELECT id, now() FROM users WHERE name LIKE 'Person %%' ON CONFLICT DO NOTHING;
INSERT INTO vehicles (user_id, make, model, year, battery_capacity_kwh, registration_number)
SELECT %(driver)s, 'Tata', 'Nexon', 2024, 40, 'KA' || n FROM generate_series(%(first)s, %(last)s) AS n;
"""
_TALK = """
INSERT INTO notifications (key, user_id, type, title, message, created_at)
SELECT 'n' || n, %(driver)s, 'system', 't', 'm', now() FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO support_tickets (ticket_number, user_id, subject, description, category, due_at, created_at,
                             updated_at)
SELECT 'T-' || n, %(driver)s, 's', 'd', 'general', now(), now(), now()
FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO ticket_comments (ticket_id, author_id, author_type, comment, created_at)
SELECT id, %(driver)s, 'user', 'c', now() FROM support_tickets;
INSERT INTO maintenance_records (device_id, type, description, scheduled_at, created_at)
SELECT (SELECT max(id) FROM devices), 'preventive', 'd', now(), now()
FROM generate_series(%(first)s, %(last)s);
"""
_BILLS = """
INSERT INTO transfers (key, debit_account_id, credit_account_id, amount_minor, state, description,
                       debit_balance_minor, credit_balance_minor)
SELECT 't' || n, (SELECT id FROM accounts WHERE kind = 'funding'),
       (SELECT id FROM accounts WHERE kind = 'wallet'), 1, 'posted', 'd', 0, 0
FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO invoices (invoice_number, user_id, subtotal_minor, tax_minor, total_minor, due_at, created_at)
SELECT 'I-' || n, %(driver)s, 1, 0, 1, now(), now() FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO refunds (user_id, transfer_id, amount_minor, reason, created_at)
SELECT %(driver)s, id, 1, 'r', now() FROM transfers ON CONFLICT DO NOTHING;
"""
_BOOKINGS = """
INSERT INTO bookings (booking_number, user_id, station_id, station_connector_id, status, scheduled_at,
                      estimated_minutes, during, created_at, updated_at)
SELECT 'B-' || n, %(driver)s, station_id, id, 'completed', %(now)s - n * interval '1 day', 30,
       tstzrange(%(now)s - n * interval '1 day', %(now)s - n * interval '1 day' + interval '30 minutes'),
       now(), now()
FROM generate_series(%(first)s, %(last)s) AS n,
     (SELECT * FROM station_connectors ORDER BY id LIMIT 1) AS offered;
INSERT INTO reviews (booking_id, user_id, station_id, score, status, created_at)
SELECT id, user_id, station_id, 5, 'approved', now() FROM bookings ON CONFLICT DO NOTHING;
"""

LISTS = [
    ("driver", "/sessions"),
    ("driver", "/sessions/active"),
    ("driver", "/sessions/history"),
    ("brand", "/sessions"),
    ("brand", "/sessions/history"),
    ("admin", "/sessions"),
    ("admin", "/sessions?status=completed"),
    ("admin", "/sessions/history"),
    ("admin", "/chargers"),
    ("brand", "/chargers"),
    ("admin", "/admin/dashboard"),
    ("driver", "/dashboard/stats"),
    ("admin", "/analytics/revenue"),
    ("brand", "/analytics/charger-stats"),
    ("admin", "/analytics/user-activity"),
    ("admin", "/billing/reports/daily"),
    ("admin", "/billing/reports/monthly"),
    ("admin", "/admin/users"),
    ("admin", "/admin/stations"),
    ("admin", "/admin/bookings"),
    ("admin", "/admin/reviews"),
    ("driver", "/profile/vehicles"),
    ("driver", "/profile/wallet/transactions"),
    ("driver", "/billing/transactions"),
    ("admin", "/billing/transactions"),
    ("driver", "/billing/refunds"),
    ("admin", "/billing/invoices"),
    ("driver", "/stations"),
    ("driver", "/stations/nearby?latitude=12&longitude=77"),
    ("driver", "/bookings"),
    ("driver", "/notifications"),
    ("driver", "/support/tickets"),
    ("admin", "/support/tickets"),
    ("admin", "/maintenance"),
    ("admin", "/partners"),
    ("brand", "/franchises"),
    ("admin", "/kyc/list"),
]

Fill = Callable[[int, int], Any]


@pytest.fixture
async def fill(pool: Pool, clock: Clock, admin: Person, brand: Person, driver: Person) -> Fill:
    await make_station(pool, "First", "CP-FIRST", brand.id)
    async with pool.connection() as db:
        await db.execute(
            "INSERT INTO accounts (kind, owner_id, currency, may_be_negative)"
            " VALUES ('funding', NULL, 'INR', true), ('wallet', %s, 'INR', false) ON CONFLICT DO NOTHING",
            [driver.id],
        )

    async def rows(first: int, last: int) -> None:
        facts = {"first": first, "last": last, "brand": brand.id, "driver": driver.id, "now": clock.moment()}
        async with pool.connection() as db, psycopg.AsyncClientCursor(db) as cursor:
            for text in (_CHARGERS, _SESSIONS, _PEOPLE, _TALK, _BILLS, _BOOKINGS):
                await cursor.execute(text, facts)

    return rows


async def test_as_many_statements_for_two_rows_as_for_fifty(
    api: httpx.AsyncClient,
    admin: Person,
    brand: Person,
    driver: Person,
    fill: Fill,
    statements: Statements,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_pages, "WALKED_MAX", 0)
    people = {"admin": admin, "brand": brand, "driver": driver}
    found: dict[tuple[str, str], list[tuple[int, int]]] = {each: [] for each in LISTS}
    for first, last in ((1, FEW), (FEW + 1, MANY)):
        await fill(first, last)
        for role, path in LISTS:
            statements.count = 0
            answer = await api.get(
                f"/api/v1{path}",
                params={**httpx.QueryParams(path.partition("?")[2]), "limit": 100},
                headers=people[role].headers,
            )
            assert answer.status_code == 200, (path, answer.text)
            body = answer.json()
            rows = len(body["data"]) if isinstance(body["data"], list) else 0
            found[role, path].append((rows, statements.count))
    for where, ((few, before), (many, after)) in found.items():
        assert before == after, f"{where}: {before} statements for {few} rows, {after} for {many}"
        assert many == 0 or many > few, f"{where}: the rows that were made are not in the list"
