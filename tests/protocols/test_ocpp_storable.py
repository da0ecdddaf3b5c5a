from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ocpp.storable import DEPTH_MAX, clipped, shown, storable

VPN = {"server": "vpn.example.org", "user": "cp", "password": "hunter2", "key": "hunter2", "type": "IPSec"}
APN = {"apn": "internet", "apnPassword": "hunter2", "simPin": 1234}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for name, inner in value.items() for leaf in (name, *leaves(inner))]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


@given(st.dictionaries(st.text(), JSON))
def test_whatever_came_can_be_stored(payload: dict[str, Any]) -> None:
    for cleaned in (storable(payload), shown(payload)):
        texts = [leaf for leaf in leaves(cleaned) if isinstance(leaf, str)]
        assert not any("\0" in text for text in texts)


def test_what_can_be_stored_stays_as_it_is() -> None:
    payload = {"a": [1, 2.5, True, None, "ü"], "b": {"c": "ftp://example.org/a@b"}}
    assert storable(payload) == shown(payload) == payload


def test_texts_are_cut_and_mended() -> None:
    assert clipped("a\0bc", 3) == "a\ufffdb"
    assert clipped("\ud800", 9) == "?"


def test_depth_has_a_bound() -> None:
    deep: Any = "bottom"
    for _ in range(DEPTH_MAX + 1):
        deep = [deep]
    assert "bottom" not in leaves(storable({"a": deep}))
    assert "bottom" in leaves(storable({"a": deep[0]}))


@pytest.mark.parametrize(
    "payload",
    [
        {"key": "AuthorizationKey", "value": "hunter2"},
        {"setVariableData": [{"variable": {"name": "BasicAuthPassword"}, "attributeValue": "hunter2"}]},
        {"location": "ftp://user:hunter2@example.org/files"},
        {"connectionData": {"vpn": VPN}},
        {"connectionData": {"apn": APN}},
    ],
)
def test_no_secret_is_shown(payload: dict[str, Any]) -> None:
    cleaned = shown(payload)
    assert "hunter2" not in str(cleaned)
    assert "1234" not in str(cleaned)
    assert "***" in str(cleaned)
    assert cleaned.keys() == payload.keys()
