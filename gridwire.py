"""Gridwire's command line and composition root: the only place that knows every part.

`gridwire up` runs everything on one machine; `gridwire serve ROLE...` runs roles against external servers.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop
from argon2 import PasswordHasher
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from deploy.local import Plan, run_local
from deploy.messages import SetupError
from deploy.settings import Settings
from deploy.terminal import by_label, scrape, total

log = structlog.get_logger()
console = Console()
app = typer.Typer(
    no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
users_app = typer.Typer(no_args_is_help=True, help="People who log in to one of the API families.")
devices_app = typer.Typer(no_args_is_help=True, help="The registry of chargers, batteries and meters.")
app.add_typer(users_app, name="users")
app.add_typer(devices_app, name="devices")


def main() -> None:
    """Run the command line; what an operator can mend ends without a traceback."""
    try:
        app()
    except SetupError as error:
        console.print(f"[bold red]{error.problem}[/bold red]\n  {error.remedy}", highlight=False)
        sys.exit(1)


def clock() -> int:
    """Microseconds since 1970 UTC: the one clock that every part is given."""
    return time.time_ns() // 1000


if __name__ == "__main__":
    main()
