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


# `api.limits` sends them with every answer below /api/v1.
_LIMITS: dict[str, Any] = {
    "X-RateLimit-Limit": {
        "description": "Requests that an address has in a window",
        "schema": {"type": "integer"},
    },
    "X-RateLimit-Remaining": {"description": "What is left of them", "schema": {"type": "integer"}},
    "X-RateLimit-Reset": {
        "description": "When the window ends, Unix time in seconds",
        "schema": {"type": "integer"},
    },
}


def refusal(status: int, description: str, message: str, error: str, **more: Any) -> dict[str, Any]:
    """Document a refusal, with an example of its body."""
    example = {"success": False, "message": message, "error": error, "statusCode": status, **more}
    return {
        "model": EvcmsError,
        "description": description,
        "content": {"application/json": {"example": example}},
    }


RESPONSES: dict[int | str, dict[str, Any]] = {
    400: refusal(400, "Not possible as things stand, or not JSON", "Insufficient balance", "Top up first"),
    401: refusal(
        401,
        "No token, or one that has ended",
        "Authentication required",
        "Valid JWT token is required",
    ),
    403: refusal(
        403,
        "Not this caller's, or not for his role",
        "Access denied",
        "Insufficient permissions for this operation",
    ),
    404: refusal(404, "There is no such thing", "Station not found", "No station has the id 7"),
    409: refusal(409, "There already, or taken", "Slot taken", "The connector is booked at this time"),
    422: refusal(
        422,
        "Fields are not as they must be",
        "Validation failed",
        "email: Invalid email format",
        errors=[{"field": "email", "message": "Invalid email format"}],
    ),
    429: {
        "model": EvcmsRateLimited,
        "description": "Rate limit exceeded",
        "headers": {
            **_LIMITS,
            "Retry-After": {"description": "Seconds", "schema": {"type": "integer"}},
        },
        "content": {
            "application/json": {
                "example": {
                    "success": False,
                    "message": "Too many requests, please try again later",
                    "statusCode": 429,
                    "retryAfter": 840,
                }
            }
        },
    },
    500: refusal(
        500,
        "The server failed",
        "Internal server error",
        "The server failed to answer; it is in its log",
    ),
}
# For what nobody counts: files, and the webhooks of payment providers.
UNLIMITED = {status: each for status, each in RESPONSES.items() if status != 429}
