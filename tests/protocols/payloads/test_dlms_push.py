"""Telegrams: Netz Niederoesterreich's example of its customer interface (key and data as the grid operator
prints them), the tests of github.com/toreamun/amshan (Aidon, Kaifa, Kamstrup) and of
github.com/pwitab/dlms-cosem.
"""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from dlms_cosem.security import SecurityControlField, encrypt  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from protocols.measurements import Decoded, Payload
from protocols.payloads import DECODERS
from protocols.payloads.checksums import crc16_x25
from protocols.samples import DecodeError
from protocols.timestamps import to_datetime
from tests.protocols.payloads.strategies import HEARD_AT_US, decodes_or_refuses, mutated, payload, values

decode = DECODERS["dlms_push"]

EVN_KEY = "36C66639E48A8CA4D6BC8B282A793BBB"
EVN = (
    "68FAFA6853FF000167DB084B464D675000000981F8200000002388D5AB4F97515AAFC6B88D2F85DAA7A0E3C0C40D004535C3"
    "97C9D037AB7DBDA329107615444894A1A0DD7E85F02D496CECD3FF46AF5FB3C9229CFE8F3EE4606AB2E1F409F36AAD2E5090"
    "0A4396FC6C2E083F373233A69616950758BFC7D63A9E9B6E99E21B2CBC2B934772CA51FD4D69830711CAB1F8CFF25F0A3293"
    "37CBA51904F0CAED88D61968743C8454BA922EB00038182C22FE316D16F2A9F544D6F75D51A4E92A1C4EF8AB19A2B7FEAA32"
    "D0726C0ED80229AE6C0F7621A4209251ACE2B2BC66FF0327A653BB686C756BE033C7A281F1D2A7E1FA31C3983E15F8FD16CC"
    "5787E6F517166814146853FF110167419A3CFDA44BE438C96F0E38BF83D98316"
)
KAMSTRUP = (
    "7EA0E22B2113239AE6E7000F000000000C07E6011801123A32FF80000002190A0E4B616D73747275705F5630303031090601"
    "01000005FF0A103537303635363733323635393034303709060101600101FF0A1236383431313338424E3234353130313039"
    "3009060101010700FF060000033A09060101020700FF060000000009060101030700FF060000006809060101040700FF0600"
    "0000B0090601011F0700FF06000000ED09060101330700FF060000005909060101470700FF060000004B09060101200700FF"
    "1200E809060101340700FF1200E909060101480700FF1200EC84467E"
)
KAMSTRUP_HOUR = (
    "e6e7000f000000000c07e50b1803000019ff80000002230a0e4b616d73747275705f563030303109060101000005ff0a1035"
    "37303537353037353035373530373209060101600101ff0a1236383631313131424e32343231303130343009060101010700"
    "ff060000274209060101020700ff060000000009060101030700ff060000000009060101040700ff0600000117090601011f"
    "0700ff06000011a00000000009060101200700ff1200df0000000009060001010000ff090c07e50b1803000019ff80000009"
    "060101010800ff0600762ee209060101020800ff060000000009060101030800ff06000035a309060101040800ff0600116b"
    "53"
)
KAIFA = (
    "e6e7000f40000000090c07e40119060e000aff800000021209074b464d5f3030310910363937303633313430323631343437"
    "3609084d41333034483345060000132806000000000600000000060000017906000038eb0600003d1b060000253506000008"
    "910600000000060000089d090c07e40119060e000aff8000000604be76e8060000000006000d922d060030feb4"
)
AIDON = (
    "e6e7000f40000000000111020209060101000281ff0a0b4149444f4e5f5630303031020209060000600100ff0a1037333539"
    "393932383932383537363635020209060000600107ff0a0436353235020309060100010700ff060000011802020f00161b02"
    "0309060100020700ff060000000002020f00161b020309060100030700ff060000000002020f00161d020309060100040700"
    "ff060000008002020f00161d0203090601001f0700ff10000d02020fff1621020309060100470700ff10000902020fff1621"
    "020309060100200700ff1208e402020fff1623020309060100340700ff1208ff02020fff1623020309060100480700ff1209"
    "0502020fff1623020209060000010000ff090c07e4011502100000ff000000020309060100010800ff060022ab8a02020f01"
    "161e020309060100020800ff060000000002020f01161e020309060100030800ff060000e38302020f011620020309060100"
    "040800ff0600029b5b02020f011620"
)
WRAPPED_KEY = b"MYDUMMYGLOBALKEY"
WRAPPED = bytes.fromhex(
    "0001000100010046db082f192291991641033b30000001e5025ce9d2271fd78be8c204211a916a9d7f587e0a7a814cadea89"
    "e9593f01f92ea8c087b5bdfdefeab6becf282dfe49c08f5be6dc8400"
)
BUFFER = (
    "0f00000001000104"
    "0204090c07e30c1f0217000000ffc400110606000005ed0600000654"
    "0204001106 06000005ed0600000654"
    "02040011060600 0005ed0600000654"
    "0204001106060000 05ed0600000654"
).replace(" ", "")
PLAIN = bytes.fromhex("0f00000001000203090601000108 00ff060000303902020f00161e".replace(" ", ""))
TITLE = b"KFM\x01\x02\x03\x04\x05"
AUTHENTICATION_KEY = bytes(range(0xD0, 0xE0))
KEY = bytes(range(16))


