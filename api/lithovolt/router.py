"""All Lithovolt routers under /api. Each path ends with a slash."""

from api.lithovolt import (
    auth,
    claim_files,
    claims,
    inventory,
    inventory_allocations,
    inventory_serials,
    orders,
    templates,
    users,
    warranty,
    warranty_verification,
)
from api.lithovolt.schemas import RESPONSES
from api.routing import Router

router = Router(prefix="/api", tags=["Lithovolt"], responses=RESPONSES)
for part in (
    auth,
    users,
    templates,
    inventory,
    inventory_serials,
    inventory_allocations,
    orders,
    warranty_verification,
    claims,
    claim_files,
    warranty,
):
    router.include_router(part.router)
