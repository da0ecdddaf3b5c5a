"""How the Lithovolt family words what stock and orders refuse, and whose things a caller reaches."""

from dataclasses import dataclass

from api.callers import Caller
from api.errors import FieldError, Problem
from stream.stock.errors import StockError


def refusal(error: StockError) -> Problem:
    """400: each fault by its field, or as a whole."""
    if not error.field:
        return Problem(400, "Refused", str(error))
    errors = [FieldError(error.field, fault) for fault in error.faults]
    return Problem(400, "Validation failed", str(error), errors=errors)


def invalid(field: str, message: str) -> Problem:
    """400: one field is not as it must be."""
    return Problem(400, "Validation failed", message, errors=[FieldError(field, message)])


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose things a caller sees: one wholesaler's, one consumer's, or, both None, everybody's."""

    wholesaler_id: int | None
    consumer_id: int | None


def reach(caller: Caller) -> Reach:
    """Return an admin's all, a wholesaler's own, a consumer's own."""
    match caller.role:
        case "admin":
            return Reach(None, None)
        case "wholesaler":
            return Reach(caller.id, None)
        case _:
            return Reach(None, caller.id)
