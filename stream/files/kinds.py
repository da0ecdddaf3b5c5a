"""What bytes really are, whatever their name says: pictures by Pillow, documents by their structure."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stream.errors import StreamError

MIB = 1 << 20
IMAGE_BYTES_MAX = 5 * MIB
DOCUMENT_BYTES_MAX = 10 * MIB
HEAD_BYTES = 1_024  # where a PDF's header is looked for, and its end
ZIP_ENTRIES_MAX = 5_000
UNPACKED_BYTES_MAX = 100 * MIB  # by the archive's directory: who opens it is not to fill his disk
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # MS-CFB section 2.2
_WORD_STREAM = "WordDocument".encode("utf-16-le")  # MS-DOC section 2.1.1
_WORD_PARTS = frozenset({"[Content_Types].xml", "word/document.xml"})  # ECMA-376 part 2
_MACROS = "word/vbaProject.bin"
_PDF_HEADER = re.compile(rb"%PDF-[12]\.\d")  # ISO 32000-1 section 7.5.2


class UnfitFileError(StreamError):
    """A file that is not taken; the message says why, for its sender."""


@dataclass(frozen=True, slots=True)
class Format:
    """`extension` is the one that we give; `name` is Pillow's for a picture."""

    kind: Literal["image", "document"]
    name: str
    extension: str
    mimetype: str

    @property
    def bytes_max(self) -> int:
        """How large a file of this kind may be."""
        return IMAGE_BYTES_MAX if self.kind == "image" else DOCUMENT_BYTES_MAX


_JPEG = Format("image", "JPEG", "jpg", "image/jpeg")
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
IMAGES = {
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".png": Format("image", "PNG", "png", "image/png"),
    ".gif": Format("image", "GIF", "gif", "image/gif"),
}
DOCUMENTS = {
    ".pdf": Format("document", "PDF", "pdf", "application/pdf"),
    ".doc": Format("document", "DOC", "doc", "application/msword"),
    ".docx": Format("document", "DOCX", "docx", _DOCX),
}


def format_of(name: str) -> Format:
    """Return the format that a file's name claims; raises `UnfitFileError`."""
    extension = Path(name).suffix.lower()
    found = IMAGES.get(extension) or DOCUMENTS.get(extension)
    if found is None:
        names = ", ".join([*IMAGES, *DOCUMENTS])
        raise UnfitFileError(f"Files of this type are not taken: it must be one of {names}")
    return found


def check_file(path: Path, claimed: Format) -> None:
    """Check size and structure; raises `UnfitFileError`. Pictures are read by `reduce_image` as well."""
    size = path.stat().st_size
    if size == 0:
        raise UnfitFileError("The file is empty")
    if size > claimed.bytes_max:
        raise UnfitFileError(f"The file is too large: at most {claimed.bytes_max // MIB} MB")
    checks = {"PDF": _is_pdf, "DOC": _is_doc, "DOCX": _is_docx}
    check = checks.get(claimed.name)
    if check is not None and not check(path, size):
        raise unlike(claimed)


def unlike(claimed: Format) -> UnfitFileError:
    """The refusal of a file whose content is not what its name says."""
    return UnfitFileError(f"The file's content is not {claimed.name}, as its name says")


def _is_pdf(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, size - HEAD_BYTES))
        tail = file.read()
    return _PDF_HEADER.match(head) is not None and b"startxref" in tail and b"%%EOF" in tail


def _is_doc(path: Path, size: int) -> bool:
    content = path.read_bytes()  # the directory may be anywhere in it; `size` is within the bound
    return content.startswith(_OLE) and _WORD_STREAM in content


def _is_docx(path: Path, size: int) -> bool:
    """Reads the directory of the archive, and unpacks nothing."""
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            unpacked_bytes = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    is_bounded = len(names) <= ZIP_ENTRIES_MAX and unpacked_bytes <= UNPACKED_BYTES_MAX
    return is_zip and is_bounded and names >= _WORD_PARTS and _MACROS not in names
