"""EV-CMS error bodies, for the documentation; `api.errors` renders them."""

from typing import Any, Literal

from pydantic import BaseModel


class FieldFault(BaseModel):
    """One field of a request that is not as it must be."""

    field: str
    message: str


class EvcmsError(BaseModel):
    """Every refusal but 429; `errors` only where fields are at fault."""

    success: Literal[False]
    message: str
    error: str
    statusCode: int  # noqa: N815 (the contract's name)
    errors: list[FieldFault] = []


class EvcmsRateLimited(BaseModel):
    """429; `retryAfter` in seconds."""

    success: Literal[False]
    message: str
    statusCode: int  # noqa: N815 (the contract's name)
    retryAfter: int  # noqa: N815 (the contract's name)


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": EvcmsError, "description": "Refused"},
    429: {"model": EvcmsRateLimited, "description": "Rate limit exceeded"},
}
