"""Pictures, decoded and encoded again: what is kept has their pixels alone, no EXIF and nothing hidden."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from stream.files.kinds import Format, UnfitFileError, unlike

PIXELS_MAX = 50_000_000  # of a picture as it comes: 200 MB in memory
SIDE_MAX = 1_600
DOCUMENT_SIDE_MAX = 4_096  # what is to be read by people keeps its detail
THUMBNAIL_SIDE = 320
JPEG_QUALITY = 85
_MODES = {"JPEG": "RGB", "PNG": "RGBA", "GIF": "RGBA"}


@dataclass(frozen=True, slots=True)
class Picture:
    """Where the picture and its thumbnail were written."""

    path: Path
    thumbnail: Path | None


def reduce_image(source: Path, claimed: Format, folder: Path, *, is_document: bool) -> Picture:
    """Write the picture anew into `folder`, upright, no side longer than allowed; blocking.

    Of an animation the first frame is kept. A document has no thumbnail. Raises `UnfitFileError`.
    """
    picture = _decode(source, claimed)
    side = DOCUMENT_SIDE_MAX if is_document else SIDE_MAX
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    path = folder / f"picture.{claimed.extension}"
    _encode(picture, claimed, path)
    if is_document:
        return Picture(path, None)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    thumbnail = folder / f"thumbnail.{claimed.extension}"
    _encode(picture, claimed, thumbnail)
    return Picture(path, thumbnail)


def _decode(source: Path, claimed: Format) -> Image.Image:
    try:
        with Image.open(source, formats=[claimed.name]) as image:  # reads the header only
            if image.width * image.height > PIXELS_MAX:
                raise UnfitFileError(f"The picture is too large: at most {PIXELS_MAX} pixels")
            return ImageOps.exif_transpose(image).convert(_MODES[claimed.name])
    except UnfitFileError:
        raise
    except Exception as error:  # Pillow raises what its decoders happen to raise
        raise unlike(claimed) from error


def _encode(picture: Image.Image, claimed: Format, path: Path) -> None:
    # a new image has none of what came along with the old one
    clean = Image.new(picture.mode, picture.size)
    clean.paste(picture)
    clean.save(path, claimed.name, quality=JPEG_QUALITY, optimize=True)
