"""GST identification numbers: the check character tells each single mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lithovolt.gstin import check_character, normalise

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize("number", ["27AAPFU0939F1ZV", "29AAGCB7383J1Z4", "27AAACR5055K1Z7"])
def test_numbers_of_the_register_are_taken(number: str) -> None:
    assert normalise(f" {number.lower()} ") == number


@given(st.text(CHARACTERS, min_size=14, max_size=14), st.integers(0, 13), st.sampled_from(CHARACTERS))
def test_a_wrong_character_is_noticed(text: str, place: int, other: str) -> None:
    changed = text[:place] + other + text[place + 1 :]
    assert (check_character(changed) == check_character(text)) == (changed == text)


@pytest.mark.parametrize("number", ["27AAPFU0939F1ZA", "27AAPFU0939F1Z", "AAAPFU0939F1ZVA", "x"])
def test_other_texts_are_refused(number: str) -> None:
    with pytest.raises(ValueError, match="is no GSTIN"):
        normalise(number)


def test_nothing_is_no_number() -> None:
    assert normalise(" ") == ""
