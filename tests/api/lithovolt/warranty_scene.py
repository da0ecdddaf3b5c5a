"""A battery model with serials, written straight, and the requests of warranties."""

from datetime import datetime
from typing import Any

import httpx
from psycopg.types.json import Jsonb

from storage.database import Pool
from tests.api.helpers import Clock, Person

URL = "/api/warranty/"
CLAIMS = "/api/warranty/claims/"
TERMS = {"max_temperature_c": 55, "min_soc_pct": 10, "max_cycles": 1_000, "max_discharge_current_a": 80}

_MODEL = """
INSERT INTO battery_models (name, code, nominal_voltage_v, capacity_ah, price_minor, warranty_months,
                            warranty_terms, created_at, updated_at)
VALUES (%(name)s, %(code)s, 51.2, 100, 4500000, %(months)s, %(terms)s, %(now)s, %(now)s)
RETURNING id
"""
_SERIALS = """
INSERT INTO serial_numbers (serial, model_id, status, wholesaler_id, created_at, updated_at)
SELECT serial, %(model_id)s, %(status)s, %(wholesaler_id)s, %(now)s, %(now)s
FROM unnest(%(serials)s::text[]) AS serial
"""


async def add_model(
    pool: Pool,
    now: datetime,
    *,
    name: str = "LV 48-100",
    code: str = "LV48",
    months: int = 36,
    terms: dict[str, Any] | None = None,
) -> int:
    facts = {"name": name, "code": code, "months": months, "terms": Jsonb(terms or {}), "now": now}
    async with pool.connection() as db:
        row = await (await db.execute(_MODEL, facts)).fetchone()
    assert row is not None
    return int(row[0])


async def add_serials(
    pool: Pool,
    now: datetime,
    model_id: int,
    *serials: str,
    status: str = "in_stock",
    owner: int | None = None,
) -> None:
    facts = {"model_id": model_id, "serials": list(serials), "now": now}
    async with pool.connection() as db:
        await db.execute(_SERIALS, {**facts, "status": status, "wholesaler_id": owner})


async def stock(pool: Pool, clock: Clock, wholesaler: Person, *serials: str) -> int:
    """A model whose serials were allocated to the wholesaler; returns its id."""
    now = clock.moment()
    model_id = await add_model(pool, now, terms=TERMS)
    await add_serials(pool, now, model_id, *serials, status="allocated", owner=wholesaler.id)
    return model_id


async def activate(api: httpx.AsyncClient, who: Person, serial: str, **body: Any) -> httpx.Response:
    return await api.post(f"{URL}activate/", json={"serial": serial, **body}, headers=who.headers)


async def activated(api: httpx.AsyncClient, who: Person, serial: str, **body: Any) -> dict[str, Any]:
    answer = await activate(api, who, serial, **body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def statuses(api: httpx.AsyncClient, path: str, *people: Person) -> list[int]:
    return [(await api.get(path, headers=each.headers)).status_code for each in people]
