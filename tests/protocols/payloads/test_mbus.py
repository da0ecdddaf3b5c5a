from datetime import UTC, datetime

import meterbus  # type: ignore[import-untyped]
import pymbusparser
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from protocols.measurements import Decoded, Payload
from protocols.payloads import DECODERS
from protocols.payloads.checksums import crc16_en13757
from protocols.samples import DecodeError
from protocols.timestamps import from_datetime, to_datetime
from tests.protocols.payloads import mbus_telegrams as telegrams
from tests.protocols.payloads.strategies import HEARD_AT_US, decodes_or_refuses, mutated, payload, values

wired, wireless = DECODERS["mbus"], DECODERS["wmbus"]
KEY = bytes(range(16))


def keyed(data: str | bytes, key: str | bytes, **options: object) -> Payload:
    raw = bytes.fromhex(data) if isinstance(data, str) else data
    secret = bytes.fromhex(key) if isinstance(key, str) else key
    return Payload(raw, HEARD_AT_US, options=options, key=secret)


def at(*moment: int) -> int:
    return from_datetime(datetime(*moment, tzinfo=UTC))  # type: ignore[misc,arg-type]


def by_day(decoded: Decoded, quantity: str) -> dict[str, float]:
    return {
        f"{to_datetime(each.ts_us):%Y-%m-%d}": each.value
        for each in decoded.measurements
        if each.quantity == quantity and each.ts_us is not None
    }


def test_wired_heat_meter() -> None:
    decoded = wired(payload(telegrams.WIRED_HEAT))
    found = values(decoded)
    assert decoded.identity == "SLB-02205100"
    assert found["heat_wh", 0] == 0
    assert found["water_m3", 0] == 0.3
    assert (found["temperature_c", 0], found["return_temperature_c", 0]) == (128.8, 51.6)
    assert found["operating_s", 0] == 3383 * 86_400
    assert found["status_flags", 0] == 0x88


def test_wired_floats_are_scaled_by_their_vif() -> None:
    found = values(wired(payload(telegrams.WIRED_FLOATS)))
    assert found["heat_wh", 0] == 1_389_817_000
    assert found["temperature_c", 0] == pytest.approx(41.211, abs=0.001)
    # DIF 05 (float), VIF 13 (10^-3 m3)
    frame = long_frame(bytes.fromhex("7278563412 2423 01 07 55 00 0000 05 13 0000C841"))
    assert values(wired(payload(frame)))["water_m3", 0] == pytest.approx(0.025)


@pytest.mark.parametrize(
    "telegram", [telegrams.WIRED_HEAT, telegrams.WIRED_MULTICAL_601, telegrams.WIRED_FLOATS]
)
def test_wired_as_pymeterbus_reads_it(telegram: str) -> None:
    units = {"W.h": "WH", "m3": "M3", "W": "W", "m3.h-1": "M3_H", "Cel": "C"}
    raw = bytes.fromhex(telegram)
    theirs = sorted(
        (str(each["unit"]).removeprefix("MeasureUnit."), float(each["value"]))
        for each in (record.interpreted for record in meterbus.load(raw).records)
        if str(each["unit"]).removeprefix("MeasureUnit.") in units.values()
    )
    ours = sorted(
        (units[each["unit"]], float(each["value"]["value"]))
        for each in wired(payload(raw)).data["records"]
        if each.get("unit") in units
    )
    assert len(ours) == len(theirs) > 4
    for (our_unit, our_value), (their_unit, their_value) in zip(ours, theirs, strict=True):
        assert our_unit == their_unit
        assert our_value == pytest.approx(their_value, rel=1e-6)


def test_extended_link_layer_with_aes_ctr() -> None:
    decoded = wireless(keyed(telegrams.ELL, telegrams.ELL_KEY))
    assert decoded.identity == "KAM-76348799"
    assert values(decoded)["water_m3", 0] == 6.408
    assert decoded.warnings == ("values of storage 1 have no date: left out",)
    already_plain = wireless(payload(telegrams.ELL_PLAIN))
    assert already_plain.measurements == decoded.measurements


def test_mode_5() -> None:
    decoded = wireless(keyed(telegrams.MODE_5, telegrams.MODE_5_KEY))
    assert decoded.identity == "DWZ-20096221"
    read_at = {each.ts_us for each in decoded.measurements if each.quantity == "water_m3"}
    assert read_at == {at(2020, 7, 30, 10, 40)}
    found = values(decoded)
    assert (found["water_m3", 0], found["water_backflow_m3", 0], found["battery_alarm", 0]) == (0.106, 0, 0)
    low = wireless(keyed(telegrams.MODE_5_LOW_BATTERY, telegrams.MODE_5_KEY))
    assert values(low)["battery_alarm", 0] == 1


