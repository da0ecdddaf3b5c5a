"""Which charger a request means, and whether the caller may see it; used by chargers and sessions."""

from api.callers import Caller
from api.errors import forbidden, not_found
from api.evcms.callers import charger_scope
from api.fields import parse_id
from storage.database import Connection
from storage.queries.charger_views import ChargerView, find_view, get_view


async def charger_of(db: Connection, caller: Caller, reference: str) -> ChargerView:
    """Return the charger with this `id`, or with this `chargerId`; raises 404, or 403 for another's."""
    return _checked(caller, reference, await _by_id(db, reference) or await _by_identity(db, reference))


async def charger_named(db: Connection, caller: Caller, reference: str) -> ChargerView:
    """The same for a `chargerId` in a body: where both fit, the OCPP identity is meant."""
    return _checked(caller, reference, await _by_identity(db, reference) or await _by_id(db, reference))


async def _by_id(db: Connection, reference: str) -> ChargerView | None:
    device_id = parse_id(reference)
    return None if device_id is None else await get_view(db, device_id)


async def _by_identity(db: Connection, reference: str) -> ChargerView | None:
    return None if "\0" in reference else await find_view(db, reference)


def _checked(caller: Caller, reference: str, view: ChargerView | None) -> ChargerView:
    is_gone = view is not None and view.registry == "archived" and caller.role == "user"
    if view is None or is_gone:
        raise not_found("Charger", f"No charger has the id {reference}")
    scope = charger_scope(caller)
    is_foreign = scope.owner_id is not None and view.owner_id != scope.owner_id
    if is_foreign or (caller.role == "user" and view.registry not in scope.registry):
        raise forbidden("This charger belongs to another owner")
    return view
