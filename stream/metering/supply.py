"""What a unit's balance means for its supply: closed at zero or below where a valve or relay can, open above.

Used by `stream.metering.billing` (debits) and `stream.metering.wallets` (top-ups), under the unit's lock and
in the transaction that moves the money. Whatever is done carries the id of the transfer that caused it, so
that a repeat does nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import NAMESPACE_OID, uuid5

import structlog
from nats.aio.client import Client

from storage.database import Connection
from storage.queries import device_commands, meters, outbox, profiles
from storage.queries.meters import Meter
from storage.queries.unit_wallets import UnitWallet
from stream.bus import nudge_device, publish_live
from stream.settlement import LiveEvent

log = structlog.get_logger()

# Meters that sleep hear a command after their next uplink; one that is silent for longer has other troubles.
COMMAND_LIVES = timedelta(days=30)
AGAIN_AFTER = timedelta(minutes=10)  # since an order failed or expired
UNDONE_LOOKED_AT = timedelta(days=7)
AGAIN_MAX = 1_000  # orders of one run

Action = Literal["close", "open"]
_EVENTS: Mapping[Action, str] = {"close": "supply-closed", "open": "supply-opened"}
_REASON: Mapping[Action, str] = {"close": "wallet_empty", "open": "wallet_topped_up"}


async def tell(bus: Client, events: Iterable[LiveEvent]) -> None:
    """Publish what is committed; a shell that can reach a valve is told that a command waits for it."""
    for event in events:
        await publish_live(bus, event.name, event.payload)
        device_id = event.payload.get("device_id")
        if event.name in _EVENTS.values() and isinstance(device_id, int):
            await nudge_device(bus, device_id)


async def follow_debit(
    connection: Connection, wallet: UnitWallet, before_minor: int, after_minor: int, transfer_id: int
) -> list[LiveEvent]:
    """Tell, now and by notice, that the balance fell below the low line or to nothing."""
    crossed = []
    if after_minor < wallet.low_balance_minor <= before_minor:
        crossed.append("low")
    if after_minor <= 0 < before_minor:
        crossed.append("empty")
    events = []
    for kind in crossed:
        payload: dict[str, Any] = {
            "wallet_id": wallet.id,
            "unit_id": wallet.unit_id,
            "kind": kind,
            "currency": wallet.currency,
            "balance_minor": after_minor,
            "transfer_id": transfer_id,
        }
        await outbox.enqueue(connection, "notify_wallet", payload)
        events.append(LiveEvent(f"wallet-{kind}", payload))
    return events


async def follow_balance(
    connection: Connection, unit_id: int, balance_minor: int, transfer_id: int, now: datetime
) -> list[LiveEvent]:
    """Close or open the supplies of a unit's prepaid meters as its balance has it."""
    action: Action = "open" if balance_minor > 0 else "close"
    standing = "closed" if action == "open" else "open"
    events = []
    for meter in await meters.list_unit_meters(connection, unit_id):
        if meter.meter_type != "prepaid" or meter.supply != standing:
            continue
        device_id = await _command(connection, meter, action, transfer_id, now)
        if device_id is None:
            continue
        payload: dict[str, object] = {
            "unit_id": unit_id,
            "meter_id": meter.id,
            "device_id": device_id,
            "serial_number": meter.serial_number,
            "reason": _REASON[action],
        }
        events.append(LiveEvent(_EVENTS[action], payload))
    return events


async def send_again(connection: Connection, now: datetime) -> list[int]:
    """Order again what a valve or relay never did; returns the devices, to be nudged after the commit.

    Else a supply that should be closed would run on for nothing, or a paid one stay closed.
    """
    failed = await device_commands.undone(
        connection,
        list(_REASON.values()),
        since=now - UNDONE_LOOKED_AT,
        before=now - AGAIN_AFTER,
        limit=AGAIN_MAX,
    )
    for each in failed:
        await device_commands.insert_command(
            connection,
            command_id=uuid5(each.id, "again"),
            device_id=each.device_id,
            action=each.action,
            port=each.port,
            payload=each.payload,
            is_confirmed=each.is_confirmed,
            reason=each.reason,
            created_at=now,
            expires_at=now + COMMAND_LIVES,
        )
    return [each.device_id for each in failed]


async def _command(
    connection: Connection, meter: Meter, action: Action, transfer_id: int, now: datetime
) -> int | None:
    """Have the meter's device close or open; None where it cannot."""
    installed = [
        each
        for each in await meters.installations(connection, meter.id)
        if each.since <= now and (each.until is None or now < each.until)
    ]
    for each in installed:
        profile = await profiles.profile_of_device(connection, each.device_id)
        downlink = None if profile is None else profile.downlinks.get(action)
        payload = None if downlink is None else _payload(meter, downlink)
        if downlink is None or payload is None:
            continue
        await device_commands.insert_command(
            connection,
            command_id=uuid5(NAMESPACE_OID, f"meter:{meter.id}:{action}:{transfer_id}"),
            device_id=each.device_id,
            action=action,
            port=int(downlink.get("port", 0)),
            payload=payload,
            is_confirmed=bool(downlink.get("is_confirmed", False)),
            reason=_REASON[action],
            created_at=now,
            expires_at=now + COMMAND_LIVES,
        )
        await meters.set_supply(connection, meter.id, "closed" if action == "close" else "open")
        return each.device_id
    return None


def _payload(meter: Meter, downlink: Mapping[str, Any]) -> bytes | None:
    """The bytes of a downlink; None, with an error for the operator, where the profile's text is no hex."""
    try:
        return bytes.fromhex(downlink["payload_hex"])
    except (KeyError, TypeError, ValueError) as error:
        log.error(
            "downlink_unreadable", meter=meter.id, error=repr(error), action="mend the device's profile"
        )
        return None
