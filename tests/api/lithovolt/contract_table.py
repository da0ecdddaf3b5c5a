"""The Lithovolt family as a table: its 19 rows, what the 12 things without a path became, and the rest.

Used by the tests that call every endpoint. A line is

    id method path | statuses | subject | body | answer

- id: LI-001 to LI-019 of the contract, LI-X01 to LI-X12 of what it describes without a path, and `also` for
  what a client needs beside them;
- statuses: what admin, wholesaler, the other wholesaler, consumer, the other consumer and nobody get. A
  thing of the path is the wholesaler's and the consumer's, never the other ones';
- subject: what the path is about, as `contract_world.World.make` makes it; `-` where it is of nothing;
- body: names, `?` for those that may be left out;
- answer: an object of `OBJECTS`, `page` of them, or the media type of a file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.api.shapes import DAY, TIME, Maybe

ROWS_EXPECTED = 19
UNPATHED_EXPECTED = 12
CALLERS = ("admin", "wholesaler", "rival", "consumer", "stranger", None)

TABLE = """
LI-001 POST /api/auth/register/ | 201 201 201 201 201 201 | - | email password first_name last_name? phone? role? company? gstin? address? | user
LI-002 POST /api/auth/login/ | 200 200 200 200 200 200 | - | email password | signed_in
LI-003 POST /api/auth/otp/send/ | 200 200 200 200 200 200 | - | phone? email? | detail
LI-004 POST /api/auth/otp/verify/ | 200 200 200 200 200 200 | - | phone? email? otp | signed_in
LI-005 POST /api/auth/token/refresh/ | 200 200 200 200 200 200 | - | refresh | tokens
LI-006 GET /api/inventory/models/ | 200 200 200 200 200 401 | - | | page model
LI-007 POST /api/inventory/models/ | 201 403 403 403 403 401 | - | name code chemistry? nominal_voltage_v capacity_ah description? price tax_percent? hsn_code? warranty_months warranty_terms? low_stock_threshold? is_active? | model
LI-008 GET /api/inventory/serials/ | 200 200 200 200 200 401 | - | | page serial
LI-009 POST /api/inventory/serials/ | 201 403 403 403 403 401 | - | model quantity? serials? batch? | made
LI-010 POST /api/inventory/allocate/ | 201 403 403 403 403 401 | - | wholesaler model? quantity? serials? notes? | allocation
LI-011 GET /api/orders/ | 200 200 200 403 403 401 | - | | page order
LI-012 POST /api/orders/ | 403 201 201 403 403 401 | - | items notes? | order_detail
LI-013 PATCH /api/orders/{id}/approve/ | 200 403 403 403 403 401 | order | | order_detail
LI-014 GET /api/orders/{id}/invoice/ | 200 200 404 403 403 401 | approved order | | application/pdf
LI-015 POST /api/warranty/activate/ | 403 201 400 201 201 401 | - | serial customer_name? customer_phone? customer_email? purchase_date? | warranty
LI-016 GET /api/warranty/verify/{serial}/ | 200 200 200 200 200 200 | sold serial | | verification
LI-017 GET /api/warranty/{id}/certificate/ | 200 200 404 200 404 401 | warranty | | application/pdf
LI-018 GET /api/docs/ | 200 200 200 200 200 200 | - | | text/html
LI-019 GET /api/redoc/ | 200 200 200 200 200 200 | - | | text/html
LI-X01 POST /api/auth/password/reset/ | 200 200 200 200 200 200 | - | email | detail
LI-X01 POST /api/auth/password/reset/confirm/ | 200 200 200 200 200 200 | - | token password | detail
LI-X01 POST /api/auth/password/change/ | 200 200 200 200 200 401 | - | current_password new_password | detail
LI-X02 GET /api/users/me/ | 200 200 200 200 200 401 | - | | user
LI-X02 PATCH /api/users/me/ | 200 200 200 200 200 401 | - | first_name? last_name? phone? company? gstin? address? | user
LI-X03 GET /api/users/ | 200 403 403 403 403 401 | - | | page user
LI-X03 POST /api/users/ | 201 403 403 403 403 401 | - | email role first_name last_name? phone? company? gstin? address? password? | user
LI-X03 GET /api/users/{id}/ | 200 403 403 403 403 401 | user | | user
LI-X03 PATCH /api/users/{id}/ | 200 403 403 403 403 401 | user | first_name? last_name? phone? company? gstin? address? role? status? status_reason? is_approved? | user
LI-X04 GET /api/inventory/low-stock/ | 200 403 403 403 403 401 | - | | page low_stock
LI-X04 GET /api/inventory/stock/ | 200 200 200 403 403 401 | - | | page stock
LI-X05 GET /api/orders/{id}/ | 200 200 404 403 403 401 | order | | order_detail
LI-X06 GET /api/warranty/ | 200 200 200 200 200 401 | - | | page warranty
LI-X06 GET /api/warranty/{id}/ | 200 200 404 200 404 401 | warranty | | warranty
LI-X06 POST /api/warranty/{id}/void/ | 200 403 403 403 403 401 | warranty | reason | warranty
LI-X06 POST /api/warranty/link/ | 403 403 403 200 200 401 | - | serial certificate_number signature | warranty
LI-X07 GET /api/warranty/claims/ | 200 200 200 200 200 401 | - | | page claim
LI-X07 POST /api/warranty/claims/ | 403 201 400 201 400 401 | - | warranty issue description | claim_detail
LI-X07 GET /api/warranty/claims/{id}/ | 200 200 404 200 404 401 | claim | | claim_detail
LI-X07 PATCH /api/warranty/claims/{id}/ | 200 200 404 200 404 401 | claim | status? note? resolution? replacement_serial? | claim_detail
LI-X07 GET /api/warranty/claims/{id}/plots/soc.png/ | 200 200 404 200 404 401 | claim | | image/png
LI-X07 POST /api/warranty/claims/{id}/files/ | 201 201 404 201 404 401 | claim | | file
LI-X07 GET /api/warranty/claims/{id}/files/1/ | 200 200 404 200 404 401 | first claim | | image/png
LI-X08 GET /api/notifications/templates/ | 200 403 403 403 403 401 | - | | page template
LI-X08 GET /api/notifications/templates/order_approved/email/ | 200 403 403 403 403 401 | - | | template
LI-X08 PUT /api/notifications/templates/order_approved/email/ | 200 403 403 403 403 401 | - | subject? body is_active? version? | template
LI-X08 DELETE /api/notifications/templates/order_approved/email/ | 200 403 403 403 403 401 | - | | template
LI-X08 POST /api/notifications/templates/order_approved/email/preview/ | 200 403 403 403 403 401 | - | subject? body? values? | preview
LI-X09 GET /api/warranty/{id}/qr/ | 200 200 404 200 404 401 | warranty | | image/png
LI-X10 PATCH /api/orders/{id}/reject/ | 200 403 403 403 403 401 | order | reason | order_detail
LI-X10 PATCH /api/orders/{id}/cancel/ | 403 200 404 403 403 401 | order | reason? | order_detail
LI-X11 GET /api/inventory/allocations/ | 200 200 200 403 403 401 | - | | page allocation_row
LI-X11 GET /api/inventory/allocations/{id}/ | 200 200 404 403 403 401 | allocation | | allocation
LI-X11 POST /api/inventory/allocations/{id}/release/ | 200 403 403 403 403 401 | allocation | | allocation
LI-X12 GET /api/schema/ | 200 200 200 200 200 200 | - | | application/json
also GET /api/inventory/models/{id}/ | 200 200 200 200 200 401 | model | | model
also PATCH /api/inventory/models/{id}/ | 200 403 403 403 403 401 | model | name? chemistry? nominal_voltage_v? capacity_ah? description? price? tax_percent? hsn_code? warranty_months? warranty_terms? low_stock_threshold? is_active? | model
also POST /api/inventory/serials/import/ | 201 403 403 403 403 401 | - | | made
also GET /api/inventory/serials/{serial}/ | 200 200 404 200 404 401 | sold serial | | serial
also PATCH /api/inventory/serials/{serial}/ | 200 403 403 403 403 401 | sold serial | status reason? | serial
also GET /api/inventory/serials/{serial}/history/ | 200 200 404 200 404 401 | sold serial | | history
also GET /api/warranty/public-key/ | 200 200 200 200 200 200 | - | | public_key
"""  # noqa: E501 (a line of the table is an endpoint)

# Fields of an object and what they are: one of `KINDS`, or another object; `*` for an array of them, `?`
# where it may be null.
_USER = (
    "id:int email:text phone:text? role:text first_name:text last_name:text company:text gstin:text"
    " address:text is_approved:bool is_email_verified:bool status:text status_reason:text? created_at:time"
)
_ORDER = (
    "id:int order_number:text buyer:int buyer_name:text status:text items:*item subtotal:money tax:money"
    " total:money notes:text reason:text? invoice_number:text? created_at:time decided_at:time?"
)
_ALLOCATION = (
    "id:int wholesaler:int wholesaler_name:text model:int model_code:text model_name:text order:int?"
    " quantity:int open:int notes:text created_at:time"
)
_CLAIM = (
    "id:int claim_number:text warranty:int certificate_number:text serial:text claimant_id:int issue:text"
    " description:text status:text verdict:text resolution:text? replacement_serial:text? decided_at:time?"
    " created_at:time updated_at:time"
)
OBJECTS = {
    "detail": "detail:text",
    "user": _USER,
    "tokens": "access:text refresh:text",
    "signed_in": "access:text refresh:text user:user",
    "model": "id:int name:text code:text chemistry:text nominal_voltage_v:money capacity_ah:money"
    " description:text price:money? tax_percent:money hsn_code:text warranty_months:int warranty_terms:object"
    " low_stock_threshold:int is_active:bool created_at:time updated_at:time",
    "serial": "id:int serial:text model:int model_code:text model_name:text status:text wholesaler:int?"
    " wholesaler_name:text? batch:text created_at:time updated_at:time",
    "made": "count:int model:int batch:text serials:*text",
    "allocation_row": _ALLOCATION,
    "allocation": f"{_ALLOCATION} serials:*text",
    "item": "model:int model_code:text model_name:text hsn_code:text quantity:int price:money"
    " tax_percent:money amount:money tax:money",
    "order": _ORDER,
    "order_detail": f"{_ORDER} history:*step",
    "step": "status:text at:time by:int? reason:text?",
    "low_stock": "model:int model_code:text model_name:text in_stock:int threshold:int alerted_at:time?",
    "stock": "model:int model_code:text model_name:text in_stock:int allocated:int sold:int returned:int"
    " scrapped:int low_stock_threshold:int? is_low:bool?",
    "warranty": "id:int certificate_number:text serial:text model:text status:text starts_on:date"
    " expires_on:date days_left:int? terms:terms customer_name:text customer_phone:text?"
    " customer_email:text? consumer_id:int? seller_id:int? seller:text? void_reason:text? activated_at:time"
    " verification_url:text",
    "terms": "months:int limits:object",
    "verification": "serial:text model:text status:text starts_on:date? expires_on:date?"
    " certificate_number:text? signature:text?",
    "public_key": "algorithm:text public_key:text pem:text fields:*text",
    "claim": _CLAIM,
    "claim_detail": f"{_CLAIM} evidence:evidence plots:object events:*event files:*file",
    "evidence": "since:time until:time samples:int is_cut:bool first_at:time? last_at:time? verdict:text"
    " text:text findings:*finding alarms:*object",
    "finding": "name:text limit_name:text limit:number? unit:text samples:int seconds:number worst:number?"
    " first_at:time? last_at:time? verdict:text?",
    "event": "kind:text actor_id:int? detail:object at:time",
    "file": "id:int name:text mimetype:text size_bytes:int uploaded_by:int uploaded_at:time url:text",
    "template": "kind:text channel:text description:text subject:text? body:text variables:object"
    " is_active:bool is_default:bool version:int updated_by:int? updated_at:time?",
    "preview": "subject:text? body:text characters:int",
    "history": "serial:text history:*told",
    "told": "at:time source:text kind:text by:int? detail:object",
}
KINDS: dict[str, Any] = {
    "int": int,
    "number": float,
    "bool": bool,
    "text": str,
    "money": re.compile(r"\d+\.\d\d"),
    "time": TIME,
    "date": DAY,
    "object": Mapping,
}


def shape_of(kind: str) -> Any:
    """The form of a field or an object, as `tests.api.shapes` has it."""
    if kind.endswith("?"):
        return Maybe(shape_of(kind[:-1]))
    if kind.startswith("*"):
        return [shape_of(kind[1:])]
    if kind in KINDS:
        return KINDS[kind]
    fields = (field.split(":") for field in OBJECTS[kind].split())
    return {name: shape_of(of) for name, of in fields}


def page_of(kind: str) -> Any:
    """The form of the first page of a list (conflict C91)."""
    return {"count": int, "next": Maybe(str), "previous": None, "results": [shape_of(kind)]}


@dataclass(frozen=True, slots=True)
class Row:
    """An endpoint; `statuses` in the order of `CALLERS`."""

    id: str
    method: str
    path: str
    statuses: tuple[int, ...]
    subject: str | None
    body: tuple[str, ...]
    answer: str

    @property
    def name(self) -> str:
        """What it is, for whoever reads of a fault."""
        return f"{self.id} {self.method} {self.path}"

    @property
    def is_public(self) -> bool:
        """Whether nobody needs a token for it."""
        return self.statuses[-1] != 401

    @property
    def success(self) -> int:
        """The status of what is done."""
        return min(self.statuses)

    @property
    def caller(self) -> str | None:
        """Somebody who may call it, the owner of the things where he may."""
        for name in ("consumer", "wholesaler", "admin"):
            if self.statuses[CALLERS.index(name)] == self.success:
                return name
        raise AssertionError(self.name)

    @property
    def required(self) -> list[str]:
        """Names of the body that must be there."""
        return [name for name in self.body if not name.endswith("?")]

    @property
    def fields(self) -> list[str]:
        """All names of the body."""
        return [name.removesuffix("?") for name in self.body]

    @property
    def is_auth(self) -> bool:
        """Whether the slash at its end is what tells it from another family's (conflict C01)."""
        return self.path.startswith("/api/auth/")

    @property
    def is_changing(self) -> bool:
        """Whether each call needs a subject of its own."""
        return self.method != "GET"

    def url(self, subject: str = "") -> str:
        """The path with this id or serial in its place."""
        return re.sub(r"\{.*?\}", subject, self.path)


