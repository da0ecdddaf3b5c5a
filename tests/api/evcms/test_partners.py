"""EV-CMS partners (EV-115, EV-116)."""

import httpx

from storage.database import Pool
from tests.api.helpers import Person

URL = "/api/v1/partners"
PARTNER = {
    "name": "Grid Works",
    "email": "Office@Grid.example",
    "phone": "+911234567890",
    "type": "installer",
    "address": "1 Road, Pune",
}


async def test_admins_enter_partners_and_brands_see_them(
    api: httpx.AsyncClient, admin: Person, brand: Person, driver: Person, pool: Pool
) -> None:
    made = await api.post(URL, json={**PARTNER, "status": "inactive", "id": 5}, headers=admin.headers)
    assert made.status_code == 201, made.text
    partner = made.json()["data"]["partner"]
    assert partner == {
        **PARTNER, "email": "office@grid.example", "status": "active", "id": partner["id"],
        "createdAt": partner["createdAt"],
    }  # fmt: skip
    again = await api.post(URL, json={**PARTNER, "email": "OFFICE@grid.example"}, headers=admin.headers)
    assert again.status_code == 409
    second = {**PARTNER, "email": "b@grid.example", "type": "supplier"}
    assert (await api.post(URL, json=second, headers=admin.headers)).status_code == 201
    for person in (brand, driver):
        assert (await api.post(URL, json=second, headers=person.headers)).status_code == 403
    assert (await api.get(URL, headers=driver.headers)).status_code == 403
    page = (await api.get(URL, params={"limit": 1}, headers=brand.headers)).json()
    assert [row["email"] for row in page["partners"]] == ["b@grid.example"]
    assert page["pagination"]["total"] == 2
    for query, count in (({"type": "installer"}, 1), ({"type": "x"}, 0), ({"status": "inactive"}, 0)):
        assert len((await api.get(URL, params=query, headers=brand.headers)).json()["data"]) == count
    assert (await api.get(URL, params={"status": "x"}, headers=brand.headers)).status_code == 422
    async with pool.connection() as db:
        rows = await (await db.execute("SELECT action FROM admin_actions")).fetchall()
    assert rows == [("partner.create",)] * 2


async def test_what_is_no_partner(api: httpx.AsyncClient, admin: Person) -> None:
    answer = await api.post(URL, json={"name": "", "email": "x"}, headers=admin.headers)
    assert answer.status_code == 422
    assert {each["field"] for each in answer.json()["errors"]} == {
        "name",
        "email",
        "phone",
        "type",
        "address",
    }
