"""EV-CMS pricing: /api/v1/pricing (EV-052 to EV-058). What prices are made of: docs/pricing.md."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Path, Query

from api.context import Ctx, Db
from api.errors import Problem, not_found
from api.evcms.callers import Admin, AnyUser
from api.evcms.envelope import Answer, Done, Id, Paging
from api.evcms.schemas.pricing import (
    CalculateIn,
    ConnectorType,
    CostOut,
    NamedRule,
    Preview,
    PriceOut,
    RuleChange,
    RuleIn,
    RuleOut,
    RulePage,
)
from api.evcms.station_access import place_of
from api.fields import parse_id
from api.routing import Router
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import admin_actions, pricing_rules
from storage.queries.pricing_rules import PricedPlace, PricingRule
from stream.platform_settings import read_settings
from stream.pricing import Price, PriceRules, prices_of_places, quote_of
from stream.rating import RatingError

router = Router(prefix="/pricing")


async def _station(db: Connection, text: str) -> int:
    station_id = parse_id(text)
    if station_id is None or not await pricing_rules.station_exists(db, station_id):
        raise not_found("Station", f"There is no station {text!r:.50}")
    return station_id


async def _prices(db: Connection, places: Sequence[PricedPlace]) -> list[Price]:
    try:
        return await prices_of_places(db, places)
    except RatingError as error:
        raise Problem(400, "This station has no price", str(error)) from error


@router.post("/calculate")
async def calculate(body: CalculateIn, caller: AnyUser, context: Ctx, db: Db) -> Answer[CostOut]:
    """Calculate what a session would cost: as one of this length that draws the same power all the time."""
    station_id = await _station(db, body.station_id)
    label = str(body.connector_id)
    places = await pricing_rules.places_at_station(db, station_id, label=label)
    if not places:
        raise not_found("Connector", f"Station {station_id} has no connector {label!r:.50}")
    (price,) = await _prices(db, places)
    start = body.start_time or context.now()
    return Answer.of(CostOut.of(quote_of(price, body.energy_wh, body.duration_s, start)))


@router.get("/preview/{stationId}")
async def preview(
    station: Annotated[str, Path(alias="stationId")],
    caller: AnyUser,
    db: Db,
    connector_type: Annotated[ConnectorType | None, Query(alias="connectorType")] = None,
) -> Preview:
    """Show what each connector of a station charges now; to a brand only at its own."""
    station_id = (await place_of(db, caller, station)).id
    places = await pricing_rules.places_at_station(db, station_id, connector_type=connector_type)
    fee_minor = (await read_settings(db)).booking.reservation_fee_minor
    prices = await _prices(db, places)
    rows = [PriceOut.of(place, price, fee_minor) for place, price in zip(places, prices, strict=True)]
    return Preview(success=True, data=rows, pricing=rows)


@router.get("/rules")
async def rules(
    caller: AnyUser,
    db: Db,
    paging: Annotated[Paging, Depends()],
    is_active: Annotated[bool | None, Query(alias="isActive")] = None,
) -> RulePage:
    """List pricing rules, newest first."""
    found, total = await pricing_rules.list_rules(
        db, is_active=is_active, limit=paging.limit, offset=paging.offset
    )
    rows = [RuleOut.of(each) for each in found]
    return RulePage(success=True, data=rows, rules=rows, pagination=paging.of(total))


@router.get("/rules/{id}")
async def rule(rule_id: Id, caller: AnyUser, db: Db) -> Answer[NamedRule]:
    """Show a pricing rule."""
    number = parse_id(rule_id)
    found = None if number is None else await pricing_rules.get_rule(db, number)
    if found is None:
        raise _no_rule(rule_id)
    return Answer.of(NamedRule.around(RuleOut.of(found)))


@router.post("/rules", status_code=201)
async def create_rule(body: RuleIn, caller: Admin, context: Ctx, db: Db) -> Answer[NamedRule]:
    """Make a pricing rule, in force at once for sessions that begin from now on; names are unique."""
    station_id = None if body.station_id is None else await _station(db, body.station_id)
    try:
        made = await pricing_rules.insert_rule(
            db,
            name=body.name,
            station_id=station_id,
            connector_type=body.connector_type,
            rules=_stored(body.rules),
            created_by=caller.id,
            now=context.now(),
        )
    except AlreadyExistsError as error:
        raise _name_taken(body.name) from error
    await _record(db, context, caller.id, "create", made)
    return Answer.of(NamedRule.around(RuleOut.of(made)))


@router.put("/rules/{id}")
async def change_rule(
    rule_id: Id, body: RuleChange, caller: Admin, context: Ctx, db: Db
) -> Answer[NamedRule]:
    """Change a pricing rule; sessions that run keep the price of their start."""
    before = await _locked(db, rule_id)
    try:
        after = await pricing_rules.update_rule(
            db,
            before.id,
            name=before.name if body.name is None else body.name,
            rules=before.rules if body.rules is None else _stored(body.rules),
            is_active=before.is_active if body.is_active is None else body.is_active,
            now=context.now(),
        )
    except AlreadyExistsError as error:
        raise _name_taken(body.name or before.name) from error
    assert after is not None, "it is locked"
    await _record(db, context, caller.id, "update", after)
    return Answer.of(NamedRule.around(RuleOut.of(after)))


@router.delete("/rules/{id}")
async def delete_rule(rule_id: Id, caller: Admin, context: Ctx, db: Db) -> Done:
    """Delete a pricing rule; what was rated by it stays as it is."""
    found = await _locked(db, rule_id)
    await pricing_rules.delete_rule(db, found.id, context.now())
    await _record(db, context, caller.id, "delete", found)
    return Done.of("Pricing rule deleted")


async def _locked(db: Connection, rule_id: str) -> PricingRule:
    number = parse_id(rule_id)
    found = None if number is None else await pricing_rules.lock_rule(db, number)
    if found is None:
        raise _no_rule(rule_id)
    return found


def _no_rule(rule_id: str) -> Problem:
    return not_found("Pricing rule", f"There is no pricing rule {rule_id!r:.50}")


def _name_taken(name: str) -> Problem:
    return Problem(409, "Pricing rule already exists", f"A pricing rule has the name {name!r}")


def _stored(rules: PriceRules) -> dict[str, Any]:
    return rules.model_dump(mode="json", by_alias=True)


async def _record(db: Connection, context: Ctx, actor_id: int, verb: str, changed: PricingRule) -> None:
    detail = {"name": changed.name, "rules": changed.rules, "is_active": changed.is_active}
    await admin_actions.record_action(
        db,
        actor_id=actor_id,
        action=f"pricing_rule.{verb}",
        subject=f"pricing_rule:{changed.id}",
        detail=detail,
        now=context.now(),
    )
