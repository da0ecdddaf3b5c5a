"""What people are told: temporary passwords, wallets, budgets and meters; how often, and by which channel."""

from datetime import timedelta

from nats.aio.client import Client

from storage.database import Pool, fetch_all
from storage.queries import meter_alerts, outbox
from storage.queries.notices import Notice
from stream import budgets
from stream.providers import ProviderAwayError, ProviderRefusedError
from tests.api.helpers import Clock
from tests.api.mobile.world import (
    OWNER_PHONE,
    TENANT_PHONE,
    ZONE,
    Pushes,
    Texts,
    World,
    measure,
    run_jobs,
    store,
    tariff,
    utc,
)

NOTICES = """
SELECT id, user_id, channel, address, kind, body, state, provider, provider_id, detail, created_at, done_at
FROM notices ORDER BY id
"""


async def notices_of(pool: Pool) -> list[Notice]:
    async with pool.connection() as db:
        return await fetch_all(db, Notice, NOTICES, {})


async def test_a_temporary_password_is_texted_once_and_not_kept(
    world: World, pool: Pool, bus: Client, clock: Clock, texts: Texts
) -> None:
    texts.failure = ProviderAwayError("no answer")
    await run_jobs(pool, bus, clock, texts)
    assert {notice.state for notice in await notices_of(pool)} == {"pending"}
    texts.failure = None
    clock.advance(3_600)
    await run_jobs(pool, bus, clock, texts)
    await run_jobs(pool, bus, clock, texts)
    (text,) = texts.to(OWNER_PHONE)
    assert world.mobile_user["temporary_password"] in text
    user_id = world.owner.login["user"]["id"]
    shown = (await world.portal.get(f"/mobile-users/{user_id}/notices"))["notices"]
    assert [(each["kind"], each["state"], each["provider"], each["body"]) for each in shown] == [
        ("welcome", "sent", "kept", None)
    ]
    async with pool.connection() as db:
        rows = await (await db.execute("SELECT payload::text FROM outbox")).fetchall()
        kept = await (await db.execute("SELECT count(*) FROM notices WHERE body IS NOT NULL")).fetchone()
    assert kept == (0,)
    assert not any(world.mobile_user["temporary_password"] in payload for (payload,) in rows)


async def test_what_is_refused_or_too_late_fails_and_is_blanked(
    world: World, pool: Pool, bus: Client, clock: Clock, texts: Texts
) -> None:
    texts.failure = ProviderRefusedError("no such number")
    await run_jobs(pool, bus, clock, texts)
    found = await notices_of(pool)
    assert {(notice.state, notice.body, notice.detail) for notice in found} == {
        ("failed", None, "no such number")
    }
    await world.portal.post(f"/mobile-users/{world.owner.login['user']['id']}/reset-password")
    texts.failure = ProviderAwayError("no answer")
    await run_jobs(pool, bus, clock, texts)
    clock.advance(25 * 3_600)
    await run_jobs(pool, bus, clock, texts)
    assert ((await notices_of(pool))[-1].state, (await notices_of(pool))[-1].body) == ("failed", None)


async def test_a_wallet_that_runs_low_and_empty_is_told_once_by_preference(
    world: World, pool: Pool, bus: Client, clock: Clock, texts: Texts
) -> None:
    pushes = Pushes()
    token = {"token": "phone-1", "platform": "android"}
    assert (await world.tenant.send("POST", "/notifications/push-tokens", token)).status_code == 200
    wanted = await world.tenant.send("PUT", "/notifications/preferences", {"sms": False})
    assert wanted.json() == {"sms": False, "push": True, "wallet": True, "budget": True, "meter": True}
    await run_jobs(pool, bus, clock, texts)
    texts.sent.clear()
    today = clock.moment().astimezone(ZONE).date()
    day = today - timedelta(days=1)
    await world.portal.post(f"/units/{world.unit_id}/wallet/top-ups", amount=100)
    await tariff(world, utc(day - timedelta(days=3), 0))
    device_id = await measure(pool, world, [(utc(day, 4), 0), (utc(day, 6), 24_000)])  # 60.00
    await run_jobs(pool, bus, clock, texts, pushes)
    assert texts.to(OWNER_PHONE) == ["The wallet of unit 101 is low: ZAR 40.00 left. Please top up."]
    assert texts.to(TENANT_PHONE) == []
    assert [(push.token, push.kind) for push in pushes.sent] == [("phone-1", "wallet_low")]
    await store(pool, device_id, [(utc(day, 8), 50_000)])  # 125.00
    for _ in range(2):
        await run_jobs(pool, bus, clock, texts, pushes)
    assert texts.to(OWNER_PHONE)[1:] == ["The wallet of unit 101 is empty (ZAR -25.00). Please top up."]
    assert [push.kind for push in pushes.sent] == ["wallet_low", "wallet_empty"]
    gone = await world.tenant.send("DELETE", "/notifications/push-tokens", {"token": "phone-1"})
    assert gone.status_code == 200


