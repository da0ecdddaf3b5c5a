"""The words of all that EV-CMS users are told, and the look of an e-mail.

Used by `stream.notify` (words) and `stream.notices` (e-mail, as it is sent).

Values are data, never templates: what a user or an admin wrote is printed as it is, and escaped in HTML.

To add a language: a module like `en`, and its line in `LANGUAGES`. Users choose by `preferences.language`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment

from stream.templates.en import ENGLISH
from stream.templates.words import Language

LANGUAGES: Mapping[str, Language] = {ENGLISH.code: ENGLISH}

_TEXT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_HTML = SandboxedEnvironment(undefined=StrictUndefined, autoescape=True, trim_blocks=True)

_LAYOUT = _HTML.from_string("""\
<!doctype html>
<html lang="{{ language }}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{ subject }}</title>
</head>
<body style="margin:0;background:#f4f5f7;font-family:Arial,Helvetica,sans-serif;color:#1f2933">
<div style="max-width:560px;margin:24px auto;padding:24px;background:#ffffff;border-radius:8px">
<h1 style="font-size:20px;margin:0 0 16px">{{ subject }}</h1>
<p style="font-size:15px;line-height:1.5">{{ greeting }}</p>
{% for paragraph in paragraphs %}
<p style="font-size:15px;line-height:1.5;white-space:pre-line">{{ paragraph | urlize }}</p>
{% endfor %}
<p style="font-size:12px;color:#6b7785;margin-top:24px">{{ closing }}</p>
</div>
</body>
</html>
""")


@dataclass(frozen=True, slots=True)
class Rendered:
    """`title` and `message` for the app, a text message and push; `mail` is the text of an e-mail."""

    title: str
    message: str
    mail: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail as it is read: plain text, and the same as HTML."""

    text: str = field(repr=False)
    html: str = field(repr=False)


def language_of(code: object) -> Language:
    """Return the language of this code, as in "en" or "en-IN"; English for all that there is none of."""
    return LANGUAGES.get(str(code).lower().split("-", maxsplit=1)[0], ENGLISH)


@cache
def _compiled(code: str, kind: str) -> tuple[Template, Template, Template]:
    words = LANGUAGES[code].words[kind]
    mail = words.message if words.mail is None else words.mail
    return _TEXT.from_string(words.title), _TEXT.from_string(words.message), _TEXT.from_string(mail)


def render(kind: str, values: Mapping[str, str], language: Language = ENGLISH) -> Rendered:
    """Fill in the words of `kind`. Raises `jinja2.UndefinedError` for a value that they need and lack."""
    title, message, mail = (each.render(values).strip() for each in _compiled(language.code, kind))
    return Rendered(title, message, mail)


def letter(subject: str, body: str, *, name: str, site: str, support: str, language: Language) -> Letter:
    """Lay out an e-mail around `body`, whose paragraphs stand between empty lines.

    Addresses in `body` become links. Those in the greeting do not: whoever registers chooses the name, and
    whom it is sent to.
    """
    greeting = language.greeting.format(name=name)
    closing = language.closing.format(site=site, support=support)
    html = _LAYOUT.render(
        language=language.code,
        subject=subject,
        greeting=greeting,
        paragraphs=body.split("\n\n"),
        closing=closing,
    )
    return Letter(f"{greeting}\n\n{body}\n\n{closing}\n", html)
