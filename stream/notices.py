"""What people are told, and the way it goes: a row and an outbox task a channel, then the provider.

The API and the jobs call `tell_*` in the transaction that the news is of, `stream.notify` calls `enqueue`;
`stream.jobs` carries out `deliver` (kinds `send_sms`, `send_push` and `send_email`), `notify_wallet` and
`notify_meter_alert`. At least once towards the provider: a process that dies between its answer and our
commit sends again, under the same reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog

from storage.database import Connection
from storage.queries import meter_alerts, meters, notices, occupancy, outbox, residents, units, users
from storage.queries.notices import Notice
from storage.queries.residents import Account
from stream.attachments import render_attachment
from stream.mail import LogMail, MailMessage, MailProvider
from stream.platform_settings import read_settings
from stream.providers import ProviderRefusedError
from stream.push import LogPush, PushMessage, PushProvider
from stream.sms import LogSms, SmsProvider, TextMessage
from stream.sms_status import Delivery
from stream.templates import language_of, letter

log = structlog.get_logger()

# After that a provider that stays away has lost the message: nobody needs it any more.
LIFE_MAX = timedelta(hours=24)
CHANNELS = ("sms", "push")  # of the app for residents
Channel = Literal["sms", "push", "email"]
Topic = Literal["wallet", "budget", "meter"]
TOPICS: tuple[Topic, ...] = ("wallet", "budget", "meter")
# Either name in `users.preferences` with false: not by this channel, not of this topic.
PREFERENCES = (*CHANNELS, *TOPICS)


@dataclass(frozen=True, slots=True)
class Senders:
    """The providers that the jobs role was given; by default all goes to the log."""

    sms: SmsProvider = field(default_factory=LogSms)
    push: PushProvider = field(default_factory=LogPush)
    mail: MailProvider = field(default_factory=LogMail)

    def name_of(self, channel: str) -> str:
        """Return the name of a channel's provider."""
        return {"sms": self.sms.name, "push": self.push.name, "email": self.mail.name}[channel]


