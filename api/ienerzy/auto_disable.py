"""Batteries of overdue accounts are disabled at once: /api/finance/auto-disable (IE-019)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.context import Ctx
from api.ienerzy.callers import DealerOrAdmin, reach
from api.routing import Router
from stream.lending import locks

router = Router(prefix="/finance")

DAYS_MAX = 3_650


class AutoDisableIn(BaseModel):
    """From how many days of lateness on (conflict C73)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overdue_days_threshold": 7}]})

    overdue_days_threshold: Annotated[int, Field(ge=1, le=DAYS_MAX)]


class AutoDisabled(BaseModel):
    """The serial numbers of the batteries that this call has disabled, in order."""

    message: str
    disabled_count: int
    disabled_batteries: list[str]


@router.post("/auto-disable")
async def auto_disable(body: AutoDisableIn, caller: DealerOrAdmin, context: Ctx) -> AutoDisabled:
    """Disable the batteries of the caller's accounts that are overdue for so many days or more.

    Their consumers are told, the batteries get their command, and are enabled again once nothing is overdue.
    Those that are disabled already, or being disabled, are not counted again; at most 1,000 in one call.
    """
    serials = await locks.disable_now(
        context.pool,
        context.bus,
        threshold_days=body.overdue_days_threshold,
        dealer_id=reach(caller).dealer_id,
        requested_by=caller.id,
        now=context.now(),
    )
    return AutoDisabled(
        message="Batteries disabled successfully", disabled_count=len(serials), disabled_batteries=serials
    )
