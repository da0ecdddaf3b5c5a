"""The local authorisation list of a simulated charger (OCPP 1.6 section 4.2, OCPP 2.0.1 part 2, D01).

Used by `simulators.connector`, which asks it, and by the commands, which fill it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

LENGTH_MAX = 10_000


class LocalList:
    """Tokens and what is known of them, with the version that the central system gave."""

    def __init__(self) -> None:
        self.version = 0
        self._statuses: dict[str, str] = {}

    def __len__(self) -> int:
        """How many tokens it knows."""
        return len(self._statuses)

    def status(self, token: str) -> str | None:
        """The AuthorizationStatus of a token; None for one that is not in the list."""
        return self._statuses.get(token)

    def update(self, version: int, entries: Sequence[tuple[str, str | None]], *, is_full: bool) -> str:
        """Take a list or its changes: (token, status), where None takes the token out.

        Returns the UpdateStatus (1.6 section 7.51, SendLocalListStatusEnumType).
        """
        if not is_full and version <= self.version:
            return "VersionMismatch"
        statuses = {} if is_full else dict(self._statuses)
        for token, status in entries:
            if status is not None:
                statuses[token] = status
            elif is_full:
                return "Failed"  # a full list has no one to take out
            else:
                statuses.pop(token, None)
        if len(statuses) > LENGTH_MAX:
            return "Failed"
        self._statuses, self.version = statuses, version
        return "Accepted"

    def forget(self, token: str) -> None:
        """Clear what is known of a customer (N10 of 2.x)."""
        self._statuses.pop(token, None)


def entries_of(listed: Sequence[Mapping[str, Any]], token: str, info: str) -> list[tuple[str, str | None]]:
    """(token, status) of the entries of a request, whose fields have those names."""
    found: list[tuple[str, str | None]] = []
    for entry in listed:
        name = entry[token] if isinstance(entry[token], str) else entry[token]["idToken"]
        found.append((name, entry[info]["status"] if info in entry else None))
    return found
