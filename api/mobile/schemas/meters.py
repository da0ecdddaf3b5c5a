"""Meters, their readings, usage and alerts."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel

from api.fields import money
from api.mobile.schemas.common import Time, example, number
from storage.queries.budgets import BudgetAlert
from storage.queries.meter_alerts import MeterAlert
from storage.queries.meters import Meter
from storage.queries.units import Unit
from stream.metering.readings import RatedReading, UsageBucket

Latest = tuple[Decimal, datetime] | None
UNITS = {"electricity": "kWh", "heat": "kWh", "cooling": "kWh", "water": "m3", "gas": "m3"}


_METER: dict[str, Any] = {
    "id": 1,
    "serial_number": "MTR001",
    "meter_type": "prepaid",
    "utility_type": "electricity",
    "current_reading": 1250.5,
    "last_reading_date": "2024-01-15T10:30:00",
    "status": "active",
    "device_type": "Smart Meter",
    "communication_type": "LoRa",
}


class MeterOut(BaseModel):
    """A meter and its newest reading, in kWh or m3; null where it has none yet."""

    model_config = example(**_METER)

    id: int
    serial_number: str
    meter_type: str
    utility_type: str
    current_reading: float | None
    last_reading_date: Time | None
    status: str
    device_type: str
    communication_type: str

    @classmethod
    def of(cls, meter: Meter, latest: Latest) -> "MeterOut":
        """Show `meter`."""
        return cls.model_validate(_facts(meter, latest))


class MeterDetail(MeterOut):
    """A meter, and the unit that it is of."""

    model_config = example(**_METER, unit_id=12, unit_number="A-1204")

    unit_id: int
    unit_number: str

    @classmethod
    def at(cls, unit: Unit, meter: Meter, latest: Latest) -> "MeterDetail":
        """Show `meter` of `unit`."""
        return cls.model_validate(
            {**_facts(meter, latest), "unit_id": unit.id, "unit_number": unit.unit_number}
        )


def _facts(meter: Meter, latest: Latest) -> dict[str, Any]:
    return {
        "id": meter.id,
        "serial_number": meter.serial_number,
        "meter_type": meter.meter_type,
        "utility_type": meter.utility_type,
        "current_reading": None if latest is None else number(latest[0]),
        "last_reading_date": None if latest is None else latest[1],
        "status": meter.status,
        "device_type": meter.device_type,
        "communication_type": meter.communication_type,
    }


class Meters(BaseModel):
    """A unit's meters."""

    meters: list[MeterOut]


class OneMeter(BaseModel):
    """One meter."""

    meter: MeterDetail


class ReadingOut(BaseModel):
    """A reading, what was used since the one before it, and what that costs."""

    model_config = example(
        id=1705314600,
        reading_value=1250.5,
        reading_date="2024-01-15T10:30:00",
        cost=125.50,
        consumption=150.5,
    )

    id: int
    reading_value: float
    reading_date: Time
    cost: float
    consumption: float

    @classmethod
    def of(cls, reading: RatedReading) -> "ReadingOut":
        """Show `reading`."""
        return cls(
            id=reading.id,
            reading_value=number(reading.register),
            reading_date=reading.at,
            cost=money(reading.cost_minor),
            consumption=number(reading.consumption),
        )


class ReadMeter(BaseModel):
    """The meter that readings or usage are of."""

    id: int
    serial_number: str
    utility_type: str

    @classmethod
    def of(cls, meter: Meter) -> "ReadMeter":
        """Show `meter`."""
        return cls(id=meter.id, serial_number=meter.serial_number, utility_type=meter.utility_type)


class Readings(BaseModel):
    """A meter's readings, newest first."""

    readings: list[ReadingOut]
    meter: ReadMeter

    @classmethod
    def of(cls, meter: Meter, readings: Sequence[RatedReading]) -> "Readings":
        """Show `readings` of `meter`."""
        return cls(readings=[ReadingOut.of(reading) for reading in readings], meter=ReadMeter.of(meter))


class UsageOut(BaseModel):
    """What one day, week (from Monday) or month used, where the estate is; `start` is its first day."""

    start: date
    consumption: float
    cost: float

    @classmethod
    def of(cls, bucket: UsageBucket) -> "UsageOut":
        """Show `bucket`."""
        return cls(start=bucket.start, consumption=number(bucket.consumption), cost=money(bucket.cost_minor))


class Usage(BaseModel):
    """A meter's usage by period, oldest first; `consumption_unit`: kWh or m3."""

    period: Literal["day", "week", "month"]
    consumption_unit: str
    usage: list[UsageOut]
    meter: ReadMeter

    @classmethod
    def of(
        cls, meter: Meter, period: Literal["day", "week", "month"], buckets: Sequence[UsageBucket]
    ) -> "Usage":
        """Show `buckets` of `meter`."""
        return cls(
            period=period,
            consumption_unit=UNITS[meter.utility_type],
            usage=[UsageOut.of(bucket) for bucket in buckets],
            meter=ReadMeter.of(meter),
        )


class MeterAlertOut(BaseModel):
    """What is wrong with a meter; `closed_at` is null while it lasts."""

    id: int
    meter_id: int
    kind: str
    opened_at: Time
    closed_at: Time | None
    detail: dict[str, Any]

    @classmethod
    def of(cls, alert: MeterAlert) -> "MeterAlertOut":
        """Show `alert`."""
        return cls.model_validate(alert, from_attributes=True)


class BudgetAlertOut(BaseModel):
    """A budget of which so much was spent; figures as of then."""

    id: int
    utility_type: str
    month: date
    threshold_percentage: int
    limit: float
    spent: float
    created_at: Time

    @classmethod
    def of(cls, alert: BudgetAlert) -> "BudgetAlertOut":
        """Show `alert`."""
        return cls(
            id=alert.id,
            utility_type=alert.utility,
            month=alert.month,
            threshold_percentage=alert.threshold_pct,
            limit=money(alert.limit_minor),
            spent=money(alert.spent_minor),
            created_at=alert.created_at,
        )


class UnitAlerts(BaseModel):
    """What is wrong with a unit's meters, and which budgets were reached; newest first."""

    meter_alerts: list[MeterAlertOut]
    budget_alerts: list[BudgetAlertOut]


class MeterAlerts(BaseModel):
    """What is wrong with a meter, newest first."""

    meter_alerts: list[MeterAlertOut]
