"""Battery models, serial numbers and orders, made as admins and wholesalers make them."""

from typing import Any

import httpx

from storage.database import Pool
from tests.api.helpers import Person

MODELS = "/api/inventory/models/"
SERIALS = "/api/inventory/serials/"
ALLOCATE = "/api/inventory/allocate/"
ORDERS = "/api/orders/"
MODEL: dict[str, Any] = {
    "name": "LV 48-100",
    "code": "LV48",
    "nominal_voltage_v": "51.20",
    "capacity_ah": 100,
    "price": "45000.50",
    "warranty_months": 36,
    "low_stock_threshold": 0,
}


async def new_model(api: httpx.AsyncClient, admin: Person, **changes: Any) -> dict[str, Any]:
    answer = await api.post(MODELS, json={**MODEL, **changes}, headers=admin.headers)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def make(api: httpx.AsyncClient, admin: Person, model: int, quantity: int, **more: Any) -> list[str]:
    body = {"model": model, "quantity": quantity, **more}
    answer = await api.post(SERIALS, json=body, headers=admin.headers)
    assert answer.status_code == 201, answer.text
    return list(answer.json()["serials"])


async def allocate(api: httpx.AsyncClient, admin: Person, **body: Any) -> httpx.Response:
    return await api.post(ALLOCATE, json=body, headers=admin.headers)


async def get(api: httpx.AsyncClient, person: Person, path: str, **params: Any) -> Any:
    answer = await api.get(path, params=params, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def rows(pool: Pool, query: str, *values: Any) -> list[tuple[Any, ...]]:
    async with pool.connection() as db:
        return await (await db.execute(query, values)).fetchall()
