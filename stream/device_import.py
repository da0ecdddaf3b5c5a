"""Many devices from a CSV file: checked line by line, entered together or not at all.

Used by the portal and the command line. The first line names the columns, in any order: `identity` is needed;
`kind` (meter, battery; meter if left out), `profile`, `name`, `vendor`, `model`, `payload_aes` (32
hexadecimal digits), `token`, `status` (active, quarantined) are not.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from storage.database import Connection
from storage.queries import device_registry, devices, profiles

LINES_MAX = 20_000
ERRORS_MAX = 1_000  # told of; the others are counted
CHARACTERS_MAX = 200  # of a value
COLUMNS = ("identity", "kind", "profile", "name", "vendor", "model", "payload_aes", "token", "status")
KINDS = ("meter", "battery")
STATUSES = ("active", "quarantined")
AES_BYTES = 16
TOKEN_CHARACTERS_MIN = 8


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with one line; 1 is the line with the columns' names."""

    line: int
    column: str
    message: str


@dataclass(slots=True)
class Imported:
    """What an import did, or would have done. Nothing was written where there is an error."""

    lines: int = 0
    created: int = 0
    updated: int = 0
    errors: list[LineError] = field(default_factory=list)
    errors_left_out: int = 0

    def add_error(self, line: int, column: str, message: str) -> None:
        """Note an error, within the bound."""
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(LineError(line, column, message))
        else:
            self.errors_left_out += 1


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    identity: str
    kind: str
    status: str
    profile_id: int | None
    description: Mapping[str, str | None]
    keys: Mapping[str, bytes] = field(repr=False)


def token_secret(token: str) -> bytes:
    """Return what is kept of a device's token: it is long and random, so one round of SHA-256 will do."""
    return hashlib.sha256(token.encode()).digest()


async def import_devices(connection: Connection, text: str, *, is_trial: bool = False) -> Imported:
    """Enter the devices of a CSV text, or change those that are there; the caller commits.

    With `is_trial`, or where any line is wrong, nothing is written.
    """
    report = Imported()
    known = {profile.name: profile.id for profile in await _all_profiles(connection)}
    lines = list(_read(text, known, report))
    if report.errors:
        return report
    for line in lines:
        found = await devices.find_device(connection, line.kind, line.identity)
        report.created += found is None
        report.updated += found is not None
        if not is_trial:
            await _write(connection, line, found.id if found else None)
    return report


async def _all_profiles(connection: Connection) -> list[profiles.Profile]:
    found: list[profiles.Profile] = []
    while page := await profiles.list_profiles(
        connection, after_id=found[-1].id if found else 0, limit=1_000
    ):
        found += page
    return found


async def _write(connection: Connection, line: _Line, device_id: int | None) -> None:
    if device_id is None:
        status = line.status or STATUSES[0]
        device = await devices.register_device(connection, line.kind, line.identity, status=status)
        device_id = device.id
    elif line.status:
        await devices.set_device_status(connection, device_id, line.status)
    await device_registry.describe(connection, device_id, profile_id=line.profile_id, **line.description)
    for kind, secret in line.keys.items():
        await profiles.put_device_key(connection, device_id, kind, secret)


def _read(text: str, known: Mapping[str, int], report: Imported) -> Iterator[_Line]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), restkey="", strict=True)
    try:
        names = reader.fieldnames or ()
        unknown = sorted(set(names) - set(COLUMNS))
        if "identity" not in names or unknown or len(set(names)) < len(names):
            message = f"{', '.join(unknown)} unknown; " if unknown else ""
            report.add_error(
                1, "", f"{message}identity is needed; columns are {', '.join(COLUMNS)}, once each"
            )
            return
        yield from _lines(reader, known, report)
    except csv.Error as error:
        report.add_error(reader.line_num, "", f"not CSV: {error}")


def _lines(reader: "csv.DictReader[str]", known: Mapping[str, int], report: Imported) -> Iterator[_Line]:
    seen: dict[tuple[str, str], int] = {}
    for row in reader:
        number = reader.line_num
        report.lines += 1
        if report.lines > LINES_MAX:
            report.add_error(number, "", f"at most {LINES_MAX} devices are entered at once: cut the file")
            return
        if "" in row or None in row.values():
            report.add_error(number, "", "has another number of columns than the first line")
            continue
        line = _line(number, {name: value.strip() for name, value in row.items()}, known, report)
        if line is None:
            continue
        first = seen.setdefault((line.kind, line.identity.lower()), number)
        if first != number:
            report.add_error(number, "identity", f"{line.identity} stands in line {first} already")
            continue
        yield line


def _line(number: int, row: Mapping[str, str], known: Mapping[str, int], report: Imported) -> _Line | None:
    before = len(report.errors) + report.errors_left_out
    for column, value in row.items():
        if len(value) > CHARACTERS_MAX or not value.isprintable():
            report.add_error(number, column, f"is not up to {CHARACTERS_MAX} printable characters")
    identity, kind, status = row["identity"], row.get("kind") or KINDS[0], row.get("status", "")
    profile = row.get("profile", "")
    if not identity:
        report.add_error(number, "identity", "is empty")
    if kind not in KINDS:
        report.add_error(number, "kind", f"{kind!r} is none of {', '.join(KINDS)}")
    if status and status not in STATUSES:
        report.add_error(number, "status", f"{status!r} is none of {', '.join(STATUSES)}")
    if profile and profile not in known:
        report.add_error(number, "profile", f"there is no profile {profile!r}")
    keys = _keys(number, row, report)
    if len(report.errors) + report.errors_left_out > before:
        return None
    description = {name: row.get(name) or None for name in ("name", "vendor", "model")}
    return _Line(number, identity, kind, status, known.get(profile), description, keys)


def _keys(number: int, row: Mapping[str, str], report: Imported) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    if aes := row.get("payload_aes"):
        try:
            keys["payload_aes"] = bytes.fromhex(aes)
        except ValueError:
            keys["payload_aes"] = b""
        if len(keys["payload_aes"]) != AES_BYTES:
            report.add_error(number, "payload_aes", f"is not {2 * AES_BYTES} hexadecimal digits")
    if token := row.get("token"):
        if len(token) < TOKEN_CHARACTERS_MIN:
            report.add_error(number, "token", f"has less than {TOKEN_CHARACTERS_MIN} characters")
        keys["token"] = token_secret(token)
    return keys
