"""The CoAP paths that devices send to, and what they say of the device.

Used by `ingest.nbiot.coap`; `docs/nbiot.md` has the table for installers. `/rd` and `/dp` are LwM2M's
(OMA-TS-LightweightM2M_Transport 1.1, clause 6.4): a registration is kept, and what is sent is an uplink.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from protocols.payloads.names import identity_text
from protocols.samples import DecodeError

Action = Literal["uplink", "register", "update", "deregister"]

TOKEN_CHARACTERS_MAX = 200
_IDENTITY_KEYS = ("imei", "id", "sn", "ep")
_WRITES = ("POST", "PUT")


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is for; `identity` and `token` are those of path or query, None without one."""

    action: Action
    identity: str | None = None
    token: str | None = field(default=None, repr=False)


def parse(method: str, path: Sequence[str], query: Sequence[str]) -> Target:
    """Read a request's method (`POST`), path segments and query items (`imei=...`).

    Raises `DecodeError`: reason `path` for a path that is none of ours, `method` for a method that it does
    not have, `identity` and `token` for values that can be neither.
    """
    segments = [*path]
    while segments and not segments[-1]:
        segments.pop()
    given = dict(_items(query))
    identity = next((given[key] for key in _IDENTITY_KEYS if given.get(key)), None)
    match segments:
        case [] | ["up" | "u" | "dp"]:
            return _uplink(method, identity, given.get("token"))
        case ["up" | "u" | "dp", named]:
            return _uplink(method, named, given.get("token"))
        case ["t", token]:
            return _uplink(method, identity, token)
        case ["t", token, named]:
            return _uplink(method, named, token)
        case ["rd"]:
            return _registration(method, "register", identity, given)
        case ["rd", named]:
            action: Action = "deregister" if method == "DELETE" else "update"
            return _registration(method, action, named, given)
    raise DecodeError("path", "path", "is none of /, /up, /up/<identity>, /t/<token>, /rd, /dp")


def _items(query: Sequence[str]) -> Iterator[tuple[str, str]]:
    for item in query:
        name, _, value = item.partition("=")
        yield name.lower(), value


def _uplink(method: str, identity: str | None, token: str | None) -> Target:
    if method not in _WRITES:
        raise DecodeError("method", "method", f"{method} is neither POST nor PUT")
    return _target("uplink", identity, token)


def _registration(method: str, action: Action, identity: str | None, given: Mapping[str, str]) -> Target:
    if method not in {"register": ("POST",), "update": _WRITES, "deregister": ("DELETE",)}.get(action, ()):
        raise DecodeError("method", "method", f"{method} is none of a registration's")
    if identity is None:
        raise DecodeError("identity", "ep", "a registration names its endpoint: ?ep=<identity>")
    return _target(action, identity, given.get("token"))


def _target(action: Action, identity: str | None, token: str | None) -> Target:
    named = None if identity is None else identity_text(identity)
    if identity is not None and named is None:
        raise DecodeError("identity", "identity", f"{identity[:80]!r} can be no device's identity")
    if token is not None and len(token) > TOKEN_CHARACTERS_MAX:
        raise DecodeError("token", "token", f"has more than {TOKEN_CHARACTERS_MAX} characters")
    return Target(action, named, token or None)
