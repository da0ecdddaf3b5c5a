"""Commands over what runs: `gridwire migrate` and `gridwire status`. Mounted by `gridwire.py`."""

import time
from typing import Annotated

import typer
from rich.console import Console

from deploy.messages import SetupError
from deploy.settings import Settings, needed, read_settings
from deploy.terminal import Status, scrape
from storage.errors import DatabaseAwayError, StorageError
from storage.migrate import MigrationReport
from storage.migrate import migrate as migrate_database

console = Console()


def migrate() -> None:
    """Bring the database to this version: migrations, hypertables, partitions. Safe to repeat."""
    report = run_migrations(read_settings())
    console.print(f"{report.abilities.value}, schema version {report.version}")
    for name in (*report.applied, *report.tables_made):
        console.print(f"  new: {name}")


def status(
    url: Annotated[str | None, typer.Option(help="Of the API; default: this machine.")] = None,
) -> None:
    """Show what a running Gridwire says of itself in /metrics."""
    base = url or f"http://127.0.0.1:{read_settings().http_port}"
    figures = scrape(f"{base}/metrics")
    if figures is None:
        raise SetupError(f"No Gridwire answers at {base}.", "Start one, or name another with --url.")
    screen = Status(addresses=(("metrics", f"{base}/metrics"),))
    screen.observe(time.monotonic(), figures)
    console.print(screen.render())


def run_migrations(settings: Settings) -> MigrationReport:
    """Migrate the database of the settings; raises `SetupError` with what stands in the way."""
    try:
        return migrate_database(needed(settings.database_url, "GRIDWIRE_DATABASE_URL"))
    except DatabaseAwayError as error:
        raise away(error) from error
    except StorageError as error:
        raise SetupError(str(error), "The database was left as it is.") from error


def away(error: Exception) -> SetupError:
    """Return what to tell where the database does not answer."""
    return SetupError(f"The database does not answer: {error}", "Check GRIDWIRE_DATABASE_URL.")
