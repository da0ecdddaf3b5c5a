"""Who may open a socket: identity, subprotocol, security profile. Used by `ingest.ocpp.server`.

A refusal is an HTTP status with a line that tells the installer what to change. Security profiles: OCPP
1.6 security whitepaper edition 3, section 2; OCPP 2.0.1 part 2, A00. 0: neither password nor certificate,
1: Basic, 2: TLS with Basic, 3: TLS with a client certificate.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from urllib.parse import unquote, unquote_to_bytes

import structlog
from websockets.datastructures import Headers

from ingest.ocpp.config import GatewayConfig
from ingest.ocpp.limits import AddressLimit
from ingest.ocpp.passwords import Lockout, PasswordChecker, PasswordsBusyError
from ingest.ocpp.security.tls import Peer, PeerCertificate
from ingest.registry import Registry
from protocols.ocpp.surface import Version
from protocols.timestamps import to_datetime
from storage.database import Pool
from storage.queries.charger_security import (
    ChargerSecurity,
    PendingPassword,
    get_security,
    note_connected,
    pending_passwords,
    take_password,
)
from storage.queries.devices import Device

log = structlog.get_logger()

SUBPROTOCOLS = {version.subprotocol: version for version in Version}
IDENTITY_LENGTH_MAX = 48
OFFERS_MAX = 16


class RefusedError(Exception):
    """A handshake that is refused with `status`; the message is its body."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class CredentialError(Exception):
    """Credentials that are wrong: `status` and the message are answered, and it counts for the lockout."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Proof:
    """What a connection proved: its security profile, and with what.

    `password`: a new one that it used for the first time. `certificate_until`: end of its certificate.
    """

    profile: int
    password: PendingPassword | None = None
    certificate_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides on handshakes; one a gateway."""

    config: GatewayConfig
    pool: Pool
    registry: Registry
    passwords: PasswordChecker
    lockout: Lockout
    connects: AddressLimit | None = None

    async def admit(self, path: str, headers: Headers, peer: Peer) -> tuple[Device, Version]:
        """The charger that connects, and the version it is to speak. Raises `RefusedError`."""
        if self.connects is not None and not self.connects.admits(peer.address):
            message = "too many connections from this address; wait a little"
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, message)
        identity = identity_of(path)
        _, version = choose_subprotocol(offered(headers), default=self.config.default_version)
        try:
            device = await self.registry.resolve("charger", identity)
            if device is None or device.status == "archived":
                # OCPP-J 1.6, section 3.1.1: 404 for an identity that the central system does not know
                raise RefusedError(HTTPStatus.NOT_FOUND, f"charger {identity!r} is not registered here")
            await self._authenticate(device, headers.get("Authorization"), peer)
        except RefusedError:
            raise
        except PasswordsBusyError as error:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        except Exception as error:
            log.warning("ocpp_registry_away", charger=identity, error=repr(error))
            message = "the device registry cannot be asked now; try again"
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, message) from error
        return device, version

    async def _authenticate(self, device: Device, authorization: str | None, peer: Peer) -> None:
        """Hold the charger to its security profile, and note what it connected with."""
        async with self.pool.connection() as connection:
            security = await get_security(connection, device.id)
            assert security is not None, f"device {device.id} is no charger"
            has_pending = security.pending_passwords > 0
            pending = await pending_passwords(connection, device.id) if has_pending else []
        try:
            proof = await self._prove(security, pending, authorization, peer)
        except CredentialError as error:
            self.lockout.failed(device.identity, peer.address)
            log.warning(
                "ocpp_login_failed", charger=device.identity, address=peer.address, problem=str(error)
            )
            raise RefusedError(error.status, str(error)) from error
        if proof.profile > 0:
            self.lockout.succeeded(device.identity, peer.address)
        await self._note(security, proof)

    async def _prove(
        self, security: ChargerSecurity, pending: list[PendingPassword], authorization: str | None, peer: Peer
    ) -> Proof:
        """The profile that the connection reaches. Raises `RefusedError` and `CredentialError`."""
        required = security.required
        if required >= 2 and not peer.is_tls:
            message = f"this charger is set to security profile {required}: connect over TLS (wss)"
            raise RefusedError(HTTPStatus.FORBIDDEN, message)
        if peer.certificate is not None:
            return self._bound(security, peer.certificate)
        if required >= 3:
            message = "this charger is set to security profile 3: show its client certificate"
            raise RefusedError(HTTPStatus.FORBIDDEN, message)
        if security.secret_hash is None and not pending:
            if required == 0 and self.config.allow_without_password:
                return Proof(0)
            message = "this charger has no password set here, and one is required: set it first"
            raise RefusedError(HTTPStatus.UNAUTHORIZED, message)
        return await self._by_password(security, pending, authorization, peer)

    async def _by_password(
        self, security: ChargerSecurity, pending: list[PendingPassword], authorization: str | None, peer: Peer
    ) -> Proof:
        """Profile 1 or 2, by a password. Raises `RefusedError` and `CredentialError`."""
        # the first password of a charger is on its way: until it is used, none will do as before
        is_first = security.required == 0 and self.config.allow_without_password
        if self.lockout.is_locked(security.identity, peer.address):
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong passwords; wait a minute")
        if authorization is None:
            if is_first:
                return Proof(0)
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "a password is required (HTTP Basic)")
        used = await self._matching(security, pending, authorization)
        return Proof(2 if peer.is_tls else 1, password=used)

    def _bound(self, security: ChargerSecurity, certificate: PeerCertificate) -> Proof:
        """Profile 3: the certificate must be this charger's (OCPP 2.0.1 part 2, A00.FR.303 and 304)."""
        if certificate.names.isdisjoint({security.identity.lower(), *security.aliases}):
            message = "the client certificate was issued to another name than this charger's identity"
            raise CredentialError(HTTPStatus.FORBIDDEN, message)
        tls = self.config.tls
        organization = tls.authority.organization if tls is not None and tls.authority is not None else None
        if organization is not None and organization not in certificate.organizations:
            message = f"the client certificate's organization must be {organization!r}"
            raise CredentialError(HTTPStatus.FORBIDDEN, message)
        return Proof(3, certificate_until=certificate.until)

    async def _matching(
        self, security: ChargerSecurity, pending: list[PendingPassword], authorization: str
    ) -> PendingPassword | None:
        """The new password that was shown, None for the current one. Raises `CredentialError`."""
        try:
            password = basic_password(authorization, [security.identity.lower(), *security.aliases])
        except ValueError as error:
            raise CredentialError(HTTPStatus.UNAUTHORIZED, str(error)) from error
        if security.secret_hash is not None and await self.passwords.check(security.secret_hash, password):
            return None
        for each in pending:
            if await self.passwords.check(each.secret_hash, password):
                return each
        raise CredentialError(HTTPStatus.UNAUTHORIZED, "wrong password")

    async def _note(self, security: ChargerSecurity, proof: Proof) -> None:
        """Write what changed: a profile reached, a certificate shown, a new password in use."""
        seen = (security.seen_profile or 0, security.certificate_until)
        shown = (proof.profile, proof.certificate_until or security.certificate_until)
        may_rise = security.may_upgrade and proof.profile > security.profile
        if seen == shown and proof.password is None and not may_rise:
            return
        at = to_datetime(self.config.clock())
        async with self.pool.connection() as connection:
            if proof.password is not None:
                await take_password(connection, proof.password.id)
            profile = await note_connected(
                connection, security.device_id, proof.profile, proof.certificate_until, at
            )
        if proof.password is not None:
            log.info("ocpp_password_taken", charger=security.identity)
        if profile > security.profile:
            log.info("ocpp_profile_raised", charger=security.identity, profile=profile)


