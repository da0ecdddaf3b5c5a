"""What a language has to bring; used by the languages and by the renderer."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """Jinja templates of one kind of news. `title` is also an e-mail's subject; no `mail`: the message."""

    title: str
    message: str
    mail: str | None = None


@dataclass(frozen=True, slots=True)
class Language:
    """`words` by kind. `greeting` knows {name}, `closing` {site} and {support}: both of every e-mail."""

    code: str
    words: Mapping[str, Words]
    greeting: str
    closing: str
