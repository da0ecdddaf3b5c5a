"""The form of a JSON answer, exactly: which keys it has and what each value is; for tables of contracts."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Maybe:
    """Null, or of this shape."""

    shape: Any


@dataclass(frozen=True)
class JsonText:
    """A string that holds JSON of this shape."""

    shape: Any


# A shape is `int` (a whole number), `float` (any number), `str`, `bool`; a pattern: text like this; `[shape]`
# an array; `{name: shape}` an object of exactly these keys, `?` after those that may be missing; `Maybe` and
# `JsonText`; or else exactly this value.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DAY = re.compile(r"\d{4}-\d\d-\d\d")


def is_number(found: object, kind: type) -> bool:
    """Whether it is a number of JSON: `int` is one without a fraction, and true is none."""
    return isinstance(found, (int, float) if kind is float else int) and not isinstance(found, bool)


def faults(found: Any, shape: Any, where: str = "$") -> Iterator[str]:
    """Tell what of `found` is not as the shape has it."""
    match shape:
        case Maybe():
            if found is not None:
                yield from faults(found, shape.shape, where)
        case JsonText():
            yield from faults(json.loads(found) if isinstance(found, str) else found, shape.shape, where)
        case dict():
            yield from _object_faults(found, shape, where)
        case [inner]:
            rows = found if isinstance(found, list) else []
            if rows is not found:
                yield f"{where} is {found!r:.80}, no array"
            for each in rows:
                yield from faults(each, inner, f"{where}[]")
        case _:
            if not _is_value(found, shape):
                yield f"{where} is {found!r:.80}, not {shape}"


def _object_faults(found: Any, shape: dict[str, Any], where: str) -> Iterator[str]:
    if not isinstance(found, dict):
        yield f"{where} is {found!r:.80}, no object"
        return
    known = {name.removesuffix("?"): inner for name, inner in shape.items()}
    required = {name for name in shape if not name.endswith("?")}
    if wrong := (required - set(found)) | (set(found) - set(known)):
        yield f"{where} lacks or has too much: {sorted(wrong)}"
    for name in set(found) & set(known):
        yield from faults(found[name], known[name], f"{where}.{name}")


def _is_value(found: Any, shape: Any) -> bool:
    if shape in {int, float}:
        return is_number(found, shape)
    if isinstance(shape, re.Pattern):
        return isinstance(found, str) and shape.fullmatch(found) is not None
    if isinstance(shape, type):
        return isinstance(found, shape)
    return type(found) is type(shape) and bool(found == shape)


def choices(shape: Any, where: str = "$") -> Iterator[str]:
    """Name what may be null, missing or empty: a test that never saw it there has not checked it."""
    match shape:
        case Maybe():
            yield where
            yield from choices(shape.shape, where)
        case dict():
            for name, inner in shape.items():
                path = f"{where}.{name.removesuffix('?')}"
                yield from (path,) if name.endswith("?") else ()
                yield from choices(inner, path)
        case [inner]:
            yield where
            yield from choices(inner, f"{where}[]")
        case _:
            pass


def seen(found: Any, where: str = "$") -> Iterator[str]:
    """Name all that is there: neither null nor an empty array."""
    if found is None or found == []:
        return
    yield where
    if isinstance(found, dict):
        for name, inner in found.items():
            yield from seen(inner, f"{where}.{name}")
    if isinstance(found, list):
        for each in found:
            yield from seen(each, f"{where}[]")