def identity_of(path: str) -> str:
    """The last segment of the URL's path, percent-decoded, whatever its prefix. Raises `RefusedError`."""
    segment = path.partition("?")[0].rstrip("/").rpartition("/")[2]
    try:
        identity = unquote_to_bytes(segment).decode().strip("/ ")
    except UnicodeDecodeError:
        identity = ""
    if not identity or len(identity) > IDENTITY_LENGTH_MAX or not identity.isprintable():
        message = f"the URL must end in the charger's identity, 1 to {IDENTITY_LENGTH_MAX} characters"
        raise RefusedError(HTTPStatus.BAD_REQUEST, message)
    return identity


def offered(headers: Headers) -> list[str]:
    """The subprotocols that the charger names, in its order and spelling."""
    names = ",".join(headers.get_all("Sec-WebSocket-Protocol")).split(",", OFFERS_MAX)[:OFFERS_MAX]
    return [name.strip() for name in names if name.strip()]


def choose_subprotocol(names: Sequence[str], *, default: bool) -> tuple[str | None, Version]:
    """The first that we speak, spelled as offered, and its version; None and 1.6 where none was named.

    The charger's order counts (RFC 6455 section 4.1). Raises `RefusedError`.
    """
    for name in names:
        version = SUBPROTOCOLS.get(unquote(name).lower().removeprefix("rpc ").strip())
        if version is not None:
            return name, version
    spoken = ", ".join(SUBPROTOCOLS)
    if names:
        message = f"offered {', '.join(names):.100}; this system speaks {spoken}"
        raise RefusedError(HTTPStatus.BAD_REQUEST, message)
    if not default:
        message = f"name a subprotocol in Sec-WebSocket-Protocol: {spoken}"
        raise RefusedError(HTTPStatus.BAD_REQUEST, message)
    return None, Version.V16


def basic_password(authorization: str, usernames: Sequence[str]) -> bytes:
    """The password of one of `usernames` (lower case), as bytes: chargers send some that are no text.

    An identity may have a colon, as a MAC address does: the user name is found by what it must be. Raises
    `ValueError`.
    """
    decoded = basic_credentials(authorization)
    for username in usernames:
        expected = username.encode() + b":"
        given = decoded[: len(expected)]
        if hmac.compare_digest(_lower(given), expected):
            return decoded[len(expected) :]
    raise ValueError("the user name must be the charger's identity")


def basic_credentials(authorization: str) -> bytes:
    """User name, colon and password of an HTTP Basic header (RFC 7617). Raises `ValueError`."""
    scheme, _, encoded = authorization.strip().partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("the Authorization header is not Base64") from error
    if scheme.lower() != "basic" or b":" not in decoded:
        raise ValueError("the Authorization header is not HTTP Basic")
    return decoded


def _lower(name: bytes) -> bytes:
    try:
        return name.decode().lower().encode()
    except UnicodeDecodeError:
        return name
