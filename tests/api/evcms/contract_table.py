"""The EV-CMS contract as a table: each of its 136 endpoints, who may call it, what goes in and comes out.

Used by the tests that call every endpoint. A line is

    number method path | callers | subject | query | body | answer | status | refusals

- callers: `none` (nobody needs a token), `any`, or the roles;
- subject: what the path's id is the id of, as `contract_world.World.make` makes it; `-` without an id;
- query, body: names, `?` for those that may be left out;
- answer: `user{}` one object, laid out in `data` and again under its name; `{a b}` an object of these keys;
  `rows[]` an array in `data` and again under its name, `page[]` the same with `pagination`, and after it
  what else stands beside; `done` a message;
- refusals: the statuses that it may answer with beside its success, 429 and 500.
"""

import re
from dataclasses import dataclass

ROWS_EXPECTED = 136
PREFIX = "/api/v1"

TABLE = """
001 POST /auth/register | none | - | | email password name phone? role? | {user tokens accessToken refreshToken} | 201 | 400 409 422
002 POST /auth/login | none | - | | email password | {user accessToken refreshToken} | 200 | 400 401 403 422
003 POST /auth/refresh-token | none | - | | refreshToken | {accessToken refreshToken} accessToken refreshToken | 200 | 400 401 422
004 GET /auth/me | any | - | | | user{} | 200 | 401
005 PUT /auth/change-password | any | - | | currentPassword newPassword | done | 200 | 400 401 422
006 POST /auth/logout | any | - | | | done | 200 | 401
007 GET /profile | any | - | | | user{} | 200 | 401
008 PUT /profile | any | - | | name? phone? profilePicture? | user{} | 200 | 400 401 422
009 PUT /profile/preferences | any | - | | notifications? language? theme? | preferences{} | 200 | 400 401 422
010 GET /profile/vehicles | any | - | | | vehicles[] | 200 | 401
011 POST /profile/vehicles | any | - | | make model year batteryCapacity registrationNumber | vehicle{} | 201 | 400 401 409 422
012 GET /profile/vehicles/{vehicleId} | any | vehicle | | | vehicle{} | 200 | 401 403 404
013 PUT /profile/vehicles/{vehicleId} | any | vehicle | | make? model? batteryCapacity? | vehicle{} | 200 | 400 401 403 404 422
014 DELETE /profile/vehicles/{vehicleId} | any | vehicle | | | done | 200 | 401 403 404
015 PATCH /profile/vehicles/{vehicleId}/set-default | any | vehicle | | | vehicle{} | 200 | 401 403 404
016 GET /profile/vehicles/{vehicleId}/history | any | vehicle | page limit | | page sessions[] | 200 | 401 403 404 422
017 GET /profile/vehicles/{vehicleId}/stats | any | vehicle | | | {totalSessions totalEnergy totalCost avgSessionDuration co2Saved} | 200 | 401 403 404
018 GET /profile/wallet | any | - | limit | | {balance currency transactions lowBalance} | 200 | 401 422
019 POST /profile/wallet/topup | any | - | | amount paymentMethod | {wallet transaction payment?} | 201 | 400 401 422
020 POST /profile/wallet/pay | any | - | | amount description sessionId? | {wallet transaction} | 200 | 400 401 404 422
021 GET /profile/wallet/transactions | any | - | page limit type | | page transactions[] | 200 | 401 422
022 GET /stations | any | - | page limit search status type | | page stations[] | 200 | 401 422
023 GET /stations/nearby | any | - | latitude longitude radius | | stations[] count | 200 | 401 422
024 GET /stations/{id} | any | station | | | station{} | 200 | 401 403 404
025 GET /stations/{id}/availability | any | station | | | {available connectors} | 200 | 401 403 404
026 POST /stations | brand admin | - | | name address location connectors | station{} | 201 | 400 401 403 409 422
027 PUT /stations/{id} | brand admin | station | | name? address? status? | station{} | 200 | 400 401 403 404 422
028 DELETE /stations/{id} | admin | station | | | done | 200 | 401 403 404
029 GET /chargers | any | - | station status manufacturer page limit | | page chargers[] | 200 | 401 422
030 GET /chargers/stats | any | - | station | | {totalChargers online offline faulted utilization} | 200 | 401 422
031 GET /chargers/{id} | any | charger | | | charger{} | 200 | 401 403 404
032 GET /chargers/{id}/status | any | charger | | | {status currentPower temperature lastHeartbeat} | 200 | 401 403 404
033 GET /chargers/{id}/maintenance-history | any | charger | | | history[] | 200 | 401 403 404
034 POST /chargers | brand admin | - | | chargerId name stationId manufacturer model | charger{} | 201 | 400 401 403 404 409 422
035 PUT /chargers/{id} | brand admin | charger | | name? status? | charger{} | 200 | 400 401 403 404 422
036 PATCH /chargers/{id}/archive | brand admin | charger | | | done | 200 | 401 403 404
037 PATCH /chargers/{id}/restore | admin | archived charger | | | done | 200 | 401 403 404
038 POST /chargers/{id}/command | brand admin | charger | | command connectorId? | {command status result} | 200 | 400 401 403 404 422
039 GET /bookings | any | - | status page limit | | page bookings[] | 200 | 401 422
040 GET /bookings/{id} | any | booking | | | booking{} | 200 | 401 403 404
041 POST /bookings | any | - | | stationId connectorId vehicleId scheduledTime estimatedDuration | booking{} | 201 | 400 401 404 409 422
042 PUT /bookings/{id}/start | any | due booking | | | booking{} | 200 | 401 403 404
043 PUT /bookings/{id}/complete | any | active booking | | energyConsumed finalSoC rating? | booking{} | 200 | 400 401 403 404 422
044 PUT /bookings/{id}/cancel | any | booking | | reason | booking{} | 200 | 400 401 403 404 422
045 GET /sessions | any | - | status page limit | | page sessions[] | 200 | 401 422
046 GET /sessions/active | any | - | | | sessions[] | 200 | 401
047 GET /sessions/history | any | - | startDate endDate page limit | | page sessions[] totals | 200 | 401 422
048 GET /sessions/{id} | any | session | | | session{} | 200 | 401 403 404
049 POST /sessions | brand admin | - | | chargerId connectorId userId vehicleId? | session{} | 201 | 400 401 403 404 409 422
050 POST /sessions/{id}/stop | any | active session | | reason? | {session cdr} | 200 | 400 401 403 404 422
051 GET /sessions/{id}/cdr | any | session | | | cdr{} | 200 | 401 403 404
052 POST /pricing/calculate | any | - | | stationId connectorId energyKwh duration? startTime? | {basePrice energyCost parkingFee peakHourCharge discount platformFee subtotal gst total breakdown timeFee flatFee adjustment currency} | 200 | 400 401 404 422
053 GET /pricing/preview/{stationId} | any | station | connectorType | | pricing[] | 200 | 401 403 404 422
054 GET /pricing/rules | any | - | page limit isActive | | page rules[] | 200 | 401 422
055 GET /pricing/rules/{id} | any | rule | | | rule{} | 200 | 401 403 404
056 POST /pricing/rules | admin | - | | name stationId? connectorType? rules | rule{} | 201 | 400 401 403 404 409 422
057 PUT /pricing/rules/{id} | admin | rule | | name? rules? isActive? | rule{} | 200 | 400 401 403 404 422
058 DELETE /pricing/rules/{id} | admin | rule | | | done | 200 | 401 403 404
059 GET /billing/invoices | any | - | status page limit | | page invoices[] summary | 200 | 401 422
060 GET /billing/invoices/{id} | any | invoice | | | invoice{} | 200 | 401 403 404
061 POST /billing/invoices | admin | - | | userId items dueDate | invoice{} | 201 | 400 401 403 404 422
062 POST /billing/invoices/{id}/send | admin | invoice | | | done | 200 | 401 403 404
063 GET /billing/transactions | any | - | type status page limit | | page transactions[] | 200 | 401 422
064 GET /billing/refunds | any | - | status page limit | | page refunds[] | 200 | 401 422
065 POST /billing/refunds | any | - | | transactionId amount reason | refund{} | 201 | 400 401 404 409 422
066 GET /billing/refunds/{id} | any | refund | | | refund{} | 200 | 401 403 404
067 PUT /billing/refunds/{id}/process | admin | refund | | status adminNotes? | refund{} | 200 | 400 401 403 404 422
068 GET /billing/reports/daily | admin | - | date | | report{} | 200 | 401 403 422
069 GET /billing/reports/monthly | admin | - | month year | | monthly_report{} | 200 | 401 403 422
070 GET /billing/export | admin | - | startDate endDate format | | file | 200 | 401 403 422
071 GET /notifications | any | - | status type page limit | | page notifications[] unreadCount | 200 | 401 422
072 GET /notifications/preferences | any | - | | | channels{} | 200 | 401
073 PUT /notifications/preferences | any | - | | email? push? sms? inApp? | channels{} | 200 | 400 401 422
074 PUT /notifications/read-all | any | - | | | done | 200 | 401
075 DELETE /notifications | any | - | | | done | 200 | 401
076 GET /notifications/{id} | any | notification | | | notification{} | 200 | 401 403 404
077 PATCH /notifications/{id}/read | any | notification | | | notification{} | 200 | 401 403 404
078 DELETE /notifications/{id} | any | notification | | | done | 200 | 401 403 404
079 POST /notifications | admin | - | | title message type targetUsers? | notification{} | 201 | 400 401 403 422
080 POST /notifications/bulk | admin | - | | title message userIds | {count} count message | 201 | 400 401 403 422
081 GET /maintenance | brand admin | - | status chargerId page limit | | page records[] | 200 | 401 403 422
082 GET /maintenance/stats | brand admin | - | | | {total pending inProgress completed overdue cancelled} | 200 | 401 403
083 POST /maintenance/schedule | brand admin | - | | chargerIds scheduledDate type | records[] | 201 | 400 401 403 422
084 POST /maintenance | brand admin | - | | chargerId type description scheduledDate priority | record{} | 201 | 400 401 403 404 422
085 GET /maintenance/{id} | brand admin | record | | | record{} | 200 | 401 403 404
086 PUT /maintenance/{id} | brand admin | record | | status? notes? completedDate? | record{} | 200 | 400 401 403 404 422
087 DELETE /maintenance/{id} | admin | record | | | done | 200 | 401 403 404
088 PUT /maintenance/{id}/start | brand admin | record | | | record{} | 200 | 401 403 404
089 PUT /maintenance/{id}/complete | brand admin | begun record | | notes partsReplaced? cost? | record{} | 200 | 400 401 403 404 422
090 GET /support/tickets | any | - | status priority page limit | | page tickets[] statusCounts | 200 | 401 422
091 POST /support/tickets | any | - | | subject description category priority? | ticket{} | 201 | 400 401 422
092 GET /support/stats | admin | - | | | {total open resolved avgResponseTime inProgress closed} | 200 | 401 403
093 GET /support/tickets/{id} | any | ticket | | | ticket{} | 200 | 401 403 404
094 PUT /support/tickets/{id} | any | ticket | | status? priority? assignedTo? | ticket{} | 200 | 400 401 403 404 422
095 POST /support/tickets/{id}/comments | any | ticket | | comment attachments? | ticket{} | 201 | 400 401 403 404 422
096 POST /support/tickets/{id}/rate | any | resolved ticket | | rating feedback? | ticket{} | 200 | 400 401 403 404 422
097 GET /admin/dashboard | admin | - | include | | stats{} | 200 | 401 403 422
098 GET /admin/users | admin | - | status role page limit search | | page users[] | 200 | 401 403 422
099 GET /admin/users/{id} | admin | user | | | user{} | 200 | 401 403 404
100 PUT /admin/users/{id} | admin | user | | name? role? status? | user{} | 200 | 400 401 403 404 422
101 PUT /admin/users/{id}/status | admin | user | | status reason? | user{} | 200 | 400 401 403 404 422
102 DELETE /admin/users/{id} | admin | user | | | done | 200 | 401 403 404
103 PATCH /admin/users/{id}/restore | admin | deleted user | | | user{} | 200 | 401 403 404
104 GET /admin/stations | admin | - | status page limit | | page stations[] | 200 | 401 403 422
105 PUT /admin/stations/{id}/verify | admin | station | | verified notes? | station{} | 200 | 400 401 403 404 422
106 DELETE /admin/stations/{id} | admin | station | | | done | 200 | 401 403 404
107 PATCH /admin/stations/{id}/restore | admin | deleted station | | | station{} | 200 | 401 403 404
108 GET /admin/bookings | admin | - | status page limit | | page bookings[] | 200 | 401 403 422
109 GET /admin/reviews | admin | - | rating page limit | | page reviews[] | 200 | 401 403 422
110 PUT /admin/reviews/{id}/moderate | admin | review | | status reason? | review{} | 200 | 400 401 403 404 422
111 GET /analytics/revenue | admin brand | - | startDate endDate groupBy | | {revenue sessionCount period energyDispensed startDate endDate groupBy} | 200 | 401 403 422
112 GET /analytics/charger-stats | admin brand | - | stationId | | {chargers avgUtilization startDate endDate} | 200 | 401 403 422
113 GET /analytics/session-summary | admin brand | - | startDate endDate | | {totalSessions successful failed avgDuration active startDate endDate} | 200 | 401 403 422
114 GET /analytics/user-activity | admin | - | startDate endDate | | {activeUsers newUsers topUsers startDate endDate} | 200 | 401 403 422
115 POST /partners | admin | - | | name email phone type address | partner{} | 201 | 400 401 403 409 422
116 GET /partners | admin brand | - | status type page limit | | page partners[] | 200 | 401 403 422
117 POST /partners/franchises | brand admin | - | | name location contactPerson agreement? | franchise{} | 201 | 400 401 403 409 422
118 GET /partners/franchises | brand admin | - | status page limit | | page franchises[] | 200 | 401 403 422
119 GET /partners/franchises/{franchiseId} | brand admin | franchise | | | franchise{} | 200 | 401 403 404
120 GET /kyc/status | any | - | | | {status documents notes?} | 200 | 401
121 POST /kyc/submit | any | - | | documentType documentNumber frontImage backImage? | kyc{} | 201 | 400 401 409 422
122 GET /kyc/list | admin | - | status page limit | | page submissions[] | 200 | 401 403 422
123 GET /kyc/users/{userId} | admin | identified user | | | kyc{} | 200 | 401 403 404
124 PUT /kyc/users/{userId}/verify | admin | identified user | | status notes? | kyc{} | 200 | 400 401 403 404 422
125 GET /settings | admin | - | | | settings{} | 200 | 401 403
126 PUT /settings | admin | - | | general? pricing? booking? payment? | settings{} | 200 | 400 401 403 422
127 GET /dashboard/stats | any | - | | | my_stats{} | 200 | 401
128 GET /franchises | brand admin | - | status page limit search | | page franchises[] | 200 | 401 403 422
129 POST /franchises | brand admin | - | | name location contactPerson phone? email? | franchise{} | 201 | 400 401 403 409 422
130 GET /franchises/{id} | brand admin | franchise | | | franchise{} | 200 | 401 403 404
131 PUT /franchises/{id} | brand admin | franchise | | name? status? | franchise{} | 200 | 400 401 403 404 422
132 DELETE /franchises/{id} | admin | franchise | | | done | 200 | 401 403 404
133 GET /franchises/{id}/staff | brand admin | franchise | | | staff[] | 200 | 401 403 404
134 POST /upload | any | - | | file type | {url filename size mimetype thumbnailUrl?} | 201 | 400 401 422
135 GET /api-docs | none | - | | | page of html | 200 |
136 GET /uploads/{type}/{filename} | none | upload | | | file | 200 | 401 403 404
"""  # noqa: E501 (a line of the table is an endpoint)

