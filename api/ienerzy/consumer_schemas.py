"""Consumers as Ienerzy takes and gives them (IE-009 to IE-014); numbers as far as the reader may see."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from api.errors import Problem
from api.fields import Text
from api.identity_numbers import NUMBER_CHARACTERS_MAX, normalise
from api.ienerzy.schemas import BIGINT_MAX, BatteryStatus, Phone, Time, plain
from storage.queries.consumers import (
    Consumer,
    ConsumerApplication,
    ConsumerBattery,
    ConsumerEmi,
    ConsumerTicket,
)

KycStatus = Literal["pending", "verified", "rejected"]
Pan = Annotated[
    str,
    Field(max_length=NUMBER_CHARACTERS_MAX, description="Five letters, four digits, a letter."),
    AfterValidator(lambda text: normalise("pan", text)),
]
Aadhar = Annotated[
    str,
    Field(
        max_length=NUMBER_CHARACTERS_MAX,
        description="Twelve digits; the last is the check digit of the others, after Verhoeff.",
    ),
    AfterValidator(lambda text: normalise("aadhaar", text)),
]
CreditScore = Annotated[int, Field(ge=300, le=900)]


class NewConsumer(BaseModel):
    """A consumer to enter. An admin says by `dealer_id` whose; a dealer's are always his own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Ram Kumar",
                    "phone": "+919876543210",
                    "pan": "ABCDE1234F",
                    "aadhar": "234123412346",
                }
            ]
        }
    )

    name: Text
    phone: Phone
    pan: Annotated[Pan | None, Field(repr=False)] = None
    aadhar: Annotated[Aadhar | None, Field(repr=False)] = None
    credit_score: CreditScore | None = None
    dealer_id: Annotated[int | None, Field(ge=1, le=BIGINT_MAX)] = None

    @model_validator(mode="before")
    @classmethod
    def _has_both(cls, body: Any) -> Any:
        """The contract has one sentence for both of them (R022)."""
        if isinstance(body, dict) and not (body.get("name") and body.get("phone")):
            raise Problem(400, "Missing required fields", "Phone number and name are required")
        return body


class KycIn(BaseModel):
    """What was decided, and numbers that were brought for it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"kyc_status": "verified", "pan": "ABCDE1234F", "aadhar": "234123412346"}]
        }
    )

    kyc_status: KycStatus
    pan: Annotated[Pan | None, Field(repr=False)] = None
    aadhar: Annotated[Aadhar | None, Field(repr=False)] = None
    credit_score: CreditScore | None = None


class ConsumerOut(BaseModel):
    """A consumer; `pan` and `aadhar` in full for the consumer's dealer, their last four for all others."""

    id: int
    name: str
    phone: str
    pan: str | None
    aadhar: str | None
    kyc_status: KycStatus
    dealer_id: int | None
    created_at: Time

    @classmethod
    def of(cls, consumer: Consumer, pan: str | None, aadhar: str | None) -> Self:
        """Show `consumer` with these numbers."""
        return cls.model_validate(
            {
                "id": consumer.id,
                "name": consumer.name,
                "phone": consumer.phone,
                "pan": pan,
                "aadhar": aadhar,
                "kyc_status": consumer.kyc_status,
                "dealer_id": consumer.dealer_id,
                "dealer_name": consumer.dealer_name,
                "created_at": consumer.created_at,
            }
        )


class ConsumerApplicationOut(BaseModel):
    """An application or loan of a consumer; `amount` in rupees."""

    id: int
    amount: int | float
    tenure_months: int
    status: str
    battery_serial: str


class ConsumerEmiOut(BaseModel):
    """An instalment: pending, paid or cancelled; one that is overdue is pending. `amount` as in "1875.00"."""

    id: int
    emi_number: int
    due_date: str
    amount: str
    status: str


class ConsumerFinance(BaseModel):
    """A consumer's loans and their instalments; `total_emi_due` counts those that are not paid."""

    applications: list[ConsumerApplicationOut]
    emi_schedules: list[ConsumerEmiOut]
    total_applications: int
    total_emi_due: int

    @classmethod
    def of(cls, applications: Sequence[ConsumerApplication], emis: Sequence[ConsumerEmi]) -> Self:
        """Show them."""
        return cls(
            applications=[
                ConsumerApplicationOut(
                    id=each.id,
                    amount=plain(Decimal(each.amount_minor) / 100),
                    tenure_months=each.tenure_months,
                    status=each.status,
                    battery_serial=each.battery_serial,
                )
                for each in applications
            ],
            emi_schedules=[
                ConsumerEmiOut(
                    id=each.id,
                    emi_number=each.emi_number,
                    due_date=each.due_date.isoformat(),
                    amount=f"{Decimal(each.amount_minor) / 100:.2f}",
                    status=each.status,
                )
                for each in emis
            ],
            total_applications=len(applications),
            total_emi_due=sum(each.status == "pending" for each in emis),
        )


class ProfiledConsumer(ConsumerOut):
    """A consumer, with the name of the dealer."""

    dealer_name: str | None


class ProfileBattery(BaseModel):
    """A battery that the consumer has, with the tickets that he had with it."""

    id: int
    serial_number: str
    status: BatteryStatus
    health_score: int | float
    service_tickets_count: int
    active_tickets_count: int


class ProfileTicket(BaseModel):
    """One of the consumer's newest tickets."""

    id: int
    issue_category: str
    status: str
    battery_serial: str
    created_at: Time


class ProfileSummary(BaseModel):
    """Counts over all batteries and tickets, those of batteries that he gave back too."""

    total_batteries: int
    active_batteries: int
    total_service_tickets: int
    active_service_tickets: int


class ConsumerProfile(BaseModel):
    """Everything of a consumer but the money."""

    consumer: ProfiledConsumer
    batteries: list[ProfileBattery]
    recent_tickets: list[ProfileTicket]
    summary: ProfileSummary

    @classmethod
    def of(
        cls,
        consumer: ProfiledConsumer,
        batteries: Sequence[ConsumerBattery],
        tickets: Sequence[ConsumerTicket],
    ) -> Self:
        """Show them; each ticket carries the counts of all."""
        newest = tickets[0] if tickets else None
        return cls(
            consumer=consumer,
            batteries=[
                ProfileBattery.model_validate(
                    {
                        "id": each.id,
                        "serial_number": each.serial_number,
                        "status": each.status,
                        "health_score": plain(each.health_score),
                        "service_tickets_count": each.tickets,
                        "active_tickets_count": each.active_tickets,
                    }
                )
                for each in batteries
            ],
            recent_tickets=[
                ProfileTicket(
                    id=each.id,
                    issue_category=each.issue_category,
                    status=each.status,
                    battery_serial=each.battery_serial,
                    created_at=each.created_at,
                )
                for each in tickets
            ],
            summary=ProfileSummary(
                total_batteries=len(batteries),
                active_batteries=sum(each.status == "active" for each in batteries),
                total_service_tickets=0 if newest is None else newest.total,
                active_service_tickets=0 if newest is None else newest.active,
            ),
        )
