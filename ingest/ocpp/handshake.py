"""Who may open a socket: identity, subprotocol, password. Used by `ingest.ocpp.server` before the upgrade.

A refusal is an HTTP status with a line that tells the installer what to change.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote, unquote_to_bytes

import structlog
from websockets.datastructures import Headers

from ingest.ocpp.config import GatewayConfig
from ingest.ocpp.passwords import FailureLimit, PasswordChecker, PasswordsBusyError
from ingest.registry import Registry
from protocols.ocpp.surface import Version
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


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides on handshakes; one a gateway."""

    config: GatewayConfig
    registry: Registry
    passwords: PasswordChecker
    failures: FailureLimit

    async def admit(self, path: str, headers: Headers, address: str) -> tuple[Device, Version]:
        """The charger that connects, and the version it is to speak. Raises `RefusedError`."""
        identity = identity_of(path)
        _, version = choose_subprotocol(offered(headers), default=self.config.default_version)
        try:
            device = await self.registry.resolve("charger", identity)
        except Exception as error:
            log.warning("ocpp_registry_away", charger=identity, error=repr(error))
            message = "the device registry cannot be asked now; try again"
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, message) from error
        if device is None or device.status == "archived":
            # OCPP-J 1.6, section 3.1.1: 404 for an identity that the central system does not know
            raise RefusedError(HTTPStatus.NOT_FOUND, f"charger {identity!r} is not registered here")
        await self._authenticate(device, headers.get("Authorization"), address)
        return device, version

    async def _authenticate(self, device: Device, authorization: str | None, address: str) -> None:
        if device.secret_hash is None:
            if not self.config.allow_without_password:
                message = "this charger has no password set here, and one is required: set it first"
                raise RefusedError(HTTPStatus.UNAUTHORIZED, message)
            return
        if self.failures.is_exhausted(address):
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong passwords; wait a minute")
        if authorization is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "a password is required (HTTP Basic)")
        try:
            problem = await self._problem(device, device.secret_hash, authorization)
        except PasswordsBusyError as error:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        if problem is not None:
            self.failures.failed(address)
            log.warning("ocpp_login_failed", charger=device.identity, address=address, problem=problem)
            raise RefusedError(HTTPStatus.UNAUTHORIZED, problem)

    async def _problem(self, device: Device, secret_hash: str, authorization: str) -> str | None:
        try:
            username, password = basic_credentials(authorization)
        except ValueError as error:
            return str(error)
        if username.lower() != device.identity.lower().encode():
            return "the user name must be the charger's identity"
        if not await self.passwords.check(secret_hash, password):
            return "wrong password"
        return None


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


def basic_credentials(authorization: str) -> tuple[bytes, bytes]:
    """User name and password as bytes: chargers send passwords that are no text. Raises `ValueError`."""
    scheme, _, encoded = authorization.strip().partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("the Authorization header is not Base64") from error
    username, colon, password = decoded.partition(b":")
    if scheme.lower() != "basic" or not colon:
        raise ValueError("the Authorization header is not HTTP Basic")
    return username, password
