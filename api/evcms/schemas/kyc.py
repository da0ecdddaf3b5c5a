"""EV-CMS identity documents. Numbers go out masked, but to an admin who reads one person's."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from api.evcms.envelope import Maybe, Named, Out, Page, Time
from api.fields import Storable
from api.identity_numbers import NUMBER_CHARACTERS_MAX, DocumentType, normalise
from storage.queries.kyc import KycDocument, KycRecord

URL_CHARACTERS_MAX = 500
NOTES_CHARACTERS_MAX = 1_000

KycStatus = Literal["pending", "approved", "rejected"]
ImageUrl = Annotated[str, Field(min_length=1, max_length=URL_CHARACTERS_MAX), Storable]


class KycIn(BaseModel):
    """A document; its images are the `url`s of uploads of type `document` that the caller made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "documentType": "pan",
                    "documentNumber": "ABCDE1234F",
                    "frontImage": "http://localhost:5000/uploads/document/0f3c.jpg",
                }
            ]
        }
    )

    document_type: Annotated[DocumentType, Field(alias="documentType")]
    document_number: Annotated[
        str,
        Field(
            alias="documentNumber",
            min_length=1,
            max_length=NUMBER_CHARACTERS_MAX,
            repr=False,
        ),
    ]
    front_image: Annotated[ImageUrl, Field(alias="frontImage")]
    back_image: Annotated[ImageUrl | None, Field(alias="backImage")] = None

    @field_validator("document_number")
    @classmethod
    def _is_a_number(cls, text: str, info: ValidationInfo) -> str:
        """A type that is wrong has its own fault: then there is nothing to hold the number against."""
        document_type = info.data.get("document_type")
        return text if document_type is None else normalise(document_type, text)


class KycDecision(BaseModel):
    """What becomes of the documents that wait; the notes go to their owner."""

    status: Literal["approved", "rejected"]
    notes: Annotated[str, Field(max_length=NOTES_CHARACTERS_MAX), Storable] | None = None


class DocumentOut(Out):
    """A document; `document_number` as far as the reader may see it."""

    document_type: DocumentType
    document_number: str
    front_image: str
    back_image: Maybe[str]
    status: KycStatus
    submitted_at: Time

    @classmethod
    def of(cls, document: KycDocument, number: str, public_url: str) -> "DocumentOut":
        """Show `document` with `number` for its number; its images are to be had at `public_url`."""
        back = document.back_image
        return cls.model_validate(
            {
                "document_type": document.document_type,
                "document_number": number,
                "front_image": f"{public_url}{document.front_image}",
                "back_image": None if back is None else f"{public_url}{back}",
                "status": document.status,
                "submitted_at": document.created_at,
            }
        )


class KycStatusOut(Out):
    """How far a person's verification is."""

    status: Literal["not_submitted", "pending", "approved", "rejected"]
    documents: list[DocumentOut]
    notes: Maybe[str]


class KycOut(Out):
    """A person's documents and what was decided; `status` is pending as long as one of them waits."""

    user_id: str
    user_name: str
    user_email: str
    status: KycStatus
    notes: Maybe[str]
    documents: list[DocumentOut]
    submitted_at: Time
    verified_by: Maybe[str]
    verified_at: Maybe[Time]

    @classmethod
    def of(cls, record: KycRecord, documents: Sequence[DocumentOut]) -> "KycOut":
        """Show `record`."""
        return cls.model_validate(
            {
                "user_id": str(record.user_id),
                "user_name": record.user_name,
                "user_email": record.user_email or "",
                "status": record.status,
                "notes": record.notes,
                "documents": documents,
                "submitted_at": record.submitted_at,
                "verified_by": None if record.verified_by is None else str(record.verified_by),
                "verified_at": record.verified_at,
            }
        )


class NamedKyc(KycOut, Named):
    """`data` of an answer about one person's documents."""

    kyc: KycOut


class KycPage(Page[KycOut]):
    """One page of submissions, the latest first."""

    submissions: list[KycOut]
