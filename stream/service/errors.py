"""Why a change of a ticket is refused; the Ienerzy API turns these into its answers."""

from stream.errors import StreamError


class TicketRefusedError(StreamError):
    """The ticket, or who is to do it, is not in a state for this: the message says what is."""


class NoTechnicianError(StreamError):
    """Nobody who is available has room for one more ticket (conflict C77)."""


class UnknownTechnicianError(StreamError):
    """The dealer has no such technician."""
