"""All Ienerzy routers under /api."""

from fastapi import APIRouter

from api.ienerzy import auth, batteries, battery_health
from api.ienerzy.schemas import RESPONSES

router = APIRouter(prefix="/api", tags=["Ienerzy"], responses=RESPONSES)
for part in (auth, batteries, battery_health):
    router.include_router(part.router)
