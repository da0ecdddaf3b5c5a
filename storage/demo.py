"""What a simulated fleet needs in the database; used by `gridwire up` and `gridwire simulate --register`.

Safe to repeat: what is there stays as it is, so a second start goes on with the same data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from storage import ledger
from storage.database import Connection
from storage.queries.batteries import find_battery, insert_battery
from storage.queries.chargers import set_charger_station
from storage.queries.devices import register_device, set_device_owner, set_device_secret
from storage.queries.id_tokens import put_token
from storage.queries.places import PlaceChange, get_place, update_place
from storage.queries.station_connectors import Offer, put_offers
from storage.queries.stations import insert_station, list_stations
from storage.queries.users import User, ensure_user

STATION_NAME = "Simulated station"
STATION_PLACE: PlaceChange = {
    "address": "1 Mahatma Gandhi Road",
    "city": "Bengaluru",
    "state": "Karnataka",
    "pincode": "560001",
    "latitude": 12.9758,
    "longitude": 77.6045,
    "amenities": ["wifi", "restroom"],
}
# The first labels; each other connector of its chargers gets one of its own, at the platform's price.
STATION_OFFERS = (
    Offer(
        "1", "CCS", Decimal(50), base_price_minor=1_850, parking_fee_minor=None, reservation_fee_minor=None
    ),
    Offer(
        "2", "Type2", Decimal(22), base_price_minor=1_500, parking_fee_minor=None, reservation_fee_minor=None
    ),
)
CREDIT_MINOR = 500_000_000  # a driver who never runs dry, and may still top up
DRIVER_ID_TAG = "SIM-TAG-{:04d}"
DRIVER_EMAIL = "driver{}@example.com"


@dataclass(frozen=True, slots=True)
class DemoAccounts:
    """Who logs in to what; passwords are hashed by the caller."""

    admin: User
    brand: User
    dealer: User


async def register_accounts(connection: Connection, password_hash: str, dealer_phone: str) -> DemoAccounts:
    """An EV-CMS admin and brand, and an Ienerzy dealer."""
    admin = await ensure_user(
        connection, system="evcms", role="admin", name="Demo Admin",
        email="admin@example.com", password_hash=password_hash,
    )  # fmt: skip
    brand = await ensure_user(
        connection, system="evcms", role="brand", name="Demo Brand",
        email="brand@example.com", password_hash=password_hash,
    )  # fmt: skip
    dealer = await ensure_user(
        connection, system="ienerzy", role="dealer", name="Demo Dealer", phone=dealer_phone
    )
    return DemoAccounts(admin, brand, dealer)


async def register_chargers(
    connection: Connection, identities: Sequence[str], secret_hash: str, owner_id: int, now: datetime
) -> None:
    """Chargers at one station of `owner_id`, all with the same Basic password."""
    station_id = await _station_of(connection, owner_id, now)
    for identity in identities:
        device = await register_device(connection, "charger", identity, name=identity)
        await set_device_owner(connection, device.id, owner_id)
        await set_device_secret(connection, device.id, secret_hash)
        await set_charger_station(connection, device.id, station_id)


async def _station_of(connection: Connection, owner_id: int, now: datetime) -> int:
    """Return the owner's first station, made if there is none, with a place where people find it."""
    stations = await list_stations(connection, owner_id=owner_id, limit=1)
    station = stations[0] if stations else await insert_station(connection, STATION_NAME, owner_id=owner_id)
    place = await get_place(connection, station.id)
    if place is not None and place.latitude is None:
        await update_place(connection, station.id, now, **STATION_PLACE)
        await put_offers(connection, station.id, STATION_OFFERS)
    return station.id


async def register_drivers(connection: Connection, count: int, password_hash: str) -> list[str]:
    """Drivers with a card and a full wallet each; returns the cards' id tags."""
    tags = [DRIVER_ID_TAG.format(number) for number in range(1, count + 1)]
    funding = await ledger.house_account(connection, "funding")
    for number, tag in enumerate(tags, start=1):
        driver = await ensure_user(
            connection, system="evcms", role="user", name=f"Driver {number}",
            email=DRIVER_EMAIL.format(number), password_hash=password_hash,
        )  # fmt: skip
        await put_token(connection, tag, driver.id)
        wallet, key = await ledger.ensure_wallet(connection, driver.id), f"demo:{driver.id}"
        if await ledger.find_transfer(connection, key) is None:  # older data has another amount
            await ledger.transfer(
                connection, key=key, debit_account_id=funding.id, credit_account_id=wallet.id,
                amount_minor=CREDIT_MINOR, description="Demo credit",
            )  # fmt: skip
    return tags


async def register_batteries(connection: Connection, serials: list[str], dealer_id: int) -> None:
    """Batteries of one dealer, each linked to the device that reports for it."""
    for serial in serials:
        if await find_battery(connection, serial) is None:
            await insert_battery(connection, serial, health_score=Decimal(100), dealer_id=dealer_id)
        await register_device(connection, "battery", serial)
