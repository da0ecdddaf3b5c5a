"""What happens to bookings by the clock: reminders, reservations at the charger, no-shows, sessions found."""

import asyncio
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from protocols.ocpp.schemas import check_call
from protocols.ocpp.surface import Version
from storage.database import Pool
from storage.queries import commands
from storage.queries.commands import Command
from storage.queries.id_tokens import put_token
from stream.bookings.jobs import run_due
from tests.api.evcms.booking_scene import (
    FEE_MINOR,
    WEALTH_MINOR,
    Scene,
    end_session,
    enrich,
    make_scene,
    wallet_of,
)
from tests.api.helpers import Clock, Person, begin_session


@pytest.fixture
async def scene(
    api: httpx.AsyncClient, pool: Pool, clock: Clock, brand: Person, driver: Person, stranger: Person
) -> Scene:
    await enrich(pool, driver.id)
    await enrich(pool, stranger.id)
    return await make_scene(pool, api, clock, brand.id)


async def told(pool: Pool, name: str) -> list[dict[str, Any]]:
    """The payloads of the live events with this name, in order."""
    query = """
        SELECT payload -> 'payload' FROM outbox
        WHERE kind = 'live_event' AND payload ->> 'name' = %s ORDER BY id
    """
    async with pool.connection() as db:
        return [payload for (payload,) in await (await db.execute(query, (name,))).fetchall()]


async def sent(scene: Scene) -> Command | None:
    """The next command of the charger, as its gateway takes it."""
    async with scene.pool.connection() as db:
        row = await (await db.execute("SELECT generation FROM chargers")).fetchone()
        assert row is not None
        return (await commands.claim(db, scene.device_id, row[0], scene.clock.moment())).command


async def answer(scene: Scene, command: Command, status: str) -> None:
    async with scene.pool.connection() as db:
        state: Any = "accepted" if status == "Accepted" else "rejected"
        await commands.finish(db, command, state, scene.clock.moment(), result={"status": status})


async def test_the_reminder_comes_once(scene: Scene, driver: Person, pool: Pool, bus: Client) -> None:
    booking = await scene.book(driver, ahead_minutes=20)
    await run_due(pool, bus, scene.clock.moment())
    assert await told(pool, "booking-reminder") == []
    scene.clock.advance(5 * 60)
    now = scene.clock.moment()
    await asyncio.gather(*(run_due(pool, bus, now) for _ in range(3)))
    await run_due(pool, bus, now)
    event = {"user_id": driver.id, "booking_id": int(booking["id"])}
    assert await told(pool, "booking-reminder") == [event]
    async with pool.connection() as db:
        rows = await db.execute("SELECT message FROM notifications WHERE title LIKE '%soon%'")
        ((message,),) = await rows.fetchall()
    assert booking["bookingNumber"] in message
    assert "Harbour" in message


async def test_who_does_not_come_pays_the_fee(scene: Scene, driver: Person, pool: Pool, bus: Client) -> None:
    booking = await scene.book(driver, ahead_minutes=10, estimatedDuration=30)
    scene.clock.advance(39 * 60)
    await run_due(pool, bus, scene.clock.moment())
    assert (await scene.get(driver, booking["id"]))["status"] == "confirmed"
    scene.clock.advance(61)
    late = await scene.put(driver, booking["id"], "start")
    assert late.status_code == 400
    await run_due(pool, bus, scene.clock.moment())
    ended = await scene.get(driver, booking["id"])
    assert (ended["status"], ended["cancellationReason"]) == ("cancelled", "It was not started in its time")
    assert (ended["cost"]["reservationFee"], ended["cost"]["total"]) == (50, 50)
    assert ended["logs"][-1]["event"] == "expired"
    wallet = await wallet_of(pool, driver.id)
    assert (wallet.balance_minor, wallet.held_minor) == (WEALTH_MINOR - FEE_MINOR, 0)
    events = await told(pool, "booking-updated")
    assert [event["status"] for event in events] == ["confirmed", "cancelled"]
    assert events[-1] == {"user_id": driver.id, "booking_id": int(booking["id"]), "status": "cancelled"}


