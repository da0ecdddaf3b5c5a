"""Documents of consumers as Ienerzy takes and gives them (IE-013, IE-X04, IE-X06)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from api.fields import Storable
from api.identity_numbers import NUMBER_CHARACTERS_MAX, DocumentType, normalise
from api.ienerzy.schemas import Time
from storage.queries.consumer_documents import ConsumerDocument

URL_CHARACTERS_MAX = 2_000
NOTES_CHARACTERS_MAX = 1_000

Number = Annotated[str, Field(min_length=1, max_length=NUMBER_CHARACTERS_MAX), Storable]
DocumentStatus = Literal["pending_verification", "verified", "rejected"]
# Whose numbers have a known form; a document of another type has whatever number it has.
_KNOWN: Mapping[str, DocumentType] = {
    "pan": "pan",
    "pan_card": "pan",
    "aadhar": "aadhaar",
    "aadhar_card": "aadhaar",
    "aadhaar": "aadhaar",
    "aadhaar_card": "aadhaar",
    "driving_license": "driving_license",
    "passport": "passport",
}


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:  # as in http://[
        is_one = False
    if not is_one:
        raise ValueError("must be an address that begins with http:// or https://")
    return text


class DocumentFacts(BaseModel):
    """What a document is, whether it comes as a link or as a file."""

    document_type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,49}$", examples=["pan_card"])]
    document_number: Annotated[Number | None, Field(repr=False)] = None

    @field_validator("document_number")
    @classmethod
    def _is_a_number(cls, text: str | None, info: ValidationInfo) -> str | None:
        known = _KNOWN.get(info.data.get("document_type", ""))
        return text if text is None or known is None else normalise(known, text)


class LinkedDocument(DocumentFacts):
    """A document that its sender keeps elsewhere."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "document_type": "pan_card",
                    "document_url": "https://storage.example.com/pan_card.jpg",
                    "document_number": "ABCDE1234F",
                }
            ]
        }
    )

    document_url: Annotated[
        str, Field(min_length=1, max_length=URL_CHARACTERS_MAX), Storable, AfterValidator(_web_address)
    ]


class DocumentOut(BaseModel):
    """A document; `document_number` in full for the consumer's dealer, its last four for all others."""

    id: int
    consumer_id: int
    document_type: str
    document_url: str
    document_number: str | None
    uploaded_at: Time
    status: DocumentStatus
    notes: str | None
    reviewed_at: Time | None

    @classmethod
    def of(cls, document: ConsumerDocument, url: str, number: str | None) -> Self:
        """Show `document`, which is to be had at `url`, with this number."""
        return cls.model_validate(
            {
                "id": document.id,
                "consumer_id": document.consumer_id,
                "document_type": document.document_type,
                "document_url": url,
                "document_number": number,
                "uploaded_at": document.uploaded_at,
                "status": document.status,
                "notes": document.notes,
                "reviewed_at": document.reviewed_at,
            }
        )


class DocumentTaken(BaseModel):
    """A document was entered; `note` says where it is kept."""

    message: str
    document: DocumentOut
    note: str


class DocumentReview(BaseModel):
    """What was decided of a document; `notes` say why."""

    status: Literal["verified", "rejected"]
    notes: Annotated[str, Field(max_length=NOTES_CHARACTERS_MAX), Storable] | None = None


_FORM = {
    "type": "object",
    "required": ["file", "document_type"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "JPEG, PNG, GIF or PDF"},
        **DocumentFacts.model_json_schema()["properties"],
    },
}
# The two forms of a request that FastAPI cannot tell by itself.
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": LinkedDocument.model_json_schema()},
            "multipart/form-data": {"schema": _FORM},
        },
    }
}
