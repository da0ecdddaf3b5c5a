import os
import shutil
import socket
from pathlib import Path

import pytest

from deploy.folder import check_ports, data_folder, secret
from deploy.messages import SetupError
from deploy.postgres import prepare_postgres
from deploy.settings import Settings


def test_a_folder_is_held_by_one_run_at_a_time(tmp_path: Path) -> None:
    again = data_folder(tmp_path / "data")
    with data_folder(tmp_path / "data"), pytest.raises(SetupError, match="Another") as caught, again:
        pass
    assert "GRIDWIRE_DATA_DIR" in caught.value.remedy
    with data_folder(tmp_path / "data"):
        pass  # and free again afterwards


def test_a_folder_of_another_format_is_refused(tmp_path: Path) -> None:
    with data_folder(tmp_path):
        (tmp_path / "FORMAT").write_text("99\n")
    with pytest.raises(SetupError, match="format 99") as caught, data_folder(tmp_path):
        pass
    assert "GRIDWIRE_DATA_DIR" in caught.value.remedy


def test_a_full_disk_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.folder.FREE_BYTES_MIN", 1 << 60)
    with pytest.raises(SetupError, match="MiB are free") as caught, data_folder(tmp_path):
        pass
    assert "GRIDWIRE_DATA_DIR" in caught.value.remedy


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(SetupError, match="cannot be written"), data_folder(tmp_path / "data"):
        pass


def test_data_of_another_postgresql_is_refused(server_folder: Path) -> None:
    made_by = server_folder / "old" / "data" / "PG_VERSION"
    made_by.parent.mkdir(parents=True)
    made_by.write_text("12\n")
    with pytest.raises(SetupError, match="PostgreSQL 12") as caught:
        prepare_postgres(server_folder / "old")
    assert "GRIDWIRE_DATA_DIR" in caught.value.remedy


def test_a_taken_port_names_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SetupError) as caught:
            check_ports("127.0.0.1", {"GRIDWIRE_HTTP_PORT": taken.getsockname()[1]})
    assert "GRIDWIRE_HTTP_PORT" in caught.value.remedy


def test_secrets_stay_and_are_private(tmp_path: Path) -> None:
    first = secret(tmp_path, "key")
    assert secret(tmp_path, "key") == first
    assert (tmp_path / "secrets" / "key").stat().st_mode & 0o777 == 0o600


def test_env_example_lists_every_setting_with_its_default() -> None:
    text = Path(".env.example").read_text()
    for name, field in Settings.model_fields.items():
        key = f"GRIDWIRE_{name.upper()}"
        line = next((row for row in text.splitlines() if row.lstrip("#").startswith(f"{key}=")), None)
        assert line is not None, f"{key} is not in .env.example"
        if field.default is not None:
            assert line == f"{key}={field.default}"
        else:
            assert line.startswith("#")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another account")
def test_a_private_folder_gets_a_home_elsewhere_that_goes_with_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    first = prepare_postgres(tmp_path / "postgres")
    assert prepare_postgres(tmp_path / "postgres").data == first.data
    assert not first.data.is_relative_to(tmp_path)
    shutil.rmtree(tmp_path / "postgres")
    second = prepare_postgres(tmp_path / "postgres")
    assert second.data != first.data
    for server in (first, second):
        shutil.rmtree(server.data.parent)
