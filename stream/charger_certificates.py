"""Certificates of chargers on their way: delivered until the charger answers, asked for before they end.

Used by the jobs role (`deliver_due` every second or so, `renew_expiring` every hour or so), in any number
of processes. OCPP 1.6 security whitepaper edition 3, A02; OCPP 2.0.1 part 2, A02.
"""

import asyncio
from datetime import datetime, timedelta

import structlog
from nats.aio.client import Client

from storage.database import Pool
from storage.queries.certificates import (
    Delivery,
    Renewal,
    claim_deliveries,
    claim_renewals,
    end_delivery,
)
from stream.bus import BusError, CallOutcome, ChargerOfflineError, call_charger

log = structlog.get_logger()

DELIVERIES_MAX = 50  # at a time
ATTEMPTS_MAX = 12
RETRY_AFTER = timedelta(seconds=60)  # longer than `CALL_TIMEOUT_S`, so that no delivery runs twice
CALL_TIMEOUT_S = 30.0
RENEW_BEFORE = timedelta(days=30)
RENEWALS_MAX = 50  # at a time
ASK_AGAIN_AFTER = timedelta(days=1)
REASON_CHARACTERS_MAX = 500
V16, V21 = "1.6", "2.1"
# The charger will not know it the next time either.
_HOPELESS = frozenset({"NotImplemented", "NotSupported"})


async def deliver_due(pool: Pool, bus: Client, now: datetime) -> int:
    """Send CertificateSigned to connected chargers that are to get one; returns how many were tried.

    At least once: a charger that did not answer gets it again, later each time, and `ATTEMPTS_MAX` times.
    """
    async with pool.connection() as connection:
        due = await claim_deliveries(connection, now, RETRY_AFTER, DELIVERIES_MAX)
    await asyncio.gather(*(_deliver(pool, bus, each, now) for each in due))
    return len(due)


async def _deliver(pool: Pool, bus: Client, delivery: Delivery, now: datetime) -> None:
    try:
        outcome = await call_charger(
            bus, delivery.device_id, "CertificateSigned", _payload(delivery), CALL_TIMEOUT_S
        )
    except (ChargerOfflineError, BusError) as error:
        outcome = CallOutcome("error", code="Offline", description=str(error))
    ended = _judge(delivery, outcome)
    log.info(
        "certificate_delivery",
        charger=delivery.identity,
        certificate=delivery.id,
        attempts=delivery.attempts,
        state="signed" if ended is None else ended[0],
        code=outcome.code,
    )
    if ended is not None:
        async with pool.connection() as connection:
            await end_delivery(connection, delivery.id, *ended, now)


def _payload(delivery: Delivery) -> dict[str, object]:
    if delivery.ocpp_version == V16:
        return {"certificateChain": delivery.chain_pem}
    payload: dict[str, object] = {
        "certificateChain": delivery.chain_pem,
        "certificateType": delivery.kind,
    }
    if delivery.ocpp_version == V21 and delivery.request_id is not None:
        payload["requestId"] = delivery.request_id
    return payload


def _judge(delivery: Delivery, outcome: CallOutcome) -> tuple[str, str | None] | None:
    """State and reason that end the delivery; None where it is to be tried again."""
    if outcome.outcome == "result":
        status = str(outcome.payload.get("status"))
        if status == "Accepted":
            return "accepted", None
        reason = f"{status} {outcome.payload.get('statusInfo') or ''}".strip()
        return "refused", reason[:REASON_CHARACTERS_MAX]
    said = f"{outcome.outcome} {outcome.code} {outcome.description}".strip()[:REASON_CHARACTERS_MAX]
    if outcome.code in _HOPELESS:
        return "refused", said
    return ("failed", said) if delivery.attempts >= ATTEMPTS_MAX else None


async def renew_expiring(pool: Pool, bus: Client, now: datetime) -> int:
    """Ask connected chargers whose certificate ends within `RENEW_BEFORE` for a new request.

    Each is asked once in `ASK_AGAIN_AFTER`. Returns how many agreed.
    """
    async with pool.connection() as connection:
        ending = await claim_renewals(
            connection,
            now=now,
            before=now + RENEW_BEFORE,
            asked_before=now - ASK_AGAIN_AFTER,
            limit=RENEWALS_MAX,
        )
    agreed = await asyncio.gather(*(_ask(bus, each) for each in ending))
    return sum(agreed)


async def _ask(bus: Client, renewal: Renewal) -> bool:
    if renewal.ocpp_version == V16:
        action, message = "ExtendedTriggerMessage", "SignChargePointCertificate"
    else:
        action, message = "TriggerMessage", "SignChargingStationCertificate"
    try:
        outcome = await call_charger(
            bus, renewal.device_id, action, {"requestedMessage": message}, CALL_TIMEOUT_S
        )
        said = str(outcome.payload.get("status") or outcome.code or outcome.outcome)
    except (ChargerOfflineError, BusError) as error:
        said = str(error)
    is_agreed = said == "Accepted"
    told = log.info if is_agreed else log.warning
    told("certificate_renewal_asked", charger=renewal.identity, until=renewal.until.isoformat(), answer=said)
    return is_agreed
