"""Embedded servers of tests: their ports, their last words, and a port that somebody holds for a moment."""

import secrets
import socket
import threading
from pathlib import Path

import pytest

from deploy.temporary import PORTS, ports_of_servers, temporary_nats, temporary_postgres


@pytest.mark.parametrize(
    ("said", "ports"),
    [
        ("32768\t60999\n", PORTS),
        ("16000\t65535\n", range(PORTS.start, 16_000)),
        ("1024\t65535\n", PORTS),
        ("", PORTS),
    ],
)
def test_ports_are_below_those_of_outgoing_connections(tmp_path: Path, said: str, ports: range) -> None:
    (tmp_path / "range").write_text(said)
    assert ports_of_servers(tmp_path / "range") == ports
    assert ports_of_servers(tmp_path / "absent") == PORTS


def test_a_server_waits_for_a_port_that_is_held_for_a_moment(tmp_path: Path) -> None:
    with temporary_nats(tmp_path / f"nats_{secrets.token_hex(4)}") as nats:
        nats.stop()
        holder = socket.create_server(("127.0.0.1", nats.server.port))
        threading.Timer(1.0, holder.close).start()
        nats.start()
        assert nats.server.is_ready()


def test_a_server_that_ends_is_quoted(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with (
        pytest.raises(TimeoutError, match="unrecognized configuration parameter"),
        temporary_postgres(tmp_path / "postgres", "--no_such_option=1"),
    ):
        pass
