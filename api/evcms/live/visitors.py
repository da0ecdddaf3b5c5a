"""Who is at the other end of each socket, and until when; used by the hub alone."""

import time
from dataclasses import dataclass, field

import jwt

from api.callers import Caller
from storage.queries.live import Login

AUTHENTICATE_S = 10.0  # a socket that has not said who it is by then is dropped
SOCKETS_MAX = 10_000  # of one process
SOCKETS_OF_USER_MAX = 20
ROOMS_MAX = 100  # that one socket may be in at a time
MESSAGES_MAX = 200  # that one socket may send in a window
MESSAGES_WINDOW_S = 10.0


@dataclass(slots=True)
class Visitor:
    """One socket. `deadline` (monotonic): by when it must be authenticated; not asked while it is.

    `expires_us`: when its token ends, by the API's clock. `rooms`: those it asked for. `is_leaving`: it was
    turned away, and has until `deadline` to read why.
    """

    connection: str
    sid: str | None = None
    caller: Caller | None = None
    expires_us: int = 0
    deadline: float = field(default_factory=lambda: time.monotonic() + AUTHENTICATE_S)
    rooms: set[str] = field(default_factory=set)
    is_leaving: bool = False
    _window_end: float = 0.0
    _messages: int = 0

    def speaks(self, now: float) -> bool:
        """Count a message at `now` (monotonic); False beyond what one socket may send."""
        if now >= self._window_end:
            self._window_end, self._messages = now + MESSAGES_WINDOW_S, 0
        self._messages += 1
        return self._messages <= MESSAGES_MAX

    def is_known(self, now_us: int) -> bool:
        """Whether it is authenticated, by a token that is good at `now_us`."""
        return self.caller is not None and now_us < self.expires_us

    def forget(self) -> None:
        """Take the rights away; it has as long as a new socket to authenticate again."""
        self.caller, self.deadline = None, time.monotonic() + AUTHENTICATE_S
        self.rooms.clear()

    @property
    def login(self) -> Login:
        """What is to be checked of it again and again."""
        assert self.caller is not None
        user = self.caller.user
        return Login(user.id, user.role, user.token_version, self.caller.session)


class Visitors:
    """All sockets of this process, by the id of their connection."""

    def __init__(self) -> None:
        self._all: dict[str, Visitor] = {}

    def __len__(self) -> int:
        return len(self._all)

    def open(self, connection: str) -> Visitor | None:
        """Let a socket in; None where there are too many."""
        if len(self._all) >= SOCKETS_MAX:
            return None
        return self._all.setdefault(connection, Visitor(connection))

    def close(self, connection: str) -> None:
        """Forget a socket."""
        self._all.pop(connection, None)

    def get(self, connection: str) -> Visitor | None:
        """Return the visitor, or None for a socket that is gone."""
        return self._all.get(connection)

    def all(self) -> list[Visitor]:
        """All of them as of now."""
        return list(self._all.values())

    def sockets_of(self, user_id: int) -> int:
        """How many sockets this user has here."""
        return sum(each.caller is not None and each.caller.id == user_id for each in self._all.values())


def expiry_us(token: str) -> int:
    """When a token ends that was checked before; microseconds since 1970."""
    payload = jwt.decode(token, options={"verify_signature": False})
    return int(payload["exp"]) * 1_000_000
