"""Payload codecs as the portal has them."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from api.fields import Storable
from api.mobile.schemas.common import Body, Time, example
from protocols.measurements import Measurement
from storage.queries.codecs import NAME_PATTERN, Codec, CodecVersion
from stream.codecs.examples import EXAMPLES_MAX, Tried
from stream.codecs.sandbox import SOURCE_CHARACTERS_MAX

Name = Annotated[str, Field(pattern=NAME_PATTERN, examples=["acme-water-meter"])]
Source = Annotated[str, Field(min_length=1, max_length=SOURCE_CHARACTERS_MAX), Storable]
Examples = Annotated[
    list[dict[str, Any]],
    Field(
        max_length=EXAMPLES_MAX,
        description="as TS013 has them: type, description, input, output, normalizedOutput",
    ),
]
_EXAMPLE: dict[str, Any] = {"input": {"fPort": 1, "bytes": [0, 42]}, "output": {"data": {"water_l": 42}}}
_SOURCE = "function decodeUplink(input) { return {data: {water_l: input.bytes[1]}}; }"


class NewCodec(Body):
    """A codec to store as the next version of its name."""

    model_config = example(name="acme-water-meter", source=_SOURCE, examples=[_EXAMPLE])

    name: Name
    source: Source
    examples: Examples = Field(default_factory=list)


class CodecTest(Body):
    """A codec to try without storing it: a source, or the name (and version) of a stored one.

    Without `examples` those of the stored codec are run. An example without an output shows what it gives.
    With `mapping` (a profile's) its measurements are shown by that.
    """

    model_config = example(source=_SOURCE, examples=[{"input": {"fPort": 1, "bytes": "002a"}}], mapping=[])

    source: Source | None = None
    name: Name | None = None
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    examples: Examples | None = None
    mapping: Annotated[list[dict[str, Any]], Field(max_length=200)] = Field(default_factory=list)


class Assignment(Body):
    """The profile whose payloads the codec decodes from now on."""

    model_config = example(profile_id=3)

    profile_id: Annotated[int, Field(ge=1, le=2**31 - 1)]


class MeasurementOut(BaseModel):
    """One value that would be stored; `ts_us` is null where its time is when the device was heard."""

    quantity: str
    value: float
    channel: int
    ts_us: int | None


class TriedOut(BaseModel):
    """What one example gave. `difference` says where that is not its output."""

    description: str
    output: dict[str, Any]
    normalized: Any
    difference: str | None
    measurements: list[MeasurementOut]

    @classmethod
    def of(cls, tried: Tried, measurements: tuple[Measurement, ...]) -> "TriedOut":
        """Show `tried` with its measurements."""
        shown = [
            MeasurementOut(quantity=each.quantity, value=each.value, channel=each.channel, ts_us=each.ts_us)
            for each in measurements
        ]
        return cls(
            description=tried.description,
            output=tried.output,
            normalized=tried.normalized,
            difference=tried.difference,
            measurements=shown,
        )


class TestOut(BaseModel):
    """What became of a trial. `error` where the codec does not load."""

    error: str | None
    is_stateful: bool
    results: list[TriedOut]


class CodecOut(BaseModel):
    """One version of a codec; `is_stateful` ones are decoded in a fresh context each time."""

    id: int
    name: str
    version: int
    sha256: str
    is_stateful: bool
    examples: int
    profiles: int
    created_by: int | None
    created_at: Time

    @classmethod
    def of(cls, version: CodecVersion) -> "CodecOut":
        """Show `version`."""
        return cls.model_validate(version, from_attributes=True)


class CodecDetail(BaseModel):
    """One version of a codec with its source and examples."""

    id: int
    name: str
    version: int
    sha256: str
    source: str
    examples: list[dict[str, Any]]
    is_stateful: bool
    created_by: int | None
    created_at: Time

    @classmethod
    def of(cls, codec: Codec) -> "CodecDetail":
        """Show `codec`."""
        return cls.model_validate(codec, from_attributes=True)


class CodecPage(BaseModel):
    """One page of codecs, each by its newest version."""

    codecs: list[CodecOut]
    next_after: int | None


class CodecVersions(BaseModel):
    """The newest versions of a codec, the newest first."""

    versions: list[CodecOut]


class AssignedOut(BaseModel):
    """The profile and what decodes its payloads now."""

    profile_id: int
    profile_name: str
    codec: str
    version: int
