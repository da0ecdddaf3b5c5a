"""TLS material in the data folder of `gridwire up`: made on first use, kept from then on.

How keys and certificates are made is handed in by `gridwire.py`; here are only the files.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = "tls"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """`authority` is what a charger must trust; `authority_key` is as secret as a password.

    `servers`: files with a private key and its chain each.
    """

    authority: Path
    authority_key: Path
    servers: tuple[Path, ...]


def tls_files(
    folder: Path,
    make_authority: Callable[[], tuple[str, str]],
    servers: Mapping[str, Callable[[str, str], str]],
) -> TlsFiles:
    """Return the files of this data folder, made where they are missing.

    `make_authority` returns certificate and key as PEM. `servers`: a name to what makes, of these two, the
    text of its file.
    """
    place = folder / FOLDER
    place.mkdir(mode=0o700, exist_ok=True)
    authority, key = place / "authority.pem", place / "authority.key"
    if not (authority.exists() and key.exists()):
        certificate_text, key_text = make_authority()
        _write(key, key_text)
        _write(authority, certificate_text)
    paths = []
    for name, make in servers.items():
        path = place / f"server-{name}.pem"
        if not path.exists():
            _write(path, make(authority.read_text(), key.read_text()))
        paths.append(path)
    return TlsFiles(authority, key, tuple(paths))


def _write(path: Path, text: str) -> None:
    """Whole or not at all, readable by its owner alone."""
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
