"""The table of all messages beside the schemas that are shipped for them."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from protocols.ocpp.schemas import SchemaError, check_call, check_request, in_schema_order
from protocols.ocpp.surface import FROM_CHARGER, TO_CHARGER, Version

FOLDERS = {Version.V16: "v16", Version.V201: "v201", Version.V21: "v21"}


def shipped(version: Version) -> set[str]:
    spec = find_spec("ocpp")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / FOLDERS[version] / "schemas"
    names = {path.stem for path in folder.glob("*.json")}
    return {name.removesuffix("Request") for name in names if not name.endswith("Response")}


@pytest.mark.parametrize("version", Version)
def test_the_table_has_every_message_that_has_a_schema(version: Version) -> None:
    assert FROM_CHARGER[version].keys() | TO_CHARGER[version].keys() == shipped(version)


def test_the_numbers_are_those_of_the_standards() -> None:
    """28 messages of OCPP 1.6 and 11 of its security whitepaper; DataTransfer goes both ways."""
    v16 = FROM_CHARGER[Version.V16].keys() | TO_CHARGER[Version.V16].keys()
    assert (len(v16), len(FROM_CHARGER[Version.V16]), len(TO_CHARGER[Version.V16])) == (39, 14, 26)
    assert len(FROM_CHARGER[Version.V201].keys() | TO_CHARGER[Version.V201].keys()) == 64
    assert len(FROM_CHARGER[Version.V21].keys() | TO_CHARGER[Version.V21].keys()) == 91


@pytest.mark.parametrize("version", Version)
def test_every_message_has_validators(version: Version) -> None:
    for action in FROM_CHARGER[version]:
        try:
            check_request(version, action, {})
        except SchemaError as error:
            assert str(error).startswith(action)  # noqa: PT017 - most messages may not be empty
    for action in TO_CHARGER[version]:
        try:
            check_call(version, action, {})
        except SchemaError as error:
            assert str(error).startswith(action)  # noqa: PT017
    with pytest.raises(SchemaError, match="is not a call"):
        check_call(version, "Dance", {})


def test_a_request_goes_out_in_the_order_of_its_schema() -> None:
    given = {
        "updateType": "Full",
        "localAuthorizationList": [{"idTagInfo": {"status": "Accepted", "expiryDate": "x"}, "idTag": "A"}],
        "listVersion": 2,
        "ours": 1,
    }
    ordered = in_schema_order(Version.V16, "SendLocalList", given)
    assert ordered == given
    assert list(ordered) == ["listVersion", "localAuthorizationList", "updateType", "ours"]
    entry = ordered["localAuthorizationList"][0]  # type: ignore[index]
    assert list(entry) == ["idTag", "idTagInfo"]
    assert list(entry["idTagInfo"]) == ["expiryDate", "status"]
    evse = {"evse": {"connectorId": 1, "id": 2}, "operationalStatus": "Operative"}
    in_order = in_schema_order(Version.V201, "ChangeAvailability", evse)
    assert str(in_order) == "{'evse': {'id': 2, 'connectorId': 1}, 'operationalStatus': 'Operative'}"
