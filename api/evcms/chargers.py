"""Chargers: list, sums, detail, what they do now, and commands that go to them as OCPP calls."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem, forbidden, not_found
from api.evcms.callers import AnyUser, Operator
from api.evcms.schemas.charging import (
    ChargerAnswer,
    ChargerData,
    ChargerLiveAnswer,
    ChargerLiveData,
    ChargerOut,
    ChargersAnswer,
    ChargerStatsAnswer,
    ChargerStatsData,
    ChargerStatus,
    Command,
    CommandAnswer,
    CommandData,
    CommandResult,
    ConnectorOut,
)
from api.evcms.schemas.common import Paging
from api.fields import parse_id
from protocols.vocabulary import MEASURAND_CODES
from storage.database import Connection
from storage.queries import charger_views
from storage.queries.charger_views import ChargerView, ConnectorView, Scope
from storage.queries.samples import ChargerValue, latest_charger_values
from stream.bus import CallOutcome, ChargerOfflineError, call_charger

router = APIRouter(prefix="/api/v1/chargers", tags=["EV-CMS: chargers"])

ChargerId = Annotated[str, Path(max_length=200)]
Filter = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]
LIVE_FOR = timedelta(minutes=5)  # an older value says nothing about now

# OCPP 1.6 ChargePointStatus in the family's words; "Charging" is any vehicle at the connector (conflict C57)
PrintedStatus = Literal["Available", "Charging", "Faulted", "Unavailable"]
PRINTED: Mapping[str, PrintedStatus] = {
    "Available": "Available",
    "Preparing": "Charging",
    "Charging": "Charging",
    "SuspendedEV": "Charging",
    "SuspendedEVSE": "Charging",
    "Finishing": "Charging",
    "Reserved": "Unavailable",
    "Unavailable": "Unavailable",
    "Faulted": "Faulted",
}


@router.get("")
async def charger_list(
    caller: AnyUser,
    db: Db,
    paging: Annotated[Paging, Query()],
    station: Filter = None,
    station_id: Annotated[str | None, Query(alias="stationId", max_length=200)] = None,
    status: Annotated[ChargerStatus | None, Query()] = None,
    manufacturer: Filter = None,
) -> ChargersAnswer:
    """A page of chargers: a brand sees its own (EV-029)."""
    wanted, nowhere = _station(station or station_id)
    views, total = await charger_views.list_views(
        db, scope_of(caller), station_id=wanted, status=status, manufacturer=manufacturer,
        limit=0 if nowhere else paging.size, offset=paging.offset,
    )  # fmt: skip
    rows = await _shown(db, views)
    page = paging.of(0 if nowhere else total)
    return ChargersAnswer(success=True, data=rows, chargers=rows, pagination=page)


@router.get("/stats")
async def charger_stats(caller: AnyUser, db: Db, station: Filter = None) -> ChargerStatsAnswer:
    """Sums over the chargers that the caller sees (EV-030)."""
    wanted, nowhere = _station(station)
    totals = await charger_views.charger_totals(db, scope_of(caller), -1 if nowhere else wanted)
    share = 100 * totals.occupied / totals.connectors if totals.connectors else 0.0
    return ChargerStatsAnswer(
        success=True,
        data=ChargerStatsData(
            total_chargers=totals.total,
            online=totals.online,
            offline=totals.offline,
            faulted=totals.faulted,
            utilization=round(share, 1),
        ),
    )


@router.get("/{charger_id}")
async def charger_detail(charger_id: ChargerId, caller: AnyUser, db: Db) -> ChargerAnswer:
    """One charger (EV-031)."""
    view = await reachable(db, charger_id, caller)
    charger = (await _shown(db, [view]))[0]
    return ChargerAnswer(success=True, data=ChargerData(**dict(charger), charger=charger))


@router.get("/{charger_id}/status")
async def charger_status(charger_id: ChargerId, caller: AnyUser, context: Ctx, db: Db) -> ChargerLiveAnswer:
    """What the charger does now (EV-032)."""
    view = await reachable(db, charger_id, caller)
    values = await latest_charger_values(db, view.device_id, context.now() - LIVE_FOR)
    return ChargerLiveAnswer(
        success=True,
        data=ChargerLiveData(
            status=view.status,
            current_power=power_kw(values),
            temperature=_latest(values, "Temperature"),
            last_heartbeat=view.last_heartbeat_at,
        ),
    )


@router.post("/{charger_id}/command")
async def charger_command(
    charger_id: ChargerId, body: Command, caller: Operator, context: Ctx
) -> CommandAnswer:
    """Send a command and return the charger's answer (EV-038); beyond the contract, all of OCPP's core."""
    async with context.pool.connection() as connection:
        view = await reachable(connection, charger_id, caller)
    action, payload = _call_for(body)
    answer = await call(context, view, action, payload)
    status = answer.get("status")
    result = CommandResult(
        command=body.command, status=status if isinstance(status, str) else None, answer=answer
    )
    return CommandAnswer(success=True, data=CommandData(**dict(result), result=result))


def scope_of(caller: Caller) -> Scope:
    """Return which chargers the caller sees: a brand its own, everybody else all that are in use."""
    return Scope(caller.id if caller.role == "brand" else None, ("active",))


async def reachable(connection: Connection, text: str, caller: Caller) -> ChargerView:
    """Return the charger by `id` or OCPP identity; 404 where there is none, 403 for another brand's."""
    number = parse_id(text)
    view = None if number is None else await charger_views.get_view(connection, number)
    if view is None and "\0" not in text:
        view = await charger_views.find_view(connection, text)
    if view is None:
        raise not_found("Charger", f"No charger has the id {text}")
    if caller.role == "brand" and view.owner_id != caller.id:
        raise forbidden("This charger belongs to another brand")
    return view


