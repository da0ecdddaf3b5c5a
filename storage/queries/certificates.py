"""Certificates of chargers: what we signed and how far it got, and what chargers have installed.

Written by `ingest.ocpp.security` (requests, results) and `stream.charger_certificates` (delivery, renewal),
read by the API.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.database import Connection, fetch_all, fetch_value

INSTALLED_MAX = 200  # of one charger in one answer


@dataclass(frozen=True, slots=True)
class ChargerCertificate:
    """One SignCertificate and what became of it.

    `state`: rejected (not signed), signed (on its way), accepted or refused (by the charger), failed (never
    delivered). `serial_number`: lower-case hexadecimal. `reason` says why it is not accepted.
    """

    id: int
    device_id: int
    kind: str
    state: str
    reason: str | None
    chain_pem: str | None
    serial_number: str | None
    not_after: datetime | None
    attempts: int
    requested_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate as it was made; delivered from `due_at` on."""

    chain_pem: str
    serial_number: str
    not_after: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A signed certificate that a connected charger is to get; `attempts` counts this one."""

    id: int
    device_id: int
    identity: str
    ocpp_version: str
    kind: str
    request_id: int | None
    chain_pem: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Renewal:
    """A connected charger whose certificate ends soon."""

    device_id: int
    identity: str
    ocpp_version: str
    until: datetime


@dataclass(frozen=True, slots=True)
class InstalledCertificate:
    """OCPP CertificateHashData with its use; `certificate_pem` where we installed it."""

    device_id: int
    kind: str
    hash_algorithm: str
    issuer_name_hash: str
    issuer_key_hash: str
    serial_number: str
    certificate_pem: str | None
    stored_at: datetime


_COUNT_REQUESTS = """
SELECT count(*) FROM charger_certificates WHERE device_id = %(device_id)s AND requested_at > %(since)s
"""

_WAITING_CHAIN = """
SELECT chain_pem FROM charger_certificates
WHERE device_id = %(device_id)s AND kind = %(kind)s AND csr_pem = %(csr_pem)s AND state = 'signed'
ORDER BY id DESC LIMIT 1
"""

_INSERT = """
INSERT INTO charger_certificates
    (device_id, kind, request_id, csr_pem, state, reason, chain_pem, serial_number, not_after, due_at,
     requested_at)
VALUES (%(device_id)s, %(kind)s, %(request_id)s, %(csr_pem)s, %(state)s, %(reason)s, %(chain_pem)s,
        %(serial_number)s, %(not_after)s, %(due_at)s, %(at)s)
"""

_LIST = """
SELECT id, device_id, kind, state, reason, chain_pem, serial_number, not_after, attempts, requested_at,
       answered_at
