"""The testing flow of the contract, step by step, from the portal to the transactions."""

from datetime import timedelta

import httpx
from nats.aio.client import Client

from storage.database import Pool
from tests.api.helpers import Clock
from tests.api.mobile.world import (
    OWNER_PHONE,
    PASSWORD,
    ZONE,
    Portal,
    Texts,
    make_world,
    measure,
    run_jobs,
    sign_in,
    tariff,
    utc,
)


async def test_the_contracts_flow(
    portal: Portal, api: httpx.AsyncClient, pool: Pool, bus: Client, clock: Clock, texts: Texts
) -> None:
    # 1. the portal adds an owner and gets the temporary password
    world = await make_world(portal, clock)
    assert world.mobile_user["mobile_user_created"] is True
    assert world.mobile_user["phone_number"] == OWNER_PHONE
    temporary = world.mobile_user["temporary_password"]
    await run_jobs(pool, bus, clock, texts)
    assert temporary in texts.to(OWNER_PHONE)[0]
    # 2. the app signs in, in the national form as well
    app = await sign_in(api, "0821234567", temporary)
    assert app.login["password_must_change"] is True
    # 3. and changes the password; the token goes on
    change = {"current_password": temporary, "new_password": PASSWORD}
    answer = await app.send("POST", "/auth/change-password", change)
    assert (answer.status_code, answer.json()) == (200, {"message": "Password changed successfully"})
    assert (await sign_in(api, OWNER_PHONE, PASSWORD)).login["password_must_change"] is False
    # 4. units
    units = (await app.get("/auth/units")).json()["units"]
    assert [unit["unit_id"] for unit in units] == [world.unit_id]
    # readings come in, a tariff prices them, the wallet has money
    today = clock.moment().astimezone(ZONE).date()
    day = today - timedelta(days=2)
    await portal.post(f"/units/{world.unit_id}/wallet/top-ups", amount=1000)
    await tariff(world, utc(day - timedelta(days=2), 0))
    await measure(pool, world, [(utc(day, 8), 1_100_000), (utc(day, 10), 1_250_500)])
    await run_jobs(pool, bus, clock, texts)
    # 5. meters
    meters = (await app.get(f"/units/{world.unit_id}/meters")).json()["meters"]
    assert meters[0]["current_reading"] == 1250.5
    assert meters[0]["last_reading_date"] == f"{day}T10:00:00"
    # 6. readings, newest first: the sample of rule R626
    read = (await app.get(f"/meters/{world.meter_id}/readings", days=30, limit=50)).json()
    assert [reading["reading_value"] for reading in read["readings"]] == [1250.5, 1100.0]
    assert read["readings"][0]["consumption"] == 150.5
    assert read["readings"][0]["cost"] == 376.25
    assert read["meter"] == {"id": world.meter_id, "serial_number": "MTR001", "utility_type": "electricity"}
    # 7. wallet
    wallet = (await app.get(f"/units/{world.unit_id}/wallet")).json()["wallet"]
    assert wallet["balance"] == 623.75
    # 8. transactions
    moved = (await app.get(f"/units/{world.unit_id}/transactions", days=30, limit=50)).json()["transactions"]
    assert [(each["transaction_type"], each["amount"], each["balance_after"]) for each in moved] == [
        ("debit", 376.25, 623.75),
        ("credit", 1000.0, 1000.0),
    ]
    assert "lectricity" in moved[0]["description"]
    usage = (await app.get(f"/meters/{world.meter_id}/usage", period="day")).json()
    assert usage["consumption_unit"] == "kWh"
    assert usage["usage"][-1] == {"start": str(day), "consumption": 150.5, "cost": 376.25}
