"""The Ienerzy contract as a table: each of its 43 endpoints, who may call it, what goes in and comes out.

Used by the tests that call every endpoint. A line is

    number method path | callers | subject | query | body | status | refusals

- callers: `none` (nobody needs a token), `any`, or the roles: d(ealer), c(onsumer), t(echnician), a(dmin);
- subject: what the path's id is the id of, as `contract_world.Scene.make` makes it; `-` without an id;
- query, body: names, `?` for those that may be left out;
- refusals: the statuses that the contract has beside the success, 429 and 500.

`SHAPES` has the answers: the contract's keys, and after `| BEYOND` those that we add to them.
"""

import re
from dataclasses import dataclass
from typing import Any

from tests.api.shapes import DAY, TIME, JsonText, Maybe

ROWS_EXPECTED = 43

TABLE = """
001 POST /api/auth/login | none | - | | phone userType | 200 | 400 404
002 POST /api/auth/verify-otp | none | - | | phone otp | 200 | 400 401
003 GET /api/batteries | d c a | - | status dealer_id | | 200 | 401 403
004 GET /api/batteries/{serial} | d c a | known battery | | | 200 | 401 403 404
005 POST /api/batteries | d a | - | | serial_number health_score? | 201 | 400 401 403
006 POST /api/batteries/{serial}/control | d a | battery | | action | 200 | 400 401 403 404
007 PUT /api/batteries/{serial}/assign | d a | battery | | consumer_id | 200 | 400 401 403 404
008 GET /api/batteries/health-report | d c a | - | | | 200 | 401 403
009 GET /api/consumers | d c a | - | | | 200 | 401 403
010 POST /api/consumers | d a | - | | name phone pan? aadhar? | 201 | 400 401 403
011 PUT /api/consumers/{id}/kyc | d a | consumer | | kyc_status pan? aadhar? | 200 | 400 401 403 404
012 GET /api/consumers/{id}/finance | d c a | consumer | | | 200 | 401 403 404
013 POST /api/consumers/{id}/documents | d a | consumer | | document_type document_url document_number? | 201 | 400 401 403 404
014 GET /api/consumers/{id}/profile | d c a | consumer | | | 200 | 401 403 404
015 POST /api/finance/applications | d a | - | | consumer_id battery_id amount tenure_months interest_rate? | 201 | 400 401 403 404
016 GET /api/finance/applications | d c a | - | | | 200 | 401 403
017 PUT /api/finance/applications/{id}/approve | d a | application | | status approved_amount? interest_rate? tenure_months? | 200 | 400 401 403 404
018 GET /api/finance/overdue | d c a | - | | | 200 | 401 403
019 POST /api/finance/auto-disable | d a | - | | overdue_days_threshold | 200 | 400 401 403
020 GET /api/finance/collection-report | d a | - | start_date end_date | | 200 | 400 401 403
021 POST /api/nbfc/submit-application | d a | - | | consumer_id battery_id amount tenure_months interest_rate? | 201 | 400 401 403 404
022 POST /api/nbfc/webhook-status | d a | - | | applicationId status sanctionedAmount interestRate? emiAmount? disbursementDate? | 200 | 400 401 403 404
023 GET /api/nbfc/portfolio | d a | - | | | 200 | 401 403
024 POST /api/nbfc/collection-report | d | - | | report_date collection_data | 201 | 400 401 403
025 POST /api/service/tickets | d c a | - | | battery_id issue_category description location? | 201 | 400 401 403 404
026 GET /api/service/tickets | any | - | | | 200 | 401 403
027 GET /api/service/tickets/active | any | - | | | 200 | 401 403
028 PUT /api/service/tickets/{id}/assign | d a | ticket | | technician_id priority? | 200 | 400 401 403 404
029 POST /api/service/tickets/{id}/update | d t a | ticket | | status? description? resolution_notes? parts_used? labor_hours? | 200 | 400 401 403 404
030 GET /api/service/technicians/available | d a | - | location skill_required | | 200 | 401 403
031 POST /api/service/auto-assign | d a | - | | ticket_id location? priority? skill_required? | 200 | 400 401 403 404
032 GET /api/analytics/dealer-dashboard | d a | - | | | 200 | 401 403
033 GET /api/analytics/nbfc-portfolio | d a | - | | | 200 | 401 403
034 GET /api/analytics/collection-report | d a | - | start_date end_date | | 200 | 400 401 403
035 GET /api/analytics/battery-health | d a | - | | | 200 | 401 403
036 GET /api/analytics/service-metrics | d a | - | | | 200 | 401 403
037 POST /api/messaging/send-sms | d a | - | | to message | 200 | 400 401 403
038 POST /api/messaging/send-otp | d a | - | | to otp | 200 | 400 401 403
039 POST /api/messaging/battery-status | d a | - | | battery_id consumer_phone status message | 200 | 400 401 403 404
040 GET /api/batteries/test | any | - | | | 200 | 401
041 POST /api/batteries/{serial}/test | d a | battery | | | 200 | 400 401 404
042 POST /api/batteries/{serial}/test-status | d | battery | | status | 200 | 400 401 404
043 GET /api-docs | none | - | | | 200 |
"""  # noqa: E501 (a line of the table is an endpoint)

