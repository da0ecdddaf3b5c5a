"""The command line as an operator meets it: what is missing is named, and nothing is done by halves."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from deploy.temporary import TemporaryNats, free_port


def command(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `gridwire` in an empty data folder with nothing but `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRIDWIRE_")}
    environment = {**kept, "GRIDWIRE_DATA_DIR": str(folder), "COLUMNS": "200", **settings}
    return subprocess.run(
        [sys.executable, "-m", "gridwire", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_registered_fleet_needs_a_password(tmp_path: Path, database_url: str) -> None:
    """An empty one would open the demo accounts."""
    for settings in ({}, {"GRIDWIRE_FLEET_PASSWORD": ""}):
        ended = command(tmp_path, "simulate", "--register", GRIDWIRE_DATABASE_URL=database_url, **settings)
        assert ended.returncode == 1
        assert "GRIDWIRE_FLEET_PASSWORD" in ended.stdout
        assert "Traceback" not in ended.stderr


def test_a_device_is_registered_shut_out_and_let_in(tmp_path: Path, database_url: str) -> None:
    def devices(*arguments: str) -> str:
        ended = command(tmp_path, "devices", *arguments, GRIDWIRE_DATABASE_URL=database_url)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert "active" in devices("register", "charger", "CP-1", "--name", "Gate")
    assert "archived" in devices("archive", "charger", "cp-1")
    assert "CP-1" in devices("list", "--status", "archived")
    assert "active" in devices("activate", "charger", "CP-1")


@pytest.mark.parametrize("arguments", [("devices", "list"), ("serve", "writer"), ("migrate",)])
def test_a_missing_database_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = command(tmp_path, *arguments)
    assert ended.returncode == 1
    assert "GRIDWIRE_DATABASE_URL" in ended.stdout
    away = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"
    ended = command(tmp_path, "devices", "list", GRIDWIRE_DATABASE_URL=away)
    assert ended.returncode == 1
    assert "does not answer" in ended.stdout
    assert "Traceback" not in ended.stderr


def serve(folder: Path, database_url: str, nats: TemporaryNats, role: str, **settings: str) -> str:
    """What a role says that cannot start."""
    servers = {
        "GRIDWIRE_DATABASE_URL": database_url,
        "GRIDWIRE_NATS_URL": nats.url,
        "GRIDWIRE_MQTT_URL": nats.mqtt_url,
        "GRIDWIRE_LOG_MIB_MAX": "64",
    }
    ended = command(folder, "serve", role, **{**servers, **settings})
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stdout


def test_a_bus_without_room_for_the_log_is_named(
    tmp_path: Path, database_url: str, nats: TemporaryNats
) -> None:
    said = serve(tmp_path, database_url, nats, "writer", GRIDWIRE_LOG_MIB_MAX="1000000")
    assert "GRIDWIRE_LOG_MIB_MAX" in said


@pytest.mark.parametrize(
    ("role", "setting", "kind"),
    [
        ("api", "GRIDWIRE_HTTP_PORT", socket.SOCK_STREAM),
        ("ocpp", "GRIDWIRE_OCPP_PORT", socket.SOCK_STREAM),
        ("callbacks", "GRIDWIRE_CALLBACKS_PORT", socket.SOCK_STREAM),
        ("nbiot", "GRIDWIRE_UDP_PORT", socket.SOCK_DGRAM),
    ],
)
def test_a_port_that_is_taken_is_named(
    tmp_path: Path, database_url: str, nats: TemporaryNats, role: str, setting: str, kind: socket.SocketKind
) -> None:
    with socket.socket(type=kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = {setting: str(taken.getsockname()[1])}
        more = {"GRIDWIRE_SECRET_KEY": "x" * 40, "GRIDWIRE_COAP_PORT": str(free_port()), **port}
        assert setting in serve(tmp_path, database_url, nats, role, **more)


@pytest.mark.parametrize("system", ["evcms", "mobile"])
def test_an_account_needs_its_login(tmp_path: Path, database_url: str, system: str) -> None:
    given = {"GRIDWIRE_DATABASE_URL": database_url, "GRIDWIRE_NEW_PASSWORD": "Long-enough-1"}
    account = ("users", "create", "--system", system, "--role", "admin", "--name", "A")
    ended = command(tmp_path, *account, **given)
    assert ended.returncode == 1
    assert "--email" in ended.stdout
    ended = command(tmp_path, *account, "--email", "a@example.com", **given)
    assert ended.returncode == 0, ended.stderr
    ended = command(tmp_path, *account, "--email", "a@example.com", **given)
    assert ended.returncode == 1
    assert "Nothing was changed" in ended.stdout


def test_a_technicians_rating_is_entered_until_tickets_are_rated(tmp_path: Path, database_url: str) -> None:
    given = {"GRIDWIRE_DATABASE_URL": database_url}
    phone = "+919876543212"
    account = ("users", "create", "--system", "ienerzy", "--role", "technician", "--name", "T")
    assert command(tmp_path, *account, "--phone", phone, **given).returncode == 0
    entered = command(tmp_path, "users", "technician", phone, "--rating", "4.5", **given)
    assert entered.returncode == 0, entered.stderr
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE technicians SET ratings = 2, rating_sum = 7, rating = 3.5")
    refused = command(tmp_path, "users", "technician", phone, "--rating", "5", **given)
    assert refused.returncode == 1
    assert "comes from 2 ratings" in refused.stdout
    assert command(tmp_path, "users", "technician", phone, "--location", "Pune", **given).returncode == 0
