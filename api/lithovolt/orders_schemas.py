"""What Lithovolt orders take and give; amounts as text with two decimals (conflict C91)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.fields import Text
from api.lithovolt.inventory_schemas import Notes, Quantity, Reference
from api.lithovolt.schemas import Time, rupees
from storage.queries.orders import Order, OrderItem
from stream.stock.ordering import ITEMS_MAX, UNITS_MAX, Wanted

OrderStatus = Literal["pending", "approved", "rejected", "cancelled"]


class ItemIn(BaseModel):
    """A model and how many of it."""

    model: Reference
    quantity: Quantity


class NewOrder(BaseModel):
    """What to order; each model stands in one item."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"model": 1, "quantity": 10}], "notes": "By Friday"}]}
    )

    items: Annotated[list[ItemIn], Field(min_length=1, max_length=ITEMS_MAX)]
    notes: Notes = ""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if len({item.model for item in self.items}) < len(self.items):
            raise ValueError("Each model stands in one item: add the quantities up.")
        if sum(item.quantity for item in self.items) > UNITS_MAX:
            raise ValueError(f"An order is of {UNITS_MAX} batteries at most.")
        return self

    def wanted(self) -> list[Wanted]:
        """The items as orders take them."""
        return [Wanted(item.model, item.quantity) for item in self.items]


class Rejection(BaseModel):
    """Why an order is refused; the buyer is told."""

    reason: Text


class Cancellation(BaseModel):
    """Why an order is taken back, if that is to be said."""

    reason: Text | None = None


class ItemOut(BaseModel):
    """A line of an order: `price` of one and `amount` are without tax."""

    model: int
    model_code: str
    model_name: str
    hsn_code: str
    quantity: int
    price: str
    tax_percent: str
    amount: str
    tax: str

    @classmethod
    def of(cls, item: OrderItem) -> Self:
        """Show `item`."""
        return cls(
            model=item.model_id,
            model_code=item.model_code,
            model_name=item.model_name,
            hsn_code=item.hsn_code,
            quantity=item.quantity,
            price=rupees(item.price_minor),
            tax_percent=rupees(item.tax_basis_points),
            amount=rupees(item.amount_minor),
            tax=rupees(item.tax_minor),
        )


class OrderOut(BaseModel):
    """An order; it has an invoice once it is approved."""

    id: int
    order_number: str
    buyer: int
    buyer_name: str
    status: OrderStatus
    items: list[ItemOut]
    subtotal: str
    tax: str
    total: str
    notes: str
    reason: str | None
    invoice_number: str | None
    created_at: Time
    decided_at: Time | None

    @classmethod
    def of(cls, order: Order, items: Sequence[OrderItem]) -> Self:
        """Show `order`."""
        return cls.model_validate(_facts(order, items))


class StepOut(BaseModel):
    """A step of an order; `by`: the account that made it."""

    status: OrderStatus
    at: Time
    by: int | None
    reason: str | None


class OrderDetail(OrderOut):
    """An order with its history, the oldest step first."""

    history: list[StepOut]

    @classmethod
    def around(cls, order: Order, items: Sequence[OrderItem]) -> Self:
        """Show `order`."""
        history = [{"status": "pending", "at": order.created_at, "by": order.buyer_id, "reason": None}]
        if order.status != "pending":
            history.append(
                {
                    "status": order.status,
                    "at": order.decided_at,
                    "by": order.decided_by,
                    "reason": order.reason,
                }
            )
        return cls.model_validate({**_facts(order, items), "history": history})


def _facts(order: Order, items: Sequence[OrderItem]) -> dict[str, Any]:
    return {
        "id": order.id,
        "order_number": order.order_number,
        "buyer": order.buyer_id,
        "buyer_name": order.buyer_name,
        "status": order.status,
        "items": [ItemOut.of(item) for item in items],
        "subtotal": rupees(order.subtotal_minor),
        "tax": rupees(order.tax_minor),
        "total": rupees(order.total_minor),
        "notes": order.notes,
        "reason": order.reason,
        "invoice_number": order.invoice_number,
        "created_at": order.created_at,
        "decided_at": order.decided_at,
    }