# Statuses that an endpoint answers with although the contract's row does not name them, and why.
DEVIATIONS: dict[str, dict[int, str]] = {
    "001": {403: "a blocked account is told so"},
    "002": {403: "a blocked account is told so"},
    "003": {400: "a filter that is none is refused, not ignored"},
    "009": {400: "a filter that is none is refused, not ignored"},
    "016": {400: "a filter that is none is refused, not ignored"},
    "023": {400: "an admin's dealer_id that is none is refused, not ignored"},
    "030": {400: "words that are too long are refused"},
    "032": {400: "an admin's dealer_id that is none is refused, not ignored"},
    "033": {400: "an admin's dealer_id that is none is refused, not ignored"},
    "035": {400: "an admin's dealer_id that is none is refused, not ignored"},
    "036": {400: "an admin's dealer_id that is none is refused, not ignored"},
    "041": {403: "who may not control a battery does not test it"},
    "042": {403: "who may not control a battery does not test it"},
}

STATUS = re.compile("active|inactive|maintenance")
KYC = re.compile("pending|verified|rejected")
LOAN = re.compile("pending|submitted|approved|rejected|disbursed|closed")
TICKET = re.compile("open|assigned|in_progress|resolved")
CATEGORY = re.compile("performance|charging|mechanical|electrical|other")
PRIORITY = re.compile("low|medium|high|critical")
MONEY = re.compile(r"\d+\.\d\d")
DECIMAL = re.compile(r"-?\d+\.\d+")
ONE_DECIMAL = re.compile(r"\d+\.\d")
PERCENT = re.compile(r"\d+\.\d%")
DAYS = re.compile(r"\d+\.\d days")
MONTH = re.compile(r"\d{4}-\d\d")
MESSAGE = re.compile(r"MSG\d{10}")
PHONE = re.compile(r"\+\d{10,15}")

USER = {"id": int, "name": str, "phone": PHONE, "role": str}
BATTERY = {
    "id": int, "serial_number": str, "status": STATUS, "health_score": float, "owner_id": Maybe(int),
    "created_at": TIME,
}  # fmt: skip
OWNED = BATTERY | {"owner_id": int}
HEALTH = {"count": int, "avg_health": ONE_DECIMAL, "min_health": float, "max_health": float}
CONSUMER = {
    "id": int, "name": str, "phone": PHONE, "pan": Maybe(str), "aadhar": Maybe(str), "kyc_status": KYC,
    "dealer_id": int, "created_at": TIME,
}  # fmt: skip
APPLICATION = {
    "id": int, "consumer_id": int, "battery_id": int, "amount": float, "tenure_months": int,
    "interest_rate": float, "status": LOAN, "created_at": TIME,
}  # fmt: skip
TICKET_BASE = {
    "id": int, "battery_id": int, "issue_category": CATEGORY, "description": str, "assigned_to": Maybe(int),
    "status": TICKET, "created_at": TIME,
}  # fmt: skip
ASSIGNED = TICKET_BASE | {"assigned_to": int}
GRADE = {"count": int, "percentage": PERCENT, "avg_health": float}
SENT = {"success": True, "message_id": MESSAGE, "status": "sent", "to": PHONE}
WRAPPED_LOAN = {
    "id": int, "consumer_id": int, "battery_id": int, "amount": float, "tenure_months": int,
    "interest_rate": float, "dealer_id": int, "status": "submitted", "submitted_at": TIME,
}  # fmt: skip
COLLECTED = {"total_collections": int, "amount_collected": float, "overdue_count": int}
ANSWERED = {"success": True, "report_id": re.compile(r"RPT\d+")}