# Fields of one object, `?` where they may be missing. What a name in the table is called in the answer
# where that differs stands in ALIASES.
OBJECTS = {
    "user": "id email name phone role profilePicture isEmailVerified status vehicles wallet preferences"
    " createdAt updatedAt statusReason?",
    "preferences": "notifications language theme",
    "vehicle": "id make model year batteryCapacity registrationNumber isDefault createdAt",
    "transaction": "id userId type amount balanceAfter status description? createdAt paymentMethod?"
    " sessionId? gatewayResponse? metadata?",
    "station": "id name address location city state pincode status rating totalReviews amenities"
    " operatingHours images connectors ownerId ownerType verified createdAt verificationNotes? distance?",
    "charger": "id chargerId chargerName stationId manufacturer model firmwareVersion status lastHeartbeat"
    " connectors location isArchived",
    "booking": "id bookingNumber userId stationId stationName connectorId vehicleId status scheduledTime"
    " estimatedDuration cost logs reservation createdAt startTime? endTime? duration? energyConsumed?"
    " initialSoC? finalSoC? rating? cancellationReason? sessionId?",
    "session": "id sessionId userId chargerId connectorId vehicleId status startTime meterStart paymentStatus"
    " endTime? meterStop? energyConsumed? duration? cost? stopReason? ocppTransactionId?",
    "cdr": "sessionId userId userName chargerId connectorId vehicleInfo startTime endTime duration"
    " energyConsumed meterStart meterStop totalCost currency pricing isEstimated lines corrections",
    "rule": "id name stationId connectorType rules isActive createdAt updatedAt",
    "invoice": "id invoiceNumber userId userName items subtotal tax total currency status dueDate createdAt"
    " paidDate? sessionId? sentAt?",
    "refund": "id userId transactionId amount reason status createdAt sessionId? adminNotes? processedBy?"
    " processedAt?",
    "report": "date sessions energyDispensed revenue gst platformFee netRevenue completed failed refunds"
    " topups currency byStation",
    "monthly_report": "month year startDate endDate sessions energyDispensed revenue gst platformFee"
    " netRevenue completed failed refunds topups currency days byStation",
    "notification": "id userId type title message data isRead createdAt",
    "channels": "email push sms inApp",
    "record": "id chargerId chargerName type description status priority scheduledDate createdAt startedDate?"
    " completedDate? assignedTo? notes? partsReplaced? cost?",
    "ticket": "id ticketNumber userId userName subject description category priority status comments"
    " createdAt slaStatus assignedTo? rating? resolvedAt?",
    "stats": "overview? chargers? sessions? revenue?",
    "my_stats": "upcomingBookings walletBalance thisMonth recentSessions favoriteStations activeSession?",
    "review": "id bookingId userId userName stationId stationName rating comment images status createdAt"
    " reason?",
    "partner": "id name email phone type address status createdAt",
    "franchise": "id name location contactPerson status ownerId createdAt phone? email? agreement?",
    "staff": "id franchiseId name role createdAt phone? email?",
    "kyc": "userId userName userEmail status documents submittedAt notes? verifiedBy? verifiedAt?",
    "settings": "general pricing booking payment",
}
ALIASES = {"channels": "preferences", "my_stats": "stats", "monthly_report": "report"}
# What an array's rows are.
ROW_OBJECTS = {
    "vehicles": "vehicle",
    "sessions": "session",
    "stations": "station",
    "chargers": "charger",
    "bookings": "booking",
    "rules": "rule",
    "invoices": "invoice",
    "refunds": "refund",
    "notifications": "notification",
    "records": "record",
    "history": "record",
    "tickets": "ticket",
    "users": "user",
    "reviews": "review",
    "partners": "partner",
    "franchises": "franchise",
    "submissions": "kyc",
    "staff": "staff",
}
# Statuses that an endpoint answers with although the contract's row does not name them, and why.
DEVIATIONS: dict[str, dict[int, str]] = {
    "019": {
        409: "an Idempotency-Key that was used for another top-up",
        502: "the payment provider does not take the order",
    },
    "020": {
        403: "the session of another user is refused as every other object of another user is",
        409: "a session is paid once; an Idempotency-Key that was used for another payment",
    },
    "027": {409: "an owner has one station at an address; a connector that is in use stays"},
    "028": {409: "a station that is booked or in use is not deleted"},
    "035": {409: "what is archived, or has a session, is not changed or moved"},
    "036": {409: "what is archived already, or has a session, is not archived"},
    "037": {409: "only what was archived can be restored"},
    "041": {403: "another user's vehicle is refused as every other object of another user is"},
    "042": {
        400: "a booking that is over, or not yet due, cannot be started",
        409: "the connector is in use, or the charger refuses",
    },
    "043": {409: "the charger refuses to stop"},
    "044": {409: "a booking that is being started is not cancelled"},
    "050": {409: "the charger refuses to stop"},
    "057": {409: "names of rules are unique"},
    "062": {400: "a cancelled invoice is not sent"},
    "065": {403: "the payment of another user is refused as every other object of another user is"},
    "067": {409: "what was decided is not decided again"},
    "083": {404: "a charger that is not there is named as everywhere else"},
    "088": {400: "what was completed or cancelled cannot be started"},
    "096": {409: "a ticket is rated once"},
    "103": {409: "only what was deleted can be restored"},
    "106": {409: "a station that is booked or in use is not deleted"},
    "107": {409: "only what was deleted can be restored"},
    "131": {409: "an owner's franchises have names of their own"},
    "132": {409: "a franchise that has stations is not deleted"},
    "134": {503: "the file store is away"},
}


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
    answer: str
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
        return re.sub(r"\{.*\}", subject_id, self.path)


