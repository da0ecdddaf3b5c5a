"""Which uploaded file a request means, who may read it, and links that say so themselves; of EV-CMS."""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from urllib.parse import urlencode

from api.callers import Caller
from api.config import ApiConfig
from api.errors import Problem, forbidden, not_found, unauthenticated
from protocols.timestamps import US_PER_SECOND, from_datetime
from storage.database import Connection
from storage.queries.uploads import Upload, find_upload

PRIVATE = "document"
LINK_LIFE = timedelta(minutes=15)
THUMBNAIL = "-thumb"


def thumbnail_of(filename: str) -> str:
    """The name of a picture's thumbnail: `ab.jpg` has `ab-thumb.jpg`."""
    stem, dot, extension = filename.rpartition(".")
    return f"{stem}{THUMBNAIL}{dot}{extension}"


async def upload_of(db: Connection, type_: str, filename: str) -> Upload:
    """Return the upload behind a name, or behind its thumbnail's; raises 404."""
    upload = None
    if "\0" not in type_ + filename:
        stem, dot, extension = filename.rpartition(".")
        upload = await find_upload(db, type_, f"{stem.removesuffix(THUMBNAIL)}{dot}{extension}")
    if upload is None:
        raise not_found("File", "No file has this name")
    return upload


def refuse_foreign(caller: Caller, upload: Upload) -> None:
    """Raise 403 for a private file of somebody else; admins see all."""
    if upload.type == PRIVATE and caller.role != "admin" and upload.user_id != caller.id:
        raise forbidden("This file belongs to another user")


def url_of(config: ApiConfig, type_: str, filename: str) -> str:
    """Where a file is to be had."""
    return f"{config.public_url}/uploads/{type_}/{filename}"


def signed_url(config: ApiConfig, upload: Upload, now: datetime) -> tuple[str, datetime]:
    """Return a link to a private file, and when it expires."""
    expires_at = now + LINK_LIFE
    expires = str(from_datetime(expires_at) // US_PER_SECOND)
    query = urlencode({"expires": expires, "signature": _sign(config, upload.type, upload.filename, expires)})
    return f"{url_of(config, upload.type, upload.filename)}?{query}", expires_at


def check_link(
    config: ApiConfig, type_: str, filename: str, *, expires: str, signature: str, now_us: int
) -> None:
    """Raise 403 for a link that was not signed here, 401 for one that has expired."""
    expected = _sign(config, type_, filename, expires)
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Problem(403, "Access denied", "This link's signature is not valid")
    if int(expires) * US_PER_SECOND <= now_us:
        raise unauthenticated("This link has expired: ask for another one")


def _sign(config: ApiConfig, type_: str, filename: str, expires: str) -> str:
    text = f"upload-link\n{type_}\n{filename}\n{expires}"
    digest = hmac.new(config.secret_key.encode(), text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
