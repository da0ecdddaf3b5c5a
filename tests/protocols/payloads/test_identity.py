import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.measurements import Payload
from protocols.payloads import DECODERS
from protocols.payloads.identity import Identified, identify
from protocols.payloads.names import bcd_imei, is_imei
from protocols.samples import DecodeError
from tests.protocols.payloads import mbus_telegrams as telegrams
from tests.protocols.payloads import test_dlms_push as dlms
from tests.protocols.payloads.strategies import HEARD_AT_US, mutated


def check_digit(digits: str) -> str:
    return next(digits + each for each in "0123456789" if is_imei(digits + each))


VALID = check_digit("86772303071144")
PACK = [{"bn": f"urn:dev:imei:{VALID}:", "n": "w", "u": "m3", "v": 1}]
KNOWN = [
    (json.dumps({"imei": VALID, "v": 1}).encode(), VALID, "json"),
    (json.dumps({"Message": {"IMEI": VALID}, "id": 3}).encode(), VALID, "json"),
    (json.dumps({"serial_number": "WM 1", "deviceId": "wm-2"}).encode(), "wm-2", "json"),
    (json.dumps(PACK).encode(), VALID, "senml_json"),
    (cbor2.dumps({"sn": "A-1", "v": 2}), "A-1", "cbor"),
    (cbor2.dumps([{-2: f"urn:imei:{VALID}:", 0: "w", 2: 1}]), VALID, "senml_cbor"),
    (bytes.fromhex("f" + VALID) + bytes(20), VALID, "binary"),
    (("f" + VALID + "00" * 20).encode(), VALID, "binary"),
    (VALID.encode() + b"\x01\x02", VALID, None),
    (bytes.fromhex(telegrams.MODE_5), "DWZ-20096221", "wmbus"),
    (bytes.fromhex(telegrams.ELL), "KAM-76348799", "wmbus"),
    (bytes.fromhex(telegrams.WIRED_HEAT), "SLB-02205100", "mbus"),
    (bytes.fromhex(dlms.EVN), "4B464D6750000009", "dlms_push"),
    (dlms.WRAPPED, "2F19229199164103", "dlms_push"),
    (bytes.fromhex(dlms.KAMSTRUP), "5706567326590407", "dlms_push"),
    (b"", None, None),
    (b"hello", None, None),
    (b"{", None, None),
]


@pytest.mark.parametrize(("raw", "identity", "decoder"), KNOWN)
def test_found_without_knowing_the_device(raw: bytes, identity: str | None, decoder: str | None) -> None:
    assert identify(raw) == Identified(identity, decoder)


def test_hints() -> None:
    raw = cbor2.dumps({"meter_id": "M-7"})
    assert identify(raw, {"content_format": 60}) == Identified("M-7", "cbor")
    assert identify(json.dumps(PACK).encode(), {"content_format": 110}) == Identified(VALID, "senml_json")
    assert identify(b"\xff", {"decoder": "cbor"}) == Identified(None, "cbor")
    assert identify(b"junk", {"content_format": 9_999}) == Identified(None, None)


@pytest.mark.parametrize(
    ("name", "raw", "key"),
    [
        ("wmbus", telegrams.MODE_5, telegrams.MODE_5_KEY),
        ("wmbus", telegrams.MODE_5_HEAT, telegrams.MODE_5_HEAT_KEY),
        ("wmbus", telegrams.ELL, telegrams.ELL_KEY),
        ("mbus", telegrams.WIRED_MULTICAL_601, None),
        ("dlms_push", dlms.EVN, dlms.EVN_KEY),
        ("dlms_push", dlms.AIDON, None),
    ],
)
def test_is_what_the_decoder_says(name: str, raw: str, key: str | None) -> None:
    secret = None if key is None else bytes.fromhex(key)
    decoded = DECODERS[name](Payload(bytes.fromhex(raw), HEARD_AT_US, key=secret))
    assert identify(bytes.fromhex(raw)) == Identified(decoded.identity, name)


def test_imei() -> None:
    assert is_imei("490154203237518")  # the example of 3GPP TS 23.003
    assert not is_imei("490154203237519")
    assert bcd_imei(bytes.fromhex("0490154203237518")) == "490154203237518"
    assert bcd_imei(bytes.fromhex("490154203237518f")) == "490154203237518"
    assert bcd_imei(bytes.fromhex("1490154203237518")) is None


@given(
    st.binary(max_size=200) | mutated([raw for raw, _, _ in KNOWN]),
    st.none() | st.sampled_from([50, 60, 110, 112, 11542, 42]),
    st.none() | st.sampled_from([*DECODERS, "js"]),
)
def test_any_bytes(raw: bytes, content_format: int | None, decoder: str | None) -> None:
    found = identify(raw, {"content_format": content_format, "decoder": decoder, "path": "/3/0"})
    assert found.identity is None or 0 < len(found.identity) <= 64
    assert found.decoder is None or found.decoder in DECODERS


def test_table_of_decoders() -> None:
    assert set(DECODERS) == {
        "binary",
        "cayenne_lpp",
        "cbor",
        "dlms_push",
        "json",
        "lorawan_wrapped",
        "lwm2m_tlv",
        "mbus",
        "senml_cbor",
        "senml_json",
        "wmbus",
    }
    for decoder in DECODERS.values():
        with pytest.raises(DecodeError):
            decoder(Payload(b"", HEARD_AT_US))
