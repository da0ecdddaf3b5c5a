"""What the house lends by: how instalments are made, what lateness costs, when a battery is taken out of use.

Filled by `gridwire.py` from the settings, for the API and for the jobs role.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from storage.queries import stations

ZONE = ZoneInfo(stations.DEFAULT_TIME_ZONE)  # in which a day begins that something is due on

Method = Literal["reducing", "flat", "interest_free"]


@dataclass(frozen=True, slots=True)
class LendingTerms:
    """`penalty_pct`: simple, a year of 365 days, on what is overdue. `disable_after_days` of the oldest open
    instalment a battery is disabled; its consumer hears of it `notice_days` before.
    `foreclosure_fee_pct`: of the principal that is left.
    """

    method: Method = "reducing"
    penalty_pct: Decimal = Decimal(24)
    foreclosure_fee_pct: Decimal = Decimal(0)
    disable_after_days: int = 7
    notice_days: int = 3


def today(now: datetime) -> date:
    """The day that it is where the loans are."""
    return now.astimezone(ZONE).date()
