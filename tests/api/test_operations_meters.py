"""Commands over meters and profiles: what is wrong is said in words, and nothing was changed."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.operations.meters import profiles_app
from api.operations.registry import devices_app
from deploy.messages import SetupError
from storage.database import Connection, in_transaction
from storage.queries import profiles


def error_of(arguments: list[str]) -> str:
    app, *rest = arguments
    error = CliRunner().invoke({"devices": devices_app, "profiles": profiles_app}[app], rest).exception
    assert isinstance(error, SetupError), repr(error)
    return str(error)


def test_a_file_that_is_no_utf_8_is_said(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDWIRE_DATABASE_URL", database_url)
    file = tmp_path / "latin"
    file.write_bytes(b"identity,name\n1,caf\xe9\n")
    assert "UTF-8" in error_of(["devices", "import", str(file)])
    assert "UTF-8" in error_of(["profiles", "put", "acme", str(file)])


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ({"decoder": "abacus"}, "abacus"),
        ({"decoder": "js"}, "codec_id"),
        ({"decoder": "js", "codec_id": 99}, "codec 99"),
        ({"decoder": "json", "mapping": [{"path": "a", "quantity": "furlongs"}]}, "furlongs"),
        (
            {
                "decoder": "binary",
                "options": {"layout": {"fields": [{"name": "a", "at": 0, "type": "u8", "quantity": []}]}},
            },
            "quantity",
        ),
    ],
)
def test_a_profile_is_checked_as_in_the_portal(
    profile: dict[str, object],
    text: str,
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GRIDWIRE_DATABASE_URL", database_url)
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(profile))
    assert text in error_of(["profiles", "put", "acme", str(file)])

    async def is_unknown(connection: Connection) -> None:
        assert await profiles.find_profile(connection, "acme") is None

    asyncio.run(in_transaction(database_url, "test", is_unknown))
