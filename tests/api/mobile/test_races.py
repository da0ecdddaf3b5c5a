"""Two requests at a time that touch the same rows: both are carried out, and nothing of either is lost."""

import asyncio

from storage.database import Pool
from storage.queries import persons, residents
from tests.api.mobile.world import PORTAL, World, sign_in

PHONE = "+27851234567"
NEW_PHONE = "+27861234567"


async def test_budgets_set_by_two_at_a_time_are_those_of_one(world: World) -> None:
    path = f"/units/{world.unit_id}/budgets"
    utilities = ("electricity", "water", "gas", "heat", "cooling")
    orders = [
        {"budgets": [{"utility_type": each, "monthly_limit": 5} for each in names]}
        for names in (utilities, utilities[::-1], utilities[:2], utilities[3:1:-1])
    ]
    people = (world.owner, world.tenant)
    for _ in range(10):
        answers = await asyncio.gather(
            *(people[i % 2].send("PUT", path, body) for i, body in enumerate(orders * 2))
        )
        assert [answer.status_code for answer in answers] == [200] * 8
        sizes = {len(answer.json()["budgets"]) for answer in answers}
        assert sizes <= {5, 2}
    shown = (await world.owner.get(path)).json()["budgets"]
    assert {each["utility_type"] for each in shown} in (
        set(utilities),
        {"electricity", "water"},
        {"heat", "gas"},
    )


async def test_preferences_are_changed_one_by_one(world: World, pool: Pool) -> None:
    user_id = world.owner.login["user"]["id"]
    async with pool.connection() as db:
        await residents.change_preferences(db, user_id, {"sms": False})
        # the other request has read the account before this one commits
        other = asyncio.create_task(world.owner.send("PUT", "/notifications/preferences", {"push": False}))
        await asyncio.sleep(0.3)
        assert not other.done()
    assert (await other).json() == {
        "sms": False,
        "push": False,
        "wallet": True,
        "budget": True,
        "meter": True,
    }


async def test_a_phone_changed_while_the_user_is_made_is_the_login(world: World, pool: Pool) -> None:
    portal = world.portal
    person_id = await portal.person(PHONE)
    async with pool.connection() as db:
        assert await persons.lock_person(db, person_id) is not None
        user_id = await residents.insert_account(db, person_id, "no hash")
        body = {"first_name": "A", "last_name": "B", "phone": NEW_PHONE}
        change = asyncio.create_task(
            portal.api.put(f"{PORTAL}/persons/{person_id}", json=body, headers=portal.headers)
        )
        await asyncio.sleep(0.3)
        assert not change.done()
    assert (await change).status_code == 200
    async with pool.connection() as db:
        account = await residents.get_account(db, user_id)
    assert account is not None
    assert account.phone == NEW_PHONE
    answer = await portal.post(f"/mobile-users/{user_id}/reset-password")
    assert (await sign_in(portal.api, NEW_PHONE, answer["temporary_password"])).login["user"]["id"] == user_id
