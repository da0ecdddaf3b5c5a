"""A StopTransaction that fits no open transaction: whose it is all the same; used by `stop_transaction`.

Offline starts are lost with their answers, transactions are ended by a rule before their charger speaks
again (`stream.reconcile`), and some chargers end them with an id of their own (OCPP 1.6, section 4.10).
"""

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.v16.authorize import judge
from protocols.ocpp.meter_values import decode_sampled
from protocols.samples import DecodeError
from protocols.timestamps import to_datetime
from protocols.vocabulary import CONTEXT_CODES, MEASURAND_CODES
from storage.database import Connection
from storage.queries.chargers import list_connectors
from storage.queries.reconciliation import session_ended_by_rule
from storage.queries.sessions import Session, get_session
from stream.reconciliation import LostStart, Stop, late_stop, session_of_stop

_REGISTER = MEASURAND_CODES["Energy.Active.Import.Register"]
_BEGIN = CONTEXT_CODES["Transaction.Begin"]


async def adopt(context: Context, connection: Connection, payload: Payload, stop: Stop) -> Session | None:
    """The session of a stop that names no transaction of ours; None where none can be told."""
    if not context.is_active:
        return None
    id_tag = payload.get("idTag")
    if isinstance(id_tag, str):
        session_id = await session_ended_by_rule(
            connection,
            context.device.id,
            id_tag=id_tag,
            ended_at=stop.ended_at,
            meter_stop_wh=stop.meter_stop_wh,
        )
        if session_id is not None and await late_stop(connection, session_id, stop):
            return await get_session(connection, session_id)
    begin = _begin(payload.get("transactionData"))
    if begin is None:
        return None
    token = id_tag if isinstance(id_tag, str) else ""
    user_id = (await judge(context, connection, token))[0] if token else None
    connectors = [each.connector_id for each in await list_connectors(connection, context.device.id)]
    numbered = [number for number in connectors if number > 0]
    start = LostStart(
        device_id=context.device.id,
        connector_id=numbered[0] if len(numbered) == 1 else 0,
        id_tag=token,
        user_id=user_id,
        started_at=to_datetime(begin[0]),
        meter_start_wh=begin[1],
    )
    return await session_of_stop(connection, start, stop)


def _begin(transaction_data: object) -> tuple[int, int] | None:
    """When the transaction began (microseconds) and the register then (Wh), by transactionData."""
    if not transaction_data:
        return None
    try:
        columns = decode_sampled(transaction_data, 0, None, "transactionData").rows.columns
    except DecodeError:
        return None
    names = ("ts", "value", "context", "measurand", "phase", "location")
    rows = zip(*(columns[name] for name in names), strict=True)
    # the sample that says of itself that it is the first, or else the earliest
    readings = [
        (context != _BEGIN, ts_us, round(value))
        for ts_us, value, context, *kind in rows
        if kind == [_REGISTER, 0, 0] and isinstance(ts_us, int) and isinstance(value, float)
    ]
    return min(readings)[1:] if readings else None
