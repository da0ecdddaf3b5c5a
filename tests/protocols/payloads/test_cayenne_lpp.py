import pytest
from cayennelpp import LppFrame  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from protocols.payloads import DECODERS
from protocols.samples import DecodeError
from tests.protocols.payloads.strategies import decodes_or_refuses, mutated, payload, values

decode = DECODERS["cayenne_lpp"]

# Examples of the Cayenne LPP 2.0 reference: two temperatures, temperature and acceleration, GPS.
TEMPERATURES = "03670110056700FF"
ACCELERATION = "0167FFD7067104D2FB2E0000"
GPS = "018806765FF2960A0003E8"


def test_reference_examples() -> None:
    assert values(decode(payload(TEMPERATURES))) == {("temperature_c", 3): 27.2, ("temperature_c", 5): 25.5}
    found = values(decode(payload(ACCELERATION)))
    assert found["temperature_c", 1] == -4.1
    assert found["acceleration_x_m_per_s2", 6] == pytest.approx(1.234 * 9.80665)
    assert found["acceleration_y_m_per_s2", 6] == pytest.approx(-1.234 * 9.80665)
    assert values(decode(payload(GPS))) == {
        ("latitude_deg", 1): 42.3519,
        ("longitude_deg", 1): -87.9094,
        ("altitude_m", 1): 10.0,
    }


def test_every_type_as_the_library_writes_it() -> None:
    frame = LppFrame()
    frame.add_digital_input(0, 1)
    frame.add_digital_output(1, 0)
    frame.add_analog_input(2, -12.34)
    frame.add_analog_output(3, 327.67)
    frame.add_luminosity(4, 65_535)
    frame.add_presence(5, 1)
    frame.add_temperature(6, -40.1)
    frame.add_humidity(7, 48.5)
    frame.add_accelerometer(8, 1.0, -2.0, 0.001)
    frame.add_barometer(9, 1013.2)
    frame.add_gyrometer(10, 1.5, -1.5, 0.0)
    frame.add_gps(11, -33.9249, 18.4241, 25.5)
    found = values(decode(payload(bytes(frame))))
    assert found["digital_input", 0] == 1
    assert found["digital_output", 1] == 0
    assert found["analog_input", 2] == pytest.approx(-12.34, abs=0.011)
    assert found["analog_output", 3] == 327.67
    assert found["illuminance_lx", 4] == 65_535
    assert found["presence", 5] == 1
    assert found["temperature_c", 6] == pytest.approx(-40.1)
    assert found["humidity_pct", 7] == 48.5
    assert found["acceleration_y_m_per_s2", 8] == pytest.approx(-19.6133)
    assert found["pressure_pa", 9] == pytest.approx(101_320)
    assert found["latitude_deg", 11] == pytest.approx(-33.9249, abs=0.0002)
    assert found["longitude_deg", 11] == pytest.approx(18.4241, abs=0.0002)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 255),
            st.sampled_from([0, 2, 101, 102, 103, 104, 115]),
            st.binary(min_size=2, max_size=2),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_values_are_the_librarys(items: list[tuple[int, int, bytes]]) -> None:
    sizes = {0: 1, 102: 1, 104: 1}
    raw = b"".join(bytes([channel, kind]) + value[: sizes.get(kind, 2)] for channel, kind, value in items)
    second_opinion = [tuple(each.value) for each in LppFrame.from_bytes(raw).data]
    ours = decode(payload(raw)).data
    assert [next(iter(list(each.values())[2:])) for each in ours] == [each[0] for each in second_opinion]


@pytest.mark.parametrize(
    ("raw", "reason"), [("", "empty"), ("03", "truncated"), ("036701", "truncated"), ("03FF00", "type")]
)
def test_refused(raw: str, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(payload(raw))
    assert caught.value.reason == reason


@given(st.binary(max_size=60) | mutated([bytes.fromhex(each) for each in (TEMPERATURES, ACCELERATION, GPS)]))
def test_any_bytes(raw: bytes) -> None:
    decodes_or_refuses(decode, payload(raw))
