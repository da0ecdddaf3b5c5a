"""What stock and orders refuse; nothing was changed then. The API words them by field."""

from collections.abc import Sequence


class StockError(Exception):
    """`faults`: a sentence each, at most `FAULTS_MAX`; `field`: what of the request they are about."""

    def __init__(self, field: str, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.field = field
        self.faults = tuple(faults[:FAULTS_MAX])


FAULTS_MAX = 1_000
