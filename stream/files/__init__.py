"""Files that people send: what they really are, made harmless, and kept behind one interface.

`FileStore` is the interface, `DiskStore` and `s3.S3Store` are behind it; `check_file` says what bytes are.
`s3` is imported where a bucket is configured, by whoever makes the store: boto3 takes long to load.
"""

from stream.files.disk import DiskStore
from stream.files.images import Picture, reduce_image
from stream.files.kinds import DOCUMENTS, IMAGES, Format, UnfitFileError, check_file, format_of
from stream.files.store import FileMissingError, FileStore, FileStoreError, StoredFile

__all__ = [
    "DOCUMENTS",
    "IMAGES",
    "DiskStore",
    "FileMissingError",
    "FileStore",
    "FileStoreError",
    "Format",
    "Picture",
    "StoredFile",
    "UnfitFileError",
    "check_file",
    "format_of",
    "reduce_image",
]
