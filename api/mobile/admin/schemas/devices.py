"""Devices, their keys, commands and payloads as the portal has them."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, model_validator

from api.fields import OptionalText, Text
from api.mobile.schemas.common import Body, Time, example
from protocols.quantities import QUANTITIES
from protocols.timestamps import to_datetime
from storage.queries.device_commands import DeviceCommand
from storage.queries.device_registry import DeviceView
from storage.queries.device_samples import StoredSample
from storage.queries.raw_payloads import RawPayload
from stream.completeness import Day
from stream.device_import import AES_BYTES, TOKEN_CHARACTERS_MIN, Imported

INT_MAX = 2**31 - 1
GAPS_MAX = 100  # of a day that are listed
PAYLOAD_BYTES_MAX = 242  # the longest of LoRaWAN
EXPIRES_S_MAX = 30 * 86_400
PORT_MAX = 223  # LoRaWAN's last for applications

Kind = Literal["meter", "battery"]
KeyKind = Literal["token", "payload_aes", "dlms_authentication"]


def _hexadecimal(text: str) -> str:
    try:
        bytes.fromhex(text)
    except ValueError as error:
        raise ValueError("must be hexadecimal digits, two a byte") from error
    return text


Hex = Annotated[str, AfterValidator(_hexadecimal)]


class NewDevice(Body):
    """A device to enter; `identity` is its DevEUI, IMEI or serial, as it writes it."""

    model_config = example(identity="70b3d5499c1d0001", kind="meter", profile_id=1, name="Water, unit 101")

    identity: Annotated[Text, Field(pattern=r"^[\x21-\x7e]{1,64}$")]
    kind: Kind = "meter"
    profile_id: Annotated[int, Field(ge=1, le=INT_MAX)] | None = None
    name: OptionalText | None = None
    vendor: OptionalText | None = None
    model: OptionalText | None = None


class DeviceChange(Body):
    """What is to change; what is left out stays."""

    model_config = example(profile_id=2)

    profile_id: Annotated[int, Field(ge=1, le=INT_MAX)] | None = None
    name: OptionalText | None = None
    vendor: OptionalText | None = None
    model: OptionalText | None = None


class DeviceOut(BaseModel):
    """A device; `keys` names its secrets and shows none, `waiting` counts commands that wait for it."""

    id: int
    kind: str
    identity: str
    status: str
    name: str | None
    vendor: str | None
    model: str | None
    profile_id: int | None
    profile: str | None
    interval_s: int | None
    replaced_by: int | None
    last_seen_at: Time | None
    heard_by: str | None
    keys: list[str]
    waiting: int
    created_at: Time

    @classmethod
    def of(cls, view: DeviceView) -> "DeviceOut":
        """Show `view`."""
        renamed = {"profile": view.profile_name, "heard_by": view.source, "keys": view.key_kinds}
        own = {name: getattr(view, name) for name in cls.model_fields if name not in renamed}
        return cls(**own, **renamed)


class DevicePage(BaseModel):
    """One page of devices."""

    devices: list[DeviceOut]
    next_after: int | None


class NewKey(Body):
    """A secret: `token` is text, the others are 16 bytes in hexadecimal."""

    model_config = example(kind="payload_aes", value="000102030405060708090a0b0c0d0e0f")

    kind: KeyKind
    value: Annotated[str, Field(min_length=TOKEN_CHARACTERS_MIN, max_length=200)]

    @model_validator(mode="after")
    def _fits(self) -> "NewKey":
        if self.kind != "token" and len(bytes.fromhex(_hexadecimal(self.value))) != AES_BYTES:
            raise ValueError(f"value: must be {2 * AES_BYTES} hexadecimal digits")
        return self


class Replacement(Body):
    """The device that takes the place, entered unless it is there; `at`: when it was mounted, or now."""

    model_config = example(identity="70b3d5499c1d0002")

    identity: Annotated[Text, Field(pattern=r"^[\x21-\x7e]{1,64}$")]
    at: datetime | None = None


class Replaced(BaseModel):
    """The new device, and how many meters it measures from now on."""

    device: DeviceOut
    meters: int


class ReleasedOut(BaseModel):
    """A device let in: samples by what became of what waited in quarantine."""

    device: DeviceOut
    stored: int
    duplicate: int
    quarantined: int


class NewCommand(Body):
    """A downlink: an action of the device's profile, or bytes with their port (action `raw`)."""

    model_config = example(action="close")

    action: Annotated[Text, Field(pattern="^[a-z_]{1,40}$")]
    payload_hex: Annotated[Hex, Field(max_length=2 * PAYLOAD_BYTES_MAX)] | None = None
    port: Annotated[int, Field(ge=0, le=PORT_MAX)] = 1
    is_confirmed: bool = True
    expires_in_s: Annotated[int, Field(ge=60, le=EXPIRES_S_MAX)] = 86_400


