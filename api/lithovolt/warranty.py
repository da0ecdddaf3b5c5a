"""Lithovolt warranties: /api/warranty (LI-015, LI-017, LI-X06, LI-X09)."""

import asyncio
from datetime import date, timedelta
from typing import Annotated, Literal

from fastapi import Query
from starlette.responses import Response

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.fields import Storable
from api.limits import too_many_requests
from api.lithovolt.callers import Admin, AnyUser, Consumer, WholesalerOrConsumer
from api.lithovolt.paging import Page, Pages
from api.lithovolt.schemas import Id, refused
from api.lithovolt.warranty_access import forged, refusals, scope_of, warranty_of
from api.lithovolt.warranty_schemas import (
    SERIAL_CHARACTERS_MAX,
    ActivationIn,
    LinkIn,
    VoidIn,
    WarrantyOut,
)
from api.phones import normalise_phone
from api.routing import Router
from api.uploaded_files import BINARY
from storage.database import Connection
from storage.queries import lithovolt_users, warranties
from storage.queries.warranties import Warranty
from stream.documents.certificate_pdf import draw_certificate
from stream.lending.terms import today
from stream.platform_settings import read_settings
from stream.warranty.activation import Customer, activate, certificate_of
from stream.warranty.certificates import draw_qr, is_genuine, verification_url
from stream.warranty.terms import Status, Terms

router = Router(prefix="/warranty")

PDF = "application/pdf"
QR_TYPES = {"png": "image/png", "svg": "image/svg+xml"}
WITHIN_DAYS_MAX = 3_650
OF_SERIAL_MAX = 20
_PRIVATE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


@router.post("/activate/", status_code=201)
async def activate_warranty(
    body: ActivationIn, caller: WholesalerOrConsumer, context: Ctx, db: Db
) -> WarrantyOut:
    """Begin the warranty of a battery that was sold, with the terms of its model as they are now.

    A wholesaler activates for a customer a battery that was allocated to him, which is sold then; a consumer
    one that was allocated or sold. A serial number has one warranty. A consumer has ten tries in 15 minutes.
    """
    await _count(context, caller)
    customer = await _customer(db, context, caller, body)
    with refusals():
        made = await activate(
            db,
            context.config.secret_key,
            body.serial,
            customer,
            purchased_on=body.purchase_date,
            by=caller.id,
            is_seller=caller.role == "wholesaler",
            now=context.now(),
        )
    return _shown(context, made)


@router.post("/link/")
async def link_warranty(body: LinkIn, caller: Consumer, context: Ctx, db: Db) -> WarrantyOut:
    """Take the warranty that a seller activated into one's account, by the signature on its certificate."""
    found = await warranties.warranties_of_serial(db, body.serial, OF_SERIAL_MAX)
    named = [each for each in found if each.certificate_number == body.certificate_number]
    if not named or not is_genuine(context.config.secret_key, certificate_of(named[0]), body.signature):
        raise forged()
    linked = await warranties.link_warranty(db, named[0].id, caller.id)
    if linked is None:
        raise refused("certificate_number", "This warranty is in another account already.")
    return _shown(context, linked)


@router.get("/")
async def list_warranties(
    caller: AnyUser,
    context: Ctx,
    db: Db,
    paging: Pages,
    status: Status | None = None,
    serial: Annotated[str | None, Query(max_length=SERIAL_CHARACTERS_MAX), Storable] = None,
    expires_within_days: Annotated[
        int | None, Query(ge=0, le=WITHIN_DAYS_MAX, description="Those that run, and end within so many days")
    ] = None,
    expires_from: date | None = None,
    expires_until: date | None = None,
) -> Page[WarrantyOut]:
    """List warranties, newest first: a consumer's own, those a wholesaler sold, for an admin all."""
    day = today(context.now())
    if expires_within_days is not None:
        status = status or "active"
        until = day + timedelta(days=expires_within_days)
        expires_until = until if expires_until is None else min(until, expires_until)
    found, count = await warranties.list_warranties(
        db,
        scope_of(caller),
        day,
        limit=paging.page_size,
        offset=paging.offset,
        status=status,
        serial=serial,
        expires_from=expires_from,
        expires_until=expires_until,
    )
    return Page[WarrantyOut].of([_shown(context, each) for each in found], count, paging)