async def test_budgets_are_told_at_80_and_100_percent_once_a_month(
    world: World, pool: Pool, bus: Client, clock: Clock, texts: Texts
) -> None:
    await run_jobs(pool, bus, clock, texts)
    texts.sent.clear()
    path = f"/units/{world.unit_id}/budgets"
    body = {"budgets": [{"utility_type": "electricity", "monthly_limit": 100}]}
    month = clock.moment().astimezone(ZONE).date().replace(day=1)
    set_ = (await world.owner.send("PUT", path, body)).json()
    assert set_["budgets"] == [
        {"utility_type": "electricity", "monthly_limit": 100.0, "spent": 0.0, "spent_percentage": 0.0,
         "month": str(month)}
    ]  # fmt: skip
    for spent_minor, told in ((7_999, 0), (8_000, 1), (9_999, 1), (10_000, 2), (50_000, 2)):
        async with pool.connection() as db:
            await db.execute(
                "INSERT INTO meter_bills VALUES (%s, %s, 0, %s, 1)"
                " ON CONFLICT (meter_id, day) DO UPDATE SET cost_minor = EXCLUDED.cost_minor",
                (world.meter_id, month, spent_minor),
            )
        for _ in range(2):
            await budgets.raise_alerts(pool, clock.moment())
        await run_jobs(pool, bus, clock, texts)
        assert len(texts.to(OWNER_PHONE)) == told, spent_minor
    assert texts.to(OWNER_PHONE)[1] == (
        "Unit 101: electricity has cost ZAR 100.00 this month, of a budget of ZAR 100.00."
    )
    alerts = (await world.owner.get(f"/units/{world.unit_id}/alerts")).json()["budget_alerts"]
    assert [alert["threshold_percentage"] for alert in alerts] == [100, 80]
    standing = (await world.tenant.get(path)).json()["budgets"][0]
    assert (standing["spent"], standing["spent_percentage"]) == (500.0, 500.0)
    # another unit's budget is nobody else's business
    assert (await world.stranger.get(path)).status_code == 403
    assert (await world.stranger.send("PUT", path, body)).status_code == 403
    gas = {"utility_type": "gas", "monthly_limit": 1}
    for bad in ([{**gas, "utility_type": "steam"}], [{**gas, "monthly_limit": 0}], [gas, gas]):
        assert (await world.owner.send("PUT", path, {"budgets": bad})).status_code == 400
    assert (await world.owner.send("PUT", path, {"budgets": []})).json() == {"budgets": []}


async def test_meter_alerts_are_shown_and_told(
    world: World, pool: Pool, bus: Client, clock: Clock, texts: Texts
) -> None:
    await run_jobs(pool, bus, clock, texts)
    texts.sent.clear()
    opened_at = clock.moment() - timedelta(hours=1)
    async with pool.connection() as db:
        alert_id = await meter_alerts.open_alert(db, world.meter_id, "leak_alarm", opened_at, {"channel": 0})
        assert alert_id is not None
        again = await meter_alerts.open_alert(db, world.meter_id, "leak_alarm", opened_at, {})
        assert again is None
        for _ in range(2):
            await outbox.enqueue(db, "notify_meter_alert", {"alert_id": alert_id})
    await run_jobs(pool, bus, clock, texts)
    assert texts.to(OWNER_PHONE) == ["Your electricity meter MTR001 reports: leak alarm."]
    unit = (await world.owner.get(f"/units/{world.unit_id}/alerts")).json()
    meter = (await world.owner.get(f"/meters/{world.meter_id}/alerts")).json()
    assert unit["meter_alerts"] == meter["meter_alerts"]
    (alert,) = meter["meter_alerts"]
    assert (alert["kind"], alert["closed_at"], alert["detail"]) == ("leak_alarm", None, {"channel": 0})
    async with pool.connection() as db:
        assert await meter_alerts.close_alert(db, world.meter_id, "leak_alarm", clock.moment())
        assert not await meter_alerts.close_alert(db, world.meter_id, "leak_alarm", clock.moment())
    clock.advance(3 * 86_400)
    assert (await world.owner.get(f"/meters/{world.meter_id}/alerts", days=2)).json() == {"meter_alerts": []}
    assert (await world.stranger.get(f"/meters/{world.meter_id}/alerts")).status_code == 403
    assert (await world.stranger.get(f"/units/{world.unit_id}/alerts")).status_code == 403
