"""A sandbox NBFC as a process of its own: takes applications and reports, decides later, calls the webhook.

Run by `python -m simulators.nbfc` or `gridwire nbfc`. It decides by rules that can be foretold: amounts up to
`amount_max` are approved and paid out, greater ones rejected. Its calls can be repeated, put out of order and
delayed, as those of real ones are. What it knows is in memory: it forgets with its process.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any

import httpx
import msgspec
import structlog
import typer
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from protocols.nbfc import SIGNATURE_HEADER, TIMESTAMP_HEADER, refusal, signed_headers

log = structlog.get_logger()

BODY_BYTES_MAX = 65_536
APPLICATIONS_MAX = 100_000
CALL_TIMEOUT_S = 10.0
CALL_TRIES_MAX = 10
RETRY_S = 0.5
CREDIT_SCORES = (600, 850)
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class NbfcSettings:
    """`webhook_url` is called as IE-022 has it. Rates in percent a year, amounts in rupees.

    Each event is sent `repeats` times; `is_shuffled`: the calls of an application in any order. The first
    goes out `delay_s` after the application, the others up to `spread_s` later.
    """

    webhook_url: str
    secret: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 5090
    delay_s: float = 2.0
    spread_s: float = 1.0
    repeats: int = 1
    is_shuffled: bool = False
    amount_max: Decimal = Decimal(200_000)
    rate_pct: Decimal = Decimal("12.5")
    seed: int = 1


class Application(msgspec.Struct, frozen=True):
    """What it is told of an application, as far as it matters here."""

    application_id: Annotated[int, msgspec.Meta(ge=1)]
    amount: Decimal
    tenure_months: Annotated[int, msgspec.Meta(ge=1, le=120)]
    interest_rate: Decimal | None = None

    def __post_init__(self) -> None:
        if self.amount <= 0 or not 0 <= (self.interest_rate or 0) <= 100:
            raise ValueError("the amount must be above 0, the interest rate from 0 to 100 percent")


class Report(msgspec.Struct, frozen=True):
    """What it is told of collections."""

    report_id: Annotated[int, msgspec.Meta(ge=1)]
    dealer_id: int
    report_date: str
    collection_data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One event to tell; `key` is the same in all its repetitions."""

    key: str
    body: Mapping[str, Any]


def monthly_instalment(amount: Decimal, rate_pct: Decimal, months: int) -> Decimal:
    """Return the instalment of a reducing balance in rupees, rounded half up to a paisa."""
    rate = rate_pct / 1_200
    growth = (1 + rate) ** months
    instalment = amount * rate * growth / (growth - 1) if rate else amount / months
    return instalment.quantize(Decimal("0.01"), ROUND_HALF_UP)


def decide(application: Application, settings: NbfcSettings, at: datetime) -> list[Call]:
    """Return what it will say of an application, in the order in which it happens."""
    rng = random.Random(f"{settings.seed}:{application.application_id}")  # noqa: S311 (dice, no secret)
    number = application.application_id
    rate_pct = settings.rate_pct if application.interest_rate is None else application.interest_rate
    terms = {
        "sanctionedAmount": application.amount,
        "interestRate": rate_pct,
        "emiAmount": monthly_instalment(application.amount, rate_pct, application.tenure_months),
    }
    score = {"creditScore": rng.randint(*CREDIT_SCORES)}
    said: list[dict[str, Any]] = [{"status": "under_review"}]
    if application.amount <= settings.amount_max:
        said += [
            {"status": "approved", **terms, **score},
            {"status": "disbursed", **terms, "disbursementDate": at.date().isoformat()},
        ]
    else:
        said += [{"status": "rejected", "reason": f"more than {settings.amount_max} rupees", **score}]
    return [Call(f"nbfc-{number}-{each['status']}", {"applicationId": number, **each}) for each in said]


