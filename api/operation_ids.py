"""Names of operations for generated clients, told from method and path: stable, and no two the same.

`api.app` gives `operation_id` to the framework. A name is the family, a verb, and the path's words:
`evcmsCreateBooking`, `evcmsListProfileVehicles`. What ends a path is the verb where it is one:
`evcmsStopSession`.
"""

import re

from fastapi.routing import APIRoute

from api.errors import family_of

# Lithovolt's paths are told from Ienerzy's by `family_of`: both begin with /api.
_FAMILIES = (
    ("/api/v1", "evcms"),
    ("/uploads", "evcms"),
    ("/api/mobile/admin", "mobilePortal"),
    ("/api/mobile", "mobile"),
    ("/api", "ienerzy"),
    ("", "operations"),
)
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
# A path that ends in one of these says what is done, whatever the method.
_ACTIONS = frozenset(
    {
        *(
            "register",
            "login",
            "logout",
            "refresh-token",
            "change-password",
            "verify-otp",
            "resend",
            "verify",
        ),
        "verify-email",
        *("start", "stop", "complete", "cancel", "schedule", "archive", "restore", "release", "quarantine"),
        *(
            "replace",
            "import",
            "assign",
            "test",
            "end",
            "reset-password",
            "deactivate",
            "reactivate",
            "command",
        ),
        *("calculate", "pay", "topup", "top-up", "send", "process", "export", "moderate", "submit", "rate"),
        *("read", "read-all", "set-default", "upload", "immobilize", "mobilize"),
        *("approve", "reject", "withdraw", "activate", "allocate", "refresh", "change", "reset", "confirm"),
        *("preview", "update", "review", "resolve", "revoke", "unassign"),
    }
)
_READ_BY_GET = frozenset({"verify-email", "command"})
_ADJECTIVES = frozenset({"active", "nearby", "bulk"})
_OTHER_VERBS = {("PUT", "favourite"): "add", ("POST", "webhook"): "receive", ("GET", "list"): "list"}
# Where the words of a path would say little, or the same as those of another.
_NAMED = {
    ("POST", "/api/mobile/admin/meters/{meter_id}/tariffs"): "mobilePortalAssignMeterTariff",
    ("GET", "/api/mobile/admin/meters/{meter_id}/tariffs"): "mobilePortalListTariffsOfMeter",
    ("GET", "/api/batteries/test"): "ienerzyTestBatteries",
    ("POST", "/api/batteries/{serial}/test-status"): "ienerzySetBatteryTestStatus",
    ("POST", "/api/batteries/{serial}/control"): "ienerzyControlBattery",
    ("GET", "/api/finance/overdue"): "ienerzyListOverdue",
    ("POST", "/api/finance/applications/{id}/disburse"): "ienerzyDisburseFinanceApplication",
    ("POST", "/api/finance/applications/{id}/foreclose"): "ienerzyForecloseFinanceApplication",
    ("POST", "/api/finance/auto-disable"): "ienerzyDisableOverdueBatteries",
    ("POST", "/api/nbfc/submit-application"): "ienerzySubmitApplication",
    ("POST", "/api/nbfc/webhook-status"): "ienerzyReceiveNbfcStatus",
    ("GET", "/api/service/tickets/active"): "ienerzyListActiveServiceTickets",
    ("GET", "/api/service/technicians/available"): "ienerzyListAvailableTechnicians",
    ("POST", "/api/service/auto-assign"): "ienerzyAssignServiceTickets",
    ("POST", "/api/messaging/send-sms"): "ienerzySendSms",
    ("POST", "/api/messaging/send-otp"): "ienerzySendOtp",
    ("POST", "/api/messaging/battery-status"): "ienerzySendBatteryStatus",
    ("POST", "/api/messaging/status/{provider}"): "ienerzyReceiveMessageStatus",
    ("GET", "/api/users/me/"): "lithovoltGetMe",
    ("PATCH", "/api/users/me/"): "lithovoltUpdateMe",
    ("GET", "/api/warranty/verify/{serial}/"): "lithovoltVerifyWarranty",
    ("GET", "/api/warranty/"): "lithovoltListWarranties",
    ("POST", "/api/warranty/link/"): "lithovoltLinkWarranty",
    ("POST", "/api/warranty/{id}/void/"): "lithovoltVoidWarranty",
}
_UNCOUNTED = frozenset({"maintenance", "staff"})
_SINGULAR_S = frozenset(
    {"status", "settings", "stats", "preferences", "analytics", "completeness", "metrics"}
)


def operation_id(route: APIRoute) -> str:
    """Name the operation of a route."""
    method = min(route.methods or {"GET"})
    return name_of(method, route.path_format)


def name_of(method: str, path: str) -> str:
    """Name the operation of `method` at `path`, as in `evcmsCreateBooking`."""
    if (method, path) in _NAMED:
        return _NAMED[method, path]
    prefix, family = _family(path)
    parts = path.removeprefix(prefix).strip("/").split("/")
    if path.startswith("/uploads"):
        parts = ["uploads", *parts]
    verb, nouns = _verb(method, parts)
    return family + "".join(each[:1].upper() + each[1:] for each in (*_words(verb), *nouns))


def _family(path: str) -> tuple[str, str]:
    if family_of(path).name == "lithovolt":
        return "/api", "lithovolt"
    return next(each for each in _FAMILIES if path.startswith(each[0]))


def _verb(method: str, parts: list[str]) -> tuple[str, list[str]]:
    last, before = parts[-1], parts[:-1]
    if last in _ACTIONS and not (method == "GET" and last in _READ_BY_GET):
        is_one = bool(before) and _is_parameter(before[-1])
        return last.removesuffix("-all"), _nouns(before, is_one=is_one or last != "read-all")
    verb = _OTHER_VERBS.get((method, last))
    if verb == "list":
        return verb, _nouns(before, is_one=True)
    if last in _ADJECTIVES:
        *rest, noun = before
        is_new = method == "POST"
        return "create" if is_new else "list", [*_nouns(rest), *_words(last), *_nouns([noun], is_one=False)]
    is_list = _is_plural(last) or last in _UNCOUNTED
    if verb is None:
        verb = "list" if method == "GET" and is_list else _VERBS[method]
    return verb, _nouns(parts, is_one=not is_list or method == "POST")


def _is_parameter(part: str) -> bool:
    return part.startswith("{")


def _is_plural(part: str) -> bool:
    return part.endswith("s") and part.rsplit("-", 1)[-1] not in _SINGULAR_S


def _nouns(parts: list[str], *, is_one: bool = True) -> list[str]:
    """All words but those of parameters; each noun singular, the last one unless `is_one`."""
    static = [each for each in parts if not _is_parameter(each)]
    if static[:1] == ["auth"]:
        static = static[1:]
    words: list[str] = []
    for number, part in enumerate(static, 1):
        keeps = number == len(static) and not is_one
        words += _words(part if keeps else _singular(part))
    return words


def _singular(part: str) -> str:
    if not _is_plural(part):
        return part
    return f"{part[:-3]}y" if part.endswith("ies") else part.removesuffix("s")


def _words(part: str) -> list[str]:
    return [each for each in re.split(r"[^A-Za-z0-9]+", part) if each]
