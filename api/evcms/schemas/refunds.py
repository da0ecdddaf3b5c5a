"""EV-CMS refunds."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.evcms.envelope import Maybe, Named, Out, Page, Time
from api.fields import Amount, Storable, Text, minor_units, money
from storage.queries.refunds import Refund

REASON_CHARACTERS_MAX = 1_000

RefundStatus = Literal["pending", "approved", "rejected"]
Reason = Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS_MAX), Storable]
Notes = Annotated[str, Field(max_length=REASON_CHARACTERS_MAX), Storable]


class RefundIn(BaseModel):
    """`amount` in rupees, at most what is left of the transaction."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"transactionId": "42", "amount": 50, "reason": "The cable was locked"}]
        }
    )

    transaction_id: Annotated[Text, Field(alias="transactionId")]
    amount: Amount
    reason: Reason

    @property
    def amount_minor(self) -> int:
        """The amount in paise, exactly."""
        return minor_units(self.amount)


class RefundDecision(BaseModel):
    """What an admin decides about a refund."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "approved", "adminNotes": "Confirmed by the station"}]}
    )

    status: Literal["approved", "rejected"]
    admin_notes: Annotated[Notes | None, Field(alias="adminNotes")] = None


class RefundOut(Out):
    """A refund of (a part of) a transaction; `processed_by` is the admin who decided."""

    id: str
    user_id: str
    transaction_id: str
    session_id: Maybe[str]
    amount: float
    reason: str
    status: RefundStatus
    admin_notes: Maybe[str]
    processed_by: Maybe[str]
    processed_at: Maybe[Time]
    created_at: Time

    @classmethod
    def of(cls, refund: Refund) -> "RefundOut":
        """Show a refund."""
        return cls.model_validate(
            {
                "id": str(refund.id),
                "user_id": str(refund.user_id),
                "transaction_id": str(refund.entry_id),
                "session_id": None if refund.session_id is None else str(refund.session_id),
                "amount": money(refund.amount_minor),
                "reason": refund.reason,
                "status": refund.status,
                "admin_notes": refund.admin_notes,
                "processed_by": None if refund.processed_by is None else str(refund.processed_by),
                "processed_at": refund.processed_at,
                "created_at": refund.created_at,
            }
        )


class NamedRefund(RefundOut, Named):
    """`data` of an answer about one refund."""

    refund: RefundOut


class RefundPage(Page[RefundOut]):
    """One page of refunds, newest first."""

    refunds: list[RefundOut]
