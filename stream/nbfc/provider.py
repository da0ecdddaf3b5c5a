"""The NBFC as an adapter: what it is told and what it says at once. Its later word comes by the webhook.

To add one: a class with `name`, `submit` and `submit_report`, given to the API and the jobs role by
`gridwire.py`. Requests are at least once: both methods know a repetition by our id.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Protocol, TypeVar

import msgspec

from protocols.nbfc import signed_headers
from stream.providers import ProviderAwayError, post_json

REPORT_DIGITS = 10
REFERENCE_CHARACTERS_MAX = 200
T = TypeVar("T")
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Submission:
    """An application as an NBFC hears of it: `amount` in rupees, `interest_rate` in percent a year."""

    application_id: int
    amount: Decimal
    tenure_months: int
    interest_rate: Decimal | None
    battery_serial: str
    consumer_id: int
    consumer_name: str
    consumer_phone: str | None
    dealer_id: int
    dealer_name: str


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What a dealer collected by a day; `collection_data` as the dealer sent it."""

    report_id: int
    dealer_id: int
    report_date: date
    collection_data: Mapping[str, Any]


_Said = Annotated[str, msgspec.Meta(max_length=REFERENCE_CHARACTERS_MAX, pattern=r"\A[^\x00]*\Z")]


class ReportAnswer(msgspec.Struct, frozen=True):
    """What the NBFC says of a report; `report_id` is its own name for it, None while it is queued."""

    success: bool
    report_id: _Said | None
    status: _Said
    message: _Said


class NbfcProvider(Protocol):
    """A lender that decides later."""

    @property
    def name(self) -> str:
        """What applications remember of it."""

    async def submit(self, application: Submission) -> str:
        """Return the NBFC's reference. Raises `ProviderRefusedError`, `ProviderAwayError`."""

    async def submit_report(self, report: CollectionReport) -> ReportAnswer:
        """Return the NBFC's answer; errors as of `submit`."""


@dataclass(frozen=True, slots=True)
class HouseNbfc:
    """No NBFC: the dealer decides by himself, or tells the webhook what his lender said."""

    name: str = "house"

    async def submit(self, application: Submission) -> str:
        """Take the application; it stays submitted."""
        return f"APP{application.application_id:0{REPORT_DIGITS}}"

    async def submit_report(self, report: CollectionReport) -> ReportAnswer:
        """Take the report."""
        return ReportAnswer(
            True,
            f"RPT{report.report_id:0{REPORT_DIGITS}}",
            "submitted",
            "Collection report submitted successfully to NBFC",
        )


class _Taken(msgspec.Struct, frozen=True):
    reference: _Said


@dataclass(frozen=True, slots=True)
class HttpNbfc:
    """An NBFC that speaks the signed JSON of `docs/nbfc.md`; `url` without a slash at the end.

    `clock` returns microseconds since 1970 UTC.
    """

    url: str
    secret: str = field(repr=False)
    clock: Callable[[], int]
    name: str = "http"

    async def submit(self, application: Submission) -> str:
        """POST /applications."""
        answer = await self._post("/applications", application)
        return _read(answer, _Taken).reference

    async def submit_report(self, report: CollectionReport) -> ReportAnswer:
        """POST /reports."""
        return _read(await self._post("/reports", report), ReportAnswer)

    async def _post(self, path: str, facts: object) -> object:
        body = _encoder.encode(facts)
        headers = signed_headers(self.secret, body, self.clock() // 1_000_000)
        return await post_json(f"NBFC {self.url}", f"{self.url}{path}", content=body, headers=headers)


def _read(answer: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise ProviderAwayError(f"the NBFC answered in another form: {error}") from error
