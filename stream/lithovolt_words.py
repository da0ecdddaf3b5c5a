"""Lithovolt's notifications: the words of each kind, which admins may change, filled in and sent.

`tell` is called in the transaction of the news, by the API and by jobs; `check` and `fill` by the endpoints
of the templates. What goes out goes by `stream.notices`: a row and an outbox task an address.

A template is Jinja without power: names of the kind's variables, a few filters, comparisons, and `if`. No
loops, calls or attributes, so that whoever may edit one can neither read anything nor occupy the server.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

import jinja2
import structlog
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import SandboxedEnvironment

from storage.database import Connection
from storage.queries import lithovolt_users, notification_templates
from storage.queries.notification_templates import Template
from stream.lithovolt_kinds import CHANNELS, KINDS, NAME_EXAMPLE, Channel, Name
from stream.notices import Message, enqueue

log = structlog.get_logger()

SUBJECT_CHARACTERS_MAX = 200
BODY_CHARACTERS_MAX: Mapping[Channel, int] = {"email": 5_000, "sms": 640}
VALUE_CHARACTERS_MAX = 1_000
FILLED_CHARACTERS_MAX: Mapping[Channel, int] = {"email": 20_000, "sms": 640}
COMPILED_MAX = 256  # templates kept ready
FILTERS = frozenset({"upper", "lower", "title", "capitalize", "trim", "default"})
_ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.Name, nodes.Const, nodes.Filter),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not),
)

_jinja = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


class TemplateRefusedError(Exception):
    """A template that cannot be used; the message says in which line and why. `field`: subject or body."""

    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(message)
        self.field = field_name


@dataclass(frozen=True, slots=True)
class Address:
    """Somebody without an account, as a customer of a wholesaler may be; `phone` in E.164."""

    name: str
    email: str | None = None
    phone: str | None = None

    def address(self, channel: Channel) -> str | None:
        """Where messages of a channel go."""
        return self.email if channel == "email" else self.phone


@dataclass(frozen=True, slots=True)
class Words:
    """A template, or what one was filled in to; only e-mail has a `subject`."""

    subject: str | None = field(repr=False)
    body: str = field(repr=False)


def default_words(kind: Name, channel: Channel) -> Words:
    """Return the words of a kind that nobody changed."""
    own = KINDS[kind]
    return Words(own.subject, own.email) if channel == "email" else Words(None, own.sms)


def examples(kind: Name) -> dict[str, str]:
    """Return what the templates of a kind may name, each with an example."""
    return {"name": NAME_EXAMPLE, **KINDS[kind].variables}


def check(kind: Name, channel: Channel, words: Words) -> None:
    """Raise `TemplateRefusedError` for words that could not be filled in, or could do more than that."""
    if words.subject is not None:
        _check_text(kind, "subject", words.subject, SUBJECT_CHARACTERS_MAX)
    _check_text(kind, "body", words.body, BODY_CHARACTERS_MAX[channel])
    filled, secret = fill(words, examples(kind)), KINDS[kind].opens_with
    for where, text in (("subject", filled.subject), ("body", filled.body)):
        if text == "":
            raise TemplateRefusedError(where, "is empty when it is filled in")
    if secret is not None and examples(kind)[secret] not in filled.body:
        raise TemplateRefusedError("body", f"must name {secret!r}: nobody could go on without it")
    if secret is not None and examples(kind)[secret] in (filled.subject or ""):
        raise TemplateRefusedError("subject", f"must not name {secret!r}: subjects are kept")


def fill(words: Words, values: Mapping[str, str]) -> Words:
    """Fill in a template; what is too long is cut. Raises `TemplateRefusedError`."""
    if words.subject is None:
        return Words(None, _fill_text("body", words.body, values, FILLED_CHARACTERS_MAX["sms"]))
    subject = _fill_text("subject", words.subject, values, SUBJECT_CHARACTERS_MAX)
    return Words(
        " ".join(subject.split()), _fill_text("body", words.body, values, FILLED_CHARACTERS_MAX["email"])
    )


async def tell(
    connection: Connection,
    recipient: int | Address,
    kind: Name,
    values: Mapping[str, object],
    now: datetime,
    key: str | None = None,
    *,
    channels: Collection[Channel] = CHANNELS,
) -> None:
    """Tell an account (by id), or somebody without one, by each of `channels` that there is an address for.

    `values` has each variable of the kind; None is nothing to say. `key` names the fact within its kind, so
    that nobody hears of it twice: without one, the values do. Raises ValueError for a value that is missing.
    """
    user_id, who = await _addressee(connection, recipient)
    if who is None:
        log.warning("notification_without_recipient", kind=kind, user=user_id)
        return
    texts = _texts(kind, {"name": who.name, **values})
    changed = await notification_templates.templates_of(connection, kind)
    for channel in channels:
        address, template = who.address(channel), changed.get(channel)
        if not address or (template is not None and not template.is_active):
            continue
        filled = _filled(kind, channel, template, texts)
        message = Message(
            f"lithovolt:{kind}:{key or _digest(values)}",
            kind,
            channel,
            address,
            filled.body,
            subject=filled.subject,
            has_secret=KINDS[kind].opens_with is not None,
        )
        await enqueue(connection, user_id, message, now)


async def _addressee(connection: Connection, recipient: int | Address) -> tuple[int | None, Address | None]:
    if isinstance(recipient, Address):
        return None, recipient
    account = await lithovolt_users.get_account(connection, recipient)
    who = None if account is None else Address(account.name, account.email or None, account.phone)
    return recipient, who


def _texts(kind: Name, values: Mapping[str, object]) -> dict[str, str]:
    missing = examples(kind).keys() - values.keys()
    if missing:
        raise ValueError(f"the notification {kind} lacks values: {', '.join(sorted(missing))}")
    return {
        name: "" if value is None else str(value)[:VALUE_CHARACTERS_MAX] for name, value in values.items()
    }


def _filled(kind: Name, channel: Channel, template: Template | None, texts: Mapping[str, str]) -> Words:
    """A row that does not work, however it came to be, must not keep the news from anybody."""
    if template is not None:
        try:
            return fill(Words(template.subject, template.body), texts)
        except TemplateRefusedError as error:
            log.error(
                "notification_template_broken",
                kind=kind,
                channel=channel,
                error=str(error),
                action="default used",
            )
    return fill(default_words(kind, channel), texts)


def _digest(values: Mapping[str, object]) -> str:
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_text(kind: Name, where: str, text: str, characters_max: int) -> None:
    if len(text) > characters_max:
        raise TemplateRefusedError(where, f"has {len(text)} characters, at most {characters_max} are allowed")
    try:
        tree = _jinja.parse(text)
    except TemplateSyntaxError as error:
        raise TemplateRefusedError(where, f"line {error.lineno}: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise TemplateRefusedError(where, f"cannot be read: {error}") from error
    known = examples(kind)
    for node in _descendants(tree):
        said = _objection(node, known)
        if said is not None:
            raise TemplateRefusedError(where, f"line {node.lineno}: {said}")


def _descendants(tree: nodes.Node) -> Iterator[nodes.Node]:
    """All nodes, the first in the text first."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(list(node.iter_child_nodes()))


def _objection(node: nodes.Node, known: Collection[str]) -> str | None:
    if not isinstance(node, _ALLOWED):
        return f"{type(node).__name__.lower()} is not allowed here: use names, filters and if"
    if isinstance(node, nodes.Name) and (node.name not in known or node.ctx != "load"):
        return f"there is no {node.name!r} here: use {', '.join(sorted(known))}"
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        return f"the filter {node.name!r} is not allowed here: use {', '.join(sorted(FILTERS))}"
    return None


@lru_cache(maxsize=COMPILED_MAX)
def _compiled(text: str) -> jinja2.Template:
    return _jinja.from_string(text)


def _fill_text(where: str, text: str, values: Mapping[str, str], characters_max: int) -> str:
    try:
        return _compiled(text).render(values).strip()[:characters_max]
    except TemplateSyntaxError as error:
        raise TemplateRefusedError(where, f"line {error.lineno}: {error.message}") from error
    # what Python's own compiler refuses (nested too deep), and comparisons of a text with a number
    except (TemplateError, SyntaxError, RecursionError, MemoryError, ValueError, TypeError) as error:
        raise TemplateRefusedError(where, f"cannot be filled in: {error}") from error