async def call(
    context: Context, charger: ChargerView, action: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Call a charger and return its answer; a `Problem` says why there is none."""
    try:
        outcome = await call_charger(
            context.bus, charger.device_id, action, payload, context.config.charger_answer_s
        )
    except ChargerOfflineError as error:
        raise Problem(
            400,
            f"Charger {charger.identity} is offline",
            "It holds no connection now: try again when it is back",
        ) from error
    return _answer_of(context, charger, action, outcome)


def _answer_of(context: Context, charger: ChargerView, action: str, outcome: CallOutcome) -> dict[str, Any]:
    if outcome.outcome == "timeout":
        raise Problem(
            400,
            f"Charger {charger.identity} did not answer",
            f"No answer to {action} within {context.config.charger_answer_s:.0f} s: it may be half connected",
        )
    if outcome.outcome == "error":
        details = f"{outcome.code}: {outcome.description}".removesuffix(": ")
        raise Problem(400, f"Charger {charger.identity} refused {action}", details)
    return outcome.payload


def _call_for(body: Command) -> tuple[str, dict[str, Any]]:
    """Translate a command to OCPP 1.6 (5.14 Reset, 5.18 UnlockConnector; the others are OCPP's own)."""
    connector = {} if body.connector_id is None else {"connectorId": body.connector_id}
    if body.command == "Reset":
        return "Reset", {"type": "Soft", **body.params}
    if body.command == "Unlock":
        return "UnlockConnector", {"connectorId": 1, **connector, **body.params}
    return body.command, {**connector, **body.params}


def _station(text: str | None) -> tuple[int | None, bool]:
    """Return the station's id, and whether `text` names one that cannot be."""
    number = None if text is None else parse_id(text)
    return number, text is not None and number is None


async def _shown(db: Connection, views: Sequence[ChargerView]) -> list[ChargerOut]:
    connectors = await charger_views.list_connector_views(db, [view.device_id for view in views])
    return [
        _charger(view, [each for each in connectors if each.device_id == view.device_id]) for view in views
    ]


def _charger(view: ChargerView, connectors: Sequence[ConnectorView]) -> ChargerOut:
    return ChargerOut(
        id=str(view.device_id),
        charger_id=view.identity,
        charger_name=view.name or view.identity,
        station_id="" if view.station_id is None else str(view.station_id),
        manufacturer=view.vendor or "",
        model=view.model or "",
        firmware_version=view.firmware or "",
        status=view.status,
        last_heartbeat=view.last_heartbeat_at,
        connectors=[_connector(each) for each in connectors],
        location=view.station_name or "",
        is_archived=view.registry == "archived",
    )


def _connector(view: ConnectorView) -> ConnectorOut:
    return ConnectorOut(
        connector_id=view.connector_id,
        type=view.type,
        power=view.power_kw,
        status=PRINTED.get(view.status, "Unavailable"),
        current_session=None if view.session_id is None else str(view.session_id),
    )


def power_kw(values: Sequence[ChargerValue]) -> float:
    """Sum the power of all connectors: the total where the charger says it, else its phases."""
    code = MEASURAND_CODES["Power.Active.Import"]
    found = [each for each in values if each.measurand == code]
    totals = {each.connector_id: each.value for each in found if each.phase == 0}
    phases = sum(each.value for each in found if each.phase != 0 and each.connector_id not in totals)
    return round((sum(totals.values()) + phases) / 1000, 3)


def _latest(values: Sequence[ChargerValue], measurand: str) -> float | None:
    found = [each for each in values if each.measurand == MEASURAND_CODES[measurand]]
    return max(found, key=lambda each: each.ts).value if found else None