def keyed(data: str | bytes, key: str | bytes, **options: object) -> Payload:
    raw = bytes.fromhex(data) if isinstance(data, str) else data
    secret = bytes.fromhex(key) if isinstance(key, str) else key
    return Payload(raw, HEARD_AT_US, options=options, key=secret)


def moments(decoded: Decoded) -> set[datetime]:
    return {to_datetime(each.ts_us) for each in decoded.measurements if each.ts_us is not None}


def test_ciphered_push_over_m_bus() -> None:
    decoded = decode(keyed(EVN, EVN_KEY))
    assert decoded.identity == "4B464D6750000009"
    assert decoded.warnings == ("the payload is not authenticated",)
    found = values(decoded)
    assert found["energy_import_wh", 0] == 12_937
    assert found["energy_export_wh", 0] == 0
    assert found["voltage_v", 1] == 233.7
    assert found["power_factor", 0] == 1
    assert moments(decoded) == {datetime(2021, 9, 27, 7, 47, 15, tzinfo=UTC)}


def test_kamstrup_in_hdlc() -> None:
    decoded = decode(payload(KAMSTRUP, clock="local:Europe/Copenhagen"))
    assert decoded.identity == "5706567326590407"
    found = values(decoded)
    assert (found["power_w", 0], found["reactive_power_var", 0], found["reactive_power_var", 100]) == (
        826,
        104,
        176,
    )
    assert [found["current_a", phase] for phase in (1, 2, 3)] == [2.37, 0.89, 0.75]
    assert [found["voltage_v", phase] for phase in (1, 2, 3)] == [232, 233, 236]
    assert moments(decoded) == {datetime(2022, 1, 24, 17, 58, 50, tzinfo=UTC)}


def test_kamstrup_list_of_the_hour_counts_in_ten_watt_hours() -> None:
    found = values(decode(payload(KAMSTRUP_HOUR)))
    assert found["energy_import_wh", 0] == 0x762EE2 * 10
    assert found["current_a", 1] == 45.12
    assert found["voltage_v", 1] == 223


def test_kaifa_list_without_codes() -> None:
    decoded = decode(payload(KAIFA, time_zone="Europe/Oslo"))
    assert decoded.identity == "6970631402614476"
    found = values(decoded)
    assert found["power_w", 0] == 4904
    assert found["energy_import_wh", 0] == 79_591_144
    assert [found["current_a", phase] for phase in (1, 2, 3)] == [14.571, 15.643, 9.525]
    assert found["voltage_v", 1] == 219.3
    assert moments(decoded) == {datetime(2020, 1, 25, 13, 0, 10, tzinfo=UTC)}


def test_aidon_with_scalers_and_units() -> None:
    decoded = decode(payload(AIDON))
    assert decoded.identity == "7359992892857665"
    found = values(decoded)
    assert found["energy_import_wh", 0] == 0x22AB8A * 10
    assert found["reactive_energy_varh", 0] == 0xE383 * 10
    assert found["voltage_v", 1] == 227.6
    assert found["current_a", 1] == 1.3
    assert moments(decoded) == {datetime(2020, 1, 21, 16, tzinfo=UTC)}


