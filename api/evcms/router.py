"""All EV-CMS routers under /api/v1."""

from fastapi import APIRouter

from api.evcms import (
    auth,
    charger_commands,
    charger_security,
    chargers,
    device_model,
    messages,
    sessions,
    wallet,
)
from api.evcms.schemas.errors import RESPONSES

router = APIRouter(prefix="/api/v1", tags=["EV-CMS"], responses=RESPONSES)
for part in (auth, wallet, chargers, charger_commands, charger_security, device_model, messages, sessions):
    router.include_router(part.router)
