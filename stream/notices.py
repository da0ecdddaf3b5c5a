"""What people are told, and the way it goes: a row and an outbox task a channel, then the provider.

The API and the jobs call `tell_*` in the transaction that the news is of; `stream.jobs` carries out `deliver`
(kinds `send_sms` and `send_push`), `notify_wallet` and `notify_meter_alert`. At least once towards the
provider: a process that dies between its answer and our commit sends again, under the same reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog

from storage.database import Connection
from storage.queries import meter_alerts, meters, notices, occupancy, outbox, residents, units
from storage.queries.notices import Notice
from storage.queries.residents import Account
from stream.providers import ProviderAwayError, ProviderRefusedError
from stream.push import LogPush, PushMessage, PushProvider
from stream.sms import LogSms, SmsProvider, TextMessage

log = structlog.get_logger()

# After that a provider that stays away has lost the message: nobody needs it any more.
LIFE_MAX = timedelta(hours=24)
CHANNELS = ("sms", "push")
Topic = Literal["wallet", "budget", "meter"]
TOPICS: tuple[Topic, ...] = ("wallet", "budget", "meter")
# Either name in `users.preferences` with false: not by this channel, not of this topic.
PREFERENCES = (*CHANNELS, *TOPICS)


@dataclass(frozen=True, slots=True)
class Senders:
    """The providers that the jobs role was given; by default all goes to the log."""

    sms: SmsProvider = field(default_factory=LogSms)
    push: PushProvider = field(default_factory=LogPush)


@dataclass(frozen=True, slots=True)
class News:
    """What is told. `key` names the fact, so that nobody hears of it twice."""

    key: str
    kind: str
    body: str
    topic: Topic | None = None


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
    await _enqueue(connection, account, "sms", account.phone, News(key, kind, body), now, True)


async def tell_unit(connection: Connection, unit_id: int, news: News, now: datetime) -> None:
    """Tell everybody who reaches the unit today, by the channels each prefers."""
    for user_id in await occupancy.users_of_unit(connection, unit_id, now):
        account = await residents.get_account(connection, user_id)
        if account is not None and (news.topic is None or wants(account, news.topic)):
            await _tell(connection, account, news, now)


async def _tell(connection: Connection, account: Account, news: News, now: datetime) -> None:
    if wants(account, "sms"):
        await _enqueue(connection, account, "sms", account.phone, news, now)
    if wants(account, "push"):
        for token in await notices.push_tokens(connection, account.id):
            await _enqueue(connection, account, "push", token, news, now)


async def _enqueue(
    connection: Connection,
    account: Account,
    channel: str,
    address: str,
    news: News,
    now: datetime,
    has_secret: bool = False,
) -> None:
    made = await notices.insert_notice(
        connection,
        key=f"{news.key}:{account.id}:{channel}:{address}",
        user_id=account.id,
        channel=channel,
        address=address,
        kind=news.kind,
        body=news.body,
        has_secret=has_secret,
        now=now,
    )
    if made is not None:
        await outbox.enqueue(connection, f"send_{channel}", {"notice_id": made})


async def deliver(connection: Connection, notice_id: int, senders: Senders, now: datetime) -> None:
    """Send one message, unless that was done. Raises `ProviderAwayError`: the outbox tries again."""
    notice = await notices.lock_notice(connection, notice_id)
    if notice is None or notice.state != "pending":
        return
    provider = senders.sms if notice.channel == "sms" else senders.push
    try:
        provider_id = await _send(notice, senders)
    except ProviderRefusedError as error:
        await _fail(connection, notice, provider.name, str(error), now)
    except ProviderAwayError as error:
        if now - notice.created_at < LIFE_MAX:
            raise
        await _fail(connection, notice, provider.name, str(error), now)
    else:
        await notices.close_notice(
            connection, notice.id, "sent", provider=provider.name, provider_id=provider_id, now=now
        )


async def _send(notice: Notice, senders: Senders) -> str:
    assert notice.body is not None, "only what is done has no body"
    if notice.channel == "sms":
        return await senders.sms.send(TextMessage(notice.id, notice.address, notice.body))
    return await senders.push.send(PushMessage(notice.id, notice.address, notice.kind, notice.body))


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
