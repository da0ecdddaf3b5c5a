"""What the inventory of the Lithovolt family takes and gives; decimals as text (conflict C91)."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from api.fields import Amount, OptionalText, Storable, Text, minor_units
from api.lithovolt.schemas import BIGINT_MAX, Time, rupees
from storage.queries.assets import AssetEvent
from storage.queries.battery_models import BatteryModel, ModelFacts
from storage.queries.serial_numbers import SerialNumber
from storage.queries.stock import Allocation, LowStock, Stock
from stream.stock.making import QUANTITY_MAX
from stream.stock.serials import CODE_PATTERN, SERIAL_PATTERN
from stream.warranty import terms

THRESHOLD_MAX = 1_000_000
TERMS_MAX = 20

SerialStatus = Literal["in_stock", "allocated", "sold", "returned", "scrapped"]
Reference = Annotated[int, Field(ge=1, le=BIGINT_MAX)]
Serial = Annotated[str, Field(pattern=SERIAL_PATTERN)]
Serials = Annotated[list[Serial], Field(min_length=1, max_length=QUANTITY_MAX)]
Quantity = Annotated[int, Field(ge=1, le=QUANTITY_MAX)]
Notes = Annotated[str, Field(max_length=1_000), Storable]
WarrantyTerms = dict[str, int | float | None]


def _checked_terms(given: WarrantyTerms) -> WarrantyTerms:
    faults = terms.check(given)
    if faults:
        raise ValueError("; ".join(faults))
    return given


Name = Text
Code = Annotated[str, Field(pattern=CODE_PATTERN)]
Voltage = Annotated[Decimal, Field(gt=0, lt=10_000, decimal_places=2)]
Capacity = Annotated[Decimal, Field(gt=0, lt=1_000_000, decimal_places=2)]
Percent = Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)]
Hsn = Annotated[str, Field(pattern=r"^[0-9]{4,8}$")]
Months = Annotated[int, Field(ge=1, le=240)]
Terms = Annotated[WarrantyTerms, Field(max_length=TERMS_MAX), AfterValidator(_checked_terms)]
Threshold = Annotated[int, Field(ge=0, le=THRESHOLD_MAX)]
Description = Annotated[str, Field(max_length=2_000), Storable]


class NewModel(BaseModel):
    """A battery model. Its code begins its serial numbers; the price is a wholesaler's, without tax."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "LV 48-100",
                    "code": "LV48",
                    "nominal_voltage_v": "51.20",
                    "capacity_ah": "100.00",
                    "price": "45000.00",
                    "warranty_months": 36,
                    "warranty_terms": {"max_temperature_c": 55, "min_soc_pct": 5},
                }
            ]
        }
    )

    name: Name
    code: Code
    chemistry: Text = "LFP"
    nominal_voltage_v: Voltage
    capacity_ah: Capacity
    description: Description = ""
    price: Amount
    tax_percent: Percent = Decimal(18)
    hsn_code: Hsn = "850760"
    warranty_months: Months
    warranty_terms: Terms = {}
    low_stock_threshold: Threshold = 10
    is_active: bool = True

    def facts(self) -> ModelFacts:
        """Everything but the code, as it is stored."""
        return {
            "name": self.name,
            "chemistry": self.chemistry,
            "nominal_voltage_v": self.nominal_voltage_v,
            "capacity_ah": self.capacity_ah,
            "description": self.description,
            "price_minor": minor_units(self.price),
            "tax_basis_points": minor_units(self.tax_percent),
            "hsn_code": self.hsn_code,
            "warranty_months": self.warranty_months,
            "warranty_terms": self.warranty_terms,
            "low_stock_threshold": self.low_stock_threshold,
            "is_active": self.is_active,
        }


