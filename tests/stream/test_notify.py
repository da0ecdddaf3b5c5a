"""Who is told what by which channel, on a real database: words, preferences, delivery, broadcasts."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jinja2 import UndefinedError
from nats.aio.client import Client
from psycopg.types.json import Jsonb

from protocols.timestamps import from_datetime
from storage.database import Connection, Pool
from storage.queries import devices, notices, notifications, outbox, sessions, users
from stream import attachments, broadcast, session_news
from stream import notices as stream_notices
from stream.jobs import JobsConfig, work_one
from stream.mail import MailMessage
from stream.notices import Senders
from stream.notify import DEFAULTS, WAYS, Kind, News, notify
from stream.providers import ProviderAwayError, ProviderRefusedError
from stream.push import PushMessage
from stream.sms import TextMessage
from stream.templates import LANGUAGES, language_of, letter, render

NOW = datetime.now(UTC)
VALUES = {
    "number": "BK-000007",
    "station": "Gate <1>",
    "time": "1 March, 09:30",
    "connector": "1",
    "charger": "CP-1",
    "energy": "12.34",
    "amount": "INR 177.00",
    "description": "a booking",
    "decision": "approved",
    "due": "1 April",
    "subject": "It does not stop",
    "notes": "",
    "link": "https://example.com/verify?token=abc&x=1",
    "title": "Hello",
    "message": "World",
}
# By default, for a user with an e-mail address, a phone and an installed app.
EXPECTED: Mapping[Kind, set[str]] = {
    Kind.BOOKING_CONFIRMED: {"email", "sms"},
    Kind.BOOKING_CANCELLED: {"email", "sms"},
    Kind.BOOKING_EXPIRED: {"email"},
    Kind.BOOKING_REMINDER: {"push"},
    Kind.SESSION_STARTED: {"push"},
    Kind.SESSION_COMPLETED: {"email"},
    Kind.PAYMENT_RECEIVED: {"email", "sms"},
    Kind.PAYMENT_MADE: {"email", "sms"},
    Kind.REFUND_DECIDED: {"email"},
    Kind.LOW_BALANCE: {"push"},
    Kind.INVOICE_SENT: {"email"},
    Kind.TICKET_ANSWERED: {"email"},
    Kind.KYC_DECIDED: {"email"},
    Kind.VERIFY_EMAIL: {"email"},
    Kind.SYSTEM: set(),
    Kind.PROMOTION: set(),
}
ALWAYS = {Kind.INVOICE_SENT, Kind.TICKET_ANSWERED, Kind.KYC_DECIDED, Kind.VERIFY_EMAIL}
_numbers = itertools.count(1)


@dataclass
class Kept:
    """All three channels; keeps what it is given, unless it has a failure to raise."""

    mails: list[MailMessage] = field(default_factory=list)
    texts: list[TextMessage] = field(default_factory=list)
    pushes: list[PushMessage] = field(default_factory=list)
    failure: Exception | None = None
    name: str = "kept"

    async def send(self, message: Any) -> str:
        if self.failure is not None:
            raise self.failure
        kept: dict[type, list[Any]] = {
            MailMessage: self.mails,
            TextMessage: self.texts,
            PushMessage: self.pushes,
        }
        kept[type(message)].append(message)
        return "kept-1"


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def config(kept: Kept) -> JobsConfig:
    def later() -> int:
        return from_datetime(datetime.now(UTC) + timedelta(hours=1))

    return JobsConfig(later, senders=Senders(kept, kept, kept))


async def a_user(db: Connection, *, phone: str | None = "+919876543210", app: bool = True) -> int:
    number = next(_numbers)
    email = f"u{number}@example.com"
    user = await users.insert_user(
        db, system="evcms", role="user", name="Ann", email=email, phone=phone, password_hash=""
    )
    if app:
        await notices.put_push_token(db, user.id, f"token-{number}", "android")
    return user.id


async def channels(db: Connection, user_id: int) -> set[str]:
    return {notice.channel for notice in await notices.list_notices(db, user_id, before_id=None, limit=50)}


async def prefer(db: Connection, user_id: int, **profile: Any) -> None:
    await db.execute("UPDATE users SET preferences = %s WHERE id = %s", (Jsonb(profile), user_id))


async def live(db: Connection, user_id: int) -> list[dict[str, Any]]:
    rows = await (await db.execute("SELECT payload FROM outbox WHERE kind = 'live_event'")).fetchall()
    events = [payload["payload"] for (payload,) in rows]
    return [event["notification"] for event in events if event["user_id"] == user_id]


async def drain(config: JobsConfig, pool: Pool, bus: Client) -> None:
    while await work_one(config, pool, bus):
        pass


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_each_kind_has_words_in_each_language(kind: Kind, language: Any) -> None:
    words = render(kind, VALUES, language)
    read = letter(words.title, words.mail, name="A <b>", site="S", support="help@x.y", language=language)
    for text in (words.title, words.message, words.mail, read.text, read.html):
        assert text
        assert "{{" not in text
    assert "A &lt;b&gt;" in read.html
    assert "<1>" not in read.html
    if kind is Kind.VERIFY_EMAIL:
        assert 'href="https://example.com/verify?token=abc&amp;x=1"' in read.html


def test_a_name_that_is_an_address_is_no_link() -> None:
    """Whoever registers chooses the name, and the e-mail goes to whatever address was given with it."""
    body = "Follow https://gridwire.test/verify"
    read = letter(
        "Verify", body, name="www.evil.test https://evil.test", site="S", support="help@x.y",
        language=language_of("en"),
    )  # fmt: skip
    assert '<a href="https://gridwire.test/verify"' in read.html
    assert "evil.test" in read.html
    assert read.html.count("<a ") == 1


def test_every_kind_has_a_way_and_each_way_a_preference_that_exists() -> None:
    assert set(WAYS) == set(EXPECTED) == set(Kind)
    for way in WAYS.values():
        named = {"email": way.email, "push": way.push, "sms": way.sms}
        for channel, name in named.items():
            assert name in {None, "always", *DEFAULTS[channel]}
    used = {(c, getattr(way, c)) for way in WAYS.values() for c in ("email", "push", "sms")}
    assert {(c, name) for c, names in DEFAULTS.items() if c != "inApp" for name in names} <= used


def test_values_are_never_templates() -> None:
    words = render("system", {"title": "{{ 7 * 7 }}", "message": "{% for x in y %}"})
    assert (words.title, words.message) == ("{{ 7 * 7 }}", "{% for x in y %}")
    read = letter("<script>", "{{ x }}", name="{0}", site="{site}", support="s", language=language_of("xx"))
    assert "<script>" not in read.html
    assert "Hello {0}," in read.text


def test_the_language_is_the_nearest_there_is() -> None:
    codes: list[object] = ["en", "EN-IN", "xx", None, 7, {}]
    assert {language_of(code).code for code in codes} == {"en"}


async def test_by_default_each_kind_goes_its_ways_once(connection: Connection) -> None:
    for kind in Kind:
        user_id = await a_user(connection)
        news = News("fact", kind, VALUES, {"bookingId": "7"})
        made = await notify(connection, user_id, news, NOW)
        assert made is not None
        assert made.type == WAYS[kind].type
        assert (kind, await channels(connection, user_id)) == (kind, EXPECTED[kind])
        (told,) = await live(connection, user_id)
        assert told["data"] == {"bookingId": "7"}
        assert (told["id"], told["isRead"]) == (str(made.id), False)
        assert await notify(connection, user_id, news, NOW) is None
        assert len(await live(connection, user_id)) == 1


async def test_who_wants_nothing_hears_only_what_is_owed(connection: Connection) -> None:
    nothing = {channel: dict.fromkeys(names, False) for channel, names in DEFAULTS.items()}
    for kind in Kind:
        user_id = await a_user(connection)
        await notifications.change_preferences(connection, user_id, nothing, NOW)
        assert await notify(connection, user_id, News("fact", kind, VALUES), NOW) is not None
        assert (kind, await channels(connection, user_id)) == (kind, {"email"} if kind in ALWAYS else set())
        assert await live(connection, user_id) == []


async def test_one_preference_moves_one_channel(connection: Connection) -> None:
    for kind, channel in itertools.product(Kind, ("email", "push", "sms")):
        preference = getattr(WAYS[kind], channel)
        if preference in {None, "always"}:
            continue
        user_id = await a_user(connection)
        change = {channel: {preference: not DEFAULTS[channel][preference]}}
        await notifications.change_preferences(connection, user_id, change, NOW)
        await notify(connection, user_id, News("fact", kind, VALUES), NOW)
        assert (kind, await channels(connection, user_id)) == (kind, EXPECTED[kind] ^ {channel})


async def test_the_account_s_own_switch_is_above_preferences(connection: Connection) -> None:
    confirmed = News("fact", Kind.BOOKING_CONFIRMED, VALUES)
    off = await a_user(connection)
    await prefer(connection, off, notifications=False)
    await notify(connection, off, confirmed, NOW)
    assert await channels(connection, off) == set()
    await notify(connection, off, News("invoice", Kind.INVOICE_SENT, VALUES), NOW)
    assert await channels(connection, off) == {"email"}
    no_texts = await a_user(connection)
    await prefer(connection, no_texts, notifications={"sms": False, "other": 1})
    await notify(connection, no_texts, confirmed, NOW)
    assert await channels(connection, no_texts) == {"email"}


async def test_nobody_is_sent_what_cannot_arrive(connection: Connection) -> None:
    user_id = await a_user(connection, phone=None, app=False)
    for kind in Kind:
        await notify(connection, user_id, News(f"fact:{kind}", kind, VALUES), NOW)
    assert await channels(connection, user_id) == {"email"}


async def test_who_is_gone_or_of_another_family_is_not_told(connection: Connection) -> None:
    gone = await a_user(connection)
    await connection.execute("UPDATE users SET deleted_at = now() WHERE id = %s", (gone,))
    other = await users.insert_user(connection, system="mobile", role="user", name="M", phone="+27821234567")
    for user_id in (gone, other.id, 10**12):
        assert await notify(connection, user_id, News("fact", Kind.SYSTEM, VALUES), NOW) is None


async def test_a_value_that_lacks_is_an_error_and_nothing_is_written(connection: Connection) -> None:
    user_id = await a_user(connection)
    with pytest.raises(UndefinedError, match="station"):
        await notify(connection, user_id, News("fact", Kind.BOOKING_CONFIRMED, {"number": "7"}), NOW)
    assert await channels(connection, user_id) == set()


async def test_messages_arrive_by_each_channel(
    pool: Pool, bus: Client, config: JobsConfig, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(attachments.ATTACHMENTS, "paper", (__name__, "a_paper"))
    async with pool.connection() as db:
        user_id = await a_user(db)
        paper = {"kind": "paper", "id": 12}
        await notify(db, user_id, News("a", Kind.INVOICE_SENT, VALUES, attachment=paper), NOW)
        await notify(db, user_id, News("b", Kind.PAYMENT_RECEIVED, VALUES), NOW)
        await notify(db, user_id, News("c", Kind.LOW_BALANCE, VALUES), NOW)
    await drain(config, pool, bus)
    invoice, receipt = kept.mails
    assert invoice.subject == "Invoice BK-000007"
    assert invoice.text.startswith("Hello Ann,\n\nYour invoice BK-000007 of INR 177.00 is attached.")
    assert "Gridwire. Questions? support@example.com" in invoice.text
    assert invoice.attachment is not None
    assert (invoice.attachment.filename, invoice.attachment.content) == ("paper-12.txt", b"paper")
    assert receipt.attachment is None
    assert [text.body for text in kept.texts] == ["Payment received: INR 177.00 was added to your wallet."]
    assert [push.body for push in kept.pushes] == [
        "Wallet balance low: Your balance is INR 177.00. Please top up."
    ]


async def a_paper(connection: Connection, paper_id: int) -> tuple[str, bytes]:
    assert (await (await connection.execute("SELECT 1")).fetchone()) == (1,)
    return f"paper-{paper_id}.txt", b"paper"


async def test_e_mail_is_tried_again_until_it_is_refused_and_a_link_is_not_kept(
    pool: Pool, bus: Client, config: JobsConfig, kept: Kept
) -> None:
    async with pool.connection() as db:
        user_id = await a_user(db)
        await notify(db, user_id, News("verify", Kind.VERIFY_EMAIL, VALUES), NOW)
    kept.failure = ProviderAwayError("greylisted")
    assert await work_one(config, pool, bus)
    assert await work_one(config, pool, bus)
    async with pool.connection() as db:
        (waiting,) = await notices.list_notices(db, user_id, before_id=None, limit=5)
        assert waiting.state == "pending"
        assert waiting.body is not None
        assert VALUES["link"] in waiting.body
        await db.execute("UPDATE outbox SET due_at = now()")
    kept.failure = ProviderRefusedError("no such mailbox")
    await drain(config, pool, bus)
    async with pool.connection() as db:
        (failed,) = await notices.list_notices(db, user_id, before_id=None, limit=5)
    assert (failed.state, failed.body, failed.detail) == ("failed", None, "no such mailbox")


async def test_what_cannot_be_sent_for_a_day_is_given_up_whatever_the_reason(
    pool: Pool, bus: Client, config: JobsConfig, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pool.connection() as db:
        user_id = await a_user(db)
        await notify(
            db, user_id, News("v", Kind.VERIFY_EMAIL, VALUES, attachment={"kind": "gone", "id": 1}), NOW
        )
    assert await work_one(config, pool, bus)
    assert await work_one(config, pool, bus)
    states = []
    for life in (stream_notices.LIFE_MAX, timedelta(0)):
        monkeypatch.setattr(stream_notices, "LIFE_MAX", life)
        async with pool.connection() as db:
            await db.execute("UPDATE outbox SET due_at = now()")
        await drain(config, pool, bus)
        async with pool.connection() as db:
            (notice,) = await notices.list_notices(db, user_id, before_id=None, limit=5)
        states.append((notice.state, notice.body is None))
    assert states == [("pending", False), ("failed", True)]


async def test_a_broadcast_reaches_everybody_once_in_batches(
    pool: Pool, bus: Client, config: JobsConfig, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "BATCH_MAX", 2)
    heard: list[int] = []

    async def hear(message: Any) -> None:
        heard.append(json.loads(message.data)["user_id"])

    await bus.subscribe("gridwire.live.notification", cb=hear)
    async with pool.connection() as db:
        people = [await a_user(db) for _ in range(5)]
        quiet, keen = people[1], people[2]
        await notifications.change_preferences(db, quiet, {"inApp": {"all": False}}, NOW)
        await notifications.change_preferences(db, keen, {"email": {"promotions": True}}, NOW)
        news = broadcast.words_of("offer", "promotion", "Half price", "Tonight <only>")
        for _ in range(2):
            await broadcast.broadcast(db, news, "everybody")
    await drain(config, pool, bus)
    await bus.flush()
    async with pool.connection() as db:
        rows = await (
            await db.execute("SELECT user_id, type, title FROM notifications ORDER BY 1")
        ).fetchall()
    assert rows == [(user_id, "promotion", "Half price") for user_id in people]
    assert sorted(heard) == [user_id for user_id in people if user_id != quiet]
    (mail,) = kept.mails
    assert mail.subject == "Half price"
    assert "Tonight &lt;only&gt;" in mail.html


async def test_a_broadcast_to_some_is_cut_into_batches(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "BATCH_MAX", 2)
    people = [await a_user(connection) for _ in range(5)]
    news = broadcast.words_of("alert", "booking", "Title", "Message")
    await broadcast.broadcast(connection, news, people)
    tasks = [
        task
        for task in await outbox.claim_due(connection, NOW + timedelta(hours=1), 100)
        if task.kind == broadcast.KIND
    ]
    assert [task.payload["user_ids"] for task in tasks] == [people[:2], people[2:4], people[4:]]
    events = [event for task in tasks for event in await broadcast.write_batch(connection, task.payload, NOW)]
    assert [event.payload["user_id"] for event in events] == people
    found, counts = await notifications.list_notifications(
        connection, people[4], is_read=False, type_="booking", limit=5, offset=0
    )
    assert ([each.title for each in found], counts.unread) == (["Title"], 1)


async def test_a_driver_hears_that_charging_began(
    pool: Pool, bus: Client, config: JobsConfig, kept: Kept
) -> None:
    async with pool.connection() as db:
        user_id = await a_user(db)
        device = await devices.register_device(db, "charger", "CP-1")
        for driver in (user_id, None):
            session, _ = await sessions.start_session(
                db, device_id=device.id, connector_id=1, id_tag=f"T{driver}", user_id=driver,
                vehicle_id=None, started_at=NOW, received_at=NOW, meter_start_wh=0,
            )  # fmt: skip
            await session_news.announce_start(db, session)
    await drain(config, pool, bus)
    assert [push.body for push in kept.pushes] == ["Charging has started: Connector 1 of CP-1."]
