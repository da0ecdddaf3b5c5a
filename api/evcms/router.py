"""All EV-CMS routers under /api/v1."""

from api.evcms import (
    admin_stations,
    admin_users,
    analytics,
    auth,
    bookings,
    charger_commands,
    charger_security,
    chargers,
    dashboards,
    device_model,
    export,
    favourites,
    franchises,
    invoices,
    kyc,
    maintenance,
    messages,
    notifications,
    partners,
    payments,
    platform_settings,
    pricing,
    profile,
    refunds,
    reports,
    reviews,
    sessions,
    stations,
    support,
    transactions,
    uploads,
    vehicles,
    wallet,
)
from api.evcms.schemas.errors import RESPONSES
from api.routing import Router

router = Router(prefix="/api/v1", tags=["EV-CMS"], responses=RESPONSES)
for part in (auth, wallet, chargers, charger_commands, charger_security, device_model, messages, sessions):
    router.include_router(part.router)
router.include_router(bookings.router)
router.include_router(pricing.router)
for part in (payments, refunds, transactions):
    router.include_router(part.router)
for figures in (dashboards, analytics, reports, export):
    router.include_router(figures.router)
for part in (stations, favourites, admin_stations, reviews, franchises):
    router.include_router(part.router)
for part in (profile, vehicles, admin_users, partners, kyc, platform_settings, invoices):
    router.include_router(part.router)
for part in (notifications, maintenance, support, uploads):
    router.include_router(part.router)
