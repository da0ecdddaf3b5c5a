"""What a database holds from before a family: it stays, counts, can be paid and refunded, and can be used."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from storage import ledger
from storage.database import Pool, fetch_value, open_pool
from storage.migrate import migrate, read_migrations
from storage.queries import cdrs, ienerzy_fleet, lithovolt_users, technicians
from storage.queries.wallet_entries import list_entries
from stream.refunding import left_of

# Two sessions of a driver at a charger with a station: one paid and corrected, one that is owed.
OLDER = """
INSERT INTO users (system, role, name, email)
VALUES ('evcms', 'user', 'Asha', 'asha@example.org'), ('evcms', 'brand', 'B', 'b@example.org');
INSERT INTO stations (name, owner_id, time_zone) VALUES ('S', 2, 'Europe/Berlin');
INSERT INTO devices (kind, identity, owner_id) VALUES ('charger', 'CP-1', 2), ('charger', 'CP-2', 2);
INSERT INTO chargers (device_id, station_id) VALUES (1, 1), (2, NULL) ON CONFLICT (device_id)
    DO UPDATE SET station_id = excluded.station_id;
INSERT INTO connectors (device_id, connector_id) VALUES (1, 0), (1, 1), (1, 2), (2, 1) ON CONFLICT DO NOTHING;
INSERT INTO sessions (device_id, connector_id, user_id, id_tag, status, payment_status, started_at,
                      start_received_at, meter_start_wh, ended_at, stop_received_at, meter_stop_wh)
VALUES (1, 1, 1, 'TAG', 'completed', 'paid', '2026-01-31T20:00Z', '2026-01-31T20:00Z', 0, '2026-01-31T21:00Z',
        '2026-01-31T21:00Z', 3000),
       (2, 1, 1, 'TAG', 'completed', 'failed', '2026-02-01T10:00Z', '2026-02-01T10:00Z', 0,
        '2026-02-01T11:00Z', '2026-02-01T11:00Z', 1000);
INSERT INTO cdrs (session_id, user_id, tariff_id, currency, energy_wh, duration_s, energy_minor_per_kwh,
                  energy_minor, time_minor, parking_minor, gst_minor, total_minor)
VALUES (1, 1, 1, 'INR', 3000, 3600, 1500, 4500, 0, 0, 810, 5310),
       (2, 1, 1, 'INR', 1000, 3600, 1500, 1500, 0, 0, 270, 1770);
INSERT INTO cdr_corrections (session_id, energy_wh, duration_s, energy_minor, time_minor, parking_minor,
    flat_minor, adjustment_minor, gst_minor, total_minor, lines, periods, is_estimated, has_meter_reset)
VALUES (1, 2000, 3600, 3000, 0, 0, 0, 0, 540, 3540, '[]', '[]', false, false);
INSERT INTO accounts (kind, owner_id, currency, may_be_negative, balance_minor)
VALUES ('wallet', 1, 'INR', false, 6460), ('funding', NULL, 'INR', true, -10000),
       ('revenue', NULL, 'INR', true, 3000), ('tax', NULL, 'INR', true, 540);
INSERT INTO transfers (key, debit_account_id, credit_account_id, amount_minor, state, description, session_id,
                       debit_balance_minor, credit_balance_minor)
VALUES ('topup:1:a', 2, 1, 10000, 'posted', 'Wallet top-up', NULL, -10000, 10000),
       ('session:1', 1, 3, 5310, 'posted', 'Charging session 1', 1, 4690, 5310),
       ('session:1:gst', 3, 4, 810, 'posted', 'GST: Charging session 1', 1, 4500, 810),
       ('session:1:correction', 3, 1, 1770, 'posted', 'Correction of charging session 1', 1, 2730, 6460),
       ('session:1:correction:gst', 4, 3, 270, 'posted', 'GST: Correction', 1, 540, 3000);