class ModelChange(BaseModel):
    """What to change of a model; what is left out, or null, stays. Its code stays in any case."""

    name: Name | None = None
    chemistry: Text | None = None
    nominal_voltage_v: Voltage | None = None
    capacity_ah: Capacity | None = None
    description: Description | None = None
    price: Amount | None = None
    tax_percent: Percent | None = None
    hsn_code: Hsn | None = None
    warranty_months: Months | None = None
    warranty_terms: Terms | None = None
    low_stock_threshold: Threshold | None = None
    is_active: bool | None = None

    def facts(self, model: BatteryModel) -> ModelFacts:
        """What holds of `model` with these changes."""
        before = {
            "name": model.name,
            "code": model.code,
            "chemistry": model.chemistry,
            "nominal_voltage_v": model.nominal_voltage_v,
            "capacity_ah": model.capacity_ah,
            "description": model.description,
            "price": Decimal(model.price_minor) / 100,
            "tax_percent": Decimal(model.tax_basis_points) / 100,
            "hsn_code": model.hsn_code,
            "warranty_months": model.warranty_months,
            "warranty_terms": model.warranty_terms,
            "low_stock_threshold": model.low_stock_threshold,
            "is_active": model.is_active,
        }
        return NewModel.model_construct(**{**before, **self.model_dump(exclude_none=True)}).facts()


class ModelOut(BaseModel):
    """A battery model; consumers are not told the wholesalers' price."""

    id: int
    name: str
    code: str
    chemistry: str
    nominal_voltage_v: str
    capacity_ah: str
    description: str
    price: str | None
    tax_percent: str
    hsn_code: str
    warranty_months: int
    warranty_terms: WarrantyTerms
    low_stock_threshold: int
    is_active: bool
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, model: BatteryModel, *, with_price: bool) -> Self:
        """Show `model`."""
        return cls(
            id=model.id,
            name=model.name,
            code=model.code,
            chemistry=model.chemistry,
            nominal_voltage_v=f"{model.nominal_voltage_v:.2f}",
            capacity_ah=f"{model.capacity_ah:.2f}",
            description=model.description,
            price=rupees(model.price_minor) if with_price else None,
            tax_percent=rupees(model.tax_basis_points),
            hsn_code=model.hsn_code,
            warranty_months=model.warranty_months,
            warranty_terms=model.warranty_terms,
            low_stock_threshold=model.low_stock_threshold,
            is_active=model.is_active,
            created_at=model.created_at,
            updated_at=model.updated_at,
        )


class NewSerials(BaseModel):
    """Either `quantity`, to make the model's next serial numbers, or `serials`, to take in foreign ones."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": 1, "quantity": 100, "batch": "B-7"}]})

    model: Reference
    quantity: Quantity | None = None
    serials: Serials | None = None
    batch: OptionalText = ""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.quantity is None) == (self.serials is None):
            raise ValueError("Give either quantity or serials.")
        return self


class SerialsMade(BaseModel):
    """What was made or taken in, in its order."""

    count: int
    model: int
    batch: str
    serials: list[str]


class SerialOut(BaseModel):
    """A serial number; `wholesaler` has or had it."""

    id: int
    serial: str
    model: int
    model_code: str
    model_name: str
    status: SerialStatus
    wholesaler: int | None
    wholesaler_name: str | None
    batch: str
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, number: SerialNumber) -> Self:
        """Show `number`."""
        return cls.model_validate(
            {
                "id": number.id,
                "serial": number.serial,
                "model": number.model_id,
                "model_code": number.model_code,
                "model_name": number.model_name,
                "status": number.status,
                "wholesaler": number.wholesaler_id,
                "wholesaler_name": number.wholesaler_name,
                "batch": number.batch,
                "created_at": number.created_at,
                "updated_at": number.updated_at,
            }
        )


class SerialChange(BaseModel):
    """What became of a battery; `in_stock` is for one that was returned and is as good as new."""

    status: Literal["returned", "scrapped", "in_stock"]
    reason: OptionalText = ""


class SerialEventOut(BaseModel):
    """Something that happened to a battery. `by`: the account that did it, where one did."""

    at: Time
    source: str
    kind: str
    by: int | None
    detail: dict[str, Any]

    @classmethod
    def of(cls, event: AssetEvent) -> Self:
        """Show `event`."""
        return cls(at=event.at, source=event.source, kind=event.kind, by=event.actor_id, detail=event.detail)


class SerialHistory(BaseModel):
    """A battery's history, the newest first."""

    serial: str
    history: list[SerialEventOut]


