"""A large made-up world of Ienerzy: facts as Python has them, and the same facts as rows of the tables.

`make_facts` makes them of a seed, `store` writes them. Whoever recomputes figures reads the facts only.
"""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from storage.database import Connection

KOLKATA = timedelta(hours=5, minutes=30)
HISTORY_DAYS = 430
CATEGORIES = ("performance", "charging", "mechanical", "electrical", "other")
CONSUMER_IDS_FROM = 1_000_000
TECHNICIAN_IDS_FROM = 2_000_000
RATES = (None, Decimal(0), Decimal("11.25"), Decimal("12.5"), Decimal("14.875"), Decimal(18))


def day_of(moment: datetime) -> date:
    """The day that it is in Asia/Kolkata then: five and a half hours ahead, without summer time."""
    return (moment.astimezone(UTC) + KOLKATA).date()


@dataclass(slots=True)
class ConsumerFact:
    id: int
    dealer_id: int
    kyc_status: str
    credit_score: int | None
    is_deleted: bool


@dataclass(slots=True)
class BatteryFact:
    id: int
    dealer_id: int | None
    owner_id: int | None
    status: str
    health_score: Decimal


@dataclass(slots=True)
class InstalmentFact:
    number: int
    due_date: date
    principal_minor: int
    interest_minor: int
    paid_minor: int = 0
    status: str = "pending"
    paid_on: date | None = None

    @property
    def amount_minor(self) -> int:
        return self.principal_minor + self.interest_minor


@dataclass(slots=True)
class PaymentFact:
    application_id: int
    dealer_id: int
    amount_minor: int
    paid_on: date
    kind: str
    is_late: bool


@dataclass(slots=True)
class ApplicationFact:
    id: int
    dealer_id: int
    consumer_id: int
    battery_id: int
    status: str
    amount_minor: int
    tenure_months: int
    rate_pct: Decimal | None
    created_at: datetime
    decided_at: datetime | None = None
    approved_minor: int | None = None
    starts_on: date | None = None
    disbursed_on: date | None = None
    disbursed_minor: int | None = None
    instalments: list[InstalmentFact] = field(default_factory=list)

    @property
    def is_approved(self) -> bool:
        return self.status in {"approved", "disbursed", "closed"}


@dataclass(slots=True)
class TicketFact:
    dealer_id: int
    battery_id: int
    category: str
    status: str
    technician_id: int | None
    created_at: datetime
    sla_due_at: datetime
    resolved_at: datetime | None
    parts_cost_minor: int | None
    labor_hours: Decimal | None
    satisfaction: int | None


@dataclass(slots=True)
class AlarmFact:
    battery_id: int
    kind: str
    severity: str
    opened_at: datetime
    closed_at: datetime | None


@dataclass(slots=True)
class HealthFact:
    battery_id: int
    day: date
    score: Decimal | None


@dataclass(slots=True)
class Facts:
    """Everything; `technicians` are names by id."""

    now: datetime
    consumers: list[ConsumerFact] = field(default_factory=list)
    batteries: list[BatteryFact] = field(default_factory=list)
    applications: list[ApplicationFact] = field(default_factory=list)
    payments: list[PaymentFact] = field(default_factory=list)
    technicians: dict[int, str] = field(default_factory=dict)
    tickets: list[TicketFact] = field(default_factory=list)
    alarms: list[AlarmFact] = field(default_factory=list)
    health: list[HealthFact] = field(default_factory=list)

    @property
    def today(self) -> date:
        return day_of(self.now)


