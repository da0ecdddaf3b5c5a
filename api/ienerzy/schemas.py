"""Bodies of Ienerzy: snake_case, integer ids, timestamps without fraction and with Z (conflict C53)."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainSerializer

from api.fields import Text

Moment = Annotated[
    datetime, PlainSerializer(lambda moment: moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
]
# whole scores print as whole numbers, as in the contract's samples
Score = Annotated[Decimal, PlainSerializer(lambda score: int(score) if score == int(score) else float(score))]
Status = Literal["active", "inactive", "maintenance"]
SERIAL_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"


class Login(BaseModel):
    """Asks for a one-time password."""

    phone: Text
    userType: Literal["dealer", "consumer", "technician", "admin"]  # noqa: N815 - the contract's name


class Verification(BaseModel):
    """Proves a phone."""

    phone: Text
    otp: Annotated[str, Field(min_length=1, max_length=16)]


class Person(BaseModel):
    """Who logs in."""

    id: int
    name: str
    phone: str
    role: str


class LoginAnswer(BaseModel):
    """The one-time password is on its way."""

    success: Literal[True]
    message: str
    user: Person


class VerifyAnswer(BaseModel):
    """Good for 24 hours; there is no refresh."""

    success: Literal[True]
    token: str
    user: Person


class NewBattery(BaseModel):
    """A battery to enter."""

    serial_number: Annotated[str, Field(pattern=SERIAL_PATTERN)]
    health_score: Annotated[Decimal, Field(ge=0, le=100)] = Decimal(100)


class Control(BaseModel):
    """`activate` and `deactivate` are other words for `active` and `inactive` (rule R043)."""

    action: Literal["inactive", "active", "maintenance", "deactivate", "activate"]


class Assignment(BaseModel):
    """The consumer who has the battery from now on."""

    consumer_id: Annotated[int, Field(gt=0, le=2**53)]


class BatteryOut(BaseModel):
    """A battery as all answers but the list show it."""

    id: int
    serial_number: str
    status: Status
    health_score: Score
    owner_id: int | None
    created_at: Moment


class BatteryControlled(BatteryOut):
    """`pending_status` stands while the battery has not confirmed the command yet."""

    pending_status: Status | None = None


class BatteryListed(BatteryOut):
    """A battery in the list, with its consumer's name."""

    consumer_name: str | None


class Location(BaseModel):
    """Degrees, as text."""

    lat: str | None
    lng: str | None


class Telemetry(BaseModel):
    """The latest sample: volts and amperes as text, percent as number."""

    voltage: str | None
    current: str | None
    soc: float | None
    location: Location
    timestamp: Moment


class BatteryDetail(BaseModel):
    """`telemetry` is null while the battery has not reported."""

    battery: BatteryOut
    telemetry: Telemetry | None


class HealthOfStatus(BaseModel):
    """Scores of the batteries with one status."""

    count: int
    avg_health: str
    min_health: Score
    max_health: Score


class HealthReport(BaseModel):
    """Scores by status, and the mean over all batteries."""

    fleet_health: dict[str, HealthOfStatus]
    total_batteries: int
    overall_health_score: float
