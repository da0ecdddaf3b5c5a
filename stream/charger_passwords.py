"""A charger's new Basic password, with a way back; used by the API, and by the gateway for other routes.

OCPP 1.6 security whitepaper edition 3, A01 (ChangeConfiguration AuthorizationKey); OCPP 2.0.1 part 2, A01
(SetVariables BasicAuthPassword). From before it is sent, the new password is accepted beside the old one.
The charger's first connection with it ends the old one (`ingest.ocpp.handshake`); its refusal ends the new
one; silence ends neither.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog
from argon2 import PasswordHasher
from nats.aio.client import Client

from storage.database import Pool
from storage.queries.charger_security import add_password, drop_password
from storage.queries.chargers import Charger
from stream.bus import CallOutcome, ChargerOfflineError, call_charger
from stream.errors import StreamError

log = structlog.get_logger()

V16 = "1.6"
AUTHORIZATION_KEY = "AuthorizationKey"
COMPONENT, VARIABLE = "SecurityCtrlr", "BasicAuthPassword"
_hasher = PasswordHasher()

State = Literal["accepted", "reboot_required", "unconfirmed"]


class PasswordRefusedError(StreamError):
    """The charger did not take the new password; the old one stays."""


class PasswordsPendingError(StreamError):
    """As many new passwords wait to be used as may."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of it. `unconfirmed`: no answer came; both passwords are accepted until one is used."""

    state: State


async def hash_secret(password: str) -> str:
    """The argon2 hash to keep, made off the event loop."""
    return await asyncio.to_thread(_hasher.hash, password)


async def rotate(
    pool: Pool, bus: Client, charger: Charger, password: str, *, now: datetime, timeout_s: float
) -> Rotation:
    """Give the charger a new password: 16 to 40 characters, hexadecimal for chargers that decode it.

    Raises `ChargerOfflineError`, `PasswordRefusedError`, `PasswordsPendingError`, `BusError`.
    """
    secret_hash = await hash_secret(password)
    async with pool.connection() as connection:
        password_id = await add_password(connection, charger.device_id, secret_hash, now)
    if password_id is None:
        raise PasswordsPendingError(
            f"charger {charger.identity} has not used the passwords that it was sent: have it reconnect"
        )
    try:
        action, payload = password_call(charger.ocpp_version, password)
        outcome = await call_charger(bus, charger.device_id, action, payload, timeout_s)
        state = _state_of(charger, outcome)
    except (ChargerOfflineError, PasswordRefusedError):
        # it did not get it, or did not want it; anything else leaves open whether it has it
        async with pool.connection() as connection:
            await drop_password(connection, password_id)
        raise
    log.info("charger_password_sent", charger=charger.identity, state=state)
    return Rotation(state)


def password_call(ocpp_version: str | None, password: str) -> tuple[str, dict[str, object]]:
    """The call that sets a charger's password: action and payload."""
    if ocpp_version in {None, V16}:
        return "ChangeConfiguration", {"key": AUTHORIZATION_KEY, "value": password}
    data = {
        "component": {"name": COMPONENT},
        "variable": {"name": VARIABLE},
        "attributeValue": password,
    }
    return "SetVariables", {"setVariableData": [data]}


def _state_of(charger: Charger, outcome: CallOutcome) -> State:
    if outcome.outcome == "timeout" or outcome.code == "ConnectionLost":
        return "unconfirmed"
    if outcome.outcome == "error":
        raise PasswordRefusedError(
            f"charger {charger.identity} answered {outcome.code}: {outcome.description or 'no description'}"
        )
    results = outcome.payload.get("setVariableResult")
    if isinstance(results, list):
        first = results[0] if results else {}
        status = first.get("attributeStatus")
    else:
        status = outcome.payload.get("status")
    if status == "Accepted":
        return "accepted"
    if status == "RebootRequired":
        return "reboot_required"
    raise PasswordRefusedError(f"charger {charger.identity} answered {status}")
