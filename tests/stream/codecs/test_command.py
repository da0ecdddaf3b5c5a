"""`gridwire codecs`: a codec is tried, uploaded, listed and assigned from the command line."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.operations.codecs import codecs_app
from deploy.messages import SetupError
from storage.database import Connection, in_transaction
from storage.queries import profiles
from tests.stream.codecs.helpers import GOOD

EXAMPLE = {"description": "five", "input": {"bytes": "05"}, "output": {"data": {"water_l": 5}}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "acme.js"
    path.write_text(GOOD)
    return path


def examples(folder: Path, value: object) -> str:
    path = folder / "examples.json"
    path.write_text(json.dumps(value))
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(codecs_app, list(arguments))


def test_a_payload_and_examples_are_tried(source: Path, tmp_path: Path) -> None:
    tried = run("test", str(source), "--bytes", "07", "--port", "2")
    assert (tried.exit_code, '{"data": {"water_l": 7}}' in tried.output) == (0, True)
    wrong = examples(tmp_path, {"examples": [{**EXAMPLE, "output": {"data": {}}}]})
    tried = run("test", str(source), "--examples", wrong)
    assert (tried.exit_code, "output.data.water_l: 5" in tried.output) == (1, True)


def test_a_codec_is_uploaded_listed_and_assigned(
    source: Path, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def add_profile(connection: Connection) -> None:
        await profiles.put_profile(connection, name="Acme", decoder="cayenne")

    monkeypatch.setenv("GRIDWIRE_DATABASE_URL", database_url)
    asyncio.run(in_transaction(database_url, "test", add_profile))
    good = examples(tmp_path, [EXAMPLE])
    stored = run("upload", str(source), "--name", "acme", "--examples", good)
    assert (stored.exit_code, "acme: version 1" in stored.output) == (0, True), stored.output
    assert "acme" in run("list").output
    assert "Acme: acme, version 1" in run("assign", "acme", "Acme").output
    for arguments, text in (
        (("assign", "acme", "Other"), "no profile"),
        (("assign", "b", "Acme"), "no codec"),
    ):
        error = run(*arguments).exception
        assert isinstance(error, SetupError)
        assert text in str(error)


def test_a_codec_that_fails_its_examples_is_not_stored(source: Path, tmp_path: Path) -> None:
    wrong = examples(tmp_path, [{**EXAMPLE, "output": {"data": {}}}])
    error = run("upload", str(source), "--name", "acme", "--examples", wrong).exception
    assert isinstance(error, SetupError)
    assert "1 of its examples" in str(error)
    for value in ({"a": 1}, 5):
        error = run("test", str(source), "--examples", examples(tmp_path, value)).exception
        assert isinstance(error, SetupError)


def test_wrong_files_and_names_are_said_in_words(source: Path, tmp_path: Path) -> None:
    latin = tmp_path / "latin.js"
    latin.write_bytes(b"// caf\xe9")
    for arguments, text in (
        (("test", str(latin)), "UTF-8"),
        (("upload", str(latin), "--name", "acme"), "UTF-8"),
        (("upload", str(source), "--name", "Acme Water"), "Acme Water"),
    ):
        error = run(*arguments).exception
        assert isinstance(error, SetupError), error
        assert text in str(error)