class Sandbox:
    """Its two endpoints, and the calls that follow."""

    def __init__(self, settings: NbfcSettings) -> None:
        self._settings = settings
        self._rng = random.Random(settings.seed)  # noqa: S311 (dice, no secret)
        self._known: dict[int, str] = {}
        self._calling: set[asyncio.Task[None]] = set()
        self._client = httpx.AsyncClient(timeout=CALL_TIMEOUT_S)
        self.app = Starlette(
            routes=[
                Route("/applications", self._take_application, methods=["POST"]),
                Route("/reports", self._take_report, methods=["POST"]),
            ],
            lifespan=self._living,
        )

    @asynccontextmanager
    async def _living(self, _: Starlette) -> AsyncIterator[None]:
        async with self._client:
            yield
            for task in self._calling:
                task.cancel()
            await asyncio.gather(*self._calling, return_exceptions=True)

    async def _take_application(self, request: Request) -> JSONResponse:
        body = await request.body()
        if (refused := self._refuse(request, body)) is not None:
            return refused
        try:
            application = msgspec.json.decode(body, type=Application, strict=False)
        except msgspec.DecodeError as error:
            return JSONResponse({"error": str(error)}, 422)
        reference = f"NBFC-{application.application_id:010}"
        if application.application_id not in self._known:
            if len(self._known) >= APPLICATIONS_MAX:
                return JSONResponse({"error": "too many applications"}, 503)
            self._known[application.application_id] = reference
            self._plan(application)
        return JSONResponse({"reference": reference}, 202)

    async def _take_report(self, request: Request) -> JSONResponse:
        body = await request.body()
        if (refused := self._refuse(request, body)) is not None:
            return refused
        try:
            report = msgspec.json.decode(body, type=Report)
        except msgspec.DecodeError as error:
            return JSONResponse({"error": str(error)}, 422)
        log.info("nbfc_report_taken", report=report.report_id, dealer=report.dealer_id)
        return JSONResponse(
            {
                "success": True,
                "report_id": f"RPT{report.report_id:010}",
                "status": "submitted",
                "message": "Collection report submitted successfully to NBFC",
            },
            201,
        )

    def _refuse(self, request: Request, body: bytes) -> JSONResponse | None:
        if len(body) > BODY_BYTES_MAX:
            return JSONResponse({"error": "the body is too large"}, 413)
        timestamp, signed = (
            request.headers.get(TIMESTAMP_HEADER, ""),
            request.headers.get(SIGNATURE_HEADER, ""),
        )
        why = refusal(self._settings.secret, timestamp, signed, body, int(time.time()))
        return None if why is None else JSONResponse({"error": f"the {why} is not right"}, 401)

    def _plan(self, application: Application) -> None:
        settings = self._settings
        calls = decide(application, settings, datetime.now(UTC)) * settings.repeats
        if settings.is_shuffled:
            self._rng.shuffle(calls)
        waits_s = sorted(self._rng.uniform(0, settings.spread_s) for _ in calls)
        task = asyncio.create_task(self._tell(calls, [settings.delay_s + each for each in waits_s]))
        self._calling.add(task)
        task.add_done_callback(self._calling.discard)

    async def _tell(self, calls: list[Call], at_s: list[float]) -> None:
        began_s = time.monotonic()
        for call, due_s in zip(calls, at_s, strict=True):
            await asyncio.sleep(max(0.0, began_s + due_s - time.monotonic()))
            await self._call(call)

    async def _call(self, call: Call) -> None:
        """Call the webhook until it has taken or refused the event."""
        body = _encoder.encode(call.body)
        for attempt in range(CALL_TRIES_MAX):
            headers = signed_headers(self._settings.secret, body, int(time.time()), call.key)
            try:
                answer = await self._client.post(self._settings.webhook_url, content=body, headers=headers)
            except httpx.HTTPError as error:
                log.warning("nbfc_webhook_away", event_key=call.key, error=repr(error))
            else:
                log.info("nbfc_webhook_called", event_key=call.key, status=answer.status_code)
                if answer.status_code < 500 and answer.status_code != 429:
                    return
            await asyncio.sleep(RETRY_S * 2**attempt)
        log.error("nbfc_webhook_given_up", event_key=call.key, tries=CALL_TRIES_MAX)


def nbfc_command(  # noqa: PLR0913, PLR0917 (each is an option)
    webhook_url: Annotated[
        str, typer.Option(help="Where it tells its decisions.")
    ] = "http://127.0.0.1:5000/api/nbfc/webhook-status",
    secret: Annotated[
        str, typer.Option(envvar="GRIDWIRE_NBFC_SECRET", help="Signs requests in both directions.")
    ] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5090,
    delay_s: Annotated[float, typer.Option(help="Seconds until its first word.")] = 2.0,
    spread_s: Annotated[float, typer.Option(help="Seconds over which its words are spread.")] = 1.0,
    repeats: Annotated[int, typer.Option(min=1, max=10, help="How often each event is told.")] = 1,
    shuffle: Annotated[bool, typer.Option(help="Tell events in any order.")] = False,
    amount_max: Annotated[float, typer.Option(help="Rupees up to which it lends.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Of its dice.")] = 1,
) -> None:
    """Be an NBFC: take applications and reports, decide later, call the webhook."""
    if not secret:
        raise typer.BadParameter("set GRIDWIRE_NBFC_SECRET, the same as the API's", param_hint="--secret")
    settings = NbfcSettings(
        webhook_url,
        secret,
        host=host,
        port=port,
        delay_s=delay_s,
        spread_s=spread_s,
        repeats=repeats,
        is_shuffled=shuffle,
        amount_max=Decimal(str(amount_max)),
        seed=seed,
    )
    uvicorn.run(Sandbox(settings).app, host=settings.host, port=settings.port, log_level="warning")


if __name__ == "__main__":
    typer.run(nbfc_command)
