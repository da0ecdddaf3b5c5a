"""All parts of the portal under /api/mobile/admin, as one literal list."""

from api.mobile.admin import (
    codecs,
    device_data,
    devices,
    estates,
    login,
    meter_tariffs,
    meters,
    mobile_users,
    occupancy,
    persons,
    profiles,
    units,
    wallets,
)
from api.mobile.schemas.errors import RESPONSES
from api.routing import Router

router = Router(prefix="/api/mobile/admin", tags=["Mobile portal"], responses=RESPONSES)
PARTS = (
    *(login, estates, units, persons, occupancy, mobile_users),
    *(meters, meter_tariffs, wallets),
    *(devices, device_data, profiles, codecs),
)
for part in PARTS:
    router.include_router(part.router)