def _row(line: str) -> Row:
    head, callers, subject, query, body, answer, status, errors = (part.strip() for part in line.split("|"))
    number, method, path = head.split()
    names = {"none": (), "any": ("user", "brand", "admin")}
    refusals = {int(code) for code in errors.split()} | set(DEVIATIONS.get(number, {}))
    return Row(
        id=number,
        method=method,
        path=path if path.startswith(("/api-docs", "/uploads")) else PREFIX + path,
        callers=names.get(callers, tuple(callers.split())),
        subject=None if subject == "-" else subject,
        query=tuple(query.split()),
        body=tuple(body.split()),
        answer=answer,
        status=int(status),
        errors=frozenset(refusals | {429, 500}),
    )


CONTRACT = [_row(line) for line in TABLE.strip().splitlines()]

# Queries that are refused with a 422 that names them: row, name, value. Those of pages are refused
# everywhere.
INVALID_QUERIES = [
    ("018", "limit", "0"), ("018", "limit", "x"), ("021", "type", "x"), ("022", "status", "x"),
    ("022", "type", "x"), ("023", "latitude", "91"), ("023", "latitude", "nan"),
    ("023", "longitude", "-181"), ("023", "longitude", "inf"), ("023", "radius", "-1"),
    ("023", "radius", "x"), ("029", "status", "x"), ("039", "status", "x"), ("045", "status", "x"),
    ("047", "startDate", "x"), ("047", "endDate", "2026-13-01"), ("053", "connectorType", "x"),
    ("054", "isActive", "x"), ("059", "status", "x"), ("063", "type", "x"), ("063", "status", "x"),
    ("064", "status", "x"), ("068", "date", "x"), ("068", "date", "2026-02-30"), ("069", "month", "13"),
    ("069", "month", "0"), ("069", "year", "x"), ("070", "startDate", "x"), ("070", "endDate", "x"),
    ("070", "format", "exe"), ("071", "status", "x"), ("071", "type", "x"), ("081", "status", "x"),
    ("090", "status", "x"), ("090", "priority", "x"), ("097", "include", "x"), ("098", "status", "x"),
    ("098", "role", "x"), ("104", "status", "x"), ("108", "status", "x"), ("109", "rating", "6"),
    ("109", "rating", "x"), ("111", "groupBy", "x"), ("111", "startDate", "x"), ("113", "endDate", "x"),
    ("114", "startDate", "x"), ("116", "status", "x"), ("118", "status", "x"), ("122", "status", "x"),
    ("128", "status", "x"),
]  # fmt: skip

