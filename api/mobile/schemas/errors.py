"""Error bodies of the Mobile family, for the documentation; `api.errors` renders them (rule R630)."""

from typing import Any

from pydantic import BaseModel


class MobileError(BaseModel):
    """Every refusal: what it is, and what to do about it or what it is about."""

    error: str
    message: str


def _refusal(description: str, error: str, message: str) -> dict[str, Any]:
    example = {"error": error, "message": message}
    return {
        "model": MobileError,
        "description": description,
        "content": {"application/json": {"example": example}},
    }


RESPONSES: dict[int | str, dict[str, Any]] = {
    400: _refusal(
        "A field is missing or wrong", "Missing required fields", "phone_number and password are required"
    ),
    401: _refusal("No token, or one that is not good", "Invalid or expired token", "Please login again"),
    403: _refusal("Not this caller's", "Access denied", "You do not have access to this unit"),
    404: _refusal("There is no such thing", "Unit not found", "Unit with ID 10 not found"),
    "4XX": _refusal(
        "Any other refusal: 405 (method), 409 (conflict), 429 (too often, with Retry-After)",
        "Rate limit exceeded",
        "Too many requests. Please try again later.",
    ),
    "5XX": _refusal(
        "The server failed (500), or a payment provider did (502), or none is configured (503)",
        "Payment provider failed",
        "It did not take the order: try again",
    ),
}
