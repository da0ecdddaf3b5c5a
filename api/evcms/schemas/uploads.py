"""EV-CMS uploads: what an upload is answered, and the form that it is sent in."""

from typing import Any, Literal, get_args

from api.evcms.envelope import Maybe, Out, Time

UploadType = Literal["profile", "vehicle", "document", "station"]
UPLOAD_TYPES: tuple[str, ...] = get_args(UploadType)

# Read by hand, once the caller is known: the framework would read the whole form first.
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "type"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "jpg, jpeg, png, gif up to 5 MB; pdf, doc, docx up to 10 MB",
                        },
                        "type": {"type": "string", "enum": list(UPLOAD_TYPES)},
                    },
                }
            }
        },
    }
}


class UploadOut(Out):
    """A file that is kept. `size` in bytes, as it is kept. `thumbnail_url` (extension) of pictures only."""

    url: str
    filename: str
    size: int
    mimetype: str
    thumbnail_url: Maybe[str]


class LinkOut(Out):
    """A link that anybody may follow until it expires."""

    url: str
    expires_at: Time
