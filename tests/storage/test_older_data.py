"""What a database holds from before the EV-CMS family: it stays, counts and can be paid and refunded."""

import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from storage import ledger
from storage.database import Pool, fetch_value, open_pool
from storage.migrate import migrate, read_migrations
from storage.queries import cdrs
from storage.queries.wallet_entries import list_entries
from stream.refunding import left_of

FAMILY = "0013_evcms"

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


@pytest.fixture
async def older(server_url: str) -> AsyncIterator[Pool]:
    """A database with these rows from before the family, migrated since."""
    name = f"older_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        migrations = read_migrations()
        first = next(each.version for each in migrations if each.name == FAMILY)
        migrate(url, migrations[: first - 1])
        with psycopg.connect(url) as connection:
            connection.execute(OLDER)
        migrate(url)
        pool = open_pool(url, size_max=1)
        await pool.open()
        yield pool
        await pool.close()
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


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
