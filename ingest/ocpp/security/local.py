"""The gateway's TLS from the settings, and the certificates of our own that `gridwire up --tls` makes.

Used by `gridwire.py`.
"""

import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from deploy.messages import SetupError
from deploy.settings import Settings, needed
from deploy.tls import tls_files
from ingest.ocpp.security import material
from ingest.ocpp.security.tls import TlsConfig

TLS_PORT = 9443  # of `up --tls`
TLS_KINDS: tuple[material.KeyKind, ...] = ("rsa", "ecdsa")


def tls_of(settings: Settings) -> TlsConfig | None:
    """Return the TLS listener that the settings describe; raises `SetupError` for files that do not fit."""
    if not settings.ocpp_tls_port:
        return None
    certificates = needed(settings.ocpp_tls_certificates, "GRIDWIRE_OCPP_TLS_CERTIFICATES")
    authority = None
    try:
        if settings.ocpp_authority is not None and settings.ocpp_authority_key is not None:
            authority = material.load_authority(settings.ocpp_authority, settings.ocpp_authority_key)
    except (OSError, ValueError) as error:
        remedy = "Check GRIDWIRE_OCPP_AUTHORITY and GRIDWIRE_OCPP_AUTHORITY_KEY."
        raise SetupError(f"The certificate authority cannot be read: {error}.", remedy) from error
    files = tuple(Path(name.strip()) for name in certificates.split(","))
    return TlsConfig(settings.ocpp_tls_port, files, settings.ocpp_authority, authority)


def with_tls(settings: Settings) -> Settings:
    """Add the TLS port, and files in the data folder, where the settings name none."""
    place = settings.data_dir.resolve() / "tls"
    ours = {
        "ocpp_tls_port": settings.ocpp_tls_port or TLS_PORT,
        "ocpp_tls_certificates": ",".join(str(place / f"server-{kind}.pem") for kind in TLS_KINDS),
        "ocpp_authority": place / "authority.pem",
        "ocpp_authority_key": place / "authority.key",
    }
    is_given = settings.ocpp_tls_certificates is not None
    return settings if is_given else settings.model_copy(update=ours)


def has_own_authority(settings: Settings, folder: Path) -> bool:
    """Return whether the settings' root is the one of this data folder."""
    return settings.ocpp_authority == folder.resolve() / "tls" / "authority.pem"


def make_certificates(folder: Path, listen_host: str, now: datetime) -> None:
    """A root and server certificates of our own, where the data folder has none yet."""
    hosts = list(dict.fromkeys(["localhost", "127.0.0.1", socket.gethostname(), listen_host]))

    def server(kind: material.KeyKind) -> Callable[[str, str], str]:
        return lambda root, key: material.new_server(material.read_authority(root, key), kind, hosts, now)

    tls_files(folder, lambda: material.new_root(now), {kind: server(kind) for kind in TLS_KINDS})