@pytest.mark.parametrize(
    ("telegram", "key"),
    [
        (telegrams.MODE_5, telegrams.MODE_5_KEY),
        (telegrams.MODE_5_HEAT, telegrams.MODE_5_HEAT_KEY),
    ],
)
def test_mode_5_as_the_library_decrypts_it(telegram: str, key: str) -> None:
    theirs = pymbusparser.parse(telegram, key=key)["records"]
    ours = wireless(keyed(telegram, key)).data["records"]
    assert len(ours) > 3
    assert [each["value"] for each in ours] == [
        each["value"] for each in theirs if each["function"] != "Idle filler"
    ]


def test_mode_5_of_a_heat_meter_with_subunits() -> None:
    decoded = wireless(keyed(telegrams.MODE_5_HEAT, telegrams.MODE_5_HEAT_KEY))
    now = {
        (each.quantity, each.channel): each.value
        for each in decoded.measurements
        if each.ts_us == at(2025, 10, 15, 14, 39)
    }
    assert now["heat_wh", 0] == 144_000
    assert now["heat_wh", 100] == 1_000
    assert now["water_m3", 0] == 17.856
    assert (now["water_m3", 1], now["water_m3", 2]) == (0.002, 0.002)
    assert (now["temperature_c", 0], now["return_temperature_c", 0]) == (22.5, 22.6)


def test_historic_values_stand_at_their_dates() -> None:
    decoded = wireless(payload(telegrams.HISTORY))
    found = by_day(decoded, "water_m3")
    assert found["2021-01-17"] == 1.798
    # an end of a month is told by its day and is the midnight behind it
    assert (found["2021-01-01"], found["2020-12-01"], found["2020-11-01"]) == (1.225, 0.027, 0)
    assert len(found) == 13
    assert min(found) == "2020-02-01"


def test_meters_clock_in_local_time() -> None:
    decoded = wireless(payload(telegrams.HISTORY, clock="local:Europe/Rome"))
    times = {each.ts_us for each in decoded.measurements}
    assert at(2021, 1, 17, 16, 30) in times
    assert at(2020, 12, 31, 23) in times


def test_tariffs_are_channels() -> None:
    found = values(wireless(payload(telegrams.TARIFFS)))
    assert found["energy_import_wh", 1] == 25_011_061
    assert {channel for quantity, channel in found if quantity == "energy_import_wh"} == {1, 2}
    assert {channel for quantity, channel in found if quantity == "energy_export_wh"} == {1, 2}
    assert [found["voltage_v", phase] for phase in (1, 2, 3)] == [231, 225, 231]
    assert found["power_w", 0] == 1732


def test_alarms_of_the_profile() -> None:
    options = {"alarms": {"leak_alarm": 0x01, "burst_alarm": 0x80}}
    frame = long_frame(bytes.fromhex("7278563412 2423 01 07 55 00 0000 04 13 10270000 01 FD 17 01"))
    found = values(wired(payload(frame, **options)))
    assert (found["leak_alarm", 0], found["burst_alarm", 0], found["status_flags", 0]) == (1, 0, 1)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        # base 1.000 m3 at 2024-01-10, then back by increments of 5 and 3 litres every 2 days
        ("820413E803 82046C0A31 8D04931306720205000300", {"2024-01-09": 0.995, "2024-01-07": 0.992}),
        # forward by absolute values, a month apart
        ("820413E803 82046C1031 8D04931E0632FEE903EA03", {"2024-02-17": 1.001, "2024-03-17": 1.002}),
        # signed differences back; the second is the mark of no value
        ("820413E803 82046C0A31 8D04931308F20101000080 0700", {"2024-01-10": 0.999}),
    ],
)
def test_compact_profiles(records: str, expected: dict[str, float]) -> None:
    frame = long_frame(bytes.fromhex("7278563412 2423 01 07 55 00 0000") + bytes.fromhex(records))
    found = by_day(wired(payload(frame)), "water_m3")
    base = {"2024-01-11": 1.0} if "0A31" in records else {"2024-01-17": 1.0}
    assert found == pytest.approx({**base, **expected})


def test_mode_7() -> None:
    """No published telegram comes with its key: this one is built from EN 13757-7 by the test."""
    decoded = wireless(keyed(mode_7_frame(KEY), KEY))
    assert decoded.identity == "SEN-44332211"
    assert values(decoded)["water_m3", 0] == 12.345
    with pytest.raises(DecodeError, match="wrong key"):
        wireless(keyed(mode_7_frame(KEY), bytes(16)))


