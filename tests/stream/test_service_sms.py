"""Segments of text messages, and Twilio's status callbacks."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sms_length import segments
from stream.sms_status import (
    Delivery,
    ForgedStatusError,
    StatusFormError,
    TwilioStatuses,
    callback_url,
    status_readers,
    twilio_signature,
)

TOKEN, URL = "12345", "https://gridwire.example/api/messaging/status/twilio"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("न" * 70, 1),
        ("न" * 71, 2),
        ("न" * 134, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("a" * 1530, 10),
        ("a" * 1531, 11),
    ],
)
def test_segments(text: str, count: int) -> None:
    assert segments(text) == count


@given(st.text(max_size=400))
def test_any_text_has_segments(text: str) -> None:
    assert 1 <= segments(text) <= segments(text + "न")


def test_the_signature_is_the_one_of_twilios_own_example() -> None:
    """From its documentation of webhook security."""
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio_signature("12345", url, form) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def _call(form: dict[str, str], query: str = "reference=41", token: str = TOKEN) -> Delivery:
    headers = {"x-twilio-signature": twilio_signature(token, f"{URL}?{query}", form)}
    return TwilioStatuses(TOKEN, URL).read(query, headers, urlencode(form).encode())


def test_what_twilio_says() -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+919876543210", "From": ""}
    assert _call(form) == Delivery(41, "SM1", "delivered")
    assert _call({**form, "MessageStatus": "sent"}) == Delivery(41, "SM1", None)
    failed = {**form, "MessageStatus": "undelivered", "ErrorCode": "30003"}
    assert _call(failed) == Delivery(41, "SM1", "failed", "twilio: undelivered, error 30003")


def test_only_twilio_calls_and_only_where_it_can() -> None:
    assert callback_url("https://gridwire.example") == URL
    assert callback_url("http://localhost:5000") == ""
    assert list(status_readers("twilio", TOKEN, "https://gridwire.example")) == ["twilio"]
    assert status_readers("twilio", TOKEN, "http://localhost:5000") == {}
    assert status_readers("log", "", "https://gridwire.example") == {}


def test_what_is_refused() -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    with pytest.raises(ForgedStatusError):
        _call(form, token="another")
    signed = {"x-twilio-signature": twilio_signature(TOKEN, f"{URL}?reference=41", form)}
    reader = TwilioStatuses(TOKEN, URL)
    with pytest.raises(ForgedStatusError):
        reader.read("reference=42", signed, urlencode(form).encode())
    with pytest.raises(ForgedStatusError):
        reader.read("reference=41", {}, urlencode(form).encode())
    with pytest.raises(ForgedStatusError):
        reader.read("reference=41", {"x-twilio-signature": "é"}, urlencode(form).encode())
    with pytest.raises(StatusFormError):
        reader.read("reference=41", signed, b"\xff")
    with pytest.raises(StatusFormError):
        _call(form, query="reference=x")
    with pytest.raises(StatusFormError):
        _call({"MessageSid": "SM1"})
