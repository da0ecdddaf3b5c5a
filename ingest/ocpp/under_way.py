"""Transactions of 2.x as this gateway has kept them last; used by `ingest.ocpp.v2.mere_reading`.

Nothing rests on this memory: it may be lost or out of date at any time.
"""

from collections import OrderedDict
from dataclasses import dataclass

from protocols.ocpp.transactions import Progress

TRANSACTIONS_MAX = 20_000  # of all chargers; beyond them the one that was heard of longest ago is forgotten


@dataclass(frozen=True, slots=True)
class Known:
    """An open transaction as this gateway has kept it last. `transaction_id` is ours."""

    session_id: int
    transaction_id: int
    evse_id: int
    progress: Progress


class UnderWay:
    """The transactions of one gateway, by charger and the charger's own id."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, str], Known] = OrderedDict()

    def keep(self, device_id: int, uid: str, known: Known) -> None:
        """Remember what was committed just now."""
        self._known[device_id, uid] = known
        self._known.move_to_end((device_id, uid))
        if len(self._known) > TRANSACTIONS_MAX:
            self._known.popitem(last=False)

    def take(self, device_id: int, uid: str) -> Known | None:
        """What is known, once: whoever takes it keeps what came of it."""
        return self._known.pop((device_id, uid), None)
