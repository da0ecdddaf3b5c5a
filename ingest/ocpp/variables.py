"""Components and variables of OCPP 2.x messages as rows of the device model.

Used by `ingest.ocpp.results` and by the reports of `ingest.ocpp.v2` (NotifyReport, NotifyMonitoringReport).
"""

from collections.abc import Mapping
from typing import Any

from protocols.ocpp.storable import clipped, shown, storable
from storage.queries.device_model import Variable, VariableName

NAME_CHARACTERS_MAX = 50
VALUE_CHARACTERS_MAX = 2_500
INT4_MAX = 2**31 - 1


def int4(value: object) -> int | None:
    """The value if it is an integer that the database's integer holds, else None."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if abs(value) <= INT4_MAX else None


def variable_name(item: Mapping[str, Any], attribute: object = "Actual") -> VariableName:
    """The name in `item`, which has a ComponentType `component` and a VariableType `variable`."""
    component, variable = item["component"], item["variable"]
    evse = component.get("evse") or {}
    return VariableName(
        component=_name(component["name"]),
        component_instance=_name(component.get("instance")),
        evse_id=int4(evse.get("id")) or 0,
        connector_id=int4(evse.get("connectorId")) or 0,
        variable=_name(variable["name"]),
        variable_instance=_name(variable.get("instance")),
        attribute=_name(attribute) or "Actual",
    )


def with_value(name: VariableName, value: object, mutability: str | None = None) -> Variable:
    """The variable with a value of its charger or of ours; that of a secret is hidden."""
    return Variable(**name_fields(name), value=value_of(name.variable, value), mutability=mutability)


def reported_variables(item: Mapping[str, Any]) -> list[Variable]:
    """The attributes of one ReportDataType (OCPP 2.0.1 part 2, NotifyReport)."""
    characteristics = item.get("variableCharacteristics")
    return [
        Variable(
            **name_fields(name),
            value=value_of(name.variable, attribute.get("value")),
            mutability=attribute.get("mutability", "ReadWrite"),
            is_persistent=attribute.get("persistent", False),
            is_constant=attribute.get("constant", False),
            characteristics=None if characteristics is None else storable(characteristics),
        )
        for attribute in item["variableAttribute"]
        for name in [variable_name(item, attribute.get("type"))]
    ]


def name_fields(name: VariableName) -> dict[str, Any]:
    """The fields of a name."""
    return {field: getattr(name, field) for field in VariableName.__slots__}


def value_of(variable: str, value: object) -> str | None:
    """What is stored of a variable's value: None where there is none, `***` for a secret."""
    if value is None:
        return None
    return clipped(str(shown({"key": variable, "value": str(value)})["value"]), VALUE_CHARACTERS_MAX)


def _name(text: object) -> str:
    return clipped(str(text), NAME_CHARACTERS_MAX) if text else ""