class CommandOut(BaseModel):
    """A command and how far it got."""

    id: UUID
    action: str
    port: int
    payload_hex: str
    is_confirmed: bool
    state: str
    reason: str
    created_at: Time
    expires_at: Time
    sent_at: Time | None
    done_at: Time | None
    detail: str | None

    @classmethod
    def of(cls, command: DeviceCommand) -> "CommandOut":
        """Show `command`."""
        own = {name: getattr(command, name) for name in cls.model_fields if name != "payload_hex"}
        return cls(**own, payload_hex=command.payload.hex())


class Commands(BaseModel):
    """A device's commands, newest first."""

    commands: list[CommandOut]


class PayloadOut(BaseModel):
    """One message of a device as it came, and what its decoder said."""

    heard_at: Time
    received_at: Time
    source: str
    event: str
    port: int
    counter: int | None
    payload_hex: str
    decoder: str
    decoded: dict[str, Any] | None
    network: dict[str, Any] | None

    @classmethod
    def of(cls, payload: RawPayload) -> "PayloadOut":
        """Show `payload`."""
        return cls(
            heard_at=to_datetime(payload.ts_us),
            received_at=to_datetime(payload.received_at_us),
            source=payload.source,
            event=payload.event,
            port=payload.port,
            counter=None if payload.counter < 0 else payload.counter,
            payload_hex=payload.payload.hex(),
            decoder=payload.decoder,
            decoded=payload.decoded,
            network=payload.meta,
        )


class Payloads(BaseModel):
    """A device's messages, newest first."""

    payloads: list[PayloadOut]


class SampleOut(BaseModel):
    """One value; the quantity's name ends in its unit."""

    at: Time
    quantity: str
    channel: int
    value: float

    @classmethod
    def of(cls, sample: StoredSample) -> "SampleOut":
        """Show `sample`."""
        name = QUANTITIES[sample.quantity].name
        return cls(at=to_datetime(sample.ts_us), quantity=name, channel=sample.channel, value=sample.value)


class Samples(BaseModel):
    """A device's newest value of each quantity and channel."""

    samples: list[SampleOut]


class MissingOut(BaseModel):
    """Counters that never arrived: `first` to `last`."""

    first: int
    last: int


class DayOut(BaseModel):
    """One day: messages that arrived, once each, and those that are missing between them.

    `share`: arrived of sent, 0 to 1. `expected`: messages by the profile's interval, where it has one.
    """

    day: date
    received: int
    missing: int
    duplicates: int
    sessions: int
    expected: int | None
    share: float | None
    gaps: list[MissingOut]

    @classmethod
    def of(cls, day: Day) -> "DayOut":
        """Show `day`."""
        part = day.completeness
        return cls(
            day=day.day,
            received=part.received,
            missing=part.missing,
            duplicates=part.duplicates,
            sessions=part.sessions,
            expected=part.expected,
            share=part.share,
            gaps=[MissingOut(first=gap.first, last=gap.last) for gap in part.ranges[:GAPS_MAX]],
        )


class CompletenessReport(BaseModel):
    """Newest day first; `is_cut`: there were more messages than one answer looks at."""

    days: list[DayOut]
    is_cut: bool


class LineErrorOut(BaseModel):
    """What is wrong with one line of an import; line 1 names the columns."""

    line: int
    column: str
    message: str


class ImportOut(BaseModel):
    """What an import did; nothing was written where `errors` has any."""

    lines: int
    created: int
    updated: int
    is_trial: bool
    errors: list[LineErrorOut]
    errors_left_out: int

    @classmethod
    def of(cls, report: Imported, *, is_trial: bool) -> "ImportOut":
        """Show `report`."""
        errors = [LineErrorOut(line=e.line, column=e.column, message=e.message) for e in report.errors]
        return cls(
            lines=report.lines,
            created=report.created,
            updated=report.updated,
            is_trial=is_trial,
            errors=errors,
            errors_left_out=report.errors_left_out,
        )
