"""What a stored frame must not show."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ocpp.redaction import Alias, hide_secrets, may_hold_secrets

PIN = "s3cr3t-Value"


def frame(payload: dict[str, Any], action: str = "X") -> bytes:
    return json.dumps([2, "id", action, payload], separators=(",", ":")).encode()


def variable(name: str) -> dict[str, Any]:
    return {"component": {"name": "SecurityCtrlr"}, "variable": {"name": name}}


@pytest.mark.parametrize(
    "payload",
    [
        {"key": "AuthorizationKey", "value": PIN},
        {"value": PIN, "key": "authorizationkey"},
        {"configurationKey": [{"key": "WiFiPassword", "readonly": False, "value": PIN}]},
        {"setVariableData": [{**variable("BasicAuthPassword"), "attributeValue": PIN}]},
        {"reportData": [{**variable("BasicAuthPassword"), "variableAttribute": [{"value": PIN}]}]},
        {"connectionData": {"basicAuthPassword": PIN, "vpn": {"user": "u", "password": PIN}}},
        {"connectionData": {"apn": {"apnPassword": PIN}}},
        {"location": f"ftp://user:{PIN}@files.example/logs"},
        {"log": {"remoteLocation": f"sftp://{PIN}@files.example/"}},
        {"password": {"nested": [PIN, 5]}},
        {"data": {"clientSecret": PIN, "Passphrase": PIN}},
    ],
)
def test_no_password_is_kept(payload: dict[str, Any]) -> None:
    for data in (frame(payload), frame(payload).replace(b"/", b"\\/"), _escaped(frame(payload))):
        hidden = hide_secrets(data)
        assert may_hold_secrets(data)
        assert PIN.encode() not in hidden
        assert json.loads(hidden)[:3] == [2, "id", "X"]
        assert hide_secrets(hidden) == hidden


def _escaped(data: bytes) -> bytes:
    """The same JSON, every letter of its names and values written as an escape."""

    def spell(value: object) -> str:
        if isinstance(value, dict):
            return "{" + ",".join(f"{spell(key)}:{spell(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(spell, value)) + "]"
        if isinstance(value, str) and value not in {"id", "X"}:
            return '"' + "".join(f"\\u{ord(letter):04x}" for letter in value) + '"'
        return json.dumps(value)

    return spell(json.loads(data)).encode()


@pytest.mark.parametrize(
    "payload",
    [
        {"key": "HeartbeatInterval", "value": "300"},
        {"location": "ftp://files.example/logs", "mail": "a@b.example"},
        {"setVariableData": [{**variable("Organization"), "attributeValue": "\\u00e4"}]},
        {"note": "the password was changed"},
    ],
)
def test_what_is_no_secret_stays_byte_for_byte(payload: dict[str, Any]) -> None:
    assert hide_secrets(frame(payload)) == frame(payload)


def test_a_broken_frame_with_a_password_is_not_kept() -> None:
    assert PIN.encode() not in hide_secrets(b'[2,"id","X",{"password":"%s"' % PIN.encode())
    assert hide_secrets(b'[2,"id","X",{"a":"\\') == b'[2,"id","X",{"a":"\\'


@given(st.binary())
def test_any_bytes_do(data: bytes) -> None:
    assert isinstance(hide_secrets(data), bytes)
    assert isinstance(Alias().frame(data), bytes)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["key", "value", "password", "a"]), inner)
    ),
)


@given(json_values)
def test_the_shape_stays(value: object) -> None:
    def shape(item: object) -> object:
        if isinstance(item, dict):
            return {key: shape(inner) for key, inner in item.items()}
        return [shape(inner) for inner in item] if isinstance(item, list) else ""

    assert shape(json.loads(hide_secrets(json.dumps(value).encode()))) == shape(value)


def test_the_same_id_has_the_same_alias() -> None:
    alias = Alias()
    first = json.loads(alias.frame(frame({"idTag": "CARD", "connectorId": 1})))
    second = json.loads(alias.frame(frame({"idToken": {"idToken": "CARD", "type": "ISO14443"}})))
    third = json.loads(alias.frame(frame({"idTag": "OTHER", "idTagInfo": {"parentIdTag": "CARD"}})))
    assert first[3] == {"idTag": "ID-1", "connectorId": 1}
    assert second[3] == {"idToken": {"idToken": "ID-1", "type": "ISO14443"}}
    assert third[3] == {"idTag": "ID-2", "idTagInfo": {"parentIdTag": "ID-1"}}
    assert json.loads(alias.frame(frame({"idToken": {"idToken": ""}})))[3] == {"idToken": {"idToken": ""}}
