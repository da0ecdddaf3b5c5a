"""What the claim endpoints of Lithovolt take and give (LI-X07)."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.fields import Storable, Text
from api.lithovolt.schemas import BIGINT_MAX, Time
from api.lithovolt.warranty_schemas import Serial
from storage.queries.warranty_claims import Claim, ClaimEvent, ClaimFile
from stream.warranty.claims import Status
from stream.warranty.evidence import Verdict
from stream.warranty.plots import PLOTS

WORDS_CHARACTERS_MAX = 4_000

Words = Annotated[str, Field(min_length=1, max_length=WORDS_CHARACTERS_MAX), Storable]

_CLAIM: dict[str, Any] = {
    "id": 1,
    "claim_number": "LVC-2026-000001",
    "warranty": 1,
    "certificate_number": "LVW-2026-000001",
    "serial": "LV48000000017",
    "claimant_id": 12,
    "issue": "Does not charge",
    "description": "The charger starts and stops after a minute.",
    "status": "submitted",
    "verdict": "outside terms",
    "resolution": None,
    "replacement_serial": None,
    "decided_at": None,
    "created_at": "2026-06-15T10:30:00Z",
    "updated_at": "2026-06-15T10:30:00Z",
}
_FINDING: dict[str, Any] = {
    "name": "over_temperature",
    "limit_name": "max_temperature_c",
    "limit": 60,
    "unit": "C",
    "samples": 14,
    "seconds": 840.0,
    "worst": 71.5,
    "first_at": "2026-06-01T12:00:00Z",
    "last_at": "2026-06-01T12:14:00Z",
    "verdict": "outside terms",
}
_EVIDENCE: dict[str, Any] = {
    "since": "2026-03-17T10:30:00Z",
    "until": "2026-06-15T10:30:00Z",
    "samples": 129_600,
    "is_cut": False,
    "first_at": "2026-03-17T10:30:00Z",
    "last_at": "2026-06-15T10:29:00Z",
    "verdict": "outside terms",
    "text": "Outside the warranty's terms: over temperature.",
    "findings": [_FINDING],
    "alarms": [],
}


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class ClaimIn(BaseModel):
    """What is wrong with a battery; `warranty` is the id of its warranty."""

    model_config = _example({name: _CLAIM[name] for name in ("warranty", "issue", "description")})
    warranty: Annotated[int, Field(ge=1, le=BIGINT_MAX)]
    issue: Text
    description: Words


class ClaimChange(BaseModel):
    """A step of the workflow, a note, or both. A replacement comes with `resolved` alone."""

    model_config = _example({"status": "approved", "resolution": "A cell is defective."})
    status: Status | None = None
    note: Words | None = None
    resolution: Words | None = None
    replacement_serial: Serial | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "ClaimChange":
        if self.status is None and self.note is None:
            raise ValueError("Give a status, a note, or both.")
        if self.status is None and (self.resolution is not None or self.replacement_serial is not None):
            raise ValueError("A resolution comes with a status.")
        return self


class ClaimOut(BaseModel):
    """A claim; `verdict` is what the battery's telemetry hints at, and decides nothing."""

    model_config = _example(_CLAIM)
    id: int
    claim_number: str
    warranty: int
    certificate_number: str
    serial: str
    claimant_id: int
    issue: str
    description: str
    status: Status
    verdict: Verdict
    resolution: str | None
    replacement_serial: str | None
    decided_at: Time | None
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, claim: Claim) -> "ClaimOut":
        """Show `claim`."""
        return cls.model_validate(_facts(claim))


class FindingOut(BaseModel):
    """One limit of the terms against what was measured.

    `worst` is what came nearest to the limit, or went farthest beyond it; `samples` and `seconds` were beyond
    it (of `silence`: the longest time without a sample). `verdict` is null where nothing was measured or the
    terms have no such limit.
    """

    name: str
    limit_name: str
    limit: float | None
    unit: str
    samples: int
    seconds: float
    worst: float | None
    first_at: str | None
    last_at: str | None
    verdict: Verdict | None


class AlarmOut(BaseModel):
    """An alarm of the battery in that time."""

    kind: str
    severity: str
    opened_at: str
    closed_at: str | None
    worst: float


class EvidenceOut(BaseModel):
    """What the battery's own telemetry said when the claim was made; it does not change later.

    `is_cut`: there were more samples than are looked at; it is of the time of the newest then.
    """

    model_config = _example(_EVIDENCE)
    since: str
    until: str
    samples: int
    is_cut: bool
    first_at: str | None
    last_at: str | None
    verdict: Verdict
    text: str
    findings: list[FindingOut]
    alarms: list[AlarmOut]


class ClaimEventOut(BaseModel):
    """A line of a claim's history; `kind`: submitted, status, noted or attached."""

    kind: str
    actor_id: int | None
    detail: dict[str, Any]
    at: Time


class ClaimFileOut(BaseModel):
    """A file of a claim; `url` needs the token of somebody who sees the claim."""

    model_config = _example(
        {
            "id": 1,
            "name": "terminal.jpg",
            "mimetype": "image/jpeg",
            "size_bytes": 183_201,
            "uploaded_by": 12,
            "uploaded_at": "2026-06-15T10:31:00Z",
            "url": "/api/warranty/claims/1/files/1/",
        }
    )
    id: int
    name: str
    mimetype: str
    size_bytes: int
    uploaded_by: int
    uploaded_at: Time
    url: str

    @classmethod
    def of(cls, file: ClaimFile) -> "ClaimFileOut":
        """Show `file`."""
        return cls(
            id=file.id,
            name=file.original,
            mimetype=file.mimetype,
            size_bytes=file.size_bytes,
            uploaded_by=file.uploaded_by,
            uploaded_at=file.uploaded_at,
            url=f"/api/warranty/claims/{file.claim_id}/files/{file.id}/",
        )


class ClaimDetail(ClaimOut):
    """A claim with its evidence, history and files; `plots`: addresses of PNG pictures by name."""

    model_config = _example(
        {
            **_CLAIM,
            "evidence": _EVIDENCE,
            "plots": {"temperature": "/api/warranty/claims/1/plots/temperature.png/"},
            "events": [{"kind": "submitted", "actor_id": 12, "detail": {}, "at": "2026-06-15T10:30:00Z"}],
            "files": [],
        }
    )
    evidence: EvidenceOut
    plots: dict[str, str]
    events: list[ClaimEventOut]
    files: list[ClaimFileOut]

    @classmethod
    def build(
        cls,
        claim: Claim,
        evidence: dict[str, Any],
        events: Sequence[ClaimEvent],
        files: Sequence[ClaimFile],
    ) -> "ClaimDetail":
        """Show `claim` and all that belongs to it."""
        names = PLOTS if evidence["samples"] else ()
        return cls(
            **_facts(claim),
            evidence=EvidenceOut.model_validate(evidence),
            plots={name: f"/api/warranty/claims/{claim.id}/plots/{name}.png/" for name in names},
            events=[
                ClaimEventOut(kind=each.kind, actor_id=each.actor_id, detail=each.detail, at=each.at)
                for each in events
            ],
            files=[ClaimFileOut.of(each) for each in files],
        )


def _facts(claim: Claim) -> dict[str, Any]:
    named = {name: getattr(claim, name, None) for name in ClaimOut.model_fields}
    return {**named, "warranty": claim.warranty_id}
