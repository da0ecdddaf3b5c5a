"""What goes wrong with devices, on demand: named probabilities, and pure functions that apply them.

Two kinds. Faults of content change what a device believes it measured (`dirty_entries`, `blank`): they are
applied before anything is sent, and the ledger knows the result. Faults of the wire change how it travels
(`on_wire`): repeated, late, beside rubbish, cut off by a lost connection; whatever wrong data is sent goes
beside the right message, never instead of it, so the ledger stays true. Only what a message looks like may
change in its own place (`misspelt`): it says the same to a reader that is lenient enough.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import orjson

T = TypeVar("T")

LATE_S_MAX = 5.0
RUBBISH = (
    "",
    "not json",
    "[]",
    "{}",
    "[2]",
    '[2,"',
    '[9,"x",{}]',
    '[2,"x",["a"],{}]',
    '{"ts":',
    "\\",
    "[" * 200,
)
_ZONED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", re.ASCII)
_CLOCK_NOT_SET = "1970-01-01T00:35:28.000Z"
_CLOCK_KEYS = MappingProxyType({"timestamp": _CLOCK_NOT_SET, "ts": _CLOCK_NOT_SET})
_RANGE_KEYS = MappingProxyType({"value": "1e300", "voltage_v": -1e6, "soc_pct": 1e6, "current_a": 1e9})


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities, 0 to 1. The `batch_...`, `entry_...` and `zero_...` ones are those of TSBS.

    `disconnect`, `duplicate`, `late`, `rubbish`, `truncated`, `out_of_range`, `clock_1970`: for each message.
    `repeat_stop`: for each acknowledged StopTransaction, to be sent up to three times more.
    `broken_connector`: for each charging session. `command_refused`: for each command to a battery.
    `no_zone`, `one_value_object`: for each message, to leave the Z out of its times, and to send the only
    meter value of a MeterValues as an object instead of a list of it. `offline_id_lost`: for each session
    of 1.6 begun without a link, to go by the id -1 ever after. `firmware_fails`: for each update.
    For each charger: `ids_restart`, message ids are 1, 2, 3 and begin again with each boot and link;
    `no_boot`, it never sends a BootNotification by itself; `clock_unset`, it lives in 1970 until the first
    answer to a BootNotification.
    Of meters: `register_reset` and `meter_replaced`, for each reading, to count from zero again or from what
    a new meter shows, both with a new session; `session_lost`, for each message, to join again and count
    messages from zero; `near_rollover`, for each meter, to begin just below its register's end.
    """

    disconnect: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    rubbish: float = 0.0
    truncated: float = 0.0
    out_of_range: float = 0.0
    clock_1970: float = 0.0
    repeat_stop: float = 0.0
    broken_connector: float = 0.0
    command_refused: float = 0.0
    no_zone: float = 0.0
    one_value_object: float = 0.0
    offline_id_lost: float = 0.0
    firmware_fails: float = 0.0
    ids_restart: float = 0.0
    no_boot: float = 0.0
    clock_unset: float = 0.0
    batch_missing: float = 0.0
    batch_out_of_order: float = 0.0
    entry_missing: float = 0.0
    entry_out_of_order: float = 0.0
    zero_tag: float = 0.0
    zero_field: float = 0.0
    register_reset: float = 0.0
    meter_replaced: float = 0.0
    session_lost: float = 0.0
    near_rollover: float = 0.0


NO_FAULTS = Faults()
PRESETS: Mapping[str, Faults] = MappingProxyType(
    {
        "none": NO_FAULTS,
        "tsbs": Faults(
            batch_missing=0.01,
            batch_out_of_order=0.05,
            entry_missing=0.1,
            entry_out_of_order=0.3,
            zero_tag=0.01,
            zero_field=0.1,
        ),
        "rough": Faults(
            disconnect=0.01,
            duplicate=0.05,
            late=0.02,
            rubbish=0.02,
            truncated=0.01,
            out_of_range=0.02,
            clock_1970=0.02,
            repeat_stop=0.5,
            broken_connector=0.1,
            batch_out_of_order=0.05,
        ),
        "odd": Faults(
            no_zone=0.2,
            one_value_object=0.2,
            offline_id_lost=0.5,
            ids_restart=0.3,
            no_boot=0.1,
            clock_unset=0.1,
            disconnect=0.01,
            register_reset=0.001,
            meter_replaced=0.0005,
            session_lost=0.01,
            near_rollover=0.1,
        ),
    }
)


