"""1,000 sessions of all OCPP versions over bad links, while the gateway, the database and the log die.

Each is billed once, with the energy that the charger's meter has.
"""

import asyncio
from pathlib import Path

import psycopg
import pytest

from simulators import fleet, ledger
from simulators.faults import Faults
from tests.end_to_end.product import Product, fleet_of, running_product, until
from tests.end_to_end.truth import check_chargers, check_laws

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(480)]

CHARGERS, SESSIONS_EACH = 50, 20
OCPP_2_SHARE = 0.5
KILLED = ("ocpp", "postgres", "nats")
BETWEEN_KILLS_S = 12.0
FAULTS = Faults(disconnect=0.02, duplicate=0.05, repeat_stop=0.3)

BILLED = """
SELECT identity, coalesce(transaction_uid, transaction_id::text), cdrs.energy_wh, cdrs.total_minor,
       payment_status,
       (SELECT count(*) FROM transfers WHERE transfers.key = 'session:' || sessions.id),
       (SELECT coalesce(sum(amount_minor), 0) FROM transfers WHERE transfers.key = 'session:' || sessions.id)
FROM sessions JOIN devices ON devices.id = device_id JOIN cdrs ON cdrs.session_id = sessions.id
"""


async def kill_each(product: Product) -> None:
    """One part after the other, while sessions go on: chargers are offline meanwhile."""
    for name in KILLED:
        await asyncio.sleep(BETWEEN_KILLS_S)
        product.kill(name)
        await product.until_restarted(name)


async def test_a_thousand_sessions_are_billed_once_each(server_folder: Path) -> None:
    async with running_product(server_folder / "thousand_sessions", (), CHARGERS, 0) as product:
        config = fleet_of(
            product,
            chargers=CHARGERS,
            batteries=0,
            charger_interval_s=2,
            clock_aligned_s=0,
            first_plug_s=(0.0, 5.0),
            session_s=(1.0, 5.0),
            pause_s=(0.2, 1.0),
            sessions_per_charger=SESSIONS_EACH,
            speed=20.0,
            faults=FAULTS,
            versions=fleet.version_weights(OCPP_2_SHARE),
        )
        killing = asyncio.create_task(kill_each(product))
        await asyncio.wait_for(fleet.run(config, stop=asyncio.Event(), ready=lambda: None), 300)
        await killing
        truth = {(row.identity, str(row.transaction_id)): row for row in ledger.sessions(config.ledger_path)}
        ended = {key: row for key, row in truth.items() if row.ended_us is not None}
        assert len(ended) >= CHARGERS * SESSIONS_EACH
        assert sum(row.stop_acks for row in ended.values()) > len(ended), "no StopTransaction was repeated"

        with psycopg.connect(product.database_url, autocommit=True) as connection:
            count = "SELECT count(*) FROM outbox WHERE done_at IS NULL"
            await until(lambda: connection.execute(count).fetchone() == (0,), 60)
            billed = {(row[0], row[1]): row[2:] for row in connection.execute(BILLED)}
            balance = connection.execute("SELECT sum(balance_minor) FROM accounts").fetchone()
            repeated = connection.execute(
                "SELECT key FROM transfers GROUP BY key HAVING count(*) > 1"
            ).fetchall()
        assert balance == (0,)
        assert repeated == []
        assert billed.keys() == ended.keys()
        assert sum(row[0] for row in billed.values()) > 0
        for key, (energy_wh, total_minor, payment, transfers, debited_minor) in billed.items():
            session = ended[key]
            assert session.meter_stop_wh is not None
            assert energy_wh == session.meter_stop_wh - session.meter_start_wh, key
            assert payment == "paid", key
            assert debited_minor == total_minor, key
            assert transfers == (1 if total_minor else 0), key
        await product.until_drained()
        check_chargers(config.ledger_path, product.database_url)
        check_laws(product.figures())