class _Maker:
    def __init__(self, seed: int, now: datetime, dealer_ids: Sequence[int]) -> None:
        self.random = random.Random(seed)
        self.facts = Facts(now)
        self.dealer_ids = dealer_ids

    def moment(self, within: timedelta = timedelta(days=HISTORY_DAYS)) -> datetime:
        before_us = int(self.random.random() * (within / timedelta(microseconds=1)))
        return self.facts.now - timedelta(microseconds=before_us)

    def one_of(self, weights: dict[str, int]) -> str:
        return self.random.choices(list(weights), list(weights.values()))[0]

    def perhaps(self, probability: float) -> bool:
        return self.random.random() < probability

    def people(self, count: int) -> None:
        for number in range(count):
            self.facts.consumers.append(
                ConsumerFact(
                    id=CONSUMER_IDS_FROM + number,
                    dealer_id=self.random.choices(self.dealer_ids, (6, 3, 1))[0],
                    kyc_status=self.one_of({"verified": 7, "pending": 2, "rejected": 1}),
                    credit_score=self.random.randint(300, 900) if self.perhaps(0.8) else None,
                    is_deleted=self.perhaps(0.01),
                )
            )
        for number in range(40):
            self.facts.technicians[TECHNICIAN_IDS_FROM + number] = f"Technician {number}"

    def a_battery(self, dealer_id: int | None, owner_id: int | None) -> BatteryFact:
        health = Decimal(min(1000, int(self.random.betavariate(4, 1) * 1100))) / 10
        made = BatteryFact(
            id=len(self.facts.batteries) + 1,
            dealer_id=dealer_id,
            owner_id=owner_id,
            status=self.one_of({"active": 8, "inactive": 1, "maintenance": 1}),
            health_score=health,
        )
        self.facts.batteries.append(made)
        for back in self.random.sample(range(HISTORY_DAYS), self.random.randint(0, 4)):
            score = None if self.perhaps(0.1) else Decimal(self.random.randint(300, 1000)) / 10
            day = self.facts.now.date() - timedelta(days=back)
            self.facts.health.append(HealthFact(made.id, day, score))
        return made

    def an_application(self, battery: BatteryFact, consumer: ConsumerFact, status: str) -> None:
        created_at = self.moment()
        made = ApplicationFact(
            id=len(self.facts.applications) + 1,
            dealer_id=consumer.dealer_id,
            consumer_id=consumer.id,
            battery_id=battery.id,
            status=status,
            amount_minor=self.random.randint(20_000_00, 80_000_00),
            tenure_months=self.random.randint(3, 10),
            rate_pct=self.random.choice(RATES),
            created_at=created_at,
        )
        self.facts.applications.append(made)
        if status not in {"pending", "submitted"}:
            made.decided_at = created_at + (self.facts.now - created_at) * self.random.random() / 10
        if made.is_approved:
            self._lend(made)

    def _lend(self, loan: ApplicationFact) -> None:
        assert loan.decided_at is not None
        loan.approved_minor = loan.amount_minor - self.random.randint(0, 5_000_00)
        loan.starts_on = day_of(loan.decided_at)
        if loan.status == "disbursed" or (loan.status == "closed" and self.perhaps(0.95)):
            loan.disbursed_on = loan.starts_on + timedelta(days=self.random.randint(0, 3))
            loan.disbursed_minor = loan.approved_minor
        principal, rest = divmod(loan.approved_minor, loan.tenure_months)
        for number in range(1, loan.tenure_months + 1):
            last = rest if number == loan.tenure_months else 0
            interest = self.random.randint(0, 20_000) if loan.rate_pct else 0
            due = _months_later(loan.starts_on, number)
            loan.instalments.append(InstalmentFact(number, due, principal + last, interest))
        self._collect(loan)

    def _collect(self, loan: ApplicationFact) -> None:
        """Pay in order; the loan stops somewhere, where it is not closed, perhaps in the middle of one."""
        is_closed = loan.status == "closed"
        foreclosed_from = self.random.randint(2, 12) if is_closed else 99
        diligence = self.random.choice((0.75, 0.95, 0.99))
        for each in loan.instalments:
            if each.number >= foreclosed_from:
                self._foreclose(loan, each.number)
                return
            if not is_closed and (each.due_date > self._ahead() or not self.perhaps(diligence)):
                if each.due_date < self.facts.today and self.perhaps(0.3):
                    each.paid_minor = self.random.randint(1, each.amount_minor - 1)
                    self._pay(loan, each.paid_minor, each.due_date, self.facts.today)
                return
            each.paid_on = self._pay(loan, each.amount_minor, each.due_date, self._day_near(each.due_date))
            each.paid_minor, each.status = each.amount_minor, "paid"

    def _ahead(self) -> date:
        return self.facts.today + timedelta(days=3)

    def _day_near(self, due: date) -> date:
        day = due + timedelta(days=self.random.randint(-6, 25 if self.perhaps(0.2) else 0))
        return min(day, self.facts.today)

    def _pay(self, loan: ApplicationFact, amount_minor: int, due: date, day: date) -> date:
        parts = [amount_minor]
        if amount_minor > 1 and self.perhaps(0.1):
            first = self.random.randint(1, amount_minor - 1)
            parts = [first, amount_minor - first]
        for part in parts:
            fact = PaymentFact(loan.id, loan.dealer_id, part, day, "instalment", is_late=day > due)
            self.facts.payments.append(fact)
        return day

    def _foreclose(self, loan: ApplicationFact, number: int) -> None:
        rest = loan.instalments[number - 1 :]
        for each in rest:
            each.status = "cancelled"
        owed = sum(each.principal_minor for each in rest)
        day = min(rest[0].due_date, self.facts.today)
        self.facts.payments.append(PaymentFact(loan.id, loan.dealer_id, owed, day, "foreclosure", False))

    def a_ticket(self) -> None:
        battery = self.random.choice(self.facts.batteries)
        if battery.dealer_id is None:
            return
        created_at = self.moment()
        status = self.one_of({"open": 1, "assigned": 1, "in_progress": 1, "resolved": 7})
        is_resolved = status == "resolved"
        has_technician = status != "open" and not (is_resolved and self.perhaps(0.05))
        took = (self.facts.now - created_at) * self.random.random() / 20
        self.facts.tickets.append(
            TicketFact(
                dealer_id=battery.dealer_id,
                battery_id=battery.id,
                category=self.random.choice(CATEGORIES),
                status=status,
                technician_id=self.random.choice(list(self.facts.technicians)) if has_technician else None,
                created_at=created_at,
                sla_due_at=created_at + timedelta(hours=self.random.choice((4, 24, 72, 168))),
                resolved_at=created_at + took if is_resolved else None,
                parts_cost_minor=self.random.randint(0, 4_000_00) if self.perhaps(0.6) else None,
                labor_hours=Decimal(self.random.randint(0, 900)) / 100 if self.perhaps(0.6) else None,
                satisfaction=self.random.randint(1, 5) if is_resolved and self.perhaps(0.5) else None,
            )
        )

    def alarms(self, count: int) -> None:
        kinds = ("over_temperature", "deep_discharge", "cell_imbalance")
        pairs = [(battery.id, kind) for battery in self.facts.batteries for kind in kinds]
        for battery_id, kind in self.random.sample(pairs, count):
            opened_at = self.moment()
            is_open = self.perhaps(0.4)
            closed_at = None if is_open else opened_at + (self.facts.now - opened_at) * self.random.random()
            severity = self.one_of({"warning": 3, "critical": 1})
            self.facts.alarms.append(AlarmFact(battery_id, kind, severity, opened_at, closed_at))