@router.get("/{id}/")
async def get_warranty(warranty_id: Id, caller: AnyUser, context: Ctx, db: Db) -> WarrantyOut:
    """Show a warranty to its owner, its seller or an admin."""
    return _shown(context, await warranty_of(db, caller, warranty_id))


@router.post("/{id}/void/")
async def void_warranty(warranty_id: Id, body: VoidIn, caller: Admin, context: Ctx, db: Db) -> WarrantyOut:
    """End a warranty before its time; its serial number may have another one then."""
    warranty = await warranty_of(db, caller, warranty_id)
    if not await warranties.void_warranty(db, warranty.id, body.reason):
        raise refused("", f"The warranty {warranty.certificate_number} is void already.")
    return _shown(context, await warranty_of(db, caller, warranty_id))


@router.get(
    "/{id}/certificate/",
    response_class=Response,
    responses={200: {"description": "The PDF", "content": {PDF: BINARY}}},
)
async def certificate(warranty_id: Id, caller: AnyUser, context: Ctx) -> Response:
    """Download the signed certificate as PDF: for the owner, the seller or an admin."""
    async with context.pool.connection() as db:  # given back before it is drawn
        warranty = await warranty_of(db, caller, warranty_id)
        seller = (await read_settings(db)).general
    content = await asyncio.to_thread(
        draw_certificate,
        certificate_of(warranty),
        Terms.of(warranty.terms),
        warranty.signature,
        issued_at=warranty.activated_at,
        seller=seller,
        public_url=context.config.public_url,
    )
    name = f'attachment; filename="{warranty.certificate_number}.pdf"'
    return Response(content, media_type=PDF, headers={**_PRIVATE, "Content-Disposition": name})


@router.get(
    "/{id}/qr/",
    response_class=Response,
    responses={200: {"description": "The picture", "content": dict.fromkeys(QR_TYPES.values(), BINARY)}},
)
async def qr_code(
    warranty_id: Id,
    caller: AnyUser,
    context: Ctx,
    db: Db,
    kind: Annotated[Literal["png", "svg"], Query(alias="format")] = "png",
) -> Response:
    """Draw the QR code of a certificate: the address that says whether it is genuine."""
    warranty = await warranty_of(db, caller, warranty_id)
    url = verification_url(context.config.public_url, certificate_of(warranty), warranty.signature)
    return Response(draw_qr(url, kind), media_type=QR_TYPES[kind], headers=_PRIVATE)


def _shown(context: Context, warranty: Warranty) -> WarrantyOut:
    return WarrantyOut.of(warranty, context.config.public_url, context.now())


async def _count(context: Context, caller: Caller) -> None:
    """Count a consumer's tries: serial numbers follow each other, and anybody may register; raises 429."""
    if caller.role == "consumer":
        window = await context.limiter.lithovolt_try("activation", str(caller.id))
        if not window.is_within:
            raise too_many_requests(window)


async def _customer(db: Connection, context: Context, caller: Caller, body: ActivationIn) -> Customer:
    """The caller, or whom the wholesaler names: with an account whose e-mail is known to be its owner's."""
    phone, email = _phone(context, body.customer_phone), body.customer_email
    if caller.role == "consumer":
        own = caller.user
        return Customer(own.id, body.customer_name or own.name, phone or own.phone, email or own.email)
    if body.customer_name is None:
        raise refused("customer_name", "This field is required.")
    account = None if email is None else await lithovolt_users.find_account(db, email=email)
    is_theirs = account is not None and account.role == "consumer" and account.is_email_verified
    return Customer(account.id if account and is_theirs else None, body.customer_name, phone, email)


def _phone(context: Context, text: str | None) -> str | None:
    if text is None:
        return None
    phone = normalise_phone(text, context.config.phone_region)
    if phone is None:
        raise refused("customer_phone", "Enter a valid phone number.")
    return phone
