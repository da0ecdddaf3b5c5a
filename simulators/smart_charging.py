"""Charging profiles of a simulated charger: what current they leave, now and in the time to come.

Used by `simulators.connector` (its outlet asks each second) and by the commands. Of OCPP 1.6 section 3.13
and OCPP 2.0.1 part 2, block K: of a purpose the highest stack level that says something counts, a
transaction's profile stands in front of the default one, and the smallest limit of the purposes holds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from protocols.samples import DecodeError
from protocols.timestamps import parse_timestamp
from simulators.charger_queue import Transaction
from simulators.timers import US_PER_S
from simulators.vehicle import VOLTAGE_V

PROFILES_MAX = 100
STACK_LEVEL_MAX = 100
PERIODS_MAX = 1_024
PHASES = 3
CURRENT_MAX_A = 32.0  # of a phase, by the hardware
STATION = frozenset({"ChargePointMaxProfile", "ChargingStationMaxProfile"})
TX, TX_DEFAULT = "TxProfile", "TxDefaultProfile"
_RECURRENCES_S = {"Daily": 86_400, "Weekly": 7 * 86_400}


class ProfileError(ValueError):
    """A profile that cannot be kept; the message says why."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A charging profile. `periods`: (start in seconds, amperes of one phase). `raw`: as it came.

    `connector_id` 0 is all. `transaction`: to whom a TxProfile belongs. `set_us`: when it came.
    """

    profile_id: int
    connector_id: int
    stack_level: int
    purpose: str
    kind: str
    periods: tuple[tuple[int, float], ...]
    raw: Mapping[str, Any]
    set_us: int
    recurrence_s: int | None = None
    valid_from_us: int | None = None
    valid_to_us: int | None = None
    start_us: int | None = None
    duration_s: int | None = None
    transaction: Transaction | None = None

    def limit_a(self, at_us: int, session: Transaction | None) -> float | None:
        """What it allows of a phase at that time; None if it says nothing then."""
        if self.valid_from_us is not None and at_us < self.valid_from_us:
            return None
        if self.valid_to_us is not None and at_us >= self.valid_to_us:
            return None
        offset_s = self._offset_s(at_us, session)
        if offset_s < 0 or (self.duration_s is not None and offset_s >= self.duration_s):
            return None
        return next(limit for start_s, limit in reversed(self.periods) if start_s <= offset_s)

    def edges_us(self, session: Transaction | None, from_us: int, to_us: int) -> set[int]:
        """The times in that span at which it may begin to say something else."""
        edges = {edge for edge in (self.valid_from_us, self.valid_to_us) if edge is not None}
        ends = [] if self.duration_s is None else [self.duration_s]
        start_us = from_us - self._offset_s(from_us, session) * US_PER_S
        rounds = 1 if self.recurrence_s is None else (to_us - start_us) // (self.recurrence_s * US_PER_S) + 1
        for number in range(min(rounds, PERIODS_MAX)):
            base_us = start_us + number * (self.recurrence_s or 0) * US_PER_S
            edges |= {base_us + offset_s * US_PER_S for offset_s in (*(p[0] for p in self.periods), *ends)}
        return {edge for edge in edges if from_us < edge < to_us}

    def _offset_s(self, at_us: int, session: Transaction | None) -> int:
        """Seconds since the schedule began, as its kind counts them."""
        began_us = self.set_us if session is None else session.started_us
        if self.kind != "Relative" and self.start_us is not None:
            began_us = self.start_us
        offset_s = (at_us - began_us) // US_PER_S
        return offset_s if self.recurrence_s is None else offset_s % self.recurrence_s


class Profiles:
    """Those that are installed."""

    def __init__(self, connectors: int) -> None:
        self._connectors = connectors
        self._kept: dict[int, Profile] = {}

    def put(self, profile: Profile) -> None:
        """Install; one of the same id, or of the same place, purpose and level, gives way."""

        def place(one: Profile) -> tuple[object, ...]:
            return one.connector_id, one.purpose, one.stack_level, one.transaction

        kept = {key: one for key, one in self._kept.items() if place(one) != place(profile)}
        kept.pop(profile.profile_id, None)
        if len(kept) >= PROFILES_MAX:
            raise ProfileError(f"{PROFILES_MAX} profiles are installed")
        self._kept = {**kept, profile.profile_id: profile}

    def find(self, chosen: Callable[[Profile], bool]) -> list[Profile]:
        """Those that are wanted, by id."""
        return [profile for _, profile in sorted(self._kept.items()) if chosen(profile)]

    def remove(self, chosen: Callable[[Profile], bool]) -> bool:
        """Take those out; whether there was one."""
        gone = self.find(chosen)
        for profile in gone:
            del self._kept[profile.profile_id]
        return bool(gone)

    def limit_a(self, connector_id: int, session: Transaction | None, at_us: int) -> float:
        """The current of a phase that a connector may draw; infinity where nothing limits it.

        Connector 0 is the charger. A limit of the charger is dealt out evenly to its connectors.
        """
        if not self._kept:
            return inf
        station_a = self._strongest(lambda p: p.purpose in STATION, session, at_us)
        if connector_id == 0:
            return inf if station_a is None else station_a
        own_a = self._strongest(lambda p: p.purpose == TX and p.transaction is session, session, at_us)
        if session is None or own_a is None:
            own_a = self._default(connector_id, session, at_us)
        shared_a = inf if station_a is None else station_a / self._connectors
        return min(shared_a, inf if own_a is None else own_a)

    def composite(
        self, connector_id: int, session: Transaction | None, from_us: int, duration_s: int
    ) -> list[tuple[int, float]]:
        """The limit over a span: (seconds from its begin, amperes), each other than the one before."""
        to_us = from_us + duration_s * US_PER_S
        times = {from_us}.union(*(p.edges_us(session, from_us, to_us) for p in self._kept.values()))
        periods: list[tuple[int, float]] = []
        for at_us in sorted(times)[:PERIODS_MAX]:
            limit_a = min(CURRENT_MAX_A, self.limit_a(connector_id, session, at_us))
            if not periods or periods[-1][1] != limit_a:
                periods.append(((at_us - from_us) // US_PER_S, limit_a))
        return periods

    def _default(self, connector_id: int, session: Transaction | None, at_us: int) -> float | None:
        """That of the connector stands in front of that of all, level by level."""
        return self._strongest(
            lambda p: p.purpose == TX_DEFAULT and p.connector_id in {0, connector_id}, session, at_us
        )

    def _strongest(
        self, chosen: Callable[[Profile], bool], session: Transaction | None, at_us: int
    ) -> float | None:
        for profile in sorted(self.find(chosen), key=lambda p: (-p.stack_level, -p.connector_id)):
            limit_a = profile.limit_a(at_us, session)
            if limit_a is not None:
                return limit_a
        return None


def profile_of(
    raw: Mapping[str, Any], connector_id: int, set_us: int, transaction: Transaction | None = None
) -> Profile:
    """A profile of 1.6 (section 7.8) or 2.x (ChargingProfileType). Raises `ProfileError`."""
    schedule = raw["chargingSchedule"]
    schedule = schedule[0] if isinstance(schedule, list) else schedule
    periods = tuple(
        (period["startPeriod"], _amperes(period, schedule["chargingRateUnit"]))
        for period in schedule["chargingSchedulePeriod"]
    )
    starts = [start_s for start_s, _ in periods]
    if not starts or starts[0] != 0 or starts != sorted(starts) or len(starts) > PERIODS_MAX:
        raise ProfileError("periods begin at 0 and follow each other")
    if not 0 <= raw["stackLevel"] <= STACK_LEVEL_MAX:
        raise ProfileError(f"a stack level is 0 to {STACK_LEVEL_MAX}")
    kind = raw["chargingProfileKind"]
    return Profile(
        raw["id"] if "id" in raw else raw["chargingProfileId"],
        connector_id,
        raw["stackLevel"],
        raw["chargingProfilePurpose"],
        kind,
        periods,
        raw,
        set_us,
        _RECURRENCES_S[raw.get("recurrencyKind", "Daily")] if kind == "Recurring" else None,
        _time(raw, "validFrom"),
        _time(raw, "validTo"),
        _time(schedule, "startSchedule"),
        schedule.get("duration"),
        transaction,
    )


def in_unit(limit_a: float, unit: str) -> float:
    """A limit of one phase as a schedule says it: amperes of a phase, or watts of all three."""
    return round(limit_a if unit == "A" else limit_a * VOLTAGE_V * PHASES, 1)


def _amperes(period: Mapping[str, Any], unit: str) -> float:
    limit = period.get("limit")
    if limit is None:  # 2.1 has other things to say than a limit
        return inf
    return float(limit) if unit == "A" else limit / (VOLTAGE_V * (period.get("numberPhases") or PHASES))


def _time(part: Mapping[str, Any], field: str) -> int | None:
    if field not in part:
        return None
    try:
        return parse_timestamp(part[field], field)
    except DecodeError as error:
        raise ProfileError(str(error)) from error