def test_authenticated_push_in_the_wrapper() -> None:
    decoded = decode(keyed(WRAPPED, WRAPPED_KEY, authentication_key=WRAPPED_KEY.hex()))
    assert decoded.identity == "2F19229199164103"
    assert decoded.data[0]["invoke_id"] == 475
    assert "not authenticated" not in " ".join(decoded.warnings)
    with pytest.raises(DecodeError, match="not authentic"):
        decode(keyed(WRAPPED, WRAPPED_KEY, authentication_key=bytes(16)))
    with pytest.raises(DecodeError, match="no key"):
        decode(payload(WRAPPED))


def test_ciphered_by_the_library() -> None:
    control = SecurityControlField(security_suite=0, authenticated=True, encrypted=True)
    text = encrypt(control, TITLE, 7, KEY, PLAIN, AUTHENTICATION_KEY)
    content = control.to_bytes() + (7).to_bytes(4, "big") + text
    apdu = b"\xdb\x08" + TITLE + bytes([len(content)]) + content
    verified = decode(keyed(apdu, KEY, authentication_key=AUTHENTICATION_KEY))
    assert values(verified) == {("energy_import_wh", 0): 12_345}
    assert verified.warnings == ()
    # without the authentication key it is read all the same, and says so
    assert values(decode(keyed(apdu, KEY))) == {("energy_import_wh", 0): 12_345}
    with pytest.raises(DecodeError, match="wrong key"):
        decode(keyed(apdu, bytes(16)))


def gcm(control: int, additional: bytes, plain: bytes) -> bytes:
    """Security control, invocation counter 7, text, tag of 12 bytes (IEC 62056-5-3 clause 5.3.7)."""
    mode = modes.GCM(TITLE + (7).to_bytes(4, "big"))
    encryptor = Cipher(algorithms.AES(KEY), mode).encryptor()
    is_encrypted = bool(control & 0x20)
    head = bytes([control]) + AUTHENTICATION_KEY + additional
    encryptor.authenticate_additional_data(head if is_encrypted else head + plain)
    text = encryptor.update(plain if is_encrypted else b"") + encryptor.finalize()
    content = (
        bytes([control]) + (7).to_bytes(4, "big") + (text if is_encrypted else plain) + encryptor.tag[:12]
    )
    return bytes([len(content)]) + content


def test_general_ciphering_and_authentication_alone() -> None:
    fields = b"\x08" + bytes(8) + b"\x08" + TITLE + b"\x00\x00\x00"
    general = b"\xdd" + fields + b"\x01\x00\x00" + gcm(0x30, fields, PLAIN)
    signed = b"\xdb\x08" + TITLE + gcm(0x10, b"", PLAIN)
    for apdu in (general, signed, b"\xe0\x80\x00\x01\x00\x00" + bytes([len(signed)]) + signed):
        decoded = decode(keyed(apdu, KEY, authentication_key=AUTHENTICATION_KEY))
        assert values(decoded) == {("energy_import_wh", 0): 12_345}
        assert decoded.identity == TITLE.hex().upper()
        assert decoded.warnings == ()
        with pytest.raises(DecodeError, match="not authentic"):
            decode(keyed(apdu[:-1] + bytes([apdu[-1] ^ 1]), KEY, authentication_key=AUTHENTICATION_KEY))
    with pytest.raises(DecodeError, match="several blocks"):
        decode(keyed(b"\xe0\x00\x00\x01\x00\x00\x01\x0f", KEY))


def test_rows_of_a_profile_buffer() -> None:
    columns = ["0-0:1.0.0", None, "1-0:1.8.0", {"obis": "1-0:2.8.0", "scaler": 3, "unit": "Wh"}]
    decoded = decode(payload(BUFFER, columns=columns, step_s=3600))
    imported = [each for each in decoded.measurements if each.quantity == "energy_import_wh"]
    assert [each.value for each in imported] == [1517] * 4
    assert values(decoded)["energy_export_wh", 0] == 1_620_000
    assert [to_datetime(each.ts_us or 0).hour for each in imported] == [22, 23, 0, 1]
    unnamed = decode(payload(BUFFER))
    assert unnamed.measurements == ()
    assert unnamed.warnings == ("rows of a profile: name them in the option columns",)


