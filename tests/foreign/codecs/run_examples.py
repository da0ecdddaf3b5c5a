"""Run the uplink examples of a checkout of a LoRaWAN device repository through our engine: see README.md.

    .venv/bin/python -m tests.foreign.codecs.run_examples /path/to/lorawan-devices [--node]

With `--node` each miss is run again by Node.js (V8): the same output there means that the example is wrong.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
import yaml  # type: ignore[import-untyped]

from protocols.samples import DecodeError
from stream.codecs.examples import Example, Tried, difference, read_examples, try_examples
from stream.codecs.sandbox import Limits

HEARD_AT_US = 1_700_000_000_000_000
NODE = """
const [source, input] = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const run = new Function('input', source + `;
  return typeof decodeUplink === 'function'
    ? decodeUplink(input) : {data: Decoder(input.bytes, input.fPort)};`);
try { console.log(JSON.stringify(run({...input, recvTime: new Date(1700000000000)}))); }
catch (error) { console.log(JSON.stringify({errors: [String(error)]})); }
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One example of one codec file."""

    path: Path
    source: str
    example: Example
    raw: dict[str, Any]


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.2, as the repository's own check reads it: Yes, No, On and Off are no booleans."""

    yaml_implicit_resolvers: ClassVar = {
        first: [
            (tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:bool" or first in "tTfF"
        ]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def codecs_of(checkout: Path) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Yield for each description in `vendor/` the codec's file and its uplink examples."""
    for description in sorted((checkout / "vendor").glob("*/*.yaml")):
        content = yaml.load(description.read_text(encoding="utf-8"), Loader)
        decoder = content.get("uplinkDecoder") if isinstance(content, dict) else None
        if decoder:
            yield description.parent / decoder["fileName"], plain(decoder.get("examples") or [])


def plain(value: Any) -> Any:
    """Return YAML's values as JSON has them: its times are text there."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value.isoformat() + "T00:00:00.000Z" if isinstance(value, date) else value


def cases_of(checkout: Path) -> Iterator[Case]:
    """Yield every uplink example that has an output."""
    for path, raws in codecs_of(checkout):
        source = path.read_text(encoding="utf-8")
        for raw in raws:
            yield Case(path, source, read_examples([raw], HEARD_AT_US)[0], raw)


def run_case(case: Case) -> Tried:
    """Give the example to our engine."""
    try:
        return try_examples(case.source, [case.example], Limits())[0]
    except DecodeError as error:
        return Tried(case.example.description, {}, None, f"{error.reason}: {error}")


def by_node(case: Case) -> Any:
    """Give the example to Node.js; its JSON output."""
    node = shutil.which("node")
    assert node is not None, "node is not installed"
    assert case.example.uplink is not None
    given = {"bytes": list(case.example.uplink.data), "fPort": case.example.uplink.port}
    text = json.dumps([case.source, given])
    done = subprocess.run(
        [node, "-e", NODE], input=text, capture_output=True, text=True, timeout=20, check=True
    )
    return json.loads(done.stdout)


def verdict(case: Case, tried: Tried) -> str:
    """Say whether V8 gives the same as we do."""
    theirs = {
        key: each for key, each in by_node(case).items() if key in {"data", "warnings", "errors"} and each
    }
    other = difference(theirs, tried.output, "output")
    return "V8 gives the same: the example is wrong" if other is None else f"V8 differs from us: {other}"


def main(
    checkout: Path, node: Annotated[bool, typer.Option("--node", help="Ask V8 about misses.")] = False
) -> None:
    """Print how many examples come out exactly, and each that does not."""
    codecs: set[Path] = set()
    total = misses = 0
    for case in cases_of(checkout):
        codecs.add(case.path)
        total += 1
        tried = run_case(case)
        if tried.difference is None:
            continue
        misses += 1
        name = case.path.relative_to(checkout / "vendor")
        print(f"{misses}. {name}, {case.example.description!r}: {tried.difference}")
        if node:
            print(f"   {verdict(case, tried)}")
    print(f"{total - misses} of {total} examples of {len(codecs)} codecs exact")


if __name__ == "__main__":
    typer.run(main)