def _row(line: str) -> Row:
    head, statuses, subject, body, answer = (part.strip() for part in line.split("|"))
    row_id, method, path = head.split()
    return Row(
        row_id,
        method,
        path,
        tuple(int(status) for status in statuses.split()),
        None if subject == "-" else subject,
        tuple(body.split()),
        answer,
    )


CONTRACT = [_row(line) for line in TABLE.strip().splitlines()]

# Queries that are refused with a 400 that names them; those of pages are refused at every list.
INVALID_QUERIES = [
    ("/api/inventory/models/", "is_active", "x"),
    ("/api/inventory/serials/", "model", "0"),
    ("/api/inventory/serials/", "status", "lost"),
    ("/api/inventory/serials/", "wholesaler", "x"),
    ("/api/inventory/allocations/", "order", "-1"),
    ("/api/inventory/allocations/", "wholesaler", "9" * 30),
    ("/api/orders/", "status", "x"),
    ("/api/orders/", "buyer", "x"),
    ("/api/orders/", "date_from", "2026-02-30"),
    ("/api/orders/", "date_to", "0001-01-01"),
    ("/api/users/", "role", "x"),
    ("/api/users/", "status", "x"),
    ("/api/users/", "is_approved", "x"),
    ("/api/users/", "search", ""),
    ("/api/warranty/", "status", "x"),
    ("/api/warranty/", "expires_within_days", "-1"),
    ("/api/warranty/", "expires_from", "x"),
    ("/api/warranty/claims/", "status", "x"),
    ("/api/warranty/claims/", "warranty", "x"),
    ("/api/warranty/1/qr/", "format", "gif"),
]