SHAPES: dict[str, Any] = {
    "001": {"success": True, "message": "OTP sent successfully", "user": USER},
    "002": {"success": True, "token": re.compile(r"[\w-]+\.[\w-]+\.[\w-]+"), "user": USER},
    "003": [BATTERY | {"consumer_name": Maybe(str)}],
    "004": {
        "battery": OWNED,
        "telemetry": {
            "voltage": DECIMAL,
            "current": DECIMAL,
            "soc": float,
            "location": {"lat": DECIMAL, "lng": DECIMAL},
            "timestamp": TIME,
        },
    },
    "005": BATTERY | {"status": "active", "owner_id": None},
    "006": OWNED | {"status": "maintenance"},
    "007": OWNED,
    "008": {
        "fleet_health": {"active": HEALTH, "inactive": HEALTH, "maintenance": HEALTH},
        "total_batteries": int,
        "overall_health_score": float,
    },
    "009": [CONSUMER],
    "010": CONSUMER | {"pan": str, "aadhar": str, "kyc_status": "pending"},
    "011": CONSUMER | {"pan": str, "aadhar": str, "kyc_status": "verified"},
    "012": {
        "applications": [
            {"id": int, "amount": float, "tenure_months": int, "status": LOAN, "battery_serial": str}
        ],
        "emi_schedules": [
            {
                "id": int,
                "emi_number": int,
                "due_date": DAY,
                "amount": MONEY,
                "status": re.compile("pending|paid"),
            }
        ],
        "total_applications": int,
        "total_emi_due": int,
    },
    "013": {
        "message": "Document uploaded successfully",
        "document": {
            "id": int, "consumer_id": int, "document_type": "pan_card",
            "document_url": "https://storage.example.com/pan_card.jpg", "document_number": str,
            "uploaded_at": TIME, "status": "pending_verification",
        } | {"notes": None, "reviewed_at": None},  # BEYOND: of its review
        "note": str,
    },
    "014": {
        "consumer": CONSUMER | {"dealer_name": str},
        "batteries": [
            {
                "id": int, "serial_number": str, "status": STATUS, "health_score": float,
                "service_tickets_count": int, "active_tickets_count": int,
            }
        ],
        "recent_tickets": [
            {
                "id": int,
                "issue_category": CATEGORY,
                "status": TICKET,
                "battery_serial": str,
                "created_at": TIME,
            }
        ],
        "summary": {
            "total_batteries": int, "active_batteries": int, "total_service_tickets": int,
            "active_service_tickets": int,
        },
    },
    "015": APPLICATION | {"status": "pending"},
    "016": [APPLICATION],
    "017": APPLICATION | {"status": "approved", "approved_amount": float},
    "018": {
        "overdue_accounts": [
            {
                "id": int, "emi_number": int, "due_date": DAY, "amount": MONEY, "status": "pending",
                "loan_amount": float, "tenure_months": int, "consumer_name": str, "consumer_phone": PHONE,
                "battery_serial": str, "overdue_days": int,
            }
        ],
        "total_overdue": int,
        "total_overdue_amount": float,
    },
    "019": {
        "message": "Batteries disabled successfully", "disabled_count": int, "disabled_batteries": [str],
    },
    "020": {
        "collection_report": [
            {
                "collection_date": DAY,
                "collections_count": int,
                "total_collected": float,
                "avg_collection": float,
            }
        ],
        "summary": {
            "total_collections": int, "total_amount_collected": float, "avg_daily_collection": float,
        },
    },
    "021": {
        "success": True,
        "application": WRAPPED_LOAN,
        "message": "Application submitted to NBFC successfully",
    },
    "022": {
        "success": True,
        "message": "Webhook processed successfully",
        "application": {
            "id": int, "status": "approved", "sanctioned_amount": float, "interest_rate": float,
            "emi_amount": float,
        },
    },
    "023": {
        "portfolio_summary": {
            "total_applications": int, "approved_count": int, "disbursed_count": int, "rejected_count": int,
            "total_disbursed": float, "avg_interest_rate": float,
        },
        "monthly_trend": [{"month": DAY, "applications": int, "amount_disbursed": float}],
        "portfolio_health": {"approval_rate": ONE_DECIMAL, "disbursement_rate": ONE_DECIMAL},
    },
    "024": {
        "success": True,
        "message": "Collection report submitted successfully",
        "report": {
            "id": int, "dealer_id": int, "report_date": DAY, "collection_data": JsonText(COLLECTED),
            "nbfc_response": JsonText(ANSWERED), "created_at": TIME,
        },
        "nbfc_response": ANSWERED
        | {"status": "submitted", "message": "Collection report submitted successfully to NBFC"},
    },
    "025": {
        "ticket": ASSIGNED | {"location": str},
        "assigned_technician": {"id": int, "name": str, "location": str, "status": "available"},
    },
    "026": [ASSIGNED | {"location": Maybe(str)}],
    "027": {
        "active_tickets": [
            ASSIGNED
            | {
                "location": Maybe(str), "battery_serial": str, "consumer_name": str, "consumer_phone": PHONE,
                "technician_name": str,
            }
            | {"priority": PRIORITY, "sla_due_at": TIME, "sla_breached": bool}  # BEYOND: how urgent it is
        ],
        "count": int,
        "summary": {"open": int, "assigned": int, "in_progress": int},
    },
    "028": {
        "message": "Ticket assigned successfully",
        "ticket": ASSIGNED | {"status": "assigned", "priority": "high"},
        "assigned_technician": {"id": int, "name": str, "phone": PHONE, "role": "technician"},
    },
    "029": {
        "message": "Ticket updated successfully",
        "ticket": ASSIGNED
        | {
            "status": "in_progress",
            "resolution_notes": "Found loose connection",
            "parts_used": "Connector kit",
            "labor_hours": 2,
        },
    },
    "030": {
        "available_technicians": [
            {
                "id": int, "name": str, "location": str, "status": "available", "skills": [str],
                "rating": float, "experience_years": float, "current_load": int, "availability_score": float,
            }
        ],
        "count": int,
        "scoring_algorithm": "Based on location proximity, skills match, rating, experience, and current"
        " workload",
    },
    "031": {
        "message": "Ticket auto-assigned successfully",
        "ticket": {
            "id": int, "battery_id": int, "assigned_to": int, "status": "assigned", "priority": "medium",
        },
        "assigned_technician": {"id": int, "name": str, "availability_score": float},
        "assignment_reason": re.compile(r"Selected based on highest score: \d+\.\d"),
        "other_candidates": [{"id": int, "name": str, "score": float}],
    },
    "032": {
        "consumer_metrics": {"total_consumers": int, "verified_consumers": int, "pending_consumers": int},
        "battery_metrics": {
            "total_batteries": int, "active_batteries": int, "maintenance_batteries": int,
            "avg_health_score": float,
        },
        "finance_metrics": {
            "total_applications": int, "approved_applications": int, "disbursed_applications": int,
            "total_disbursed": float,
        },
        "service_metrics": {"total_tickets": int, "resolved_tickets": int, "avg_resolution_time": DAYS},
    },
    "033": {
        "portfolio_summary": {
            "total_applications": int, "approval_rate": PERCENT, "disbursement_rate": PERCENT,
            "total_disbursed": float, "avg_loan_amount": float,
        },
        "monthly_trends": [
            {"month": MONTH, "applications": int, "approvals": int, "disbursements": int, "amount": float}
        ],
        "risk_metrics": {
            "overdue_rate": PERCENT,
            "collection_efficiency": PERCENT,
            "avg_credit_score": Maybe(float),
        },
    },
    "034": {
        "collection_summary": {
            "total_emi_due": int, "collected_emi": int, "overdue_emi": int, "collection_rate": PERCENT,
            "total_amount_due": float, "amount_collected": float,
        },
        "daily_collections": [{"date": DAY, "collections": int, "amount": float, "overdue_collections": int}],
        "overdue_analysis": {"1-7_days": int, "8-15_days": int, "15+_days": int, "total_overdue": int},
    },
    "035": {
        "fleet_health": {"excellent": GRADE, "good": GRADE, "fair": GRADE, "poor": GRADE},
        "health_trends": [{"month": MONTH, "avg_health": Maybe(float), "maintenance_count": int}],
        "predictive_maintenance": {
            "batteries_needing_service": int, "estimated_service_cost": float, "risk_batteries": int,
        },
    },
    "036": {
        "ticket_metrics": {
            "total_tickets": int, "open_tickets": int, "assigned_tickets": int, "in_progress_tickets": int,
            "resolved_tickets": int,
        },
        "resolution_times": {
            "avg_resolution_time": DAYS, "fastest_resolution": DAYS, "slowest_resolution": DAYS,
            "sla_compliance": PERCENT,
        },
        "technician_performance": [
            {
                "technician_id": int, "name": str, "tickets_resolved": int, "avg_resolution_time": DAYS,
                "customer_satisfaction": Maybe(float),
            }
        ],
        "issue_categories": {
            "performance": int, "charging": int, "mechanical": int, "electrical": int, "other": int,
        },
    },
    "037": SENT,
    "038": SENT,
    "039": {
        "success": True, "message_id": MESSAGE, "status": "sent", "notification_type": "battery_status",
    },
    "040": {"message": str, "user_id": int, "role": str, "batteries": int},
    "041": {
        "serial_number": str, "status": STATUS, "check": "not_sent", "heard_lately": False,
        "last_heard_at": None, "pending": None, "message": str,
    },
    "042": OWNED | {"status": "inactive"},
}  # fmt: skip

