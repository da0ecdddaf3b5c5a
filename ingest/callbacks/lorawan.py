"""ChirpStack's HTTP integration and The Things Stack's webhooks.

`POST /chirpstack?event=up` takes JSON and protobuf; `POST /things-stack` and any path below it take JSON,
for a webhook may have a path for each kind of message.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import Route

from ingest.callbacks.context import Callbacks
from ingest.lorawan.addresses import of_callback
from ingest.lorawan.topics import decode_chirpstack
from protocols.lorawan import things_stack
from protocols.lorawan.downlinks import Encoding
from protocols.lorawan.events import identifier

# The server's word for protobuf is the general one.
_ENCODINGS: dict[str, Encoding] = {
    "application/json": "json",
    "application/octet-stream": "protobuf",
    "application/x-protobuf": "protobuf",
}
_DOWNLINK_HEADER = "x-downlink-push"  # a URL of the form .../webhooks/<webhook>/devices/<device>/down/push


def routes(callbacks: Callbacks) -> Sequence[Route]:
    """Return the routes of both network servers."""

    async def take_chirpstack(request: Request, body: bytes, received_at_us: int) -> bool:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        name = request.query_params.get("event", "")
        event, encoding = decode_chirpstack(name, body, received_at_us, _ENCODINGS.get(media_type))
        address = of_callback(event, encoding, "")
        return await callbacks.events.take(event, body, received_at_us, address) is not None

    async def take_things_stack(request: Request, body: bytes, received_at_us: int) -> bool:
        event = things_stack.decode(body, received_at_us)
        webhook = _webhook(request.headers.get(_DOWNLINK_HEADER, ""))
        address = of_callback(event, "json", webhook)
        return await callbacks.events.take(event, body, received_at_us, address) is not None

    return (
        callbacks.route("/chirpstack", "chirpstack", take_chirpstack),
        callbacks.route("/things-stack", "things_stack", take_things_stack),
        callbacks.route("/things-stack/{kind:path}", "things_stack", take_things_stack),
    )


def _webhook(url: str) -> str:
    """Return the webhook's id from the URL that the server offers for downlinks; empty where it offers none.

    Only the id is taken: where our API key goes is a setting, not a header's to say.
    """
    _, found, rest = url.partition("/webhooks/")
    return identifier(rest.partition("/")[0], _DOWNLINK_HEADER) if found else ""
