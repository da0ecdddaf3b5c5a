"""`make bench`: every benchmark in one run, on servers of its own; prints, plots, writes `results/`."""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from benchmarks import codecs, evcms_api, health, ocpp, ocpp_memory, writer
from benchmarks.report import print_table, write_results
from deploy.temporary import temporary_nats, temporary_postgres
from storage.migrate import migrate


def main(
    rows: Annotated[int, typer.Option(help="Rows that the writer stores in each repetition.")] = 1_000_000,
    seconds: Annotated[float, typer.Option(help="How long each OCPP server is loaded.")] = 8.0,
) -> None:
    """Measure Gridwire beside its limits and its peers on this machine."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="gridwire-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the database runs as another account under root
        with temporary_postgres(folder / "postgres") as postgres, temporary_nats(folder / "nats") as nats:
            migrate(postgres.url)
            with console.status("the writer beside a raw binary COPY ..."):
                first = uvloop.run(writer.measure(postgres.url, nats.url, rows))
            with console.status("the OCPP gateway beside the ocpp package's router ..."):
                second = asyncio.run(ocpp.measure(postgres.url, nats.url, seconds=seconds))
            with console.status("memory for each OCPP socket ..."):
                third = asyncio.run(ocpp_memory.measure(postgres.url, nats.url))
            with console.status("the EV-CMS family on a million sessions beside a bare endpoint ..."):
                lists = asyncio.run(evcms_api.measure(postgres.url, nats.url))
    with console.status("payload codecs, warm beside a fresh context each time ..."):
        decodes = codecs.measure()
    with console.status("battery cycles beside the rainflow package ..."):
        cycles = health.measure()
    measurements = [first, second, third, *lists, *decodes, cycles]
    print_table(measurements, console)
    console.print(f"written: {write_results(measurements, datetime.now(UTC))}")


if __name__ == "__main__":
    typer.run(main)
