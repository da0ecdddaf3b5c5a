"""What a password of this family must be, and temporary ones; used by the sign-in and the portal."""

import secrets
import string
from collections.abc import Callable, Sequence

CHARACTERS_MIN = 8
CHARACTERS_MAX = 128
TEMPORARY_CHARACTERS = 10
# Without those that people take for one another when they read it to somebody.
_ALPHABET = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lI")))


def shortcomings(password: str) -> list[str]:
    """Return what the password lacks (rule R608), in words; [] for a good one."""
    lacking = {
        f"at least {CHARACTERS_MIN} characters": len(password) < CHARACTERS_MIN,
        f"at most {CHARACTERS_MAX} characters": len(password) > CHARACTERS_MAX,
        "at least one uppercase letter": not any(character.isupper() for character in password),
        "at least one lowercase letter": not any(character.islower() for character in password),
        "at least one number": not any(character.isdigit() for character in password),
    }
    return [words for words, is_lacking in lacking.items() if is_lacking]


def temporary_password(choose: Callable[[Sequence[str]], str] = secrets.choice) -> str:
    """Return a random password that is itself a good one (rule R610); `choose` draws one character."""
    while True:
        password = "".join(choose(_ALPHABET) for _ in range(TEMPORARY_CHARACTERS))
        if not shortcomings(password):
            return password