FROM charger_certificates WHERE device_id = %(device_id)s
ORDER BY id DESC LIMIT %(limit)s
"""

# The due time moves with the claim: a worker that dies gives the delivery back when it is due again.
_CLAIM = """
WITH due AS (
    SELECT charger_certificates.id, identity, ocpp_version
    FROM charger_certificates
    JOIN chargers USING (device_id) JOIN devices ON devices.id = device_id
    WHERE state = 'signed' AND due_at <= %(now)s AND is_connected AND ocpp_version IS NOT NULL
    ORDER BY due_at, charger_certificates.id LIMIT %(limit)s
    FOR UPDATE OF charger_certificates SKIP LOCKED
)
UPDATE charger_certificates
SET attempts = attempts + 1, due_at = %(now)s + %(wait)s * (2 ^ least(attempts, 10))
FROM due WHERE charger_certificates.id = due.id
RETURNING charger_certificates.id, device_id, identity, ocpp_version, kind, request_id, chain_pem, attempts
"""

_ANSWERED = """
UPDATE charger_certificates SET state = %(state)s, reason = %(reason)s, answered_at = %(at)s
WHERE id = %(id)s AND state = 'signed'
"""

_ANSWERED_CHAIN = """
UPDATE charger_certificates SET state = %(state)s, reason = %(reason)s, answered_at = %(at)s
WHERE device_id = %(device_id)s AND chain_pem = %(chain_pem)s AND state = 'signed'
"""

# A certificate counts once the charger took it; one that it showed itself counts as well. A newer one that
# is still on its way, or was taken already, ends the asking.
_CLAIM_RENEWALS = """
WITH newest AS (
    SELECT DISTINCT ON (device_id) device_id, not_after, state FROM charger_certificates
    WHERE state IN ('signed', 'accepted') ORDER BY device_id, id DESC
), ending AS (
    SELECT device_id, greatest(newest.not_after, certificate_until) AS until
    FROM newest FULL JOIN charger_security USING (device_id)
    WHERE greatest(newest.not_after, certificate_until) < %(before)s
      AND (renewal_asked_at IS NULL OR renewal_asked_at < %(asked_before)s)
), chosen AS (
    SELECT device_id, identity, ocpp_version, until
    FROM ending JOIN chargers USING (device_id) JOIN devices ON devices.id = device_id
    WHERE is_connected AND ocpp_version IS NOT NULL AND devices.status = 'active'
    ORDER BY until LIMIT %(limit)s
), asked AS (
    INSERT INTO charger_security (device_id, renewal_asked_at) SELECT device_id, %(now)s FROM chosen
    ON CONFLICT (device_id) DO UPDATE SET renewal_asked_at = EXCLUDED.renewal_asked_at
    WHERE charger_security.renewal_asked_at IS NULL OR charger_security.renewal_asked_at < %(asked_before)s
    RETURNING device_id
)
SELECT device_id, identity, ocpp_version, until FROM chosen JOIN asked USING (device_id)
"""

_PUT_INSTALLED = """
INSERT INTO installed_certificates
    (device_id, kind, hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number, certificate_pem,
     stored_at)
VALUES (%(device_id)s, %(kind)s, %(hash_algorithm)s, %(issuer_name_hash)s, %(issuer_key_hash)s,
        %(serial_number)s, %(certificate_pem)s, %(stored_at)s)
ON CONFLICT (device_id, kind, hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number) DO UPDATE
SET stored_at = EXCLUDED.stored_at,
    certificate_pem = coalesce(EXCLUDED.certificate_pem, installed_certificates.certificate_pem)
"""

_FORGET_INSTALLED = """
DELETE FROM installed_certificates
WHERE device_id = %(device_id)s AND stored_at < %(before)s
  AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s))
"""

_REMOVE_INSTALLED = """
DELETE FROM installed_certificates
WHERE device_id = %(device_id)s AND hash_algorithm = %(hash_algorithm)s
  AND issuer_name_hash = %(issuer_name_hash)s AND issuer_key_hash = %(issuer_key_hash)s
  AND serial_number = %(serial_number)s
"""

_LIST_INSTALLED = """
SELECT device_id, kind, hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number, certificate_pem,
       stored_at
