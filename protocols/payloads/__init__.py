"""The built-in payload decoders: from what a meter sent to measurements. All pure.

`DECODERS` is the table by the names that stand in `device_profiles.decoder`. Used by `ingest.uplinks`, by
reprocessing and by the API, which checks a profile's options with them. `docs/payloads.md` describes them.

Option of every decoder: `encoding` ("hex" or "base64"), where a modem or an operator's callback has made text
of the payload.
"""

import base64
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from protocols.measurements import Decoded, Payload
from protocols.payloads import (
    binary,
    cayenne_lpp,
    dlms_push,
    lorawan_wrapped,
    lwm2m,
    mbus,
    senml,
    structured,
)
from protocols.samples import DecodeError

Decoder = Callable[[Payload], Decoded]

_BYTES: Mapping[str, Decoder] = {
    "binary": binary.decode,
    "cayenne_lpp": cayenne_lpp.decode,
    "cbor": structured.decode_cbor,
    "dlms_push": dlms_push.decode,
    "json": structured.decode_json,
    "lwm2m_tlv": lwm2m.decode,
    "mbus": mbus.decode_wired,
    "senml_cbor": senml.decode_cbor,
    "senml_json": senml.decode_json,
    "wmbus": mbus.decode_wireless,
}


def _decode(decoder: Decoder, payload: Payload) -> Decoded:
    encoding = payload.options.get("encoding")
    if encoding is not None:
        payload = replace(payload, data=_bytes(payload.data, encoding))
    return decoder(payload)


def _bytes(text: bytes, encoding: object) -> bytes:
    try:
        if encoding == "hex":
            return bytes.fromhex(text.decode("ascii"))
        if encoding == "base64":
            return base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raise DecodeError("encoding", "", f"the payload is no {encoding} text") from None
    raise DecodeError("options", "encoding", 'is not "hex" or "base64"')


DECODERS: Mapping[str, Decoder] = MappingProxyType(
    {
        name: functools.partial(_decode, decoder)
        for name, decoder in {**_BYTES, "lorawan_wrapped": lorawan_wrapped.decoder(_BYTES)}.items()
    }
)