async def test_the_charger_is_asked_to_hold_the_connector(
    scene: Scene, driver: Person, pool: Pool, bus: Client
) -> None:
    booking = await scene.book(driver, ahead_minutes=70)
    await run_due(pool, bus, scene.clock.moment())
    assert await sent(scene) is None
    scene.clock.advance(60 * 60 - 1)
    await run_due(pool, bus, scene.clock.moment())
    assert await sent(scene) is None
    scene.clock.advance(1)
    await run_due(pool, bus, scene.clock.moment())
    command = await sent(scene)
    assert command is not None
    assert command.action == "ReserveNow"
    assert set(command.payload) == {"connectorId", "expiryDate", "idTag", "reservationId"}
    check_call(Version.V16, command.action, command.payload)
    assert command.payload["expiryDate"].startswith(f"{scene.clock.moment():%Y-%m-%dT}")
    assert len(command.payload["idTag"]) == 20
    async with pool.connection() as db:
        found = await db.execute(
            "SELECT user_id FROM id_tokens WHERE id_tag_key = %s", (command.payload["idTag"],)
        )
        assert await found.fetchone() == (driver.id,)
    await answer(scene, command, "Accepted")
    await run_due(pool, bus, scene.clock.moment())
    async with pool.connection() as db:
        state = await db.execute(
            "SELECT reservation_state, logs FROM bookings WHERE id = %s", (booking["id"],)
        )
        row = await state.fetchone()
    assert row is not None
    assert (row[0], row[1][-1]["event"]) == ("accepted", "reservation accepted")


async def test_a_cancelled_booking_frees_its_charger(
    scene: Scene, driver: Person, brand: Person, pool: Pool, bus: Client
) -> None:
    for is_sent in (False, True):
        booking = await scene.book(driver, ahead_minutes=9)
        await run_due(pool, bus, scene.clock.moment())
        command = await sent(scene) if is_sent else None
        if command is not None:
            await answer(scene, command, "Accepted")
        cancelled = await scene.put(brand, booking["id"], "cancel", {"reason": "works"})
        assert cancelled.json()["data"]["reservation"] == "cancelled"
        freeing = await sent(scene)
        if command is None:
            assert freeing is None, "what was not sent is not sent any more"
        else:
            assert freeing is not None
            assert freeing.action == "CancelReservation"
            assert freeing.payload == {"reservationId": command.payload["reservationId"]}


async def test_a_refused_reservation_is_noted_and_the_booking_stands(
    scene: Scene, driver: Person, stranger: Person, pool: Pool, bus: Client
) -> None:
    booking = await scene.book(driver, ahead_minutes=9, estimatedDuration=10)
    await run_due(pool, bus, scene.clock.moment())
    command = await sent(scene)
    assert command is not None
    await answer(scene, command, "Faulted")
    await run_due(pool, bus, scene.clock.moment())
    stands = await scene.get(driver, booking["id"])
    assert (stands["status"], stands["reservation"]) == ("confirmed", "refused")
    assert stands["logs"][-1]["event"] == "reservation refused: Faulted"
    async with pool.connection() as db:
        await db.execute(
            "INSERT INTO charger_variables (device_id, component, variable, value, updated_at)"
            " VALUES (%s, '', 'SupportedFeatureProfiles', 'Core,SmartCharging', now())",
            (scene.device_id,),
        )
    scene.clock.advance(20 * 60)
    other = await scene.book(stranger, ahead_minutes=5)
    await run_due(pool, bus, scene.clock.moment())
    assert (await scene.get(stranger, other["id"]))["reservation"] == "refused"
    assert await sent(scene) is None