_BOOKINGS = ("status", "status", ("pending", "confirmed", "active", "completed", "cancelled"), True)
_STATIONS = ("status", "status", ("active", "inactive", "maintenance"), True)
_SWITCH = ("active", "inactive", "suspended")
# Filters of lists: name, the field of a row that says what was asked for, values, and whether the values
# together are all that there is.
FILTERS: dict[str, list[tuple[str, str, tuple[str, ...], bool]]] = {
    "021": [("type", "type", ("credit", "debit"), True)],
    "022": [
        _STATIONS,
        ("search", "name", ("zebra",), False),
        ("type", "connectors", ("CCS", "Type2"), False),
    ],
    "029": [
        ("status", "status", ("Online", "Offline", "Faulted", "Maintenance"), True),
        ("manufacturer", "manufacturer", ("Acme", "Zeta"), True),
        ("station", "stationId", ("{station}", "999999999999"), False),
    ],
    "039": [_BOOKINGS],
    "045": [("status", "status", ("active", "completed", "failed"), True)],
    "047": [
        ("startDate", "", ("2020-01-01", "2099-01-01"), True),
        ("endDate", "", ("2020-01-01", "2099-01-01"), True),
    ],
    "054": [("isActive", "isActive", ("true", "false"), True)],
    "059": [("status", "status", ("pending", "paid", "overdue", "cancelled"), True)],
    "063": [
        ("type", "type", ("credit", "debit"), True),
        ("status", "status", ("completed", "pending", "failed"), True),
    ],
    "064": [("status", "status", ("pending", "approved", "rejected"), True)],
    "071": [
        ("status", "", ("read", "unread"), True),
        ("type", "type", ("booking", "session", "payment", "system", "promotion"), True),
    ],
    "081": [("status", "status", ("scheduled", "in-progress", "completed", "cancelled"), True)],
    "090": [
        ("status", "status", ("open", "in-progress", "resolved", "closed"), True),
        ("priority", "priority", ("low", "medium", "high"), True),
    ],
    "098": [
        ("status", "status", ("active", "blocked", "suspended"), True),
        ("role", "role", ("user", "brand", "admin"), True),
        ("search", "email", ("rival",), False),
    ],
    "104": [_STATIONS],
    "108": [_BOOKINGS],
    "109": [("rating", "rating", ("1", "2", "3", "4", "5"), True)],
    "116": [("type", "type", ("installer", "supplier"), True)],
    "118": [("status", "status", _SWITCH, True)],
    "122": [("status", "status", ("pending", "approved", "rejected"), True)],
    "128": [("status", "status", _SWITCH, True), ("search", "name", ("zebra",), False)],
}

# Fields of bodies that name another thing: one that is not there is a 404.
BODY_IDS = [
    ("020", "sessionId"), ("034", "stationId"), ("041", "stationId"), ("041", "connectorId"),
    ("041", "vehicleId"), ("049", "chargerId"), ("049", "userId"), ("052", "stationId"),
    ("052", "connectorId"), ("056", "stationId"), ("061", "userId"), ("065", "transactionId"),
    ("084", "chargerId"),
]  # fmt: skip
# The same body a second time is a 409.
ONCE = ["001", "011", "026", "034", "041", "049", "056", "115", "117", "129"]
