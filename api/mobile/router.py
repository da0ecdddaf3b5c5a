"""All routers of the app under /api/mobile; the portal's are in `api.mobile.admin.router`."""

from api.mobile import auth, budgets, meters, notifications, top_ups, wallet
from api.mobile.schemas.errors import RESPONSES
from api.routing import Router

router = Router(prefix="/api/mobile", tags=["Mobile"], responses=RESPONSES)
for part in (auth, meters, wallet, budgets, notifications, top_ups):
    router.include_router(part.router)
