"""What the fleet knows to be acknowledged, held against what the tables have."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from deploy.terminal import Figures, by_label, total
from protocols.quantities import CODES
from protocols.vocabulary import CONTEXT_CODES, LOCATION_CODES, MEASURAND_CODES, PHASE_CODES
from simulators import ledger

BATTERY_SQL = """
SELECT identity, ts, voltage_v, soc_pct, coalesce(cardinality(cell_voltages_v), 0)
FROM battery_samples JOIN devices ON devices.id = device_id
"""
CHARGER_SQL = """
SELECT identity, connector_id, ts, measurand, phase, location, context, value
FROM charger_samples JOIN devices ON devices.id = device_id
"""
METER_SQL = """
SELECT identity_key, ts, quantity, value FROM meter_samples JOIN devices ON devices.id = device_id
"""


def microseconds(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)


def check_batteries(path: Path, database_url: str) -> int:
    """Every acknowledged battery sample stands in the table once, with its values; returns how many."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(BATTERY_SQL).fetchall()
    times = Counter((serial, microseconds(ts)) for serial, ts, *_ in rows)
    stored = {(serial, microseconds(ts)): values for serial, ts, *values in rows}
    acknowledged = {(row.serial, row.ts_us): json.loads(row.sample) for row in ledger.battery_rows(path)}
    missing = acknowledged.keys() - stored.keys()
    assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged samples are lost: {min(missing)}"
    assert {times[key] for key in acknowledged} <= {1}
    for key, sample in acknowledged.items():
        voltage_v, soc_pct, cells = stored[key]
        _same(key, sample.get("voltage_v"), voltage_v)
        _same(key, sample.get("soc_pct"), soc_pct)
        assert len(sample.get("cell_voltages_v", ())) == cells, key
    return len(acknowledged)


def check_chargers(path: Path, database_url: str) -> int:
    """Every acknowledged sampled value stands in the table once; returns how many."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(CHARGER_SQL).fetchall()
    stored = {
        (name, connector, microseconds(ts), *codes): value for name, connector, ts, *codes, value in rows
    }
    assert len(stored) == len(rows)
    acknowledged = {}
    for row in ledger.charger_rows(path):
        codes = (
            MEASURAND_CODES[row.measurand], PHASE_CODES[row.phase or None],
            LOCATION_CODES[row.location or None], CONTEXT_CODES[row.context or None],
        )  # fmt: skip
        acknowledged[row.identity, row.connector_id, row.ts_us, *codes] = row.value
    missing = acknowledged.keys() - stored.keys()
    assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged values are lost: {min(missing)}"
    for key, value in acknowledged.items():
        _same(key, value, stored[key])
    return len(acknowledged)


def check_meters(path: Path, database_url: str) -> int:
    """Every acknowledged reading stands in the table once, with its value; returns how many."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(METER_SQL).fetchall()
    stored = {(identity, microseconds(ts), quantity): value for identity, ts, quantity, value in rows}
    assert len(stored) == len(rows)
    acknowledged = {
        (row.identity.lower(), row.ts_us, CODES[row.quantity]): row.value for row in ledger.meter_rows(path)
    }
    missing = acknowledged.keys() - stored.keys()
    assert not missing, (
        f"{len(missing)} of {len(acknowledged)} acknowledged readings are lost: {min(missing)}"
    )
    for key, value in acknowledged.items():
        _same(key, value, stored[key])
    return len(acknowledged)


def check_laws(figures: Figures) -> None:
    """The two laws of the design, in what `/metrics` says."""
    sources = by_label(figures, "gridwire_samples_received_total", "source")
    decoded = by_label(figures, "gridwire_samples_decoded_total", "source")
    refused = by_label(figures, "gridwire_samples_refused_total", "source")
    assert sources
    for source, received in sources.items():
        assert received == decoded[source] + refused.get(source, 0), source
    outcomes = ("stored", "duplicate", "quarantined")
    found = sum(total(figures, f"gridwire_samples_{outcome}_total") for outcome in outcomes)
    assert sum(decoded.values()) == found + total(figures, "gridwire_samples_in_flight")


def _same(key: object, said: float | None, stored: float | None) -> None:
    if said is None or stored is None:
        assert said == stored, key
    else:
        assert abs(said - stored) <= 1e-5 * max(1.0, abs(said)), key
