"""A driver's day through the whole product: from his registration to a rating, at a charger that simulates.

Nothing here knows the product but by its sockets; what the charger counted is what the driver pays.
"""

import asyncio
import io
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import socketio
from pypdf import PdfReader

from simulators import fleet, ledger
from tests.end_to_end.product import Product, fleet_of, running_product

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(180)]

PASSWORD = "correct horse"
EMAIL = "asha@example.org"
PLACE = {"latitude": 18.5204, "longitude": 73.8567}
PRICE, GST_PERCENT, FEE = Decimal(18), Decimal(18), Decimal(50)  # rupees a kWh, and of a reservation
TOP_UP = Decimal(1_000)
NEVER_S = (86_400.0, 86_400.0)
WAIT_S = 40.0


class App:
    """What a client of one person calls."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.token = ""

    async def call(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = await self.client.request(method, f"/api/v1{path}", headers=headers, **more)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer.json()["data"] if "data" in answer.json() else answer.json()

    async def login(self, email: str, password: str) -> None:
        body = {"email": email, "password": password}
        self.token = (await self.call("POST", "/auth/login", json=body))["accessToken"]

    async def balance(self) -> Decimal:
        return Decimal(str((await self.call("GET", "/profile/wallet"))["balance"]))


async def until(look: Callable[[], Awaitable[Any]], seconds: float = WAIT_S) -> Any:
    """Wait until there is something to see, and return it."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(0.2)
        return found


