"""Files that commands are given; used by the modules of this room."""

from pathlib import Path

from deploy.messages import SetupError


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file; raises `SetupError` for what is none or cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} is no UTF-8 text: {error}.", "Nothing was changed.") from error