def test_push_object_list_with_its_values() -> None:
    """IEC 62056-6-2 push setup: the list of objects, then the values of their attributes."""
    descriptor = "0204 12{:04x} 0906{} 0f{:02x} 120000"
    objects = [(8, "0000010000ff", 2), (3, "0800010000ff", 2), (3, "0800010000ff", 3)]
    raw = "0f0000000100 0204 0103" + "".join(descriptor.format(*each) for each in objects)
    raw += "090c07ea0101040c000000000000" + "0600003039" + "02020ffd160d"
    found = decode(payload(raw.replace(" ", "")))
    assert [(each.quantity, each.value) for each in found.measurements] == [("water_m3", 12.345)]
    assert moments(found) == {datetime(2026, 1, 1, 12, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("obis", "unit", "quantity", "value"),
    [
        ("0800010000ff", 13, "water_m3", 1000.0),
        ("0700030000ff", 13, "gas_m3", 1000.0),
        ("0600010000ff", 30, "heat_wh", 1000.0),
        ("0600010000ff", 25, "heat_wh", 1000 / 3600),
        ("0500010000ff", 30, "cooling_wh", 1000.0),
        ("01000e0700ff", 44, "frequency_hz", 1000.0),
    ],
)
def test_media(obis: str, unit: int, quantity: str, value: float) -> None:
    raw = f"0f0000000100020309 06{obis}06000003e802020f0016{unit:02x}".replace(" ", "")
    assert values(decode(payload(raw))) == {(quantity, 0): pytest.approx(value)}


def test_clock_that_was_never_set() -> None:
    raw = KAIFA.replace("07e40119060e000aff800000", "07b20101040000 00ff800000".replace(" ", ""))
    decoded = decode(payload(raw))
    assert moments(decoded) == set()
    assert any("clock_not_set" in each for each in decoded.warnings)


def test_segments_of_hdlc_are_joined() -> None:
    first, second = PLAIN[:12], PLAIN[12:]
    raw = hdlc(b"\xe6\xe7\x00" + first, is_segmented=True) + hdlc(second, is_segmented=False)
    assert values(decode(payload(raw))) == {("energy_import_wh", 0): 12_345}
    with pytest.raises(DecodeError, match="last segment"):
        decode(payload(hdlc(b"\xe6\xe7\x00" + first, is_segmented=True)))
    with pytest.raises(DecodeError, match="checksum"):
        decode(payload(raw[:20] + b"\xff" + raw[21:]))


def hdlc(information: bytes, *, is_segmented: bool) -> bytes:
    size = 2 + 2 + 1 + 2 + len(information) + 2
    head = (0xA000 | (0x0800 if is_segmented else 0) | size).to_bytes(2, "big") + b"\x03\x21\x13"
    frame = head + crc16_x25(head).to_bytes(2, "little") + information
    return b"\x7e" + frame + crc16_x25(frame).to_bytes(2, "little") + b"\x7e"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"objects": ["1-0:1.8"]}, "objects[0].obis"),
        ({"objects": [{"obis": "1-0:1.8.0", "unit": "miles"}]}, "objects[0].unit"),
        ({"columns": [{"obis": "1-0:1.8.0", "quantity": "joy"}]}, "columns[0].quantity"),
        ({"columns": 3}, "columns"),
        ({"authentication_key": "xyz"}, "authentication_key"),
        ({"clock": "moon"}, "clock"),
        ({"clock": "local:Mars/Olympus"}, "clock"),
    ],
)
def test_options_name_the_wrong_field(options: dict[str, object], field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(payload(BUFFER, **options))
    assert caught.value.field == field


SEEDS = [bytes.fromhex(each) for each in (EVN, KAMSTRUP, KAIFA, AIDON, BUFFER)] + [WRAPPED, PLAIN]


@given(st.binary(max_size=200) | mutated(SEEDS), st.none() | st.just(bytes.fromhex(EVN_KEY)))
def test_any_bytes(raw: bytes, key: bytes | None) -> None:
    decodes_or_refuses(decode, Payload(raw, HEARD_AT_US, key=key))


@given(st.binary(min_size=1, max_size=200))
def test_any_body(body: bytes) -> None:
    options = {"columns": ["0-0:1.0.0", "1-0:1.8.0"], "step_s": 900}
    decodes_or_refuses(decode, payload(bytes.fromhex("0f0000000100") + body, **options))


def test_depth_is_bounded() -> None:
    with pytest.raises(DecodeError, match="deep"):
        decode(payload(bytes.fromhex("0f0000000100") + b"\x02\x01" * 5_000 + b"\x00"))
    with pytest.raises(DecodeError, match="at most"):
        decode(payload(bytes.fromhex("0f0000000100") + b"\x01\x84\xff\xff\xff\xff"))
