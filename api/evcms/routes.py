"""All of EV-CMS that is served."""

from fastapi import APIRouter

from api.evcms import auth, chargers, sessions, wallet

router = APIRouter()
for part in (auth, wallet, chargers, sessions):
    router.include_router(part.router)
