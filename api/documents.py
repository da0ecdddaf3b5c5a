"""Which documents there are at /api-docs, one a family; for `api.app`."""

from api.document import Part
from api.evcms.description import DESCRIPTION as EVCMS
from api.evcms.examples import EXAMPLES as EVCMS_EXAMPLES

PARTS = (
    Part(
        "evcms",
        "Gridwire EV-CMS",
        "EV-CMS",
        "/api/v1",
        EVCMS,
        {"kyc": "KYC", "commands": "Chargers", "payments": "Billing", "upload": "Uploads"},
        EVCMS_EXAMPLES,
    ),
    Part(
        "ienerzy",
        "Gridwire Ienerzy",
        "Ienerzy",
        "/api",
        "Batteries: their readings, health, alarms and control.",
    ),
    Part(
        "mobile",
        "Gridwire Mobile",
        "Mobile",
        "/api/mobile",
        "What people in metered flats see of their units, meters and wallets.",
    ),
    Part(
        "mobile-portal",
        "Gridwire Mobile portal",
        "Mobile portal",
        "/api/mobile/admin",
        "What operators of metered estates manage: estates, people, meters, tariffs, devices and codecs.",
    ),
    Part(
        "operations",
        "Gridwire operations",
        "Operations",
        "",
        "Health and metrics, for supervisors and monitoring.",
    ),
)
