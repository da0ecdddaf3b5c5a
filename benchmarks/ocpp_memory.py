"""What an open OCPP socket costs in memory: our gateway beside the `ocpp` package's own ChargePoint.

Run by `make bench`, with the servers and chargers of `benchmarks.ocpp`. Every socket has sent one MeterValues
and is idle then, as most sockets are. Linux only: it reads `/proc`.
"""

import asyncio
import os
from pathlib import Path

from benchmarks.ocpp import running
from benchmarks.report import Measurement

CONNECTIONS = 500  # the registry writes no more than 600 chargers a minute that it does not know
WARM_UP_CONNECTIONS = 20  # what a server makes with its first sockets is no socket's
SETTLE_S = 3.0  # settling of commands and the message log's linger are over


async def measure(database_url: str, nats_url: str, *, connections: int = CONNECTIONS) -> Measurement:
    """Return resident bytes a connection of both; needs what `benchmarks.ocpp.measure` needs."""
    peer = await _bytes_each(["peer"], connections)
    ours = await _bytes_each(["gateway", database_url, nats_url], connections)
    return Measurement(
        name="ocpp_memory",
        unit="bytes/connection",
        ours=ours,
        peer=peer,
        peer_name="ocpp ChargePoint",
        note=f"growth of the resident set with {connections} sockets, one message each; less is better",
    )


async def _bytes_each(server: list[str], connections: int) -> float:
    async with running(*server) as (pid, port):
        async with running("hold", port, str(WARM_UP_CONNECTIONS)):
            await asyncio.sleep(SETTLE_S)
        before = _resident_bytes(pid)
        async with running("hold", port, str(connections)):
            await asyncio.sleep(SETTLE_S)
            return (_resident_bytes(pid) - before) / connections


def _resident_bytes(pid: int) -> int:
    """The second field of `statm`, proc(5), is in pages."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
