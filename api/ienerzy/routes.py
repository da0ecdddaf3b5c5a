"""All of Ienerzy that is served."""

from fastapi import APIRouter

from api.ienerzy import auth, batteries

router = APIRouter()
router.include_router(auth.router)
router.include_router(batteries.router)
