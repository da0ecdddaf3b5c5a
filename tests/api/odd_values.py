"""What attackers send where a path, a name, a text, a number or a file belongs; for all families' tests."""

import io
import zipfile

from tests.stream.test_files import docx, picture

# Names of files that lead out of a folder, or into a header.
TRAVERSALS = [
    "../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "..%5c..%5cetc",
    "..\\..\\etc\\passwd", "%252e%252e%252fetc", "....//....//etc/passwd", "%c0%ae%c0%ae/etc",
    "a.png%00.html", "%2fetc%2fpasswd", "a%0d%0aX-Evil: 1", "%F0%9F%98%80", "." * 300, "a" * 5_000,
]  # fmt: skip
# Texts that mean something to a database.
SQL = [
    "'", "' OR '1'='1", "'; DROP TABLE users; --", '"', "\\", "/*", "%", "_", "a%_b", "\0", "\ufffe",
    "x" * 5_000, "$1", "%(id)s", "1e400", "NaN", "9" * 30,
]  # fmt: skip
# Values of a field, as they stand in JSON.
ODD = [
    "NaN", "Infinity", "1e400", "-0.01", "1e-400", "999999999999999999", "9" * 400, '"\\u0000"',
    '"\\ud800"', "true", "null", '""', "[]", '{"a":1}', '"' + "x" * 6_000 + '"', "[" * 5_000 + "]" * 5_000,
    '"1e400"', '"NaN"', '"-1"',
]  # fmt: skip


def bomb() -> bytes:
    """A Word document of 200 MB of zeros, and few bytes."""
    made = io.BytesIO(docx())
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("word/media/zeros.bin", bytes(200_000_000))
    return made.getvalue()


def pixels() -> bytes:
    """A picture that says it has 60 000 by 60 000 pixels."""
    small = bytearray(picture())
    small[16:24] = (60_000).to_bytes(4) * 2
    return bytes(small)
