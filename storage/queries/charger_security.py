"""How a charger must identify itself, and the passwords that are on their way to it.

Read and written by `ingest.ocpp.handshake`, `stream.charger_passwords` and the API. A profile never goes
down by itself (OCPP 2.0.1 part 2, A05; OCPP 1.6 security whitepaper edition 3, A05).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value

PROFILE_MAX = 3
PENDING_PASSWORDS_MAX = 3  # of one charger


@dataclass(frozen=True, slots=True)
class ChargerSecurity:
    """`profile` as configured, 0 to 3. `seen_profile`: that of the newest connection, None before any.

    `certificate_until`: end of the client certificate that the charger showed last.
    """

    device_id: int
    identity: str
    profile: int
    may_upgrade: bool
    aliases: list[str]
    seen_profile: int | None
    certificate_until: datetime | None
    secret_hash: str | None
    pending_passwords: int

    @property
    def required(self) -> int:
        """The least profile that may connect: a charger that has a password in use must show it."""
        return max(self.profile, 0 if self.secret_hash is None else 1)

    @property
    def has_password(self) -> bool:
        """Whether it has one, in use or on its way."""
        return self.secret_hash is not None or self.pending_passwords > 0


@dataclass(frozen=True, slots=True)
class PendingPassword:
    """A password that was sent to the charger and not used yet."""

    id: int
    secret_hash: str


_GET = """
SELECT devices.id AS device_id, identity, coalesce(profile, 0) AS profile,
       coalesce(may_upgrade, false) AS may_upgrade, coalesce(aliases, '{}') AS aliases,
       seen_profile, certificate_until, secret_hash,
       (SELECT count(*) FROM charger_passwords WHERE charger_passwords.device_id = devices.id)
           AS pending_passwords
FROM devices LEFT JOIN charger_security ON charger_security.device_id = devices.id
WHERE devices.id = %(device_id)s
"""

_SET_PROFILE = """
INSERT INTO charger_security (device_id, profile, may_upgrade)
VALUES (%(device_id)s, %(profile)s, %(may_upgrade)s)
ON CONFLICT (device_id) DO UPDATE SET profile = EXCLUDED.profile, may_upgrade = EXCLUDED.may_upgrade
"""

_SET_ALIASES = """
INSERT INTO charger_security (device_id, aliases) VALUES (%(device_id)s, %(aliases)s)
ON CONFLICT (device_id) DO UPDATE SET aliases = EXCLUDED.aliases
"""

# One statement, so that two sockets at once cannot lower what the other raised.
_CONNECTED = """
INSERT INTO charger_security (device_id, seen_profile, seen_at, certificate_until)
VALUES (%(device_id)s, %(profile)s, %(at)s, %(certificate_until)s)
ON CONFLICT (device_id) DO UPDATE
SET seen_profile = EXCLUDED.seen_profile, seen_at = EXCLUDED.seen_at,
    certificate_until = coalesce(EXCLUDED.certificate_until, charger_security.certificate_until),
    profile = CASE WHEN charger_security.may_upgrade
                   THEN greatest(charger_security.profile, EXCLUDED.seen_profile)
                   ELSE charger_security.profile END
RETURNING profile
"""

_PENDING = """
SELECT id, secret_hash FROM charger_passwords WHERE device_id = %(device_id)s
ORDER BY id DESC LIMIT %(limit)s
"""

# The row of the charger is locked first: the count of two requests at once is right.
_ADD = """
INSERT INTO charger_passwords (device_id, secret_hash, created_at)
SELECT %(device_id)s, %(secret_hash)s, %(at)s
WHERE (SELECT count(*) FROM charger_passwords WHERE device_id = %(device_id)s) < %(pending_max)s
RETURNING id
"""

_LOCK = "SELECT device_id FROM chargers WHERE device_id = %(device_id)s FOR NO KEY UPDATE"

_DROP = "DELETE FROM charger_passwords WHERE id = %(id)s"

_TAKE = """
UPDATE devices SET secret_hash = charger_passwords.secret_hash
FROM charger_passwords WHERE charger_passwords.id = %(id)s AND devices.id = charger_passwords.device_id
RETURNING devices.id
"""

_FORGET = "DELETE FROM charger_passwords WHERE device_id = %(device_id)s"


async def get_security(connection: Connection, device_id: int) -> ChargerSecurity | None:
    """Return how the charger must identify itself; None for an unknown id."""
    return await fetch_one(connection, ChargerSecurity, _GET, {"device_id": device_id})


async def set_profile(connection: Connection, device_id: int, profile: int, *, may_upgrade: bool) -> None:
    """Configure the least profile; an operator may also lower it."""
    parameters = {"device_id": device_id, "profile": profile, "may_upgrade": may_upgrade}
    await connection.execute(_SET_PROFILE, parameters)


async def set_aliases(connection: Connection, device_id: int, aliases: Sequence[str]) -> None:
    """Set the names beside its identity that a charger may use as user name and in its certificate."""
    lowered = sorted({alias.lower() for alias in aliases})
    await connection.execute(_SET_ALIASES, {"device_id": device_id, "aliases": lowered})


async def note_connected(
    connection: Connection, device_id: int, profile: int, certificate_until: datetime | None, at: datetime
) -> int:
    """Note with which profile the charger connected; returns the configured one, raised where it may be."""
    parameters = {"device_id": device_id, "profile": profile, "certificate_until": certificate_until}
    return int(await fetch_value(connection, _CONNECTED, {**parameters, "at": at}))


async def pending_passwords(connection: Connection, device_id: int) -> list[PendingPassword]:
    """Return the passwords that were sent and not used yet, the newest first."""
    parameters = {"device_id": device_id, "limit": PENDING_PASSWORDS_MAX}
    return await fetch_all(connection, PendingPassword, _PENDING, parameters)


async def add_password(connection: Connection, device_id: int, secret_hash: str, at: datetime) -> int | None:
    """Accept this password too from now on; returns its id, None when as many wait as may."""
    await connection.execute(_LOCK, {"device_id": device_id})
    parameters = {"device_id": device_id, "secret_hash": secret_hash, "at": at}
    bound = {"pending_max": PENDING_PASSWORDS_MAX}
    password_id: int | None = await fetch_value(connection, _ADD, {**parameters, **bound})
    return password_id


async def drop_password(connection: Connection, password_id: int) -> None:
    """Accept it no more: the charger refused it."""
    await connection.execute(_DROP, {"id": password_id})


async def take_password(connection: Connection, password_id: int) -> None:
    """Make it the charger's one password: it connected with it. The others are accepted no more."""
    device_id = await fetch_value(connection, _TAKE, {"id": password_id})
    if device_id is not None:
        await connection.execute(_FORGET, {"device_id": device_id})
