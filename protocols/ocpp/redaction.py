"""What a stored OCPP frame must not show: passwords always, people and devices where somebody asks.

Used by the gateway's message log (`hide_secrets`) and by recordings that leave the house (`Alias`).
"""

import re

import orjson

HIDDEN = "***"

# In lower case; parts of the names in `_SECRET_NAME`.
_MARKS = (b"pass", b"authorizationkey", b"secret", b"simpin")
_SECRET_NAME = re.compile(r"password|authorizationkey|secret|passphrase|simpin", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_UNREADABLE = b"a frame that cannot be read and may hold a secret is not kept"
# Names of fields that hold the value of a configuration key or variable.
_VALUES = ("value", "attributeValue", "variableAttribute")
_VPN_KEY = ("key",)  # beside `server` in VPNType of OCPP 2.x


def may_hold_secrets(data: bytes) -> bool:
    """Whether `data`, one frame or many, needs `hide_secrets`; fast, and true too often rather than never."""
    return b"\\" in data or _has_mark(data)  # an escape may stand for any letter


def _has_mark(data: bytes) -> bool:
    lower = data.lower()
    return (b"@" in data and b"://" in data) or any(mark in lower for mark in _MARKS)


def hide_secrets(data: bytes) -> bytes:
    """The frame with every password replaced; the same bytes where it has none.

    Passwords are: what a field of such a name holds, the value of a configuration key or variable of such
    a name (`AuthorizationKey` of OCPP 1.6 security A00.FR.204, `BasicAuthPassword` of OCPP 2.0.1), and user
    and password of a URL (`location` of GetDiagnostics and UpdateFirmware).
    """
    if not may_hold_secrets(data):
        return data
    try:
        frame = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _UNREADABLE if _has_mark(data) else data
    hidden = _hide(frame)
    return data if hidden == frame else orjson.dumps(hidden)


def _hide(value: object) -> object:
    if isinstance(value, dict):
        hidden = _VALUES if _is_secret(_name_of(value)) else _VPN_KEY if "server" in value else ()
        return {
            name: _blank(item) if _is_secret(name) or name in hidden else _hide(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_hide(item) for item in value]
    if isinstance(value, str):
        return _USERINFO.sub(f"{HIDDEN}@", value)
    return value


def _name_of(item: dict[str, object]) -> object:
    """What a configuration key (1.6: `key`) or a variable (2.x: `variable.name`) is called."""
    variable = item.get("variable")
    return variable.get("name") if isinstance(variable, dict) else item.get("key")


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and _SECRET_NAME.search(name) is not None


def _blank(value: object) -> object:
    """Keep the shape, lose every text and number."""
    if isinstance(value, dict):
        return {name: _blank(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_blank(item) for item in value]
    return value if value is None or isinstance(value, bool) else HIDDEN


# Fields that say who charged, or which very device this is.
_PERSONAL = frozenset(
    {
        "idTag",
        "idToken",  # in 2.x also an object, whose own `idToken` is the text
        "additionalIdToken",
        "parentIdTag",
        "chargePointSerialNumber",
        "chargeBoxSerialNumber",
        "meterSerialNumber",
        "serialNumber",
        "iccid",
        "imsi",
        "evccId",
        "certificate",
        "certificateChain",
        "csr",
        "customerIdentifier",
        "exiRequest",
        "exiResponse",
        "vatNumber",
        "signedMeterData",
    }
)


class Alias:
    """Stand-ins for ids of people and devices: the same text has the same stand-in throughout."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, text: str) -> str:
        """The stand-in of one id; an empty one stays empty."""
        return self._known.setdefault(text, f"ID-{len(self._known) + 1}") if text else text

    def frame(self, data: bytes) -> bytes:
        """The frame with stand-ins; one that cannot be read is not kept."""
        try:
            return orjson.dumps(self._replace(orjson.loads(data)))
        except orjson.JSONDecodeError:
            return _UNREADABLE

    def _replace(self, value: object) -> object:
        if isinstance(value, dict):
            return {name: self._field(name, item) for name, item in value.items()}
        return [self._replace(item) for item in value] if isinstance(value, list) else value

    def _field(self, name: str, item: object) -> object:
        if isinstance(item, str) and name in _PERSONAL:
            return self.of(item)
        return self._replace(item)
