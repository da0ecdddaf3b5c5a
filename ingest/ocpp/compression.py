"""permessage-deflate for chargers that may have it; used by `ingest.ocpp.link` before the upgrade.

OCPP-J of 2.0.1 and 2.1 (part 4) asks a central system for RFC 7692; 1.6 does not know it. A window of 1 KiB
and no memory between messages keep a socket small: what OCPP repeats, it repeats within a message.
"""

from collections.abc import Sequence

from websockets.extensions import ServerExtensionFactory
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from protocols.ocpp.surface import Version

WINDOW_BITS = 10
MEMORY_LEVEL = 2  # of zlib's 1 to 9

_SMALL = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    server_max_window_bits=WINDOW_BITS,
    client_max_window_bits=WINDOW_BITS,
    compress_settings={"memLevel": MEMORY_LEVEL},
)


def extensions_for(version: Version) -> Sequence[ServerExtensionFactory]:
    """What may be negotiated with a charger of this version, if it asks: compression from 2.0.1 on."""
    return [_SMALL] if version.is_2 else []
