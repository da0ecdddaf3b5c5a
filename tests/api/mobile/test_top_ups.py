"""Top-ups by the app through the sandbox provider: states, replays, order of events, forgeries."""

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.database import Pool
from storage.ledger import trial_balance
from stream.payments import Checkout, PaymentOrder, SandboxProvider, WebhookRefusedError
from stream.providers import ProviderAwayError
from tests.api.helpers import Clock, Service
from tests.api.mobile.world import APP, World

SANDBOX = SandboxProvider("sandbox-secret")
WEBHOOK = f"{APP}/payments/sandbox/webhook"


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service(payments={"sandbox": SANDBOX})


def event(order_id: str, outcome: str, **changes: Any) -> dict[str, Any]:
    facts = {"id": str(uuid.uuid4()), "amount_minor": 50_000, "currency": "ZAR"}
    return {**facts, "order_id": order_id, "outcome": outcome, **changes}


async def tell(
    api: httpx.AsyncClient, clock: Clock, body: dict[str, Any], *, age_s: int = 0
) -> httpx.Response:
    content = json.dumps(body).encode()
    signature = SANDBOX.sign(content, clock() // 1_000_000 - age_s)
    return await api.post(WEBHOOK, content=content, headers={"Gridwire-Signature": signature})


async def order(world: World, key: str = "key-1", **body: Any) -> dict[str, Any]:
    path = f"/units/{world.unit_id}/wallet/top-ups"
    answer = await world.tenant.send("POST", path, {"amount": 500, **body}, **{"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    return answer.json()["top_up"]  # type: ignore[no-any-return]


async def balance(world: World) -> float:
    return float((await world.owner.get(f"/units/{world.unit_id}/wallet")).json()["wallet"]["balance"])


async def test_an_order_is_paid_once_whatever_comes_how_often(world: World, pool: Pool, clock: Clock) -> None:
    api = world.portal.api
    made = await order(world)
    assert made["status"] == "created"
    assert await order(world) == made
    order_id = made["checkout"]["order_id"]
    assert await balance(world) == 0
    failed, paid = event(order_id, "failed", detail="card declined"), event(order_id, "paid")
    assert (await tell(api, clock, failed)).json()["status"] == "failed"
    path = f"/units/{world.unit_id}/wallet/top-ups/{made['id']}"
    shown = (await world.owner.get(path)).json()["top_up"]
    assert (shown["status"], shown["detail"]) == ("failed", "card declined")
    # money that comes after all is taken; the same event, and another that says the same, change nothing
    for again in (paid, paid, event(order_id, "paid"), failed, event(order_id, "failed")):
        assert (await tell(api, clock, again)).json()["status"] == "paid"
        assert await balance(world) == 500
    moved = (await world.owner.get(f"/units/{world.unit_id}/transactions")).json()["transactions"]
    assert [(each["transaction_type"], each["description"]) for each in moved] == [
        ("credit", "Wallet top-up")
    ]
    async with pool.connection() as db:
        assert await trial_balance(db) == {"ZAR": 0}


async def test_events_at_the_same_time_credit_once(world: World, clock: Clock) -> None:
    api = world.portal.api
    made = await asyncio.gather(*(order(world) for _ in range(4)))
    assert len({each["id"] for each in made}) == 1
    order_id = made[0]["checkout"]["order_id"]
    same = event(order_id, "paid")
    told = [same, same, event(order_id, "paid"), event(order_id, "failed"), event(order_id, "paid")]
    answers = await asyncio.gather(*(tell(api, clock, each) for each in told))
    assert {answer.status_code for answer in answers} == {200}
    assert await balance(world) == 500


async def test_an_order_is_its_unit_and_amount(world: World) -> None:
    await order(world)
    path, key = f"/units/{world.unit_id}/wallet/top-ups", {"Idempotency-Key": "key-1"}
    other = await world.tenant.send("POST", path, {"amount": 501}, **key)
    assert other.status_code == 409
    assert (await order(world, "key-2"))["id"] != (await order(world, "key-1"))["id"]
    for bad in ({"amount": 0}, {"amount": -1}, {"amount": 1.001}, {"amount": 5, "provider": "x"}, {}):
        assert (await world.tenant.send("POST", path, bad)).status_code == 400
    assert (await world.stranger.send("POST", path, {"amount": 5})).status_code == 403
    foreign = f"/units/{world.stranger.login['units'][0]['unit_id']}/wallet"
    await world.portal.post(foreign)
    made = await order(world)
    assert (await world.stranger.get(f"{foreign}/top-ups/{made['id']}")).status_code == 404
    assert (await world.owner.get(f"{path}/nonsense")).status_code == 404


async def test_what_the_provider_did_not_say_changes_nothing(world: World, clock: Clock) -> None:
    api = world.portal.api
    order_id = (await order(world))["checkout"]["order_id"]
    paid = event(order_id, "paid")
    content = json.dumps(paid).encode()
    good = SANDBOX.sign(content, clock() // 1_000_000)
    forged = SandboxProvider("another").sign(content, clock() // 1_000_000)
    for signature in ("", "t=,v1=", "t=x,v1=y", forged, good[:-1], "t=99999999999999999999999,v1=00"):
        headers = {"Gridwire-Signature": signature}
        refused = await api.post(WEBHOOK, content=content, headers=headers)
        assert refused.status_code == 400, signature
        assert set(refused.json()) == {"error", "message"}
    changed = await api.post(WEBHOOK, content=content + b" ", headers={"Gridwire-Signature": good})
    assert changed.status_code == 400
    for age_s in (301, -301):
        assert (await tell(api, clock, paid, age_s=age_s)).status_code == 400
    for wrong in ({"amount_minor": 1}, {"currency": "USD"}):
        assert (await tell(api, clock, {**paid, **wrong})).status_code == 400
    for unread in ({"outcome": "maybe"}, {"extra": 1}):
        assert (await tell(api, clock, {**paid, **unread})).status_code == 400
    assert (await tell(api, clock, event("sbx_nobody", "paid"))).status_code == 404
    assert (await api.post(f"{APP}/payments/nobody/webhook", content=b"{}")).status_code == 404
    assert await balance(world) == 0
    assert (await tell(api, clock, paid)).json() == {"message": "Event taken", "status": "paid"}
    assert await balance(world) == 500


async def test_without_a_provider_nothing_is_ordered(
    world: World, make_service: Callable[..., Service]
) -> None:
    path = f"{APP}/units/{world.unit_id}/wallet/top-ups"
    api = make_service().client
    answer = await api.post(path, json={"amount": 5}, headers=world.tenant.headers)
    assert answer.status_code == 503
    assert set(answer.json()) == {"error", "message"}


class Away:
    """A provider that takes no order at first."""

    name = "away"

    def __init__(self) -> None:
        self.is_away = True
        self.asked: list[PaymentOrder] = []

    async def create(self, placed: PaymentOrder) -> Checkout:
        self.asked.append(placed)
        if self.is_away:
            raise ProviderAwayError("no answer")
        return Checkout(f"order-{placed.id}", {})

    def read_event(self, headers: object, body: bytes, now_us: int) -> None:
        return None


async def test_an_order_that_the_provider_did_not_take_can_be_placed_again(
    world: World, make_service: Callable[..., Service]
) -> None:
    away = Away()
    api = make_service(payments={"away": away}).client
    path = f"{APP}/units/{world.unit_id}/wallet/top-ups"
    headers = {**world.tenant.headers, "Idempotency-Key": "k"}
    assert (await api.post(path, json={"amount": 5}, headers=headers)).status_code == 502
    away.is_away = False
    assert (await api.post(path, json={"amount": 5}, headers=headers)).status_code == 201
    first, again = away.asked
    assert first == again, "a provider that took it, and did not answer, has one order and not two"
    ignored = await api.post(f"{APP}/payments/away/webhook", content=b"{}")
    assert ignored.json() == {"message": "Event ignored", "status": None}


@given(st.text(max_size=60), st.binary(max_size=60))
def test_any_webhook_is_read_or_refused(signature: str, body: bytes) -> None:
    with pytest.raises(WebhookRefusedError):
        SANDBOX.read_event({"gridwire-signature": signature}, body, 1_700_000_000_000_000)


@given(st.binary(max_size=200))
def test_any_signed_body_is_read_or_refused(body: bytes) -> None:
    headers = {"gridwire-signature": SANDBOX.sign(body, 1_700_000_000)}
    with pytest.raises(WebhookRefusedError):
        SANDBOX.read_event(headers, body, 1_700_000_000_000_000)
