"""EV-CMS invoices: /api/v1/billing/invoices (EV-059 to EV-062), their PDF and their payment."""

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem, forbidden, not_found
from api.evcms.callers import FAMILY, Admin, AnyUser
from api.evcms.envelope import Answer, Done, Id, Paging
from api.evcms.idempotency import Keyed, Replay, once
from api.evcms.schemas.invoices import (
    InvoiceIn,
    InvoiceOut,
    InvoicePage,
    InvoiceStatus,
    NamedInvoice,
    SummaryOut,
)
from api.fields import parse_id
from api.routing import Router
from storage.database import Connection
from storage.errors import InsufficientFundsError
from storage.queries import admin_actions, invoices, users
from storage.queries.invoices import Invoice
from stream import invoicing
from stream.documents.invoice_pdf import render_invoice
from stream.notices import amount
from stream.notify import Kind, News, notify
from stream.platform_settings import read_settings

router = Router(prefix="/billing/invoices")

PDF = "application/pdf"


@router.get("")
async def list_invoices(
    caller: AnyUser,
    context: Ctx,
    db: Db,
    paging: Annotated[Paging, Depends()],
    status: InvoiceStatus | None = None,
) -> InvoicePage:
    """List invoices, newest first, with a summary of all of them: one's own, an admin everybody's."""
    user_id = None if caller.role == "admin" else caller.id
    now = context.now()
    found = await invoices.list_invoices(
        db, user_id=user_id, status=status, now=now, limit=paging.limit, offset=paging.offset
    )
    lines = await invoices.lines_of(db, [invoice.id for invoice in found])
    rows = [InvoiceOut.of(invoice, lines[invoice.id], now) for invoice in found]
    sums = await invoices.summarise(db, user_id, now)
    return InvoicePage(
        success=True,
        data=rows,
        invoices=rows,
        summary=SummaryOut.of(sums),
        pagination=paging.of(sums.count(status)),
    )


@router.get("/{id}")
async def get_invoice(invoice_id: Id, caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedInvoice]:
    """Show an invoice."""
    return await _named(context, db, await _invoice(db, caller, invoice_id))


@router.post("", status_code=201, response_model=Answer[NamedInvoice])
async def create_invoice(
    body: InvoiceIn, caller: Admin, context: Ctx, db: Db, keyed: Keyed
) -> Answer[NamedInvoice] | Replay:
    """Make an invoice: amounts are quantity times rate, the tax is GST as in the settings."""

    async def create() -> Answer[NamedInvoice]:
        user_id = parse_id(body.user_id)
        user = None if user_id is None else await users.get_user(db, user_id)
        if user is None or user.system != FAMILY:
            raise not_found("User", f"No user has the id {body.user_id}")
        invoice = await invoicing.issue(
            db,
            user.id,
            [item.item() for item in body.items],
            gst_basis_points=(await read_settings(db)).pricing.gst_basis_points,
            due_at=body.due_at(),
            created_by=caller.id,
            now=context.now(),
        )
        await _record(context, db, caller, invoice, "invoice.create")
        return await _named(context, db, invoice)

    return await once(db, keyed, caller.id, body, context.now(), create, status=201)


@router.post("/{id}/send")
async def send_invoice(invoice_id: Id, caller: Admin, context: Ctx, db: Db) -> Done:
    """Send an invoice to its user by e-mail, with the PDF; again as often as it is asked for."""
    invoice = await _invoice(db, caller, invoice_id, is_locked=True)
    if invoice.is_cancelled:
        raise Problem(400, "Invoice is cancelled", f"Invoice {invoice.invoice_number} is not to be paid")
    now = context.now()
    await invoices.mark_sent(db, invoice.id, now)
    values = {
        "number": invoice.invoice_number,
        "amount": amount(invoice.currency, invoice.total_minor),
        "due": invoice.due_at.astimezone(invoicing.ZONE).date().isoformat(),
    }
    news = News(
        f"invoice:{invoice.id}:{now.isoformat()}",
        Kind.INVOICE_SENT,
        values,
        {"invoiceId": str(invoice.id)},
        {"kind": "invoice", "id": invoice.id},
    )
    await notify(db, invoice.user_id, news, now)
    await _record(context, db, caller, invoice, "invoice.send")
    return Done.of(f"Invoice {invoice.invoice_number} is on its way by e-mail")


