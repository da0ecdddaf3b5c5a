"""Device profiles as the portal has them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.fields import OptionalText, Text
from api.mobile.admin.schemas.devices import INT_MAX, PAYLOAD_BYTES_MAX, PORT_MAX, Hex
from api.mobile.schemas.common import Body, JsonMap, example
from storage.queries.profiles import Profile

DOWNLINKS_MAX = 50
MAPPING_MAX = 200
INTERVAL_S_MAX = 366 * 86_400

Utility = Literal["electricity", "water", "gas", "heat", "cooling"]


class Downlink(Body):
    """The bytes of one action, on LoRaWAN's fPort `port`."""

    model_config = example(port=2, payload_hex="01", is_confirmed=True)

    port: Annotated[int, Field(ge=0, le=PORT_MAX)] = 1
    payload_hex: Annotated[Hex, Field(max_length=2 * PAYLOAD_BYTES_MAX)]
    is_confirmed: bool = True


class NewProfile(Body):
    """How one make of device is decoded, and what it can be told.

    `decoder`: a built-in one, or `js` with `codec_id`. `downlinks`: by action; `close` and `open` are what an
    empty and a topped-up wallet send.
    """

    model_config = example(
        utility="water",
        decoder="js",
        codec_id=3,
        interval_s=3600,
        mapping=[{"path": "total_m3", "quantity": "water_m3"}],
        downlinks={"close": {"port": 2, "payload_hex": "00"}, "open": {"port": 2, "payload_hex": "01"}},
    )

    vendor: OptionalText | None = None
    model: OptionalText | None = None
    utility: Utility | None = None
    decoder: Text
    codec_id: Annotated[int, Field(ge=1, le=INT_MAX)] | None = None
    mapping: Annotated[list[JsonMap], Field(max_length=MAPPING_MAX)] = Field([])
    options: JsonMap = Field({})
    interval_s: Annotated[int, Field(ge=1, le=INTERVAL_S_MAX)] | None = None
    downlinks: Annotated[dict[str, Downlink], Field(max_length=DOWNLINKS_MAX)] = Field({})


class ProfileOut(BaseModel):
    """A device profile."""

    id: int
    name: str
    vendor: str | None
    model: str | None
    utility: str | None
    decoder: str
    codec_id: int | None
    mapping: list[dict[str, Any]]
    options: dict[str, Any]
    interval_s: int | None
    downlinks: dict[str, Downlink]

    @classmethod
    def of(cls, profile: Profile) -> "ProfileOut":
        """Show `profile`."""
        return cls.model_validate(profile, from_attributes=True)


class ProfilePage(BaseModel):
    """One page of profiles."""

    profiles: list[ProfileOut]
    next_after: int | None