def test_frames_with_crcs_of_formats_a_and_b() -> None:
    plain = bytes.fromhex(telegrams.HISTORY)
    format_a = with_crc(plain[:10]) + b"".join(
        with_crc(plain[index : index + 16]) for index in range(10, len(plain), 16)
    )
    assert wireless(payload(format_a)).measurements == wireless(payload(plain)).measurements
    short = bytes.fromhex(telegrams.MODE_5)
    format_b = with_crc(bytes([short[0] + 2]) + short[1:])
    assert values(wireless(keyed(format_b, telegrams.MODE_5_KEY)))["water_m3", 0] == 0.106
    with pytest.raises(DecodeError, match="checksum"):
        wireless(payload(format_a[:-1] + bytes([format_a[-1] ^ 1])))


@pytest.mark.parametrize(
    ("data", "key", "reason"),
    [
        (telegrams.ELL, None, "encrypted"),
        (telegrams.MODE_5, None, "encrypted"),
        (telegrams.ELL, "00" * 16, "key"),
        (telegrams.MODE_5, "00" * 16, "key"),
        (telegrams.MODE_5, "00" * 8, "key"),
        (telegrams.ELL_COMPACT, telegrams.ELL_KEY, "compact_frame"),
        ("00", None, "truncated"),
        ("", None, "truncated"),
    ],
)
def test_refused(data: str, key: str | None, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        wireless(keyed(data, key) if key is not None else payload(data))
    assert caught.value.reason == reason


def long_frame(body: bytes) -> bytes:
    inner = bytes.fromhex("0801") + body
    return bytes([0x68, len(inner), len(inner), 0x68]) + inner + bytes([sum(inner) & 0xFF, 0x16])


def with_crc(block: bytes) -> bytes:
    return block + crc16_en13757(block).to_bytes(2, "big")


def cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def mode_7_frame(key: bytes) -> bytes:
    """ELL (8C), AFL (90) with message counter and MAC of 8 bytes, short header with mode 7 and KDF-A."""
    link, meter_id, counter = (
        bytes.fromhex("44AE4C112233440107"),
        bytes.fromhex("11223344"),
        bytes.fromhex("01000000"),
    )
    derive = counter + meter_id + b"\x07" * 7
    plain = bytes.fromhex("2F2F 0413 39300000").ljust(16, b"\x2f")
    cipher = Cipher(algorithms.AES(cmac(key, b"\0" + derive)), modes.CBC(bytes(16))).encryptor()
    message = bytes.fromhex("7A 2A 00 1007 10") + cipher.update(plain)
    mac = cmac(cmac(key, b"\1" + derive), b"\x25" + counter + message)[:8]
    body = bytes.fromhex("8C 20 2A 90 0F 002C 25") + counter + mac + message
    return bytes([len(link) + len(body)]) + link + body


WIRELESS = [
    bytes.fromhex(each)
    for each in (telegrams.ELL_PLAIN, telegrams.HISTORY, telegrams.TARIFFS, telegrams.MODE_5)
] + [mode_7_frame(KEY)]
WIRED = [bytes.fromhex(each) for each in (telegrams.WIRED_HEAT, telegrams.WIRED_MULTICAL_601)]


@given(st.binary(max_size=300) | mutated(WIRELESS), st.none() | st.just(KEY))
def test_any_wireless_bytes(raw: bytes, key: bytes | None) -> None:
    decodes_or_refuses(wireless, Payload(raw, HEARD_AT_US, key=key))


@given(
    st.binary(max_size=300).map(lambda body: long_frame(body[:250])) | mutated(WIRED) | st.binary(max_size=80)
)
def test_any_wired_bytes(raw: bytes) -> None:
    decodes_or_refuses(wired, payload(raw))


@given(st.binary(min_size=1, max_size=240))
def test_any_records(records: bytes) -> None:
    decodes_or_refuses(wired, payload(long_frame(bytes.fromhex("727856341224230107550000 00") + records)))


@pytest.mark.parametrize("text", [telegrams.WIRED_FLOATS, telegrams.WIRED_HEAT, telegrams.WIRED_MULTICAL_601])
def test_a_damaged_long_frame_is_refused_wherever_it_is_damaged(text: str) -> None:
    frame = bytes.fromhex(text)
    for at in range(len(frame)):
        damaged = bytearray(frame)
        damaged[at] ^= 0x01
        with pytest.raises(DecodeError):
            DECODERS["mbus"](Payload(bytes(damaged), HEARD_AT_US))