def make_facts(seed: int, now: datetime, dealer_ids: Sequence[int], consumers: int = 10_000) -> Facts:
    """Make the facts of three dealers, a large, a middle and a small one."""
    maker = _Maker(seed, now, dealer_ids)
    maker.people(consumers)
    for consumer in maker.facts.consumers:
        for _ in range(maker.random.choices((0, 1, 2), (5, 85, 10))[0]):
            battery = maker.a_battery(consumer.dealer_id, consumer.id)
            for status in _states(maker):
                maker.an_application(battery, consumer, status)
    for dealer_id in (*dealer_ids, None):
        for _ in range(consumers // 50):
            maker.a_battery(dealer_id, None)
    for _ in range(consumers // 2):
        maker.a_ticket()
    maker.alarms(consumers // 4)
    return maker.facts


def _states(maker: _Maker) -> Iterator[str]:
    """What became of a battery's applications: at most one is open and one is running."""
    if maker.perhaps(0.15):
        yield maker.one_of({"rejected": 2, "closed": 1})
    now = maker.one_of({"": 1, "pending": 1, "submitted": 1, "approved": 1, "disbursed": 5, "closed": 1})
    if now:
        yield now


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, 28))


async def store(db: Connection, facts: Facts) -> None:
    """Write the facts into the tables."""
    await _store_people(db, facts)
    await _copy(
        db,
        "batteries (id, serial_number, status, health_score, dealer_id, owner_id)",
        ((b.id, f"FIG{b.id}", b.status, b.health_score, b.dealer_id, b.owner_id) for b in facts.batteries),
    )
    await _store_loans(db, facts)
    await _copy(
        db,
        "service_tickets (dealer_id, battery_id, issue_category, description, status, assigned_to,"
        " created_at, updated_at, sla_due_at, resolved_at, parts_cost_minor, labor_hours, satisfaction)",
        (
            (t.dealer_id, t.battery_id, t.category, "d", t.status, t.technician_id, t.created_at,
             t.created_at, t.sla_due_at, t.resolved_at, t.parts_cost_minor, t.labor_hours, t.satisfaction)
            for t in facts.tickets
        ),
    )  # fmt: skip
    await _copy(
        db,
        "battery_alarms (battery_id, kind, severity, opened_at, closed_at, worst)",
        ((a.battery_id, a.kind, a.severity, a.opened_at, a.closed_at, 1.0) for a in facts.alarms),
    )
    empty = json.dumps({})
    await _copy(
        db,
        "battery_health (battery_id, day, health_score, assessed_at, since, until, samples, known, penalty,"
        " full_cycles, cycle_depths, figures, parts)",
        (
            (
                h.battery_id,
                h.day,
                h.score,
                facts.now,
                facts.now,
                facts.now,
                1,
                1.0,
                0.0,
                0.0,
                "{}",
                empty,
                "[]",
            )
            for h in facts.health
        ),
    )
    await db.execute("ANALYZE")


async def _store_people(db: Connection, facts: Facts) -> None:
    await _copy(
        db,
        "users (id, system, role, name, phone, dealer_id, deleted_at)",
        (
            (c.id, "ienerzy", "consumer", f"Consumer {c.id}", f"+917{c.id:09}", c.dealer_id,
             facts.now if c.is_deleted else None)
            for c in facts.consumers
        ),
    )  # fmt: skip
    await db.execute("CREATE TEMP TABLE known (id bigint, kyc_status text, credit_score smallint)")
    await _copy(db, "known", ((c.id, c.kyc_status, c.credit_score) for c in facts.consumers))
    await db.execute(
        "UPDATE consumers SET kyc_status = known.kyc_status, credit_score = known.credit_score"
        " FROM known WHERE known.id = user_id"
    )
    await db.execute("DROP TABLE known")
    await _copy(
        db,
        "users (id, system, role, name, phone)",
        ((id_, "ienerzy", "technician", name, f"+918{id_:09}") for id_, name in facts.technicians.items()),
    )
    await db.execute("INSERT INTO technicians (user_id) SELECT id FROM users WHERE role = 'technician'")


async def _store_loans(db: Connection, facts: Facts) -> None:
    await _copy(
        db,
        "finance_applications (id, dealer_id, consumer_id, battery_id, amount_minor, tenure_months,"
        " rate_pct, status, approved_minor, starts_on, decided_at, disbursed_on, disbursed_minor,"
        " created_at, updated_at)",
        (
            (a.id, a.dealer_id, a.consumer_id, a.battery_id, a.amount_minor, a.tenure_months, a.rate_pct,
             a.status, a.approved_minor, a.starts_on, a.decided_at, a.disbursed_on, a.disbursed_minor,
             a.created_at, a.created_at)
            for a in facts.applications
        ),
    )  # fmt: skip
    await _copy(
        db,
        "emi_schedules (application_id, emi_number, due_date, principal_minor, interest_minor, amount_minor,"
        " paid_minor, status, paid_on)",
        (
            (a.id, e.number, e.due_date, e.principal_minor, e.interest_minor, e.amount_minor, e.paid_minor,
             e.status, e.paid_on)
            for a in facts.applications
            for e in a.instalments
        ),
    )  # fmt: skip
    transfer_id = await _any_transfer(db)
    await _copy(
        db,
        "emi_payments (key, application_id, dealer_id, amount_minor, paid_on, kind, method, is_late,"
        " transfer_id, created_at)",
        (
            (f"p{n}", p.application_id, p.dealer_id, p.amount_minor, p.paid_on, p.kind, "upi", p.is_late,
             transfer_id, facts.now)
            for n, p in enumerate(facts.payments)
        ),
    )  # fmt: skip


async def _any_transfer(db: Connection) -> int:
    """One for all payments: figures of collections do not read the ledger."""
    cursor = await db.execute(
        "WITH made AS (INSERT INTO accounts (kind, currency, may_be_negative)"
        " VALUES ('figures_from', 'INR', true), ('figures_to', 'INR', true) RETURNING id)"
        " SELECT min(id), max(id) FROM made"
    )
    row = await cursor.fetchone()
    assert row is not None
    cursor = await db.execute(
        "INSERT INTO transfers (key, debit_account_id, credit_account_id, amount_minor, state, description,"
        " debit_balance_minor, credit_balance_minor) VALUES ('figures', %s, %s, 1, 'posted', 'd', -1, 1)"
        " RETURNING id",
        row,
    )
    made = await cursor.fetchone()
    assert made is not None
    return int(made[0])


async def _copy(db: Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    async with db.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            await copy.write_row(row)
