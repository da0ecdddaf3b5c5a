"""Pure parts of the family: passwords, phones, money and the words of amounts."""

import json
import random
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.fields import minor_units, money
from api.mobile.passwords import shortcomings, temporary_password
from api.mobile.schemas.common import parse_phone
from stream.notices import amount

MINOR = st.integers(-(10**14), 10**14)


@given(st.integers())
def test_r610_a_temporary_password_is_a_good_one(seed: int) -> None:
    password = temporary_password(random.Random(seed).choice)
    assert shortcomings(password) == []
    assert not set(password) & set("0O1lI")


def test_two_temporary_passwords_differ() -> None:
    assert len({temporary_password() for _ in range(1_000)}) == 1_000


@given(st.text(max_size=40))
def test_r608_what_is_lacking_is_what_is_not_there(password: str) -> None:
    is_good = (
        len(password) >= 8
        and any(c.isupper() for c in password)
        and any(c.islower() for c in password)
        and any(c.isdigit() for c in password)
    )
    assert (shortcomings(password) == []) is is_good


@pytest.mark.parametrize("text", ["0821234567", "+27821234567", "+27 82 123 4567", "(082) 123-4567"])
def test_r602_both_forms_are_one_number(text: str) -> None:
    assert parse_phone(text) == "+27821234567"


@given(st.text(max_size=20) | st.from_regex(r"\+?[0-9 ()-]{0,20}", fullmatch=True))
def test_r602_any_text_is_a_number_of_ours_or_none(text: str) -> None:
    phone = parse_phone(text)
    assert phone is None or re.fullmatch(r"\+27[0-9]{9}", phone)


@given(MINOR)
def test_money_prints_as_exactly_what_it_is(minor: int) -> None:
    printed = Decimal(json.dumps(money(minor)))
    assert printed == Decimal(minor) / 100
    assert minor_units(printed) == minor


@given(MINOR)
def test_amounts_in_words(minor: int) -> None:
    assert amount("ZAR", minor) == f"ZAR {Decimal(minor) / 100:.2f}"
