"""Terms of warranties and their certificates: pure."""

import calendar
import json
from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream.warranty.certificates import Certificate, is_genuine, printed, public_key, sign, verification_url
from stream.warranty.terms import (
    DEFAULTS,
    LIMITS,
    Terms,
    agreed,
    check,
    in_words,
    last_day,
    status_of,
)

KEY = "0123456789abcdef0123456789abcdef"
DAY = date(2026, 1, 15)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
documents = st.dictionaries(st.sampled_from(list(LIMITS)) | st.text(max_size=20), scalars | st.lists(scalars))
days = st.dates(date(1990, 1, 1), date(2100, 1, 1))
certificates = st.builds(Certificate, st.text(), st.text(), st.text(), days, days)


@given(documents)
def test_any_document_gives_terms_or_faults(document: dict[str, Any]) -> None:
    terms = agreed("M", 12, document)
    for name, value in terms.limits.items():
        assert LIMITS[name].lowest <= value <= LIMITS[name].highest
    assert len(in_words(terms.limits)) == len(terms.limits)
    assert Terms.of(json.loads(json.dumps(terms.document()))) == terms
    if not check(document):
        # what was entered holds, null lifts a limit, the rest is as usual
        wanted = {**DEFAULTS, **document}
        assert terms.limits.keys() == {name for name, value in wanted.items() if value is not None}
        for name, value in terms.limits.items():
            assert abs(value - wanted[name]) <= 0.0005


def test_faults_name_what_is_wrong() -> None:
    assert check({"max_temperature_c": 55, "max_cycles": None}) == []
    (unknown,) = check({"max_speed": 1})
    assert unknown.startswith("'max_speed' is no limit: there are max_temperature_c")
    for value in (-41, 151, "60", True, float("nan"), [60]):
        assert check({"max_temperature_c": value}) == [
            "max_temperature_c must be a number from -40 to 150, or null"
        ]


@given(days, st.integers(1, 240))
def test_the_last_day_is_so_many_months_later(start: date, months: int) -> None:
    end = last_day(start, months)
    assert (end.year - start.year) * 12 + end.month - start.month == months
    assert end.day == min(start.day, calendar.monthrange(end.year, end.month)[1])
    assert status_of(end, end, is_void=False) == "active"
    assert status_of(end, end + timedelta(days=1), is_void=False) == "expired"
    assert status_of(end, start, is_void=True) == "void"


def test_ends_of_months() -> None:
    assert last_day(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert last_day(date(2024, 2, 29), 12) == date(2025, 2, 28)
    assert last_day(date(2025, 12, 31), 12) == date(2026, 12, 31)


@given(certificates, certificates)
def test_a_signature_is_of_one_certificate(one: Certificate, other: Certificate) -> None:
    signature = printed(sign(KEY, one))
    assert is_genuine(KEY, one, signature)
    assert is_genuine(KEY, other, signature) == (one == other)
    assert not is_genuine(KEY + "x", one, signature)


@given(st.text())
def test_any_text_is_a_signature_or_none(text: str) -> None:
    certificate = Certificate("LVW-2026-000001", "A", "M", DAY, DAY)
    assert is_genuine(KEY, certificate, text) == (text == printed(sign(KEY, certificate)))


def test_each_altered_character_is_found() -> None:
    certificate = Certificate("LVW-2026-000001", "A", "M", DAY, DAY)
    signature = printed(sign(KEY, certificate))
    for place, letter in enumerate(signature):
        for other in "A-_z9+/= \n":
            if other != letter:
                assert not is_genuine(KEY, certificate, signature[:place] + other + signature[place + 1 :])


def test_names_do_not_run_into_each_other() -> None:
    one = Certificate("N", 'A","x":"', "M", DAY, DAY)
    assert one.signed_bytes() != Certificate("N", "A", 'x":"M', DAY, DAY).signed_bytes()
    assert len(public_key(KEY)) == 32
    assert verification_url("https://a.example", one, b"\0" * 64).startswith(
        "https://a.example/api/warranty/verify/A%22%2C%22x%22%3A%22/?certificate=N&signature=AAA"
    )