@dataclass(frozen=True, slots=True)
class News:
    """What is told. `key` names the fact, so that nobody hears of it twice."""

    key: str
    kind: str
    body: str
    topic: Topic | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to one address. `key` as of `News`; an e-mail has a `subject` and maybe an `attachment`.

    A body with a secret is blanked once it has gone, or will not go.
    """

    key: str
    kind: str
    channel: Channel
    address: str
    body: str = field(repr=False)
    subject: str | None = None
    attachment: Mapping[str, Any] | None = None
    has_secret: bool = False


def wants(account: Account, name: str) -> bool:
    """Whether the user wants this channel or topic: everything that it did not switch off."""
    return bool(account.preferences.get(name, True))


async def tell_password(
    connection: Connection,
    account: Account,
    *,
    kind: Literal["welcome", "password"],
    body: str,
    now: datetime,
) -> None:
    """Text a temporary password, whatever the user prefers; the body is blanked once it has gone."""
    key = f"{kind}:{account.id}:{account.token_version}"
    message = Message(key, kind, "sms", account.phone, body, has_secret=True)
    await enqueue(connection, account.id, message, now)


async def tell_unit(connection: Connection, unit_id: int, news: News, now: datetime) -> None:
    """Tell everybody who reaches the unit today, by the channels each prefers."""
    for user_id in await occupancy.users_of_unit(connection, unit_id, now):
        account = await residents.get_account(connection, user_id)
        if account is not None and (news.topic is None or wants(account, news.topic)):
            await _tell(connection, account, news, now)


async def _tell(connection: Connection, account: Account, news: News, now: datetime) -> None:
    if wants(account, "sms"):
        message = Message(news.key, news.kind, "sms", account.phone, news.body)
        await enqueue(connection, account.id, message, now)
    if wants(account, "push"):
        for token in await notices.push_tokens(connection, account.id):
            message = Message(news.key, news.kind, "push", token, news.body)
            await enqueue(connection, account.id, message, now)


async def enqueue(connection: Connection, user_id: int | None, message: Message, now: datetime) -> int | None:
    """Write a message and the task to send it; returns its id, None where it was sent there before.

    `user_id` None: to no account.
    """
    made = await notices.insert_notice(
        connection,
        key=f"{message.key}:{user_id}:{message.channel}:{message.address}",
        user_id=user_id,
        channel=message.channel,
        address=message.address,
        kind=message.kind,
        body=message.body,
        has_secret=message.has_secret,
        subject=message.subject,
        attachment=message.attachment,
        now=now,
    )
    if made is not None:
        await outbox.enqueue(connection, f"send_{message.channel}", {"notice_id": made})
    return made


async def deliver(connection: Connection, notice_id: int, senders: Senders, now: datetime) -> None:
    """Send one message, unless that was done; one that cannot be sent for `LIFE_MAX` has failed.

    Raises `stream.providers.ProviderAwayError`, and whatever else may be over later: the outbox tries again.
    """
    notice = await notices.lock_notice(connection, notice_id)
    if notice is None or notice.state != "pending":
        return
    provider = senders.name_of(notice.channel)
    try:
        provider_id = await _send(connection, notice, senders)
    except ProviderRefusedError as error:
        await _fail(connection, notice, provider, str(error), now)
    except Exception as error:  # an attachment that cannot be made too: nothing is tried for ever
        if now - notice.created_at < LIFE_MAX:
            raise
        await _fail(connection, notice, provider, str(error), now)
    else:
        await notices.close_notice(
            connection, notice.id, "sent", provider=provider, provider_id=provider_id, now=now
        )


async def take_status(connection: Connection, provider: str, said: Delivery, now: datetime) -> None:
    """Note what a provider says became of a text message, in whatever order and however often it says so.

    What was delivered stays so. A callback that overtakes our own commit waits for it.
    """
    notice = await notices.lock_notice(connection, said.reference)
    if notice is None or notice.channel != "sms" or notice.state == "delivered":
        return
    if said.state == "delivered":
        await notices.note_delivered(
            connection, notice.id, provider=provider, provider_id=said.provider_id, now=now
        )
    elif said.state == "failed" and notice.provider_id == said.provider_id:  # not of an earlier attempt
        log.warning("notice_not_delivered", notice=notice.id, kind=notice.kind, error=said.detail)
        await notices.note_undelivered(connection, notice.id, said.detail)


async def _send(connection: Connection, notice: Notice, senders: Senders) -> str:
    assert notice.body is not None, "only what is done has no body"
    if notice.channel == "sms":
        return await senders.sms.send(TextMessage(notice.id, notice.address, notice.body))
    if notice.channel == "push":
        return await senders.push.send(PushMessage(notice.id, notice.address, notice.kind, notice.body))
    return await senders.mail.send(await _mail(connection, notice, notice.body))


async def _mail(connection: Connection, notice: Notice, body: str) -> MailMessage:
    """Lay out an e-mail and make what is attached, as of now."""
    assert notice.subject is not None, "the table has it of each e-mail"
    user = None if notice.user_id is None else await users.get_user(connection, notice.user_id)
    general = (await read_settings(connection)).general
    attachment = notice.attachment
    read = letter(
        notice.subject,
        body,
        name=notice.address if user is None else user.name,
        site=general.site_name,
        support=general.support_email,
        language=language_of("en" if user is None else user.preferences.get("language", "en")),
    )
    return MailMessage(
        notice.id,
        notice.address,
        notice.subject,
        read.text,
        read.html,
        notice.created_at,
        None if attachment is None else await render_attachment(connection, attachment),
    )


async def _fail(connection: Connection, notice: Notice, provider: str, why: str, now: datetime) -> None:
    log.error("notice_failed", notice=notice.id, channel=notice.channel, kind=notice.kind, error=why)
    await notices.close_notice(connection, notice.id, "failed", provider=provider, detail=why, now=now)


async def notify_wallet(connection: Connection, payload: Mapping[str, Any], now: datetime) -> None:
    """Tell a unit's people that its wallet is low or empty.

    `payload`: `unit_id`, `kind` (low or empty), `balance_minor`, `transfer_id` (of what made it so).
    """
    unit = await units.get_unit(connection, int(payload["unit_id"]))
    if unit is None:
        return
    kind, balance = str(payload["kind"]), amount(unit.currency, int(payload["balance_minor"]))
    body = {
        "low": f"The wallet of unit {unit.unit_number} is low: {balance} left. Please top up.",
        "empty": f"The wallet of unit {unit.unit_number} is empty ({balance}). Please top up.",
    }[kind]
    news = News(f"wallet-{kind}:{payload['transfer_id']}", f"wallet_{kind}", body, "wallet")
    await tell_unit(connection, unit.id, news, now)


async def notify_meter_alert(connection: Connection, alert_id: int, now: datetime) -> None:
    """Tell a unit's people that something is wrong with one of its meters."""
    alert = await meter_alerts.get_alert(connection, alert_id)
    meter = None if alert is None else await meters.get_meter(connection, alert.meter_id)
    if alert is None or meter is None:
        return
    words = alert.kind.replace("_", " ")
    body = f"Your {meter.utility_type} meter {meter.serial_number} reports: {words}."
    news = News(f"meter-alert:{alert.id}", f"meter_{alert.kind}", body, "meter")
    await tell_unit(connection, meter.unit_id, news, now)


def amount(currency: str, minor: int) -> str:
    """Money in words, as in "ZAR 12.50"."""
    sign, units_, cents = "-" if minor < 0 else "", *divmod(abs(minor), 100)
    return f"{currency} {sign}{units_}.{cents:02}"
