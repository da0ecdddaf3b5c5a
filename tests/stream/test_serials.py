"""Serial numbers: the check character of ISO/IEC 7064, MOD 37,36, and what can be imported."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.stock import gst, serials
from stream.stock.errors import StockError
from stream.stock.making import QUANTITY_MAX, read_csv

texts = st.text(serials.ALPHABET, min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("A12425GABC1234002", "M"),  # the Global Release Identifier's own example
        ("0000000189470000", "8"),  # ISAN 0000-0001-8947-0000-8-0000-0000-D
        ("000000018947000000000000", "D"),
        ("00000000D07A0090", "Q"),  # ISAN 0000-0000-D07A-0090-Q-0000-0000-X
        ("00000000D07A009000000000", "X"),
    ],
)
def test_published_examples(text: str, check: str) -> None:
    assert serials.check_character(text) == check
    assert serials.is_complete(text + check)


@given(texts, st.data())
def test_every_wrong_character_is_found(text: str, data: st.DataObject) -> None:
    whole = text + serials.check_character(text)
    assert serials.is_complete(whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.sampled_from(serials.ALPHABET).filter(lambda each: each != whole[at]))
    assert not serials.is_complete(whole[:at] + other + whole[at + 1 :])


def _state(text: str) -> int:
    """The recursion after `text`, written as the standard has it."""
    product = 36
    for character in text:
        total = product + serials.ALPHABET.index(character)
        product = (total % 36 if total % 36 else 36) * 2 % 37
    return product


@given(texts.filter(lambda text: len(text) > 1), st.data())
def test_transpositions_are_found_but_those_that_the_standard_misses(text: str, data: st.DataObject) -> None:
    whole = text + serials.check_character(text)
    at = data.draw(st.integers(0, len(whole) - 2))
    swapped = whole[:at] + whole[at + 1] + whole[at] + whole[at + 2 :]
    sums = {(_state(whole[:at]) + serials.ALPHABET.index(each)) % 36 for each in whole[at : at + 2]}
    assert serials.is_complete(swapped) == (swapped == whole or sums == {18, 19})


def test_how_many_transpositions_are_missed() -> None:
    pairs = [(a, b) for a in serials.ALPHABET for b in serials.ALPHABET if a < b]
    starts = {_state(a + b): a + b for a in serials.ALPHABET for b in serials.ALPHABET}
    assert len(starts) == 36  # every state that there is
    missed = sum(
        _state(start + a + b) == _state(start + b + a) for start in starts.values() for a, b in pairs
    )
    assert (missed, len(starts) * len(pairs)) == (36, 36 * 630)


@given(st.text(max_size=80))
def test_any_text_is_a_serial_or_is_refused_in_words(text: str) -> None:
    why = serials.fault(text, "LV48")
    assert serials.is_complete(text) in {True, False}
    if why is None:
        assert 1 <= len(text) <= 64
        assert set(text) <= set(string.ascii_letters + string.digits + "_-")
        assert text.lower() not in {"test", "health-report"}


def test_serials_of_a_model() -> None:
    serial = serials.serial_of("LV48", 7)
    assert serial[:-1] == "LV4800000007"
    assert serials.is_complete(serial)
    assert serials.fault(serial, "LV48") is serials.fault(serial.lower(), "LV48") is None
    wrong = serial[:-1] + ("0" if serial[-1] != "0" else "1")
    assert "check character" in str(serials.fault(wrong, "LV48"))
    assert serials.fault(wrong, "LV49") is None  # foreign there
    for text in ("", "a b", "a\n", "Test", "health-report", "x" * 65):
        assert serials.fault(text, "LV48") is not None, text
    for number in (0, -1, serials.NUMBER_MAX + 1):
        with pytest.raises(ValueError, match="8 digits"):
            serials.serial_of("LV48", number)
    with pytest.raises(ValueError, match="none of"):
        serials.check_character("lv")
    assert serials.repeated(["a", "b", "A", "a"]) == ["A", "a"]


def test_csv() -> None:
    assert read_csv("\ufeffBatch,Serial\nx, A-1 \n\ny,A-2\n") == ["A-1", "A-2"]
    for text in (
        "",
        "a,b\n1,2\n",
        "serial\n",
        "serial\n" + "x\n" * (QUANTITY_MAX + 1),
        'serial\n"' + "x" * 200_000,
    ):
        with pytest.raises(StockError):
            read_csv(text)


@given(
    st.integers(0, 10**12),
    st.sampled_from(["27ABCDE1234F1Z5", "29ABCDE1234F1Z5", "04ABCDE1234F1Z5", "", "27"]),
)
def test_taxes_come_to_the_whole(tax_minor: int, buyer: str) -> None:
    for seller in ("27ABCDE1234F1Z5", "04ABCDE1234F1Z5", ""):
        parts = gst.shares(tax_minor, seller, buyer)
        assert sum(parts.values()) == tax_minor
        same = seller != "" and seller[:2] == buyer[:2] and len(buyer) == 15
        state = "UTGST" if seller[:2] == "04" else "SGST"
        assert list(parts) == (["CGST", state] if same else ["IGST"])
        if same:
            assert 0 <= parts[state] - parts["CGST"] <= 1


@pytest.mark.parametrize(
    ("basis_points", "parts", "words"),
    [(1800, 1, "18"), (1800, 2, "9"), (25, 2, "0.125"), (250, 1, "2.5"), (0, 1, "0"), (10_000, 1, "100")],
)
def test_rates_in_words(basis_points: int, parts: int, words: str) -> None:
    assert gst.percent(basis_points, parts) == words
