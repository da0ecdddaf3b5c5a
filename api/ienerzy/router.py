"""All Ienerzy routers under /api."""

from api.ienerzy import (
    accounts,
    analytics,
    assets,
    auth,
    auto_disable,
    batteries,
    battery_health,
    consumers,
    documents,
    finance,
    finance_payments,
    messaging,
    nbfc,
    portfolio,
    service,
    test_routes,
)
from api.ienerzy.schemas import RESPONSES
from api.routing import Router

router = Router(prefix="/api", tags=["Ienerzy"], responses=RESPONSES)
for part in (
    auth,
    accounts,
    test_routes,
    consumers,
    documents,
    assets,
    batteries,
    battery_health,
    analytics,
    portfolio,
    service,
    messaging,
    finance,
    finance_payments,
    auto_disable,
    nbfc,
):
    router.include_router(part.router)
