"""Files that a request refers to by the `url` of their upload: whether they are there and the caller's."""

from urllib.parse import urlsplit

from storage.database import Connection
from storage.queries.uploads import Upload, find_upload

ROOT = "uploads"


async def own_upload(db: Connection, user_id: int, type_: str | None, url: str) -> Upload | None:
    """Return the upload of this type, or of any, behind `/uploads/<type>/<filename>`, if it is the user's.

    What stands before the path, or behind it, as in a signed link, says nothing: keep `url_of` the upload.
    """
    try:
        parts = urlsplit(url).path.split("/")
    except ValueError:  # as in http://[
        return None
    if len(parts) != 4 or parts[:2] != ["", ROOT] or type_ not in {None, parts[2]}:
        return None
    upload = await find_upload(db, parts[2], parts[3])
    return upload if upload is not None and upload.user_id == user_id else None


def url_of(upload: Upload) -> str:
    """Return the url of an upload, without our address before it."""
    return f"/{ROOT}/{upload.type}/{upload.filename}"