def preset(name: str) -> Faults:
    """The faults of that name; `ValueError` names those there are."""
    if name not in PRESETS:
        raise ValueError(f"no faults are called {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def happens(probability: float, rng: random.Random) -> bool:
    """Throw the dice; a probability of 0 leaves `rng` as it is."""
    return probability > 0 and rng.random() < probability


def dirty_entries(entries: Sequence[T], faults: Faults, rng: random.Random) -> list[T]:
    """Of the entries of one batch, those the device did not lose, perhaps in another order."""
    kept = [entry for entry in entries if not happens(faults.entry_missing, rng)]
    if len(kept) > 1 and happens(faults.entry_out_of_order, rng):
        rng.shuffle(kept)
    return kept


def blank(
    tags: Sequence[str], fields: Sequence[str], faults: Faults, rng: random.Random
) -> tuple[str | None, str | None]:
    """The names of the tag and the field that a sample loses, None for none."""
    tag = rng.choice(tags) if tags and happens(faults.zero_tag, rng) else None
    name = rng.choice(fields) if len(fields) > 1 and happens(faults.zero_field, rng) else None
    return tag, name


@dataclass(frozen=True, slots=True)
class Send:
    """One message on the wire. `is_extra`: its acknowledgement means nothing to the ledger.

    `drops_link`: the connection is lost before an answer can come.
    """

    text: str
    delay_s: float = 0.0
    is_extra: bool = False
    drops_link: bool = False


def on_wire(
    text: str,
    faults: Faults,
    rng: random.Random,
    again: Callable[[object], object] = lambda message: message,
    *,
    has_samples: bool = True,
    samples: str | None = None,
) -> list[Send]:
    """What is sent for one message, which is always among it.

    `again` makes of the decoded message one that may be sent beside it (OCPP wants a message id of its own).
    Only copies of messages that have samples get wrong values and times: a wrong start would be a session.
    `samples`: the message to copy for that, if it is another.
    """
    if faults is NO_FAULTS:
        return [Send(text)]
    bad = _broken(text, faults, rng)
    bad += _spoilt(text if samples is None else samples, faults, rng, again) if has_samples else []
    sends = [Send(each, is_extra=True) for each in bad]
    delay_s = rng.uniform(0, LATE_S_MAX) if happens(faults.late, rng) else 0.0
    sends.append(Send(text, delay_s, drops_link=happens(faults.disconnect, rng)))
    if happens(faults.duplicate, rng):
        sends.append(Send(_changed(text, {}, again), delay_s, is_extra=True))
    return sends


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message on the wire as bytes; the rest as in `Send`."""

    payload: bytes
    delay_s: float = 0.0
    is_extra: bool = False
    drops_link: bool = False


def parcels(
    payload: bytes,
    faults: Faults,
    rng: random.Random,
    *,
    spoilt: bytes | None = None,
    again: bytes | None = None,
) -> list[Parcel]:
    """What is sent for one message of bytes, which is always among it; as `on_wire`.

    `spoilt`: the same message with times of 1970, if it has times; `again`: how it looks when it comes twice.
    """
    bad: list[bytes] = []
    if happens(faults.rubbish, rng):
        bad.append(rng.choice(RUBBISH).encode() or bytes([rng.randrange(256)]))
    if len(payload) > 1 and happens(faults.truncated, rng):
        bad.append(payload[: rng.randrange(1, len(payload))])
    if spoilt is not None and happens(faults.clock_1970, rng):
        bad.append(spoilt)
    found = [Parcel(each, is_extra=True) for each in bad]
    delay_s = rng.uniform(0, LATE_S_MAX) if happens(faults.late, rng) else 0.0
    found.append(Parcel(payload, delay_s, drops_link=happens(faults.disconnect, rng)))
    if happens(faults.duplicate, rng):
        found.append(Parcel(payload if again is None else again, delay_s, is_extra=True))
    return found


def misspelt(payload: dict[str, object], faults: Faults, rng: random.Random) -> dict[str, object]:
    """The payload as a charger writes it that reads no standard; as it is where no fault happens.

    The only meter value of a MeterValues may stand without its list, times without their zone.
    """
    values = payload.get("meterValue")
    is_alone = isinstance(values, list) and len(values) == 1 and "eventType" not in payload
    if is_alone and happens(faults.one_value_object, rng):
        assert isinstance(values, list)
        payload = {**payload, "meterValue": values[0]}
    if happens(faults.no_zone, rng):
        payload = {name: _zoneless(value) for name, value in payload.items()}
    return payload


def _zoneless(value: object) -> object:
    if isinstance(value, list):
        return [_zoneless(item) for item in value]
    if isinstance(value, dict):
        return {name: _zoneless(item) for name, item in value.items()}
    return value[:-1] if isinstance(value, str) and _ZONED.fullmatch(value) else value


def _broken(text: str, faults: Faults, rng: random.Random) -> list[str]:
    broken: list[str] = []
    if happens(faults.rubbish, rng):
        broken.append(rng.choice(RUBBISH))
    if len(text) > 1 and happens(faults.truncated, rng):
        broken.append(text[: rng.randrange(1, len(text))])
    return broken


def _spoilt(text: str, faults: Faults, rng: random.Random, again: Callable[[object], object]) -> list[str]:
    kinds = ((faults.out_of_range, _RANGE_KEYS), (faults.clock_1970, _CLOCK_KEYS))
    return [_changed(text, keys, again) for probability, keys in kinds if happens(probability, rng)]


def _changed(text: str, keys: Mapping[str, object], again: Callable[[object], object]) -> str:
    return orjson.dumps(_replaced(again(orjson.loads(text)), keys)).decode()


def _replaced(value: object, keys: Mapping[str, object]) -> object:
    if isinstance(value, list):
        return [_replaced(item, keys) for item in value]
    if isinstance(value, dict):
        return {name: keys.get(name, _replaced(item, keys)) for name, item in value.items()}
    return value
