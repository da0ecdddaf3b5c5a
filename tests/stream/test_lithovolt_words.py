"""Lithovolt's notifications: words that fill in, templates that are refused, and whom they reach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.database import Connection
from storage.queries import lithovolt_users, notification_templates
from storage.queries.lithovolt_users import Account, Facts
from stream import notices
from stream.lithovolt_kinds import CHANNELS, KINDS, Channel, Name
from stream.lithovolt_words import (
    Address,
    TemplateRefusedError,
    Words,
    check,
    default_words,
    examples,
    fill,
    tell,
)
from stream.mail import MailMessage
from stream.notices import Senders
from tests.api.helpers import Clock

NOW = Clock().moment()
CLAIM = {"claim_number": "CLM-1", "serial": "LV48-1", "status": "approved", "note": None}
SENT = "SELECT channel, address, subject, body, has_secret, user_id FROM notices ORDER BY id"


async def account(connection: Connection, phone: str | None = "+919876500001") -> Account:
    facts = Facts(first_name="Asha", last_name="Rao", phone=phone, company="", gstin="", address="")
    return await lithovolt_users.insert_account(
        connection, email="asha@example.com", password_hash=None, role="consumer", is_approved=True, **facts
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channel", CHANNELS)
def test_our_own_words_are_good_templates(kind: Name, channel: Channel) -> None:
    check(kind, channel, default_words(kind, channel))
    blank = dict.fromkeys(examples(kind), "")
    assert "{" not in fill(default_words(kind, channel), blank).body


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("one\n{{ total ", "line 2"),
        ("{{ nothing }}", "line 1: there is no 'nothing' here"),
        ("one\ntwo\n{% for x in name %}{% endfor %}", "line 3: for is not allowed"),
        ("{% set name = 'x' %}", "assign is not allowed"),
        ("{% include 'x' %}", "include is not allowed"),
        ("{{ name.upper() }}", "call is not allowed"),
        ("{{ name.__class__ }}", "getattr is not allowed"),
        ("{{ name['x'] }}", "getitem is not allowed"),
        ("{{ name * 1000000000 }}", "mul is not allowed"),
        ("{{ 9 ** 9999999 }}", "pow is not allowed"),
        ("{{ name | center(1000000000) }}", "the filter 'center' is not allowed"),
        ("{{ name | attr('x') }}", "the filter 'attr' is not allowed"),
        ("{{ name < 5 }}", "cannot be filled in"),
        ("{{ %s }}" % ("9" * 4_500), "cannot be read"),
        ("{{ " + "(" * 2_000 + "name" + ")" * 2_000 + " }}", ""),
        ("{% if name %}" * 150 + "x" + "{% endif %}" * 150, ""),
        ("{# nothing to see #}", "empty"),
        ("x" * 5_001, "at most 5000"),
    ],
)
def test_templates_that_are_refused(body: str, why: str) -> None:
    with pytest.raises(TemplateRefusedError) as refusal:
        check("order_approved", "email", Words("Approved", body))
    assert refusal.value.field == "body"
    assert why in str(refusal.value)


def test_templates_that_are_taken() -> None:
    begin = "{% if total == '53100.00' and not name %}a{% elif order_number %}"
    body = begin + "{{ name | upper }}{% endif %} 5 < 6 & <b>"
    check("order_approved", "email", Words("{{ order_number }}", body))
    filled = fill(Words("{{ order_number }}\n x", body), {**examples("order_approved"), "name": "<Asha>"})
    assert filled == Words("ORD-2024-000017 x", "<ASHA> 5 < 6 & <b>")


def test_the_secret_is_in_the_body_and_never_in_the_subject() -> None:
    with pytest.raises(TemplateRefusedError, match="must name 'code'"):
        check("otp", "sms", Words(None, "Welcome"))
    with pytest.raises(TemplateRefusedError, match="must not name 'code'"):
        check("otp", "email", Words("{{ code }}", "{{ code }}"))


@given(st.text(max_size=60))
def test_any_text_is_a_template_or_is_refused_and_values_are_never_templates(text: str) -> None:
    try:
        check("claim_update", "email", Words("s", text))
    except TemplateRefusedError:
        return
    fill(Words("s", text), examples("claim_update"))
    value = {**examples("claim_update"), "note": "{{ 7 * 7 }}{% for %}"}
    assert fill(Words("s", "{{ note }}"), value).body == "{{ 7 * 7 }}{% for %}"


async def test_telling_an_account_by_every_address_once(connection: Connection) -> None:
    asha = await account(connection)
    for _ in range(2):
        await tell(connection, asha.id, "claim_update", CLAIM, NOW, "7:approved")
    await tell(connection, asha.id, "claim_update", CLAIM, NOW, "7:resolved", channels=["sms"])
    await tell(connection, asha.id, "otp", {"code": "123456", "minutes": 5}, NOW, channels=["email"])
    rows = await (await connection.execute(SENT)).fetchall()
    sms = "Claim CLM-1 is now: approved."
    assert [(channel, address, secret) for channel, address, _, _, secret, _ in rows] == [
        ("email", "asha@example.com", False),
        ("sms", "+919876500001", False),
        ("sms", "+919876500001", False),
        ("email", "asha@example.com", True),
    ]
    assert rows[0][2:4] == (
        "Claim CLM-1: approved",
        "Your warranty claim CLM-1 for battery LV48-1 is now: approved.",
    )
    assert rows[1][3] == sms
    assert {user for *_, user in rows} == {asha.id}
    tasks = await (await connection.execute("SELECT kind FROM outbox ORDER BY id")).fetchall()
    assert [kind for (kind,) in tasks] == ["send_email", "send_sms", "send_sms", "send_email"]


async def test_telling_somebody_without_an_account(connection: Connection) -> None:
    await tell(connection, Address("Ravi", phone="+919876500009"), "claim_update", CLAIM, NOW)
    await tell(connection, Address("Ravi", phone="+919876500009"), "claim_update", CLAIM, NOW)
    await tell(connection, 999_999, "claim_update", CLAIM, NOW)
    rows = await (await connection.execute(SENT)).fetchall()
    assert rows == [("sms", "+919876500009", None, "Claim CLM-1 is now: approved.", False, None)]
    with pytest.raises(ValueError, match="lacks values: note, serial"):
        await tell(connection, Address("Ravi"), "claim_update", {"claim_number": "1", "status": "x"}, NOW)


async def test_changed_words_hold_and_broken_ones_do_not(connection: Connection) -> None:
    asha = await account(connection)

    async def change(channel: str, subject: str | None, body: str, *, is_active: bool = True) -> None:
        await notification_templates.put_template(
            connection,
            kind="claim_update",
            channel=channel,
            subject=subject,
            body=body,
            is_active=is_active,
            updated_by=asha.id,
            now=NOW,
        )

    await change("email", "News", "{{ name }}: {{ claim_number }}")
    await change("sms", None, "{{ nothing }}")
    await tell(connection, asha.id, "claim_update", CLAIM, NOW, "1")
    await change("email", "{% for %}", "x")
    await change("sms", None, "x", is_active=False)
    await tell(connection, asha.id, "claim_update", CLAIM, NOW, "2")
    rows = await (await connection.execute("SELECT subject, body FROM notices ORDER BY id")).fetchall()
    assert rows[0] == ("News", "Asha Rao: CLM-1")
    assert rows[1] == (None, "Claim CLM-1 is now: approved.")
    assert rows[2][0] == "Claim CLM-1: approved"
    assert len(rows) == 3


class Mail:
    name = "kept"

    def __init__(self) -> None:
        self.sent: list[MailMessage] = []

    async def send(self, message: MailMessage) -> str:
        self.sent.append(message)
        return "1"


async def test_messages_go_out_and_secrets_are_blanked(connection: Connection) -> None:
    asha, mail = await account(connection, None), Mail()
    await tell(connection, asha.id, "otp", {"code": "123456", "minutes": 5}, NOW)
    await tell(connection, Address("Ravi", "ravi@example.com"), "claim_update", {**CLAIM, "note": "<b>"}, NOW)
    ids = await (await connection.execute("SELECT id FROM notices ORDER BY id")).fetchall()
    for (notice_id,) in ids:
        await notices.deliver(connection, notice_id, Senders(mail=mail), NOW)
    assert [(each.address, each.subject) for each in mail.sent] == [
        ("asha@example.com", "Your sign-in code"),
        ("ravi@example.com", "Claim CLM-1: approved"),
    ]
    assert "123456 is your sign-in code" in mail.sent[0].text
    assert "Asha Rao" in mail.sent[0].text
    assert "&lt;b&gt;" in mail.sent[1].html
    kept = await (await connection.execute("SELECT state, body IS NULL FROM notices ORDER BY id")).fetchall()
    assert kept == [("sent", True), ("sent", False)]
