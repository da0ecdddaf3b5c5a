"""How chargers of known makes are to be treated, by vendor, model and firmware; used by `ingest.ocpp`.

One table, `RULES`: each line says whom it is about, what it changes of `Behaviour`'s defaults, and where
that was seen. Later lines win. To add one: its line here, its fixture beside the others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

# Makes and firmwares whose answer is remembered.
_KNOWN_MAX = 4_096
_FIRMWARE = re.compile(r"\d+(?:\.\d+)+", re.ASCII)
Release = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What to expect of a charger and what to spare it.

    `may_probe`: it stands questions about keys and measurands that it may not have. `call_gap_ms`: pause
    between two of our calls. `configuration_keys_max`: keys in one GetConfiguration, None without a bound.
    `late_meter_values_s`: how long after StopTransaction samples of that transaction still come.
    `start_answer_ms`: the least time before StartTransaction is answered. `heartbeat_s_min`, `..._max`:
    intervals that it keeps. `answers_pings`: a missing pong means something. `has_local_time`: its
    stamps without a zone are local time. `profiles_refused_over`: OCPP versions over which it refuses every
    SetChargingProfile. `ignored_purposes`: profile purposes that it accepts and does not follow.
    """

    may_probe: bool = True
    call_gap_ms: int = 0
    configuration_keys_max: int | None = None
    late_meter_values_s: int = 0
    start_answer_ms: int = 0
    heartbeat_s_min: int = 1
    heartbeat_s_max: int = 86_400
    answers_pings: bool = True
    has_local_time: bool = False
    profiles_refused_over: frozenset[str] = frozenset()
    ignored_purposes: frozenset[str] = frozenset()

    def heartbeat_s(self, wanted_s: int) -> int:
        """The interval nearest to `wanted_s` that it keeps."""
        return min(max(wanted_s, self.heartbeat_s_min), self.heartbeat_s_max)


@dataclass(frozen=True, slots=True)
class Rule:
    """`vendor` and `model` are the beginnings of what it says of itself, without case; "" fits all.

    `since` and `before` bound the firmware's first dotted number; a rule with a bound does not fit a
    charger that names no firmware. `source`: where it was seen (repository#number).
    """

    source: str
    vendor: str
    changes: Mapping[str, Any] = field(hash=False)
    model: str = ""
    since: Release | None = None
    before: Release | None = None

    def fits(self, vendor: str, model: str, release: Release | None) -> bool:
        """Whether it is about this charger."""
        if not vendor.startswith(self.vendor) or not model.startswith(self.model):
            return False
        if self.since is None and self.before is None:
            return True
        return (
            release is not None
            and (self.since is None or release >= self.since)
            and (self.before is None or release < self.before)
        )


RULES: tuple[Rule, ...] = (
    # asked for a measurand that it has not, it reboots, and again after the reboot
    Rule("lbbrhzn/ocpp#1275", "abb", {"may_probe": False}, before=(1, 8, 22)),
    # no pongs
    Rule("lbbrhzn/ocpp#211", "en+", {"answers_pings": False}),
    # one GetConfiguration without keys is never answered, and at most four at a time are
    Rule("evcc-io/evcc#15869", "entratek", {"configuration_keys_max": 4}),
    Rule("evcc-io/evcc#15869", "duosida", {"configuration_keys_max": 4}),
    # hangs up on an answer to StartTransaction that comes at once
    Rule("lbbrhzn/ocpp#2080", "free2move", {"start_answer_ms": 1_000}),
    # over 2.0.1 it judges SetChargingProfile by the schema of 1.6, and refuses every one
    Rule("lbbrhzn/ocpp#2050", "fox", {"profiles_refused_over": frozenset({"2.0.1", "2.1"})}),
    Rule("evcc-io/evcc#10399", "growatt", {"has_local_time": True}),
    # blocks for a while when asked every few seconds
    Rule("evcc-io/evcc#32236", "mennekes", {"call_gap_ms": 1_000}),
    # pings nobody: its heartbeats alone show that it lives
    Rule("evcc-io/evcc#33099", "mennekes", {"heartbeat_s_max": 60}, model="amtron 4you"),
    # what it sends of the last seconds comes after StopTransaction
    Rule("lbbrhzn/ocpp#2030", "ocular", {"late_meter_values_s": 300}),
    # an answer about an unknown key is cut short
    Rule("lbbrhzn/ocpp#176", "united chargers", {"may_probe": False}),
    Rule(
        "lbbrhzn/ocpp#442",
        "united chargers",
        {"ignored_purposes": frozenset({"ChargePointMaxProfile"})},
        before=(4, 0),
    ),
)


@lru_cache(maxsize=_KNOWN_MAX)
def quirks_for(vendor: str | None, model: str | None, firmware: str | None) -> Behaviour:
    """How to treat a charger that says this of itself; None is what it has not said."""
    release = release_of(firmware)
    behaviour = Behaviour()
    for rule in RULES:
        if rule.fits(_folded(vendor), _folded(model), release):
            behaviour = replace(behaviour, **rule.changes)
    return behaviour


def release_of(firmware: str | None) -> Release | None:
    """The first dotted number in a firmware's name: (1, 8, 21) of `TAC3Z9119006710273::V1.8.21`."""
    found = _FIRMWARE.search((firmware or "")[:128])
    return tuple(int(part[:9]) for part in found[0].split(".")) if found else None


def _folded(text: str | None) -> str:
    return " ".join((text or "").casefold().split())