class AllocateIn(BaseModel):
    """A wholesaler, and either so many of a model, or exactly these serials of one model."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"wholesaler": 7, "model": 1, "quantity": 20}]})

    wholesaler: Reference
    model: Reference | None = None
    quantity: Quantity | None = None
    serials: Serials | None = None
    notes: Notes = ""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.serials is None) == (self.quantity is None):
            raise ValueError("Give either model and quantity, or serials.")
        if (self.quantity is None) != (self.model is None):
            raise ValueError("The model is needed with a quantity, and with nothing else.")
        return self


class AllocationOut(BaseModel):
    """Batteries of one model that went to a wholesaler; `open`: how many were not given back."""

    id: int
    wholesaler: int
    wholesaler_name: str
    model: int
    model_code: str
    model_name: str
    order: int | None
    quantity: int
    open: int
    notes: str
    created_at: Time

    @classmethod
    def of(cls, allocation: Allocation) -> Self:
        """Show `allocation`."""
        return cls.model_validate(_allocation(allocation))


class AllocationDetail(AllocationOut):
    """The same, with all its serials: also those that were given back."""

    serials: list[str]

    @classmethod
    def around(cls, allocation: Allocation, serials: Sequence[str]) -> Self:
        """Show `allocation`."""
        return cls.model_validate({**_allocation(allocation), "serials": list(serials)})


def _allocation(allocation: Allocation) -> Mapping[str, Any]:
    return {
        "id": allocation.id,
        "wholesaler": allocation.wholesaler_id,
        "wholesaler_name": allocation.wholesaler_name,
        "model": allocation.model_id,
        "model_code": allocation.model_code,
        "model_name": allocation.model_name,
        "order": allocation.order_id,
        "quantity": allocation.quantity,
        "open": allocation.open_count,
        "notes": allocation.notes,
        "created_at": allocation.created_at,
    }


class StockOut(BaseModel):
    """How many batteries of a model are in each state; a wholesaler's answer is of its own ones alone.

    `low_stock_threshold` and `is_low` are the maker's business: null for a wholesaler.
    """

    model: int
    model_code: str
    model_name: str
    in_stock: int
    allocated: int
    sold: int
    returned: int
    scrapped: int
    low_stock_threshold: int | None
    is_low: bool | None

    @classmethod
    def of(cls, stock: Stock, *, is_own: bool) -> Self:
        """Show `stock`; `is_own`: to a wholesaler."""
        return cls(
            model=stock.model_id,
            model_code=stock.code,
            model_name=stock.name,
            in_stock=stock.in_stock,
            allocated=stock.allocated,
            sold=stock.sold,
            returned=stock.returned,
            scrapped=stock.scrapped,
            low_stock_threshold=None if is_own else stock.low_stock_threshold,
            is_low=None if is_own else stock.in_stock <= stock.low_stock_threshold,
        )


class LowStockOut(BaseModel):
    """A model to make more of. `alerted_at`: when admins were told; null before its stock first changed."""

    model: int
    model_code: str
    model_name: str
    in_stock: int
    threshold: int
    alerted_at: Time | None

    @classmethod
    def of(cls, low: LowStock) -> Self:
        """Show `low`."""
        return cls(
            model=low.model_id,
            model_code=low.code,
            model_name=low.name,
            in_stock=low.in_stock,
            threshold=low.threshold,
            alerted_at=low.opened_at,
        )
