"""The data folder of `gridwire up`: its format, its secrets, its lock, and what can be wrong with it."""

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.messages import SetupError

FORMAT = "1"
FREE_BYTES_MIN = 1 << 30
SECRET_BYTES = 32


@contextlib.contextmanager
def data_folder(folder: Path) -> Iterator[Path]:
    """The folder, made if need be, checked, and held alone until the block ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SetupError(
            f"The data folder {folder} cannot be written: {error.strerror}.",
            "Set GRIDWIRE_DATA_DIR to a folder of yours.",
        ) from error
    try:
        _take(lock, folder)
        _check_format(folder)
        _check_space(folder)
        yield folder.resolve()
    finally:
        os.close(lock)


def secret(folder: Path, name: str) -> str:
    """A random secret that stays the same for this folder, readable by its owner alone."""
    path = folder / "secrets" / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(SECRET_BYTES))
    return path.read_text()


def check_ports(host: str, ports: Mapping[str, int], kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    """Refuse to begin while another program listens on a port that is ours to take.

    `ports` maps the setting's name to the port; `kind`: of TCP (streams), or of UDP (datagrams).
    """
    for setting, port in ports.items():
        with socket.socket(type=kind) as probe:
            if kind is socket.SOCK_STREAM:  # a port of an old connection may be taken at once
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise SetupError(
                    f"Port {port} on {host} cannot be taken: {error.strerror}.",
                    f"Set {setting} to a free port, or stop the program that has it.",
                ) from error


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SetupError(
            f"Another `gridwire up` is running on the data folder {folder}.",
            "Stop it first, or set GRIDWIRE_DATA_DIR to another folder.",
        ) from error


def _check_format(folder: Path) -> None:
    path = folder / "FORMAT"
    if not path.exists():
        path.write_text(f"{FORMAT}\n")
    found = path.read_text().strip()
    if found != FORMAT:
        raise SetupError(
            f"The data folder {folder} has format {found}; this Gridwire reads format {FORMAT}.",
            "Set GRIDWIRE_DATA_DIR to another folder, or run the version that made this one.",
        )


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES_MIN:
        raise SetupError(
            f"Only {free >> 20} MiB are free for the data folder {folder}, of {FREE_BYTES_MIN >> 20} needed.",
            "Free some space, or set GRIDWIRE_DATA_DIR to a folder on a larger disk.",
        )