async def test_a_charger_of_2_is_asked_in_its_own_words(
    scene: Scene, driver: Person, pool: Pool, bus: Client
) -> None:
    async with pool.connection() as db:
        await db.execute("UPDATE chargers SET ocpp_version = '2.0.1'")
        await put_token(db, "CARD", driver.id, group_id="FAMILY")
    await scene.book(driver, ahead_minutes=5)
    await run_due(pool, bus, scene.clock.moment())
    command = await sent(scene)
    assert command is not None
    assert set(command.payload) == {"id", "expiryDateTime", "idToken", "evseId", "groupIdToken"}
    assert command.payload["idToken"]["type"] == "Central"
    assert command.payload["groupIdToken"]["idToken"] == "FAMILY", "the driver's own card is taken too"
    check_call(Version.V201, command.action, command.payload)


async def test_nothing_is_asked_while_another_holds_or_charges(
    scene: Scene, driver: Person, stranger: Person, pool: Pool, bus: Client
) -> None:
    await scene.book(stranger, ahead_minutes=-0.5, estimatedDuration=5)
    await scene.book(driver, ahead_minutes=5)
    await run_due(pool, bus, scene.clock.moment())
    first = await sent(scene)
    assert first is not None
    await answer(scene, first, "Accepted")
    await run_due(pool, bus, scene.clock.moment())
    assert await sent(scene) is None
    session_id = await begin_session(pool, scene.device_id, stranger.id, scene.clock.moment())
    scene.clock.advance(6 * 60)
    await run_due(pool, bus, scene.clock.moment())
    assert await sent(scene) is None
    await end_session(pool, scene.clock, session_id)
    await run_due(pool, bus, scene.clock.moment())
    second = await sent(scene)
    assert second is not None
    assert second.payload["idTag"] != first.payload["idTag"]


async def test_a_driver_who_plugs_in_with_a_card_has_come(
    scene: Scene, driver: Person, stranger: Person, pool: Pool, bus: Client
) -> None:
    booking = await scene.book(driver, ahead_minutes=10, estimatedDuration=20)
    early = scene.clock.moment()
    foreign = await begin_session(pool, scene.device_id, stranger.id, early)
    await run_due(pool, bus, early)
    assert (await scene.get(driver, booking["id"]))["status"] == "confirmed"
    await end_session(pool, scene.clock, foreign)
    scene.clock.advance(10 * 60)
    own = await begin_session(pool, scene.device_id, driver.id, scene.clock.moment(), id_tag="CARD")
    scene.clock.advance(25 * 60)
    await run_due(pool, bus, scene.clock.moment())
    active = await scene.get(driver, booking["id"])
    assert (active["status"], active["sessionId"]) == ("active", str(own))
    assert (await wallet_of(pool, driver.id)).balance_minor == WEALTH_MINOR - FEE_MINOR
    await end_session(pool, scene.clock, own, energy_wh=3_000)
    await run_due(pool, bus, scene.clock.moment())
    ended = await scene.get(driver, booking["id"])
    assert (ended["status"], ended["energyConsumed"], ended["duration"]) == ("completed", 3, 25)


async def test_one_booking_that_fails_holds_up_no_other(
    scene: Scene, driver: Person, stranger: Person, pool: Pool, bus: Client
) -> None:
    broken = await scene.book(driver, ahead_minutes=0, estimatedDuration=10)
    sound = await scene.book(stranger, ahead_minutes=10, estimatedDuration=10)
    async with pool.connection() as db:
        transfer = await db.execute("SELECT min(id) FROM transfers WHERE state = 'posted'")
        await db.execute(
            "UPDATE bookings SET hold_id = %s WHERE id = %s",
            ((await transfer.fetchone() or [0])[0], broken["id"]),
        )
    scene.clock.advance(21 * 60)
    await run_due(pool, bus, scene.clock.moment())
    assert (await scene.get(driver, broken["id"]))["status"] == "confirmed"
    assert (await scene.get(stranger, sound["id"]))["status"] == "cancelled"