def paise(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


async def verification_token(product: Product) -> str | None:
    for _, event in product.events:
        found = re.search(r"https?://\S+verify-email\S+", str(event.get("body", "")))
        if event.get("event") == "mail_message" and event.get("address") == EMAIL and found:
            return parse_qs(urlsplit(found[0]).query)["token"][0]
    return None


async def make_station(admin: App) -> str:
    """A station with the simulated charger; returns its id once the charger is online."""
    brand = next(row for row in await admin.call("GET", "/admin/users") if row["role"] == "brand")
    body = {
        "name": "Harbour",
        "address": "1 Harbour Road",
        "location": {"type": "Point", "coordinates": [PLACE["longitude"], PLACE["latitude"]]},
        "connectors": [
            {"connectorId": "1", "type": "Type2", "power": 22, "pricing": {"basePrice": float(PRICE)}}
        ],
        "ownerId": brand["id"],
    }
    station: str = (await admin.call("POST", "/stations", json=body))["id"]
    (charger,) = await admin.call("GET", "/chargers")
    await admin.call("PUT", f"/chargers/{charger['id']}", json={"stationId": station})

    async def online() -> bool:
        shown = await admin.call("GET", f"/chargers/{charger['id']}")
        return bool(shown["status"] == "Online" and shown["connectors"][0]["status"] == "Available")

    await until(online)
    return station


async def register(product: Product, driver: App) -> str:
    """A verified driver with a vehicle and money; returns the vehicle's id."""
    person = {"email": EMAIL, "password": PASSWORD, "name": "Asha", "phone": "+919876543210"}
    assert (await driver.call("POST", "/auth/register", json=person))["user"]["role"] == "user"
    await driver.login(EMAIL, PASSWORD)
    assert not (await driver.call("GET", "/auth/me"))["isEmailVerified"]
    token = await until(lambda: verification_token(product))
    await driver.call("POST", "/auth/verify-email", json={"token": token})
    assert (await driver.call("GET", "/auth/me"))["isEmailVerified"]
    car = {"make": "Tata", "model": "Nexon", "year": 2025, "batteryCapacity": 40.5}
    vehicle: str = (
        await driver.call("POST", "/profile/vehicles", json=car | {"registrationNumber": "KA01AB1234"})
    )["id"]
    await driver.call("POST", "/profile/wallet/topup", json={"amount": float(TOP_UP), "paymentMethod": "upi"})
    assert await driver.balance() == TOP_UP
    return vehicle


async def book(driver: App, vehicle: str, ahead: timedelta) -> str:
    """At the one station that is near."""
    (station,) = await driver.call("GET", "/stations/nearby", params={**PLACE, "radius": 2_000})
    assert station["distance"] < 1
    assert (await driver.call("GET", f"/stations/{station['id']}/availability"))["available"]
    order = {
        "stationId": station["id"],
        "connectorId": "1",
        "vehicleId": vehicle,
        "scheduledTime": (datetime.now(UTC) + ahead).isoformat(),
        "estimatedDuration": 30,
    }
    booking = await driver.call("POST", "/bookings", json=order)
    assert booking["status"] == "confirmed"
    return str(booking["id"])


async def charge(product: Product, driver: App, booking: str) -> str:
    """Start the booking, watch its session until energy flows, complete and rate it; returns its session."""
    updates: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    socket = socketio.AsyncClient(reconnection=False)
    socket.on("session-update", updates.put)
    await socket.connect(product.url, transports=["websocket"])
    assert (await socket.call("authenticate", {"token": driver.token}, timeout=5))["success"]
    started = await driver.call("PUT", f"/bookings/{booking}/start")
    session = str(started["sessionId"])
    assert started["status"] == "active"
    assert (await socket.call("join-session", {"sessionId": session}, timeout=5))["success"]
    async with asyncio.timeout(WAIT_S):
        while (update := await updates.get())["meterValue"] == 0:
            assert update["sessionId"] == session
    assert update["power"] > 0
    rating = {"score": 5, "review": "It just works"}
    said = {"energyConsumed": 999, "finalSoC": 80, "rating": rating}
    completed = await driver.call("PUT", f"/bookings/{booking}/complete", json=said)
    assert completed["status"] == "completed"
    assert completed["rating"]["score"] == 5
    async with asyncio.timeout(WAIT_S):
        while (await updates.get())["status"] != "completed":
            pass
    await socket.disconnect()
    return session


async def check_bill(driver: App, session: str, energy_wh: int) -> Decimal:
    """Record, wallet and invoice are of this energy; returns what the session cost."""
    record = await driver.call("GET", f"/sessions/{session}/cdr")
    energy = paise(PRICE * energy_wh / 1_000)
    total = energy + paise(energy * GST_PERCENT / 100)
    assert Decimal(str(record["energyConsumed"])) * 1_000 == energy_wh
    assert Decimal(str(record["totalCost"])) == total

    async def invoiced() -> Any:
        return await driver.call("GET", "/billing/invoices")

    (invoice,) = await until(invoiced)
    assert (Decimal(str(invoice["total"])), invoice["status"]) == (total, "paid")
    assert await driver.balance() == TOP_UP - FEE - total
    pdf = await driver.client.get(
        f"/api/v1/billing/invoices/{invoice['id']}/pdf", headers={"Authorization": f"Bearer {driver.token}"}
    )
    text = PdfReader(io.BytesIO(pdf.content)).pages[0].extract_text()
    assert invoice["invoiceNumber"] in text
    assert f"{total:.2f}" in text
    return total


async def check_afterwards(driver: App, admin: App, station: str, energy_wh: int, total: Decimal) -> None:
    """Support answers, the rating is moderated, and everybody's figures are those of the meter."""
    problem = {"subject": "Receipt", "description": "Where is it?", "category": "billing"}
    ticket = (await driver.call("POST", "/support/tickets", json=problem))["id"]
    await admin.call("POST", f"/support/tickets/{ticket}/comments", json={"comment": "Among your invoices"})
    await admin.call("PUT", f"/support/tickets/{ticket}", json={"status": "resolved"})
    assert len((await driver.call("GET", f"/support/tickets/{ticket}"))["comments"]) == 1
    (review,) = await admin.call("GET", "/admin/reviews")
    await admin.call("PUT", f"/admin/reviews/{review['id']}/moderate", json={"status": "approved"})
    shown = await driver.call("GET", f"/stations/{station}")
    assert (shown["rating"], shown["totalReviews"]) == (5, 1)
    mine = (await driver.call("GET", "/dashboard/stats"))["thisMonth"]
    assert mine["sessions"] == 1
    assert Decimal(str(mine["energyConsumed"])) * 1_000 == energy_wh
    assert Decimal(str(mine["totalSpent"])) == total
    theirs = await admin.call("GET", "/admin/dashboard")
    assert theirs["sessions"]["today"] == 1
    assert Decimal(str(theirs["revenue"]["today"])) == total
    assert theirs["overview"]["activeSessions"] == 0


async def test_a_driver_charges_and_pays_what_the_charger_counted(server_folder: Path) -> None:
    async with running_product(server_folder / "evcms", (), 1, 0) as product:
        config = fleet_of(product, chargers=1, batteries=0, charger_interval_s=1, connectors=1,
                          first_plug_s=NEVER_S, pause_s=NEVER_S, session_s=NEVER_S)  # fmt: skip
        stop = asyncio.Event()
        running = asyncio.create_task(fleet.run(config, stop=stop, ready=lambda: None))
        async with (
            httpx.AsyncClient(base_url=product.url, timeout=60) as one,
            httpx.AsyncClient(base_url=product.url, timeout=60) as other,
        ):
            driver, admin = App(one), App(other)
            await admin.login("admin@example.com", product.accounts["admin"])
            station = await make_station(admin)
            vehicle = await register(product, driver)
            later = await book(driver, vehicle, timedelta(hours=5))
            soon = await book(driver, vehicle, timedelta(minutes=12))
            told = await driver.call("GET", "/notifications?type=booking")
            confirmed = [row for row in told if row["data"]["bookingId"] == later]
            assert len(confirmed) == 1, "it is too early for a reminder"
            early = await driver.client.put(
                f"/api/v1/bookings/{later}/start", headers={"Authorization": f"Bearer {driver.token}"}
            )
            assert early.status_code == 400
            await driver.call("PUT", f"/bookings/{later}/cancel", json={"reason": "Once is enough"})
            session = await charge(product, driver, soon)
            stop.set()
            await asyncio.wait_for(running, 30)
            (counted,) = ledger.sessions(config.ledger_path)
            assert counted.meter_stop_wh is not None
            energy_wh = counted.meter_stop_wh - counted.meter_start_wh
            assert energy_wh > 0
            total = await check_bill(driver, session, energy_wh)
            await check_afterwards(driver, admin, station, energy_wh, total)
