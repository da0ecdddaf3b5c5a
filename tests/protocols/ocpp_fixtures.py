"""What chargers did wrong in public, a file a case; read by the tests of the quirks, pure and over a socket.

A step is a frame (JSON, or its text, or `{"latin1": ...}` for bytes that are no UTF-8), the kind of answer it
gets, the tags that are counted and the samples that come out of it. `$transaction` stands for the id that
the last StartTransaction got.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "fixtures" / "ocpp"
FIELDS = {
    "case": {"source", "about", "vendor", "model", "firmware", "version", "received_at", "asked"}
    | {"sessions", "steps"},
    "step": {"frame", "answer", "code", "tags", "samples", "refused", "payload", "payload_has"}
    | {"outcome", "repeated"},
}


@dataclass(frozen=True, slots=True)
class Step:
    """`answer`: result, error (with `code`) or none. `samples`: None if the message can hold none."""

    frame: Any
    answer: str
    code: str | None = None
    tags: tuple[str, ...] = ()
    samples: tuple[float, ...] | None = None
    refused: int = 0
    payload: Mapping[str, Any] | None = None
    payload_has: Mapping[str, Any] | None = None
    outcome: str | None = None
    repeated: bool = False

    def data(self, transaction_id: int) -> bytes:
        """The frame's bytes."""
        if isinstance(self.frame, dict):
            return str(self.frame["latin1"]).encode("latin-1")
        text = self.frame if isinstance(self.frame, str) else json.dumps(self.frame)
        for placeholder in ('"$transaction"', "$transaction"):
            text = text.replace(placeholder, str(transaction_id))
        return text.encode()


@dataclass(frozen=True, slots=True)
class Case:
    """`source`: the public issue that it came from. `sessions`: how many there are afterwards."""

    name: str
    source: str
    version: str
    steps: tuple[Step, ...]
    vendor: str | None
    model: str | None
    firmware: str | None
    received_at: str | None
    asked: Mapping[str, str] | None
    sessions: int | None


def load_cases() -> list[Case]:
    """All of them, in the order of their names."""
    return [_case(path) for path in sorted(FOLDER.glob("*.json"))]


def _case(path: Path) -> Case:
    raw = json.loads(path.read_text())
    assert raw.keys() <= FIELDS["case"], path
    assert raw["about"], path
    steps = []
    for step in raw["steps"]:
        assert step.keys() <= FIELDS["step"], path
        lists = {name: tuple(step[name]) for name in ("tags", "samples") if name in step}
        steps.append(Step(**{**step, **lists}))
    names = ("vendor", "model", "firmware", "received_at", "asked", "sessions")
    optional = {name: raw.get(name) for name in names}
    return Case(path.stem, raw["source"], raw["version"], tuple(steps), **optional)
