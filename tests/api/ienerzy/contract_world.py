"""A scene in which every endpoint of the contract has something to work on; for the tests of the table."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, LiteralString

import httpx

from storage.database import Pool, fetch_value
from storage.queries import devices
from storage.queries.batteries import Battery
from stream.lending.rules import due_date
from stream.lending.terms import today
from tests.api.helpers import Clock, Person, Service
from tests.api.ienerzy.contract_table import Row
from tests.api.ienerzy.people import World, make_battery

Json = dict[str, Any]

NBFC_SECRET = "what the scene and its NBFC know"
TABLES = (
    "batteries", "users", "consumers", "consumer_documents", "finance_applications", "emi_schedules",
    "emi_payments", "transfers", "service_tickets", "service_ticket_events", "notices", "battery_commands",
    "technicians", "nbfc_events", "nbfc_reports", "battery_assignments", "admin_actions",
)  # fmt: skip
LOAN = {"amount": 45000, "tenure_months": 24, "interest_rate": 12.5}
# A technician who is never too busy for one more ticket of a test.
PROFILE = {
    "location": "Bangalore Central",
    "skills": ["battery_maintenance", "electrical"],
    "load_max": 1_000,
}


@dataclass
class Scene:
    """`people` by name: `dealer`, `consumer` and `technician` own things; `admin`; all others own nothing.

    `rival` is another dealer, `outsider` his consumer; `stranger` another consumer of the dealer, `colleague`
    another technician. `make` makes a thing of the dealer and the consumer and returns what a path names it
    by; `body` a good body.
    """

    api: httpx.AsyncClient
    pool: Pool
    clock: Clock
    world: World
    people: dict[str, Person]
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    async def call(
        self, person: Person | None, method: str, path: str, status: int | None = None, **more: Any
    ) -> httpx.Response:
        """Send it; a status that is given must come back."""
        headers = more.pop("headers", {}) | (person.headers if person else {})
        answer = await self.api.request(method, path, headers=headers, **more)
        assert status in {None, answer.status_code}, (method, path, more, answer.status_code, answer.text)
        return answer

    async def made(self, who: str, path: str, body: Json | None = None, status: int = 201) -> Any:
        """What a POST below /api makes."""
        answer = await self.call(self.people[who], "POST", f"/api{path}", status, json=body)
        return answer.json()

    async def count(self, query: LiteralString) -> int:
        """A number of the database."""
        async with self.pool.connection() as db:
            return int(await fetch_value(db, query, {}))

    async def rows(self) -> list[Any]:
        """All that an endpoint of the family may change, as text."""
        text = " UNION ALL ".join(f"SELECT t::text FROM {name} t" for name in TABLES)
        async with self.pool.connection() as db:
            return sorted(await (await db.execute(text.encode())).fetchall())

    async def battery(self) -> Battery:
        """A battery of the dealer that the consumer has."""
        serial = f"SCN-{next(self.numbers)}"
        return await make_battery(self.pool, serial, self.people["dealer"], self.people["consumer"])

    def phone(self) -> str:
        return f"+9170000{next(self.numbers):05}"

    async def make(self, subject: str) -> str:
        maker: Callable[[], Awaitable[str]] = getattr(self, "_make_" + subject.replace(" ", "_"))
        return await maker()

    async def _make_known_battery(self) -> str:
        return self.world.battery.serial_number

    async def _make_battery(self) -> str:
        return (await self.battery()).serial_number

    async def _make_consumer(self) -> str:
        return str(self.people["consumer"].id)

    async def _make_application(self) -> str:
        return str((await self.made("dealer", "/finance/applications", await self.loan()))["id"])

    async def _make_submitted_application(self) -> str:
        made = await self.made("dealer", "/nbfc/submit-application", await self.loan())
        return str(made["application"]["id"])

    async def _make_loan(self) -> str:
        """A loan that runs, and was begun so long ago that instalments are overdue."""
        loan = await self._make_application()
        start = due_date(today(self.clock.moment()) - timedelta(days=10), -3)
        await self.call(
            self.people["dealer"], "PUT", f"/api/finance/applications/{loan}/approve", 200,
            json={"status": "approved", "approved_amount": 45000, "starts_on": start.isoformat()},
        )  # fmt: skip
        return loan

    async def _make_emi(self) -> str:
        path = f"/api/finance/applications/{await self._make_loan()}"
        loan = (await self.call(self.people["dealer"], "GET", path, 200)).json()
        return str(loan["emi_schedule"][0]["id"])

    async def _make_ticket(self) -> str:
        ticket = (await self.made("dealer", "/service/tickets", await self.issue()))["ticket"]["id"]
        body = {"technician_id": self.people["technician"].id}
        await self.call(self.people["dealer"], "PUT", f"/api/service/tickets/{ticket}/assign", 200, json=body)
        return str(ticket)

    async def _make_resolved_ticket(self) -> str:
        ticket = await self._make_ticket()
        for status in ("in_progress", "resolved"):
            await self.made("technician", f"/service/tickets/{ticket}/update", {"status": status}, 200)
        return ticket

    async def _make_document(self) -> str:
        body = await self._body_013(self.people["dealer"])
        made = await self.made("dealer", f"/consumers/{self.people['consumer'].id}/documents", body)
        return str(made["document"]["id"])

    async def _make_message(self) -> str:
        return str((await self.made("dealer", "/messaging/send-sms", FIXED["037"], 200))["message_id"])

    async def _make_account(self) -> str:
        return str(self.people["technician"].id)

    async def loan(self) -> Json:
        """What one may apply for: a battery that has no loan."""
        battery = await self.battery()
        return {"consumer_id": self.people["consumer"].id, "battery_id": battery.id, **LOAN}

    async def issue(self) -> Json:
        battery = await self.battery()
        what = {"issue_category": "performance", "description": "Does not charge", "location": "Bangalore"}
        return {"battery_id": battery.id, **what}

    async def body(self, row: Row, person: Person) -> Json | None:
        """What this person sends to this endpoint and has taken; None where it takes no body."""
        made: Callable[[Person], Awaitable[Json]] | None = getattr(self, f"_body_{row.id}", None)
        body = FIXED.get(row.id) if made is None else await made(person)
        is_owned = row.id in {"005", "010", "015", "021"} and person is self.people["admin"]
        return None if body is None else body | ({"dealer_id": self.people["dealer"].id} if is_owned else {})

    async def _body_002(self, person: Person) -> Json:
        await self.made("dealer", "/auth/login", FIXED["001"], 200)
        phone = FIXED["001"]["phone"]
        return {"phone": phone, "otp": self.world.codes.sent[phone]}

    async def _body_005(self, person: Person) -> Json:
        return {"serial_number": f"NEW-{next(self.numbers)}", "health_score": 99.5}

    async def _body_007(self, person: Person) -> Json:
        return {"consumer_id": self.people["stranger"].id}

    async def _body_010(self, person: Person) -> Json:
        numbers = {"pan": f"ABCDE{next(self.numbers):04}F", "aadhar": aadhaar(next(self.numbers))}
        return {"name": "Ram Kumar", "phone": self.phone(), **numbers}

    async def _body_011(self, person: Person) -> Json:
        number = next(self.numbers)
        return {"kyc_status": "verified", "pan": f"ABCDE{number:04}F", "aadhar": aadhaar(number)}

    async def _body_013(self, person: Person) -> Json:
        number = f"ABCDE{next(self.numbers):04}F"
        url = "https://storage.example.com/pan_card.jpg"
        return {"document_type": "pan_card", "document_url": url, "document_number": number}

    async def _body_015(self, person: Person) -> Json:
        return await self.loan()

    async def _body_021(self, person: Person) -> Json:
        return await self.loan()

    async def _body_022(self, person: Person) -> Json:
        return {
            "applicationId": int(await self._make_submitted_application()), "status": "approved",
            "sanctionedAmount": 45000, "interestRate": 12.5, "emiAmount": 2500,
            "disbursementDate": today(self.clock.moment()).isoformat(),
        }  # fmt: skip

    async def _body_025(self, person: Person) -> Json:
        return await self.issue()

    async def _body_028(self, person: Person) -> Json:
        return {"technician_id": self.people["colleague"].id, "priority": "high"}

    async def _body_031(self, person: Person) -> Json:
        wish = {"location": "Bangalore", "priority": "medium", "skill_required": "electrical"}
        return {"ticket_id": int(await self._make_ticket()), **wish}

    async def _body_039(self, person: Person) -> Json:
        to = {"consumer_phone": "+919876543212", "status": "active", "message": "It is active"}
        return {"battery_id": self.world.battery.id, **to}


FIXED: dict[str, Json] = {
    "001": {"phone": "+919876543210", "userType": "dealer"},
    "006": {"action": "maintenance"},
    "017": {"status": "approved", "approved_amount": 40000, "interest_rate": 11.5, "tenure_months": 12},
    "019": {"overdue_days_threshold": 7},
    "024": {
        "report_date": "2026-01-15",
        "collection_data": {"total_collections": 25, "amount_collected": 46875.5, "overdue_count": 3},
    },
    "029": {
        "status": "in_progress", "description": "It was the plug",
        "resolution_notes": "Found loose connection", "parts_used": "Connector kit", "labor_hours": 2,
    },
    "037": {"to": "+919876500000", "message": "Your battery is ready."},
    "038": {"to": "+919876500000", "otp": "123456"},
    "042": {"status": "inactive"},
}  # fmt: skip

_VERHOEFF_TURN = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def aadhaar(number: int) -> str:
    """An Aadhaar number of this many, with its check digit (Verhoeff's, by his dihedral group)."""
    rows = [list(range(10))]
    for _ in range(7):
        rows.append([_VERHOEFF_TURN[digit] for digit in rows[-1]])
    head = f"2{number:010}"
    check = 0
    for place, digit in enumerate(reversed(head), start=1):
        check = _times(check, rows[place % 8][int(digit)])
    return head + str(next(digit for digit in range(10) if _times(check, digit) == 0))


def _times(left: int, right: int) -> int:
    """Turns (0 to 4) and flips (5 to 9) of a pentagon, one after the other."""
    sign = 1 if left < 5 else -1
    turned = (left % 5 + sign * (right % 5)) % 5
    return turned + 5 * ((left < 5) != (right < 5))


async def make_scene(service: Service, world: World, clock: Clock) -> Scene:
    """The world of `conftest`, others beside it, and some of everything that lists and figures show."""
    people = {
        "dealer": world.dealer, "rival": world.other_dealer, "consumer": world.consumer,
        "technician": world.technician, "admin": world.admin,
        "stranger": await world.person("consumer", "+919876543213", world.dealer.id),
        "outsider": await world.person("consumer", "+919876543214", world.other_dealer.id),
        "colleague": await world.person("technician", "+919876543215"),
    }  # fmt: skip
    scene = Scene(service.client, world.pool, clock, world, people)
    technicians = [people["technician"].id, people["colleague"].id]
    async with world.pool.connection() as db:
        await db.execute(
            "INSERT INTO technicians (user_id) SELECT unnest(%s::bigint[]) ON CONFLICT DO NOTHING",
            (technicians,),
        )
        await db.execute(
            "UPDATE technicians SET dealer_id = %s, location = %s, skills = %s, load_max = %s"
            " WHERE user_id = ANY(%s)",
            (world.dealer.id, *PROFILE.values(), technicians),
        )
    return scene


async def furnish(scene: Scene) -> None:
    """A reading, an assessment, an overdue loan with a payment, and a rated ticket of the dealer."""
    battery, pool = scene.world.battery, scene.pool
    async with pool.connection() as db:
        device = await devices.register_device(db, "battery", battery.serial_number)
        await db.execute(
            "INSERT INTO battery_samples"
            " (ts, device_id, received_at, voltage_v, current_a, soc_pct, latitude_deg, longitude_deg)"
            " VALUES (now(), %s, now(), 48.5, 12.3, 85, 12.9716, 77.5946)",
            (device.id,),
        )
        await db.execute(
            "INSERT INTO battery_health (battery_id, day, health_score, assessed_at, since, until, samples,"
            " known, penalty, full_cycles, cycle_depths, figures, parts)"
            " VALUES (%s, %s, 87.5, now(), now(), now(), 1, 1, 0, 0, '{}', %s, '[]')",
            (battery.id, scene.clock.moment().date(), json.dumps({})),
        )
    known = {"kyc_status": "verified", "pan": "ABCDE1234F", "aadhar": aadhaar(1), "credit_score": 720}
    consumer = scene.people["consumer"].id
    await scene.call(scene.people["dealer"], "PUT", f"/api/consumers/{consumer}/kyc", 200, json=known)
    await scene.made("dealer", f"/finance/emi/{await scene.make('emi')}/pay", {"amount": 100})
    await scene.make("loan")
    ticket = await scene.make("resolved ticket")
    await scene.made("consumer", f"/service/tickets/{ticket}/rate", {"rating": 5}, 200)
    await scene.make("ticket")
