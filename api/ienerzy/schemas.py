"""What Ienerzy takes and gives: snake_case, integer ids, times without fraction and with Z (conflict C53)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, PlainSerializer

from api.fields import Storable
from api.ienerzy.figure_text import mean, tenth
from storage.queries.batteries import Battery, HealthGroup
from storage.queries.samples import BatterySample
from storage.queries.users import User

# What MQTT topics can carry; "test" and "health-report" are paths of this API (conflict C09).
SERIAL_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
RESERVED_SERIALS = frozenset({"test", "health-report"})
BIGINT_MAX = 2**63 - 1

Role = Literal["dealer", "consumer", "technician", "admin"]
BatteryStatus = Literal["active", "inactive", "maintenance"]
STATUSES: tuple[BatteryStatus, ...] = ("active", "inactive", "maintenance")


def _print_time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _not_reserved(serial: str) -> str:
    if serial.lower() in RESERVED_SERIALS:
        raise ValueError(f"{serial} is reserved: choose another serial number")
    return serial


def plain(number: Decimal | float) -> int | float:
    """A whole number without a fraction, as the contract's samples have it."""
    return int(number) if number == int(number) else float(number)


def text(number: float | None, digits: int) -> str | None:
    """A reading as text, with one decimal at least and `digits` at most."""
    return None if number is None else str(round(float(number), digits))


Time = Annotated[datetime, PlainSerializer(_print_time, return_type=str)]
Phone = Annotated[str, Field(min_length=1, max_length=32), Storable]


class LoginIn(BaseModel):
    """Ask for a one-time password; `technician` and `admin` are an extension."""

    phone: Phone
    userType: Role  # noqa: N815 (the contract's name)


class VerifyIn(BaseModel):
    """Prove a one-time password."""

    phone: Phone
    otp: Annotated[str, Field(min_length=1, max_length=16)]


class UserOut(BaseModel):
    """An account."""

    id: int
    name: str
    phone: str
    role: str

    @classmethod
    def of(cls, user: User) -> "UserOut":
        """Show `user`."""
        return cls(id=user.id, name=user.name, phone=user.phone or "", role=user.role)


class OtpSent(BaseModel):
    """A one-time password is on its way."""

    success: Literal[True]
    message: str
    user: UserOut


class Verified(BaseModel):
    """Signed in; there is no refresh."""

    success: Literal[True]
    token: str
    user: UserOut


class BatteryOut(BaseModel):
    """A battery."""

    id: int
    serial_number: str
    status: BatteryStatus
    health_score: int | float
    owner_id: int | None
    created_at: Time

    @classmethod
    def of(cls, battery: Battery) -> "BatteryOut":
        """Show `battery`."""
        return cls.model_validate(_facts(battery))


class ListedBattery(BatteryOut):
    """A battery in a list, with its consumer's name."""

    consumer_name: str | None

    @classmethod
    def of(cls, battery: Battery) -> "ListedBattery":
        """Show `battery`."""
        return cls.model_validate({**_facts(battery), "consumer_name": battery.consumer_name})


class ControlledBattery(BatteryOut):
    """A battery after a command; `pending_status` is there while the battery has not confirmed it."""

    pending_status: Annotated[BatteryStatus | None, Field(exclude_if=lambda status: status is None)]

    @classmethod
    def of(cls, battery: Battery, pending_status: BatteryStatus | None = None) -> "ControlledBattery":
        """Show `battery` as it is now."""
        return cls.model_validate({**_facts(battery), "pending_status": pending_status})


def _facts(battery: Battery) -> dict[str, Any]:
    return {
        "id": battery.id,
        "serial_number": battery.serial_number,
        "status": battery.status,
        "health_score": plain(battery.health_score),
        "owner_id": battery.owner_id,
        "created_at": battery.created_at,
    }


class Location(BaseModel):
    """Degrees, WGS 84, as text."""

    lat: str | None
    lng: str | None


class Telemetry(BaseModel):
    """The newest reading: V, A and degrees as text, state of charge in percent as a number."""

    voltage: str | None
    current: str | None
    soc: int | float | None
    location: Location
    timestamp: Time

    @classmethod
    def of(cls, sample: BatterySample) -> "Telemetry":
        """Show `sample`; stored as 32-bit floats, so more decimals would be noise."""
        return cls(
            voltage=text(sample.voltage_v, 2),
            current=text(sample.current_a, 2),
            soc=None if sample.soc_pct is None else plain(round(sample.soc_pct, 1)),
            location=Location(lat=text(sample.latitude_deg, 6), lng=text(sample.longitude_deg, 6)),
            timestamp=sample.ts,
        )


class BatteryDetail(BaseModel):
    """A battery and its newest reading; None where it has not reported yet."""

    battery: BatteryOut
    telemetry: Telemetry | None


class NewBattery(BaseModel):
    """A battery to enter. An admin says by `dealer_id` whose; a dealer's are always his own."""

    serial_number: Annotated[str, Field(pattern=SERIAL_PATTERN), AfterValidator(_not_reserved)]
    health_score: Annotated[Decimal, Field(ge=0, le=100)] = Decimal(100)
    dealer_id: Annotated[int | None, Field(ge=1, le=BIGINT_MAX)] = None


class ControlIn(BaseModel):
    """`activate` and `deactivate` command the battery's immobiliser; the others set its status here alone."""

    action: Literal["active", "inactive", "maintenance", "activate", "deactivate"]


class AssignIn(BaseModel):
    """The consumer to assign to."""

    consumer_id: Annotated[int, Field(ge=1, le=BIGINT_MAX)]


class HealthGroupOut(BaseModel):
    """Health scores of the batteries that have one status."""

    count: int
    avg_health: str
    min_health: int | float
    max_health: int | float

    @classmethod
    def of(cls, group: HealthGroup | None) -> "HealthGroupOut":
        """Show `group`; zeros where no battery has the status."""
        if group is None:
            return cls(count=0, avg_health="0.0", min_health=0, max_health=0)
        return cls(
            count=group.count,
            avg_health=str(tenth(group.avg_health)),
            min_health=plain(group.min_health),
            max_health=plain(group.max_health),
        )


class HealthReport(BaseModel):
    """By status, and over all; `overall_health_score` is the mean over all batteries, one decimal."""

    fleet_health: dict[BatteryStatus, HealthGroupOut]
    total_batteries: int
    overall_health_score: float

    @classmethod
    def of(cls, groups: Sequence[HealthGroup]) -> "HealthReport":
        """Show `groups`."""
        by_status = {group.status: group for group in groups}
        total = sum(group.count for group in groups)
        return cls(
            fleet_health={status: HealthGroupOut.of(by_status.get(status)) for status in STATUSES},
            total_batteries=total,
            overall_health_score=float(tenth(mean(sum(group.sum_health for group in groups), total))),
        )


class IenerzyError(BaseModel):
    """Every refusal; `retry_after` in seconds, of 429 only."""

    error: str
    details: str | None = None
    code: str | None = None
    retry_after: int | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {"4XX": {"model": IenerzyError, "description": "Refused"}}
