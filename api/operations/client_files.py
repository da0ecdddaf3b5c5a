"""Files for client developers: `python -m api.operations.client_files`, of `make clients` and `make postman`.

Needs neither a database nor a bus: nothing is asked of them.
"""

import json
import secrets
from pathlib import Path
from typing import Annotated

import typer
from nats.aio.client import Client

from api.app import create_app
from api.config import ApiConfig
from api.document import JsonObject, part_of
from api.documents import PARTS
from api.postman import collection_of
from storage.database import open_pool

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


def family_documents() -> dict[str, JsonObject]:
    """Return each family's document by its slug."""
    pool = open_pool("postgresql:///", size_max=1)  # never opened
    served = create_app(ApiConfig(secret_key=secrets.token_hex()), pool, Client(), lambda: 0)
    whole = served.openapi()
    return {part.slug: part_of(whole, part) for part in PARTS}


@app.command()
def documents(folder: Annotated[Path, typer.Argument(help="Where <family>.json go.")]) -> None:
    """Write each family's OpenAPI document."""
    folder.mkdir(parents=True, exist_ok=True)
    for slug, document in family_documents().items():
        _write(folder / f"{slug}.json", document)


@app.command()
def postman(
    folder: Annotated[Path, typer.Argument(help="Where gridwire-<family>.postman_collection.json go.")],
) -> None:
    """Write each family's Postman collection."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = family_documents()
    for part in PARTS:
        collection = collection_of(documents[part.slug], part.logins)
        _write(folder / f"gridwire-{part.slug}.postman_collection.json", collection)


def _write(file: Path, content: JsonObject) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app()
