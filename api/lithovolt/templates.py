"""Templates of notifications, for admins: /api/notifications/templates/ (LI-X08)."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from api.context import Ctx, Db
from api.errors import Problem, not_found
from api.fields import Storable
from api.lithovolt.callers import Admin
from api.lithovolt.paging import Page, Pages
from api.lithovolt.schemas import Time, refused
from api.routing import Router
from storage.queries import notification_templates
from storage.queries.notification_templates import Template
from stream.lithovolt_kinds import CHANNELS, KINDS, Channel, Name
from stream.lithovolt_words import (
    BODY_CHARACTERS_MAX,
    SUBJECT_CHARACTERS_MAX,
    VALUE_CHARACTERS_MAX,
    TemplateRefusedError,
    Words,
    check,
    default_words,
    examples,
    fill,
)

router = Router(prefix="/notifications/templates")

VALUES_MAX = 20

KindId = Annotated[str, Path(alias="kind", examples=["order_approved"])]
ChannelId = Annotated[str, Path(alias="channel", examples=["email"])]
Subject = Annotated[str, Field(max_length=SUBJECT_CHARACTERS_MAX), Storable]
Body = Annotated[str, Field(min_length=1, max_length=BODY_CHARACTERS_MAX["email"]), Storable]
Value = Annotated[str, Field(max_length=VALUE_CHARACTERS_MAX), Storable]

_SUBJECT, _BODY = "Order {{ order_number }} is approved", "Invoice {{ invoice_number }}: INR {{ total }}."


class TemplateIn(BaseModel):
    """New words of a kind; only e-mail has a `subject`. With `version`, only if that is still the one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"subject": _SUBJECT, "body": _BODY}]})
    subject: Subject | None = None
    body: Body
    is_active: bool = True
    version: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class PreviewIn(BaseModel):
    """Words to look at, or those that hold; values for the variables, or their examples."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"values": {"order_number": "ORD-2024-1"}}]})
    subject: Subject | None = None
    body: Body | None = None
    values: Annotated[dict[Value, Value], Field(max_length=VALUES_MAX)] = {}


class TemplateOut(BaseModel):
    """The words that hold. `version` is 0 for our own; `variables` may be named, each with an example."""

    kind: str
    channel: Channel
    description: str
    subject: str | None
    body: str
    variables: dict[str, str]
    is_active: bool
    is_default: bool
    version: int
    updated_by: int | None
    updated_at: Time | None

    @classmethod
    def of(cls, kind: Name, channel: Channel, template: Template | None) -> "TemplateOut":
        """Show what was changed, or else our own words."""
        words = default_words(kind, channel) if template is None else Words(template.subject, template.body)
        return cls(
            kind=kind,
            channel=channel,
            description=KINDS[kind].description,
            subject=words.subject,
            body=words.body,
            variables=examples(kind),
            is_active=template is None or template.is_active,
            is_default=template is None,
            version=0 if template is None else template.version,
            updated_by=None if template is None else template.updated_by,
            updated_at=None if template is None else template.updated_at,
        )


class Preview(BaseModel):
    """The words filled in, as they would go out, and how many characters the body has."""

    subject: str | None
    body: str
    characters: int


@router.get("/")
async def list_templates(caller: Admin, db: Db, paging: Pages) -> Page[TemplateOut]:
    """List the words of every kind and channel, our own where nobody changed them."""
    changed = {(each.kind, each.channel): each for each in await notification_templates.list_templates(db)}
    every = [
        TemplateOut.of(kind, channel, changed.get((kind, channel))) for kind in KINDS for channel in CHANNELS
    ]
    return Page[TemplateOut].of(every[paging.offset : paging.offset + paging.page_size], len(every), paging)


@router.get("/{kind}/{channel}/")
async def get_template(kind: KindId, channel: ChannelId, caller: Admin, db: Db) -> TemplateOut:
    """Show the words of a kind for e-mail or SMS, and which variables they may name."""
    name, way = _which(kind, channel)
    return TemplateOut.of(name, way, await notification_templates.get_template(db, name, way))


@router.put("/{kind}/{channel}/")
async def update_template(
    kind: KindId, channel: ChannelId, body: TemplateIn, caller: Admin, context: Ctx, db: Db
) -> TemplateOut:
    """Change the words of a kind. A template that does not work is refused with the line and the reason.

    A template is text with `{{ variable }}`, `{{ variable | upper }}` and `{% if variable %} {% endif %}`.
    """
    name, way = _which(kind, channel)
    words = _words(way, body.subject, body.body)
    if not body.is_active and KINDS[name].opens_with is not None:
        raise refused("is_active", "Nobody could sign in without it: it cannot be switched off.")
    _check(name, way, words)
    template = await notification_templates.put_template(
        db,
        kind=name,
        channel=way,
        subject=words.subject,
        body=words.body,
        is_active=body.is_active,
        updated_by=caller.id,
        now=context.now(),
        version=body.version,
    )
    if template is None:
        raise refused("version", "Somebody has changed the template meanwhile: read it again.")
    return TemplateOut.of(name, way, template)


@router.delete("/{kind}/{channel}/")
async def reset_template(kind: KindId, channel: ChannelId, caller: Admin, db: Db) -> TemplateOut:
    """Take the changes back: our own words hold again, and are the answer."""
    name, way = _which(kind, channel)
    await notification_templates.delete_template(db, name, way)
    return TemplateOut.of(name, way, None)


@router.post("/{kind}/{channel}/preview/", status_code=200)
async def preview_template(
    kind: KindId, channel: ChannelId, body: PreviewIn, caller: Admin, db: Db
) -> Preview:
    """Fill in words without keeping or sending them."""
    name, way = _which(kind, channel)
    held = TemplateOut.of(name, way, await notification_templates.get_template(db, name, way))
    subject = body.subject if body.subject is not None else held.subject
    words = _words(way, subject, held.body if body.body is None else body.body)
    _check(name, way, words)
    try:
        filled = fill(words, {**examples(name), **body.values})
    except TemplateRefusedError as error:
        raise refused(error.field, str(error)) from error
    return Preview(subject=filled.subject, body=filled.body, characters=len(filled.body))


def _which(kind: str, channel: str) -> tuple[Name, Channel]:
    for name in KINDS:
        for way in CHANNELS:
            if (name, way) == (kind, channel):
                return name, way
    raise _unknown(kind, channel)


def _unknown(kind: str, channel: str) -> Problem:
    return not_found("Template", f"There is no template of {kind} for {channel}")


def _words(channel: Channel, subject: str | None, body: str) -> Words:
    if channel == "email" and subject is None:
        raise refused("subject", "An e-mail has a subject.")
    return Words(subject if channel == "email" else None, body)


def _check(kind: Name, channel: Channel, words: Words) -> None:
    try:
        check(kind, channel, words)
    except TemplateRefusedError as error:
        raise refused(error.field, str(error)) from error
