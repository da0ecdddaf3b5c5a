"""Which documents there are at /api-docs, one a family, and what each says first; for `api.app`."""

from api.document import Part
from api.evcms.description import DESCRIPTION as EVCMS
from api.evcms.examples import EXAMPLES as EVCMS_EXAMPLES

IENERZY = """Batteries as assets: their readings, health and control, the consumers who have them on credit,
loans with their NBFC, service tickets, and reports.

**Sign in** with `POST /api/auth/login`, which sends a one-time password, and `POST /api/auth/verify-otp`.
Its token goes as `Authorization: Bearer <token>` and lives a day. Dealers see and change what is theirs,
consumers read their own, technicians the tickets assigned to them, admins everything.

**Answers** are as each operation says: a list is an array, a number is text where the contract has it so.
Refusals are `{error, details, code}`. Ids are integers, times ISO 8601 in UTC, money rupees. No path ends
with a slash: `/api/auth/login/` is Lithovolt's.
"""

LITHOVOLT = """Batteries as goods: models, serial numbers, stock, orders of wholesalers, warranties, claims.

**Sign in** with `POST /api/auth/login/` (e-mail and password), or as a consumer with a one-time password:
`POST /api/auth/otp/send/`, `POST /api/auth/otp/verify/`. Send `Authorization: Bearer <access>`. An access
token lives an hour; `POST /api/auth/token/refresh/` exchanges the refresh token, which is good for one
exchange.

**Paths** end with a slash. Below `/api/auth` that is strict: without it they are Ienerzy's, and nothing is
redirected. Everywhere else the form without it is taken too.

**Answers** are plain objects; a list is `{count, next, previous, results}` by `page` and `page_size`.
Refusals are `{detail}`, or `{field: [reasons]}` with status 400 (`non_field_errors` for the body as a whole).
Ids are integers, times ISO 8601 in UTC, money text with two decimals, as in "45000.00".
"""

PARTS = (
    Part(
        "evcms",
        "Gridwire EV-CMS",
        "EV-CMS",
        "/api/v1",
        EVCMS,
        {"kyc": "KYC", "commands": "Chargers", "payments": "Billing", "upload": "Uploads"},
        EVCMS_EXAMPLES,
        {"evcmsLogin": "answer.data?.accessToken"},
    ),
    Part(
        "ienerzy",
        "Gridwire Ienerzy",
        "Ienerzy",
        "/api",
        IENERZY,
        {"auth": "Sign-in", "nbfc": "NBFC"},
        logins={"ienerzyVerifyOtp": "answer.token"},
    ),
    Part(
        "lithovolt",
        "Gridwire Lithovolt",
        "Lithovolt",
        "/api",
        LITHOVOLT,
        {"auth": "Sign-in"},
        logins=dict.fromkeys(
            ("lithovoltLogin", "lithovoltVerifyOtp", "lithovoltRefreshToken"), "answer.access"
        ),
    ),
    Part(
        "mobile",
        "Gridwire Mobile",
        "Mobile",
        "/api/mobile",
        "What people in metered flats see of their units, meters and wallets.",
        logins={"mobileLogin": "answer.token"},
    ),
    Part(
        "mobile-portal",
        "Gridwire Mobile portal",
        "Mobile portal",
        "/api/mobile/admin",
        "What operators of metered estates manage: estates, people, meters, tariffs, devices and codecs.",
        logins={"mobilePortalLogin": "answer.token"},
    ),
    Part(
        "operations",
        "Gridwire operations",
        "Operations",
        "",
        "Health and metrics, for supervisors and monitoring.",
    ),
)