FROM installed_certificates WHERE device_id = %(device_id)s
ORDER BY kind, serial_number LIMIT %(limit)s
"""


async def count_requests(connection: Connection, device_id: int, since: datetime) -> int:
    """Return how many SignCertificate of the charger were kept since then."""
    return int(await fetch_value(connection, _COUNT_REQUESTS, {"device_id": device_id, "since": since}))


async def waiting_chain(connection: Connection, device_id: int, kind: str, csr_pem: str) -> str | None:
    """Return what was signed for the same request and is still on its way: a repeat is no second one."""
    parameters = {"device_id": device_id, "kind": kind, "csr_pem": csr_pem}
    chain_pem: str | None = await fetch_value(connection, _WAITING_CHAIN, parameters)
    return chain_pem


async def put_request(
    connection: Connection,
    device_id: int,
    *,
    kind: str,
    request_id: int | None,
    csr_pem: str,
    at: datetime,
    outcome: Signed | str,
) -> None:
    """Keep a SignCertificate: signed and to be delivered, or the reason why it was not."""
    facts = {"device_id": device_id, "kind": kind, "request_id": request_id, "csr_pem": csr_pem, "at": at}
    signed = outcome if isinstance(outcome, Signed) else None
    made = {
        "state": "rejected" if signed is None else "signed",
        "reason": None if signed is not None else outcome,
        "chain_pem": signed and signed.chain_pem,
        "serial_number": signed and signed.serial_number,
        "not_after": signed and signed.not_after,
        "due_at": signed and signed.due_at,
    }
    await connection.execute(_INSERT, {**facts, **made})


async def list_certificates(connection: Connection, device_id: int, limit: int) -> list[ChargerCertificate]:
    """Return the newest requests of the charger."""
    return await fetch_all(connection, ChargerCertificate, _LIST, {"device_id": device_id, "limit": limit})


async def claim_deliveries(
    connection: Connection, now: datetime, wait: timedelta, limit: int
) -> list[Delivery]:
    """Return deliveries due to connected chargers; each is due again after `wait`, doubled each time."""
    return await fetch_all(connection, Delivery, _CLAIM, {"now": now, "wait": wait, "limit": limit})


async def end_delivery(
    connection: Connection, certificate_id: int, state: str, reason: str | None, at: datetime
) -> None:
    """Note what the charger answered (accepted, refused), or that it is asked no more (failed)."""
    parameters = {"id": certificate_id, "state": state, "reason": reason, "at": at}
    await connection.execute(_ANSWERED, parameters)


async def end_delivery_of(
    connection: Connection, device_id: int, chain_pem: str, state: str, reason: str | None, at: datetime
) -> None:
    """The same for a chain that somebody else delivered."""
    parameters = {"device_id": device_id, "chain_pem": chain_pem, "state": state, "reason": reason, "at": at}
    await connection.execute(_ANSWERED_CHAIN, parameters)


async def claim_renewals(
    connection: Connection, *, now: datetime, before: datetime, asked_before: datetime, limit: int
) -> list[Renewal]:
    """Return connected chargers whose certificate ends before `before`, noted as asked `now`.

    Those that were asked after `asked_before` are left out.
    """
    parameters = {"now": now, "before": before, "asked_before": asked_before, "limit": limit}
    return await fetch_all(connection, Renewal, _CLAIM_RENEWALS, parameters)


async def put_installed(connection: Connection, installed: InstalledCertificate) -> None:
    """Note that the charger has it."""
    facts = {name: getattr(installed, name) for name in InstalledCertificate.__slots__}
    await connection.execute(_PUT_INSTALLED, facts)


async def forget_installed(
    connection: Connection, device_id: int, kinds: Sequence[str] | None, before: datetime
) -> None:
    """Forget what the charger did not name again: of these kinds, or of all."""
    parameters = {"device_id": device_id, "kinds": None if kinds is None else list(kinds), "before": before}
    await connection.execute(_FORGET_INSTALLED, parameters)


async def remove_installed(
    connection: Connection,
    device_id: int,
    *,
    hash_algorithm: str,
    issuer_name_hash: str,
    issuer_key_hash: str,
    serial_number: str,
) -> None:
    """Note that the charger deleted it."""
    facts = {"issuer_name_hash": issuer_name_hash, "issuer_key_hash": issuer_key_hash}
    parameters = {"device_id": device_id, "hash_algorithm": hash_algorithm, "serial_number": serial_number}
    await connection.execute(_REMOVE_INSTALLED, {**parameters, **facts})


async def list_installed(connection: Connection, device_id: int) -> list[InstalledCertificate]:
    """Return what the charger has installed, as far as it told."""
    parameters = {"device_id": device_id, "limit": INSTALLED_MAX}
    return await fetch_all(connection, InstalledCertificate, _LIST_INSTALLED, parameters)
