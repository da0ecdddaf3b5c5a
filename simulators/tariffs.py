"""Tariffs, DER controls and what else only OCPP 2.1 gives to a simulated charger.

Used by the commands of 2.1 (part 2, blocks I and R).
"""

from collections.abc import Collection, Mapping
from typing import Any

TARIFFS_MAX = 50
CONTROLS_MAX = 24  # one page of ReportDERControl


class Tariffs:
    """Default tariffs by EVSE, those of transactions, and the DER controls, as they came."""

    def __init__(self) -> None:
        self.defaults: dict[int, Mapping[str, Any]] = {}
        self.of_transactions: dict[str, Mapping[str, Any]] = {}
        self.controls: dict[str, Mapping[str, Any]] = {}

    def set_default(self, evse_ids: Collection[int], tariff: Mapping[str, Any]) -> str:
        """Returns the TariffSetStatusEnumType."""
        known = {id(one): one for one in self.defaults.values()}.values()
        if any(one["tariffId"] == tariff["tariffId"] and one != tariff for one in known):
            return "DuplicateTariffId"
        self.defaults |= dict.fromkeys(evse_ids, tariff)
        return "Accepted"

    def assigned(self, evse_id: int) -> dict[str, list[int]]:
        """Tariff id to the EVSEs that have it; of one EVSE, or of all for 0."""
        found: dict[str, list[int]] = {}
        for number, tariff in sorted(self.defaults.items()):
            if evse_id in {0, number}:
                found.setdefault(tariff["tariffId"], []).append(number)
        return found

    def clear(self, tariff_ids: Collection[str], evse_id: int) -> list[tuple[str, bool]]:
        """Take defaults away; of each id that was meant, whether there was one."""
        known = self.assigned(evse_id)
        wanted = list(tariff_ids) or list(known)
        for name in wanted:
            for number in known.get(name, ()):
                del self.defaults[number]
        return [(name, name in known) for name in wanted]

    def change(self, transaction_id: str, tariff: Mapping[str, Any]) -> None:
        """Give a transaction its own; the oldest are forgotten."""
        self.of_transactions[transaction_id] = tariff
        while len(self.of_transactions) > TARIFFS_MAX:
            del self.of_transactions[next(iter(self.of_transactions))]

    def find_controls(self, wanted: Mapping[str, Any]) -> list[str]:
        """The ids of the controls that a request means: each of its fields must match."""
        fields = [name for name in ("isDefault", "controlType", "controlId") if name in wanted]
        return [
            control_id
            for control_id, control in self.controls.items()
            if all(control[name] == wanted[name] for name in fields)
        ]

    def set_control(self, control: Mapping[str, Any]) -> bool:
        """Keep a DER control by its id; whether there was room."""
        if len(self.controls) >= CONTROLS_MAX and control["controlId"] not in self.controls:
            return False
        self.controls[control["controlId"]] = control
        return True