ROLES = {"d": "dealer", "c": "consumer", "t": "technician", "a": "admin"}


@dataclass(frozen=True, slots=True)
class Row:
    """An endpoint of the contract. `errors` are the refusals that it may answer with, deviations too."""

    id: str
    method: str
    path: str
    callers: tuple[str, ...]
    subject: str | None
    query: tuple[str, ...]
    body: tuple[str, ...]
    status: int
    errors: frozenset[int]

    @property
    def is_public(self) -> bool:
        """Whether nobody needs a token for it."""
        return not self.callers

    @property
    def required(self) -> list[str]:
        """Names of the body that must be there."""
        return [name for name in self.body if not name.endswith("?")]

    @property
    def fields(self) -> list[str]:
        """All names of the body."""
        return [name.removesuffix("?") for name in self.body]

    def url(self, subject_id: str = "") -> str:
        """The path with this id in its place."""
        return re.sub(r"\{.*?\}", lambda _: subject_id, self.path)


def _row(line: str) -> Row:
    head, callers, subject, query, body, status, errors = (part.strip() for part in line.split("|"))
    number, method, path = head.split()
    every = {"none": (), "any": tuple(ROLES.values())}
    refusals = {int(code) for code in errors.split()} | set(DEVIATIONS.get(number, {}))
    return Row(
        id=number,
        method=method,
        path=path,
        callers=every[callers] if callers in every else tuple(ROLES[each] for each in callers.split()),
        subject=None if subject == "-" else subject,
        query=tuple(query.split()),
        body=tuple(body.split()),
        status=int(status),
        errors=frozenset(refusals | {429, 500}),
    )