@router.post("/{id}/pay", response_model=Answer[NamedInvoice])
async def pay_invoice(
    invoice_id: Id, caller: AnyUser, context: Ctx, db: Db, keyed: Keyed
) -> Answer[NamedInvoice] | Replay:
    """Pay one's own invoice from the wallet, in full. A second time is refused (409) and moves nothing."""

    async def pay() -> Answer[NamedInvoice]:
        invoice = await _invoice(db, caller, invoice_id, is_locked=True)
        _refuse_unpayable(caller, invoice)
        minimum_minor = (await read_settings(db)).payment.min_wallet_balance_minor
        try:
            await invoicing.pay(db, invoice, minimum_minor, context.now())
        except InsufficientFundsError as error:
            details = f"{amount(invoice.currency, invoice.total_minor)} are needed: top up first"
            raise Problem(400, "Insufficient wallet balance", details) from error
        return await _named(context, db, await _invoice(db, caller, invoice_id))

    return await once(db, keyed, caller.id, None, context.now(), pay)


@router.post("/{id}/cancel")
async def cancel_invoice(invoice_id: Id, caller: Admin, context: Ctx, db: Db) -> Answer[NamedInvoice]:
    """Cancel an invoice that is not paid; it keeps its number."""
    invoice = await _invoice(db, caller, invoice_id, is_locked=True)
    if invoice.paid_at is not None:
        raise Problem(400, "Invoice is paid", f"Invoice {invoice.invoice_number} is paid: refund it instead")
    if invoice.is_cancelled:
        raise Problem(409, "Invoice is cancelled already", f"Invoice {invoice.invoice_number}")
    await invoices.cancel(db, invoice.id)
    await _record(context, db, caller, invoice, "invoice.cancel")
    return await _named(context, db, await _invoice(db, caller, invoice_id))


@router.get(
    "/{id}/pdf",
    response_class=Response,
    responses={
        200: {"description": "The PDF", "content": {PDF: {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def invoice_pdf(invoice_id: Id, caller: AnyUser, db: Db) -> Response:
    """Download an invoice, or the receipt of a charging session, as PDF."""
    invoice = await _invoice(db, caller, invoice_id)
    filename, content = await render_invoice(db, invoice.id)
    headers = {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "Cache-Control": "private, no-store",
    }
    return Response(content, media_type=PDF, headers=headers)


async def _invoice(db: Connection, caller: Caller, reference: str, *, is_locked: bool = False) -> Invoice:
    """Return the invoice with this id; raises 404, or 403 for one of somebody else's."""
    invoice_id = parse_id(reference)
    found = None if invoice_id is None else await invoices.get_invoice(db, invoice_id, is_locked=is_locked)
    if found is None:
        raise not_found("Invoice", f"No invoice has the id {reference}")
    if found.user_id != caller.id and caller.role != "admin":
        raise forbidden("This invoice is another user's")
    return found


def _refuse_unpayable(caller: Caller, invoice: Invoice) -> None:
    number = invoice.invoice_number
    if invoice.user_id != caller.id:
        raise forbidden("An invoice is paid from its own user's wallet, by that user")
    if invoice.is_cancelled:
        raise Problem(400, "Invoice is cancelled", f"Invoice {number} is not to be paid")
    if invoice.paid_at is not None:
        raise Problem(409, "Invoice is paid already", f"Invoice {number} was paid before")


async def _named(context: Context, db: Connection, invoice: Invoice) -> Answer[NamedInvoice]:
    lines = await invoices.lines_of(db, [invoice.id])
    return Answer.of(NamedInvoice.around(InvoiceOut.of(invoice, lines[invoice.id], context.now())))


async def _record(context: Context, db: Connection, caller: Caller, invoice: Invoice, action: str) -> None:
    await admin_actions.record_action(
        db,
        actor_id=caller.id,
        action=action,
        subject=f"invoice:{invoice.id}",
        detail={
            "number": invoice.invoice_number,
            "user_id": invoice.user_id,
            "total_minor": invoice.total_minor,
        },
        now=context.now(),
    )