INSERT INTO estates (name) VALUES ('E');
INSERT INTO units (estate_id, unit_number) VALUES (1, '1');
INSERT INTO top_ups (id, unit_id, user_id, provider, request_key, amount_minor, currency)
VALUES ('00000000-0000-0000-0000-000000000001', 1, 1, 'sandbox', 'k', 500, 'INR');
INSERT INTO notices (key, channel, address, kind, body) VALUES ('n', 'sms', '+27821234567', 'welcome', 'x');
"""


# Of before Ienerzy's consumers and technicians were more than accounts.
OLDER_PEOPLE = """
INSERT INTO users (system, role, name, phone) VALUES ('ienerzy', 'dealer', 'D', '+919876543210');
INSERT INTO users (system, role, name, phone, dealer_id)
VALUES ('ienerzy', 'consumer', 'C', '+919876543211', 1), ('ienerzy', 'technician', 'T', '+919876543212', 1),
       ('ienerzy', 'technician', 'U', '+919876543213', NULL);
INSERT INTO users (system, role, name, email) VALUES ('lithovolt', 'admin', 'L', 'l@example.org');
INSERT INTO batteries (serial_number, dealer_id, owner_id) VALUES ('BAT-1', 1, 2), ('BAT-2', 1, NULL);
INSERT INTO battery_health (battery_id, day, assessed_at, since, until, samples, health_score, known, penalty,
                            full_cycles, cycle_depths, figures, parts)
SELECT 1, day, day, day, day, 1, 60 + extract(day FROM day), 0, 0, 0, '{}', '{}', '{}'
FROM unnest('{2026-01-31, 2026-02-01, 2026-02-02}'::date[]) AS day;
"""


@asynccontextmanager
async def _from_before(server_url: str, family: str, rows: str) -> AsyncIterator[Pool]:
    """A database with these rows from before a family's migration, migrated since."""
    name = f"older_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        migrations = read_migrations()
        first = next(each.version for each in migrations if each.name == family)
        migrate(url, migrations[: first - 1])
        with psycopg.connect(url) as connection:
            connection.execute(rows)
        migrate(url)
        pool = open_pool(url, size_max=1)
        await pool.open()
        yield pool
        await pool.close()
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
async def older(server_url: str) -> AsyncIterator[Pool]:
    async with _from_before(server_url, "0013_evcms", OLDER) as pool:
        yield pool


async def test_people_and_batteries_of_before_are_as_new_ones(server_url: str) -> None:
    async with _from_before(server_url, "0019_ienerzy", OLDER_PEOPLE) as pool, pool.connection() as db:
        consumer = await fetch_value(db, "SELECT kyc_status FROM consumers WHERE user_id = 2", {})
        assert consumer == "pending"
        assert await fetch_value(db, "SELECT consumer_id FROM battery_assignments", {}) == 2
        free = await technicians.list_free(db, 1)
        assert [(each.name, each.dealer_id, each.load_max) for each in free] == [("T", 1, 5), ("U", None, 5)]
        months = await ienerzy_fleet.months_of_health(db, 1, 12)
        assert [(f"{each.month:%m}", each.avg_health) for each in months] == [
            ("02", Decimal("61.5")),
            ("01", Decimal(91)),
        ]
        account = (await lithovolt_users.lock_accounts(db, [5]))[5]
        assert (account.first_name, account.is_approved) == ("L", True)


async def test_what_was_there_counts(older: Pool) -> None:
    async with older.connection() as db:
        assert await ledger.trial_balance(db) == {"INR": 0}
        entries, total = await list_entries(db, user_id=1, limit=10)
        assert [(each.direction, each.status, each.amount_minor, each.balance_minor) for each in entries] == [
            ("credit", "completed", 1_770, 6_460),
            ("debit", "completed", 5_310, 4_690),
            ("credit", "completed", 10_000, 10_000),
        ]
        assert total == 3
        record = await cdrs.latest_cdr(db, 1)
        assert record is not None
        assert (record.total_minor, record.platform_fee_minor, record.discount_minor) == (3_540, 0, 0)
        paid = await ledger.find_transfer(db, "session:1")
        assert paid is not None
        left = await left_of(db, paid)
        assert (left.total_minor, left.parts["gst"].left_minor) == (3_540, 540)
        sums = "SELECT sum(total_minor)::bigint FROM session_days WHERE rated = sessions"
        assert await fetch_value(db, sums, {}) == 3_540 + 1_770
        linked = "SELECT string_agg(label || '=' || connector_id, ',' ORDER BY id) FROM station_connectors"
        assert await fetch_value(db, linked, {}) == "1=1,2=2"
        waiting = "SELECT count(*) FROM top_ups WHERE unit_id = 1 AND state = 'created'"
        assert await fetch_value(db, waiting, {}) == 1
