"""What the NBFC endpoints take and give; the webhook speaks camelCase (conflict C51)."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.fields import Amount, OptionalText, minor_units, money
from api.ienerzy.schemas import BIGINT_MAX, Time, plain
from storage.queries.lending import Application
from storage.queries.nbfc import StoredReport
from stream.lending.rules import TENURE_MONTHS_MAX
from stream.nbfc.fold import Event, Status
from stream.nbfc.provider import ReportAnswer

_json = msgspec.json.Encoder(decimal_format="number")

RowId = Annotated[int, Field(ge=1, le=BIGINT_MAX)]
Rate = Annotated[Decimal, Field(ge=0, le=100, decimal_places=3, description="percent a year")]
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2099, 12, 31))]
Moment = Annotated[
    AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), le=datetime(2099, 12, 31, tzinfo=UTC))
]
Count = Annotated[int, Field(ge=0, le=BIGINT_MAX)]


class SubmitIn(BaseModel):
    """A loan to ask an NBFC for, in rupees. An admin names `dealer_id`; a dealer's is the dealer's own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "consumer_id": 1,
                    "battery_id": 1,
                    "amount": 45000,
                    "tenure_months": 24,
                    "interest_rate": 12.5,
                }
            ]
        }
    )

    consumer_id: RowId
    battery_id: RowId
    amount: Amount
    tenure_months: Annotated[int, Field(ge=1, le=TENURE_MONTHS_MAX)]
    interest_rate: Rate | None = None
    dealer_id: RowId | None = None


class SubmittedOut(BaseModel):
    """An application that an NBFC has, or is about to have."""

    id: int
    consumer_id: int
    battery_id: int
    amount: int | float
    tenure_months: int
    interest_rate: int | float | None
    dealer_id: int
    status: str
    submitted_at: Time | None

    @classmethod
    def of(cls, application: Application) -> "SubmittedOut":
        """Show `application`."""
        return cls(
            id=application.id,
            consumer_id=application.consumer_id,
            battery_id=application.battery_id,
            amount=rupees(application.amount_minor),
            tenure_months=application.tenure_months,
            interest_rate=_rate(application),
            dealer_id=application.dealer_id,
            status=application.status,
            submitted_at=application.submitted_at,
        )


class Submitted(BaseModel):
    """The application is on its way."""

    success: Literal[True] = True
    application: SubmittedOut
    message: str


class WebhookIn(BaseModel):
    """What an NBFC says of an application; `sanctionedAmount` is needed with `approved`.

    `creditScore`, `reason` and `occurredAt` (of the event itself) are extensions.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "applicationId": 1,
                    "status": "approved",
                    "sanctionedAmount": 45000,
                    "interestRate": 12.5,
                    "emiAmount": 1875,
                    "disbursementDate": "2024-01-20",
                }
            ]
        }
    )

    applicationId: RowId  # noqa: N815 (the contract's names, from here on)
    status: Status
    sanctionedAmount: Amount | None = None  # noqa: N815
    interestRate: Rate | None = None  # noqa: N815
    emiAmount: Amount | None = None  # noqa: N815
    disbursementDate: Day | None = None  # noqa: N815
    creditScore: Annotated[int, Field(ge=300, le=900)] | None = None  # noqa: N815
    reason: OptionalText | None = None
    occurredAt: Moment | None = None  # noqa: N815

    def event(self, key: str) -> Event:
        """Return it as the event of this key."""
        sanctioned, emi = self.sanctionedAmount, self.emiAmount
        return Event(
            key=key,
            status=self.status,
            occurred_at=self.occurredAt,
            sanctioned_minor=None if sanctioned is None else minor_units(sanctioned),
            rate_pct=self.interestRate,
            emi_minor=None if emi is None else minor_units(emi),
            disbursed_on=self.disbursementDate,
            credit_score=self.creditScore,
            reason=self.reason,
        )


class NbfcDecision(BaseModel):
    """An application as all that its NBFC said has made it; amounts in rupees."""

    id: int
    status: str
    sanctioned_amount: int | float | None
    interest_rate: int | float | None
    emi_amount: int | float | None

    @classmethod
    def of(cls, application: Application, emi_minor: int | None) -> "NbfcDecision":
        """Show `application`."""
        approved = application.approved_minor
        return cls(
            id=application.id,
            status=application.status,
            sanctioned_amount=None if approved is None else rupees(approved),
            interest_rate=_rate(application),
            emi_amount=None if emi_minor is None else rupees(emi_minor),
        )


class WebhookTaken(BaseModel):
    """The event is stored, and what follows from it is done."""

    success: Literal[True] = True
    message: str
    application: NbfcDecision


class CollectionData(BaseModel):
    """What was collected; `amount_collected` in rupees."""

    total_collections: Count
    amount_collected: Annotated[Decimal, Field(ge=0, le=10**12, decimal_places=2)]
    overdue_count: Count

    def in_paise(self) -> dict[str, int | Decimal]:
        """Return it with both decimals of the amount."""
        amount = self.amount_collected.quantize(Decimal("0.01"))
        return {**self.model_dump(), "amount_collected": amount}

    def stored(self) -> dict[str, int | float]:
        """Return it as it is kept and sent."""
        return {
            "total_collections": self.total_collections,
            "amount_collected": float(self.amount_collected),
            "overdue_count": self.overdue_count,
        }


class ReportIn(BaseModel):
    """A dealer's collections up to a day."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "report_date": "2024-01-15",
                    "collection_data": {
                        "total_collections": 25,
                        "amount_collected": 46875.00,
                        "overdue_count": 3,
                    },
                }
            ]
        }
    )

    report_date: Day
    collection_data: CollectionData


class NbfcResponse(BaseModel):
    """What the NBFC said; `report_id` None and `status` queued while it is away."""

    success: bool
    report_id: str | None
    status: str
    message: str

    @classmethod
    def of(cls, answer: ReportAnswer) -> "NbfcResponse":
        """Show `answer`."""
        return cls.model_validate(msgspec.to_builtins(answer))


class ReportOut(BaseModel):
    """A report as it is kept: `collection_data` and `nbfc_response` are JSON in a string."""

    id: int
    dealer_id: int
    report_date: date
    collection_data: str
    nbfc_response: str
    created_at: Time

    @classmethod
    def of(cls, report: StoredReport, data: CollectionData, answer: ReportAnswer) -> "ReportOut":
        """Show `report`."""
        said = {"success": answer.success, "report_id": answer.report_id}
        return cls(
            id=report.id,
            dealer_id=report.dealer_id,
            report_date=report.report_date,
            collection_data=_json.encode(data.in_paise()).decode(),
            nbfc_response=_json.encode(said).decode(),
            created_at=report.created_at,
        )


class Reported(BaseModel):
    """The report is kept, and the NBFC has it or gets it later."""

    success: Literal[True] = True
    message: str
    report: ReportOut
    nbfc_response: NbfcResponse


def rupees(minor: int) -> int | float:
    """Minor units as a number, whole ones without a fraction."""
    return plain(money(minor))


def _rate(application: Application) -> int | float | None:
    return None if application.rate_pct is None else plain(application.rate_pct)
