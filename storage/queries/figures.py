"""What `/metrics` shows of the database, of one instant; the laws among the counts hold in no other way."""

from dataclasses import dataclass

from storage.database import Connection
from storage.queries.sessions import count_active
from storage.queries.totals import Producer, SampleTotal, get_producers, sample_totals

_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@dataclass(frozen=True, slots=True)
class Figures:
    """All of one snapshot; `active_sessions` counts charging sessions under way."""

    producers: list[Producer]
    totals: list[SampleTotal]
    active_sessions: int


async def read_figures(connection: Connection) -> Figures:
    """Read them; the connection must be at the beginning of a transaction."""
    await connection.execute(_SNAPSHOT)
    producers, totals = await get_producers(connection), await sample_totals(connection)
    return Figures(producers, totals, await count_active(connection))
