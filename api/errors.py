"""One internal problem, rendered by the family that owns the path; used by everything in this room.

The table `FAMILIES` says who owns what, also for paths that do not exist. To add a family: its pattern, its
renderer, and the status of a request that does not validate.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

JsonObject = dict[str, Any]
FIELD_ERRORS_MAX = 50


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field of a request that is not as it must be; "" for the body as a whole."""

    field: str
    message: str
    is_missing: bool = False


@dataclass(slots=True)
class Problem(Exception):  # noqa: N818 (what RFC 9457 calls it; no fault of ours)
    """Why a request is refused. `code` is a stable word for programs, where a family has one.

    Not frozen: Python writes the traceback into an exception as it passes.
    """

    status: int
    message: str
    details: str | None = None
    code: str | None = None
    errors: Sequence[FieldError] = ()
    retry_after_s: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    __hash__ = Exception.__hash__


def unauthenticated(details: str = "Valid JWT token is required") -> Problem:
    """401: no token, or one that is expired, ended, or of another family."""
    return Problem(401, "Authentication required", details, headers={"WWW-Authenticate": "Bearer"})


def forbidden(details: str = "Insufficient permissions for this operation") -> Problem:
    """403: the caller's role or ownership does not reach this."""
    return Problem(403, "Access denied", details)


def not_found(what: str, details: str) -> Problem:
    """404: `what` begins the sentence, as in "Battery"."""
    return Problem(404, f"{what} not found", details)


def _evcms(problem: Problem) -> JsonObject:
    if problem.retry_after_s is not None:
        return {
            "success": False,
            "message": "Too many requests, please try again later",
            "statusCode": problem.status,
            "retryAfter": problem.retry_after_s,
        }
    body = {
        "success": False,
        "message": problem.message,
        "error": problem.details or problem.message,
        "statusCode": problem.status,
    }
    if problem.errors:
        body["errors"] = [{"field": each.field, "message": each.message} for each in problem.errors]
    return body


def _ienerzy(problem: Problem) -> JsonObject:
    optional = {"details": problem.details, "code": problem.code, "retry_after": problem.retry_after_s}
    return {"error": problem.message, **{key: value for key, value in optional.items() if value is not None}}


def _mobile(problem: Problem) -> JsonObject:
    return {"error": problem.message, "message": problem.details or problem.message}


def _lithovolt(problem: Problem) -> JsonObject:
    if problem.errors:
        fields = dict.fromkeys(each.field or "non_field_errors" for each in problem.errors)
        return {
            name: [each.message for each in problem.errors if (each.field or "non_field_errors") == name]
            for name in fields
        }
    if problem.status == 404:
        return {"detail": "Not found."}
    return {"detail": problem.details or problem.message}


@dataclass(frozen=True, slots=True)
class Family:
    """An API family: the paths it owns, how it words a problem, its status for a failed validation."""

    name: str
    paths: re.Pattern[str]
    render: Callable[[Problem], JsonObject]
    invalid_status: int = 400


FAMILIES = (
    Family("evcms", re.compile(r"/(api/v1|uploads)(/|$)"), _evcms, 422),
    Family("mobile", re.compile(r"/api/mobile(/|$)"), _mobile),
    # conflict C01: below /api/auth the slash at the end tells Lithovolt from Ienerzy
    Family(
        "lithovolt",
        re.compile(
            r"/api/(auth/(.*/)?$|(inventory|orders|warranty|users|notifications|schema|docs|redoc)(/|$))"
        ),
        _lithovolt,
    ),
    Family("ienerzy", re.compile(r""), _ienerzy),
)


def family_of(path: str) -> Family:
    """Return the family that answers for `path`; Ienerzy where no other does (conflict C20)."""
    return next(family for family in FAMILIES if family.paths.match(path))


def answer(path: str, problem: Problem) -> JSONResponse:
    """Render `problem` as the family of `path` words it."""
    headers = dict(problem.headers)
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    return JSONResponse(family_of(path).render(problem), problem.status, headers)


def install(app: FastAPI) -> None:
    """Make `app` answer every problem, our own and the framework's, in the words of the path's family."""

    async def on_problem(request: Request, problem: Exception) -> JSONResponse:
        assert isinstance(problem, Problem)
        return answer(request.url.path, problem)

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return answer(request.url.path, _of_framework(request, error))

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return answer(request.url.path, _of_validation(request.url.path, error))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)


def _of_framework(request: Request, error: HTTPException) -> Problem:
    if isinstance(error.__cause__, Problem):  # raised while the framework read the body
        return error.__cause__
    where = f"{request.method} {request.url.path}"
    headers = error.headers or {}
    if error.status_code == 404:
        return Problem(404, "Not found", f"There is no {where}", headers=headers)
    if error.status_code == 405:
        return Problem(405, "Method not allowed", f'Method "{request.method}" not allowed.', headers=headers)
    return Problem(
        error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail), headers=headers
    )


def _of_validation(path: str, error: RequestValidationError) -> Problem:
    found = error.errors()[:FIELD_ERRORS_MAX]
    if any(each["type"] == "json_invalid" for each in found):
        return Problem(400, "Malformed JSON", "The request's body is not valid JSON", code="MALFORMED_JSON")
    return invalid(path, [_field_error(each) for each in found])


def invalid(path: str, errors: Sequence[FieldError]) -> Problem:
    """Return the refusal of a request whose fields are not as the contract has them."""
    family = family_of(path)
    if family.name in {"ienerzy", "mobile"} and all(each.is_missing for each in errors):
        names = " and ".join(each.field or "a JSON body" for each in errors)
        verb = "is" if len(errors) == 1 else "are"
        return Problem(family.invalid_status, "Missing required fields", f"{names} {verb} required")
    details = "; ".join(f"{each.field}: {each.message}" if each.field else each.message for each in errors)
    return Problem(family.invalid_status, "Validation failed", details, "VALIDATION_FAILED", errors)


def _field_error(error: Mapping[str, Any]) -> FieldError:
    name = ".".join(str(part) for part in error["loc"][1:])
    message = str(error["msg"]).removeprefix("Value error, ")
    return FieldError(name, message, is_missing=error["type"] == "missing")
