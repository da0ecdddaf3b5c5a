"""What is made of simulated batteries: people who drive with them, loans, service, stock; for `gridwire up`.

The same batteries in both families: a dealer's (Ienerzy) and a maker's (Lithovolt). Safe to repeat: what is
there stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from storage.database import Connection
from storage.queries import (
    batteries,
    battery_assignments,
    battery_models,
    lending,
    lithovolt_users,
    serial_numbers,
    technician_profiles,
)
from storage.queries.batteries import Battery
from storage.queries.lithovolt_users import Facts
from storage.queries.users import User, ensure_user
from stream.lending import loans
from stream.lending.terms import LendingTerms, today
from stream.stock import allocating, making

CONSUMERS_MAX = 20  # each with a battery
LOANS_MAX = 10
OVERDUE_LOANS = 2
ALLOCATED_MAX = 50
PRICE_MINOR = 4_500_000
TENURE_MONTHS = 24
PAID_MONTHS = 3
RATE_PCT = Decimal("12.5")
CONSUMER_PHONE = "+9198760{:05}"
TECHNICIANS = (
    ("Asha", "+919876500901", "Bengaluru Central", ["battery_maintenance", "electrical"], Decimal("4.5")),
    ("Ravi", "+919876500902", "Bengaluru North", ["charging", "mechanical"], Decimal("4.1")),
)
IENERZY_ADMIN_PHONE = "+919876500900"
LITHOVOLT_ADMIN = "admin@lithovolt.example"
WHOLESALER = "wholesaler@lithovolt.example"
CUSTOMER = "consumer@lithovolt.example"
MODEL_CODE = "SIM48"
MODEL: battery_models.ModelFacts = {
    "name": "Simulated 48 V 100 Ah",
    "chemistry": "LFP",
    "nominal_voltage_v": Decimal(48),
    "capacity_ah": Decimal(100),
    "description": "The batteries of the simulated fleet",
    "price_minor": PRICE_MINOR,
    "tax_basis_points": 1_800,
    "hsn_code": "850760",
    "warranty_months": 36,
    "warranty_terms": {},
    "low_stock_threshold": 10,
    "is_active": True,
}


@dataclass(frozen=True, slots=True)
class DemoFleet:
    """Batteries that stand in `batteries` already, and whose they are."""

    serials: Sequence[str]
    dealer: User


async def register_families(
    connection: Connection, fleet: DemoFleet, password_hash: str, terms: LendingTerms, now: datetime
) -> None:
    """Make all of it; `password_hash` is of Lithovolt's accounts, Ienerzy's sign in by one-time passwords."""
    await ensure_user(
        connection, system="ienerzy", role="admin", name="Demo Ienerzy Admin", phone=IENERZY_ADMIN_PHONE
    )
    await _technicians(connection, fleet.dealer)
    for number, serial in enumerate(fleet.serials[:CONSUMERS_MAX], start=1):
        battery = await batteries.find_battery(connection, serial)
        if battery is None or battery.owner_id is not None:
            continue
        consumer = await _consumer(connection, fleet.dealer, battery, number, now)
        if number <= LOANS_MAX:
            await _loan(connection, fleet.dealer, battery, consumer, number, terms, now)
    await _stock(connection, fleet.serials, password_hash, now)


async def _technicians(connection: Connection, dealer: User) -> None:
    for name, phone, location, skills, rating in TECHNICIANS:
        user = await ensure_user(connection, system="ienerzy", role="technician", name=name, phone=phone)
        if await technician_profiles.lock_profile(connection, user.id) is None:
            profile: technician_profiles.ProfileFacts = {
                **technician_profiles.DEFAULTS,
                "dealer_id": dealer.id,
                "location": location,
                "skills": skills,
                "rating": rating,
                "experience_years": Decimal(3),
            }
            await technician_profiles.put_profile(connection, user.id, **profile)


async def _consumer(
    connection: Connection, dealer: User, battery: Battery, number: int, now: datetime
) -> User:
    consumer = await ensure_user(
        connection, system="ienerzy", role="consumer", name=f"Demo Consumer {number}",
        phone=CONSUMER_PHONE.format(number), dealer_id=dealer.id,
    )  # fmt: skip
    await battery_assignments.assign_battery(
        connection, battery.id, consumer.id, assigned_by=dealer.id, now=now
    )
    return consumer


async def _loan(
    connection: Connection,
    dealer: User,
    battery: Battery,
    consumer: User,
    number: int,
    terms: LendingTerms,
    now: datetime,
) -> None:
    """A running loan with some instalments paid; of the first ones the next is a day late."""
    application = await lending.insert_application(
        connection,
        dealer_id=dealer.id,
        consumer_id=consumer.id,
        battery_id=battery.id,
        amount_minor=PRICE_MINOR,
        tenure_months=TENURE_MONTHS,
        rate_pct=RATE_PCT,
        created_by=dealer.id,
        now=now,
    )
    is_late = number <= OVERDUE_LOANS
    starts_on = _months_before(today(now), PAID_MONTHS + is_late) - timedelta(days=int(is_late))
    await loans.approve(
        connection, application.id, approved_minor=PRICE_MINOR, rate_pct=None, tenure_months=None,
        emi_minor=None, starts_on=starts_on, method=terms.method, decided_by=dealer.id, now=now,
    )  # fmt: skip
    await loans.disburse(connection, application.id, amount_minor=None, disbursed_on=starts_on, now=now)
    loan = await loans.read(connection, await _held(connection, application.id), terms)
    for emi in loan.emis[:PAID_MONTHS]:
        await loans.record_payment(
            connection, application.id, key=f"demo:{application.id}:{emi.emi_number}",
            amount_minor=emi.amount_minor, paid_on=min(emi.due_date, today(now)), method="upi",
            reference=None, recorded_by=dealer.id, terms=terms, now=now,
        )  # fmt: skip


async def _held(connection: Connection, application_id: int) -> lending.Application:
    application = await lending.get_application(connection, application_id)
    assert application is not None
    return application


def _months_before(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 - months
    return date(index // 12, index % 12 + 1, min(day.day, 28))


async def _stock(connection: Connection, serials: Sequence[str], password_hash: str, now: datetime) -> None:
    """Accounts of Lithovolt, a model, the fleet's serials, and some of them at a wholesaler's."""
    admin_id = await _account(connection, LITHOVOLT_ADMIN, "admin", password_hash)
    wholesaler_id = await _account(connection, WHOLESALER, "wholesaler", password_hash)
    await _account(connection, CUSTOMER, "consumer", password_hash)
    listed, _ = await battery_models.list_models(
        connection, is_active=None, search=MODEL_CODE, limit=1, offset=0
    )
    if listed:
        model = listed[0]
    else:
        model = await battery_models.insert_model(connection, MODEL_CODE, MODEL, created_by=admin_id, now=now)
    known = await serial_numbers.hold_serials(connection, serials)
    new = [serial for serial in serials if serial.lower() not in known]
    if not new:
        return
    await making.take_in(connection, model, new, batch="simulated", actor_id=admin_id, now=now)
    await allocating.allocate_serials(
        connection, new[:ALLOCATED_MAX], wholesaler_id=wholesaler_id, order_id=None, notes="Demo",
        actor_id=admin_id, now=now,
    )  # fmt: skip


async def _account(connection: Connection, email: str, role: str, password_hash: str) -> int:
    found = await lithovolt_users.find_account(connection, email=email)
    if found is not None:
        return found.id
    facts: Facts = {
        "first_name": "Demo",
        "last_name": role.title(),
        "phone": None,
        "company": "",
        "gstin": "",
        "address": "",
    }
    made = await lithovolt_users.insert_account(
        connection, email=email, password_hash=password_hash, role=role, is_approved=True, **facts
    )
    return made.id