CONTRACT = [_row(line) for line in TABLE.strip().splitlines()]

# Queries that are refused with a 400 that names them: row, name, value.
INVALID_QUERIES = [
    ("003", "status", "x"), ("003", "dealer_id", "x"), ("003", "dealer_id", "0"),
    ("003", "dealer_id", "9" * 30), ("009", "kyc_status", "x"), ("016", "status", "x"),
    ("020", "start_date", "x"), ("020", "end_date", "2026-02-30"), ("020", "end_date", "20260101"),
    ("020", "start_date", "1706745600"), ("023", "dealer_id", "x"), ("030", "location", "x" * 5_000),
    ("030", "skill_required", "\0"), ("032", "dealer_id", "-1"), ("034", "start_date", "x"),
    ("034", "end_date", "2026-13-01"), ("036", "dealer_id", "1e3"),
]  # fmt: skip

# Fields of bodies that name another thing: one that is not there, or another dealer's, is a 404.
BODY_IDS = [
    ("007", "consumer_id"), ("015", "consumer_id"), ("015", "battery_id"), ("021", "consumer_id"),
    ("021", "battery_id"), ("022", "applicationId"), ("025", "battery_id"), ("028", "technician_id"),
    ("031", "ticket_id"), ("039", "battery_id"),
]  # fmt: skip
# The same body a second time is a 400 DUPLICATE (409 is not in this contract).
ONCE = ["005", "010", "015"]
