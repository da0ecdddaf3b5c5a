"""All Lithovolt routers under /api. Each path ends with a slash."""

from fastapi import APIRouter

from api.lithovolt.schemas import RESPONSES

router = APIRouter(prefix="/api", tags=["Lithovolt"], responses=RESPONSES)
