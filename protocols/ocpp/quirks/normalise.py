"""A charger's request, mended until its handler can use it, and its answers alike; used by `ingest.ocpp`.

Strict first. Only what breaks the schema is looked at again, fault by fault, and each repair leaves a tag.
What tells is kept whatever its form; what asks for a decision is mended only where its meaning is certain.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import msgspec
import orjson

from protocols.ocpp.quirks import repairs, shapes
from protocols.ocpp.quirks.registry import Behaviour
from protocols.ocpp.quirks.repairs import DROP, Mended
from protocols.ocpp.quirks.sampled import Tags, mend_sampled
from protocols.ocpp.schemas import (
    DECISIONS,
    SAMPLED,
    check_request,
    check_result,
    is_strict,
    is_strict_result,
    request_faults,
    request_fields,
    result_faults,
)
from protocols.ocpp.surface import Version
from protocols.samples import DecodeError
from protocols.timestamps import clock_fault, parse_timestamp

Payload = Mapping[str, object]

# Faults looked at in one round, and rounds: a repair can uncover the next fault beneath it.
FAULTS_MAX = 1_024
ROUNDS_MAX = 8
# Where the word of the charger goes that had to make way for one of the standard.
_NOTES = {"errorCode": "vendorErrorCode", "status": "info"}
# Faults that are kept as they are in what only tells.
_KEPT = {
    "additionalProperties": "extra_field",
    "enum": "word_unknown",
    "format": "format_broken",
    "maxItems": "list_too_long",
    "maxLength": "text_too_long",
    "minItems": "empty_list",
    "minimum": "number_out_of_range",
    "maximum": "number_out_of_range",
}


class Normalised(msgspec.Struct, frozen=True):
    """A payload that can be used, and what is to be counted of it.

    `is_strict`: it kept the schema to the letter. `tags` may then still name a clock that is wrong.
    """

    payload: Payload
    is_strict: bool
    tags: tuple[str, ...]


def normalise(
    version: Version, action: str, payload: Payload, behaviour: Behaviour, received_at_us: int
) -> Normalised:
    """Mend a request of `FROM_CHARGER[version]`. Raises `SchemaError` if it cannot be used.

    `payload` itself is left alone. `received_at_us`: microseconds since 1970, when its frame came.
    """
    if is_strict(version, action, payload):
        return Normalised(payload, True, _clock_tags(payload, received_at_us))
    draft = _Draft(
        payload=orjson.loads(orjson.dumps(payload)),
        action=action,
        faults=partial(request_faults, version, action),
        fields=request_fields(version, action),
        is_told=action not in DECISIONS,
        may_reword=action not in DECISIONS,
        behaviour=behaviour,
        received_at_us=received_at_us,
    )
    draft.reshape(version)
    draft.mend_samples(version)
    draft.mend()
    check_request(version, action, draft.payload)
    tags = (*draft.tags, *_clock_tags(draft.payload, received_at_us))
    return Normalised(draft.payload, False, tags or ("schema_broken",))


def normalise_result(
    version: Version, action: str, payload: Payload, behaviour: Behaviour, received_at_us: int
) -> Normalised:
    """Mend a charger's answer to an action of `TO_CHARGER[version]`. Raises `SchemaError` likewise.

    Its words are kept: whether the charger did as it was told is not guessed.
    """
    if is_strict_result(version, action, payload):
        return Normalised(payload, True, ())
    draft = _Draft(
        payload=orjson.loads(orjson.dumps(payload)),
        action="",
        faults=partial(result_faults, version, action),
        fields=frozenset(),
        is_told=True,
        may_reword=False,
        behaviour=behaviour,
        received_at_us=received_at_us,
    )
    draft.mend()
    check_result(version, action, draft.payload)
    return Normalised(draft.payload, False, tuple(draft.tags) or ("schema_broken",))


def _clock_tags(payload: Payload, received_at_us: int) -> tuple[str, ...]:
    text = payload.get("timestamp")
    if text is None:
        return ()
    try:
        fault = clock_fault(parse_timestamp(text), received_at_us)
    except DecodeError:
        return ()
    return () if fault is None else (fault,)


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A payload in the making.

    `faults` lists those of the payload, `fields` names what its top may have. `is_told`: it tells, and
    decides nothing. `may_reword`: an unknown word of a vocabulary may become its most modest one.
    """

    payload: dict[str, Any]
    action: str
    faults: Callable[[Payload], Iterator[Any]]
    fields: frozenset[str]
    is_told: bool
    may_reword: bool
    behaviour: Behaviour
    received_at_us: int
    tags: Tags = field(default_factory=dict)

    def mend(self) -> None:
        """Repair fault by fault, until none is left that can be."""
        for _ in range(ROUNDS_MAX):
            faults = list(islice(self.faults(self.payload), FAULTS_MAX))
            changes = [self._mend_one(fault) for fault in faults]
            if True not in changes:
                return

    def mend_samples(self, version: Version) -> None:
        """Repair sampled values, which may be thousands, in one pass."""
        for name in SAMPLED & self.payload.keys() & self.fields:
            self.payload[name] = mend_sampled(
                self.payload[name], version, self.behaviour, self.received_at_us, self.tags
            )

    def reshape(self, version: Version) -> None:
        """Fields by their own names, then the shape of the socket's version."""
        by_fold = {name.casefold(): name for name in self.fields}
        for name in [name for name in self.payload if name not in self.fields]:
            own = by_fold.get(name.casefold())
            if own is not None and own not in self.payload:
                self.payload[own] = self.payload.pop(name)
                self.tags["field_spelled_otherwise"] = None
        shaped = shapes.reshaped(self.action, self.payload) if version.is_2 else None
        if shaped is not None:
            self.payload = shaped
            self.tags[shapes.TAG] = None

    def _mend_one(self, fault: Any) -> bool:
        """Whether the payload was changed. A fault that stays is tagged, or left to the final check."""
        kind, facts, path = fault.kind.name, fault.kind.as_dict(), list(fault.instance_path)
        try:
            place = self._at(path if kind in ("required", "additionalProperties") else path[:-1])
            if kind == "required":
                return self._put(place, facts["property"], self._absent(facts["property"]))
            if kind == "additionalProperties":
                return self._drop_extra(place, facts["unexpected"])
            value = place[path[-1]]
        except (KeyError, IndexError, TypeError):
            return False  # a repair of this round took it away, or it is the whole payload
        mended = self._mended(kind, facts, path[-1], value)
        if mended is not None and kind == "enum" and path[-1] in _NOTES:
            self._note(place, _NOTES[path[-1]], value, mended)
        if mended is None and self.is_told and kind in _KEPT:
            self.tags[self._tag_of(kind, str(path[-1]))] = None
        return self._put(place, path[-1], mended)

    def _absent(self, name: str) -> Mended | None:
        return repairs.mend_absent(self.action, name, self.received_at_us) if self.is_told else None

    def _mended(self, kind: str, facts: Mapping[str, Any], name: str | int, value: object) -> Mended | None:
        if kind == "type":
            types = facts.get("types") or ()
            mended = repairs.mend_type(value, types, str(name), is_told=self.is_told)
            if mended is None and self.action == "StopTransaction" and name == "transactionId":
                # a stop is always acknowledged: refused, it would come again for ever
                return Mended(repairs.NO_TRANSACTION_ID, "transaction_id_unreadable")
            return mended
        if kind == "enum":
            return repairs.mend_word(value, facts["options"], str(name), may_reword=self.may_reword)
        if kind == "format" and self.is_told:
            return repairs.mend_time(value, self.behaviour, self.received_at_us)
        return None

    def _tag_of(self, kind: str, name: str) -> str:
        if name == "transactionId":
            return "transaction_id_int64" if kind == "maximum" else "transaction_id_not_ours"
        return _KEPT[kind]

    def _drop_extra(self, place: Any, names: list[str]) -> bool:
        """Kept in what tells, where it is stored with the rest; left out of what decides."""
        self.tags["extra_field"] = None
        if not self.is_told:
            for name in names:
                place.pop(name, None)
        return not self.is_told

    def _note(self, place: dict[str, Any], note: str, word: object, mended: Mended) -> None:
        if mended.tag.endswith("unknown") and note in self.fields:
            place.setdefault(note, str(word))

    def _put(self, place: Any, name: Any, mended: Mended | None) -> bool:
        if mended is None:
            return False
        self.tags[mended.tag] = None
        if mended.value is not DROP:
            place[name] = mended.value
        elif isinstance(place, dict):
            place.pop(name, None)
        return isinstance(place, dict) or mended.value is not DROP

    def _at(self, path: list[str | int]) -> Any:
        place: Any = self.payload
        for step in path:
            place = place[step]
        return place
