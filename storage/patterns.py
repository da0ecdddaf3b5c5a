"""Patterns of LIKE and ILIKE made of what people search for; used by the query modules."""


def containing(text: str) -> str:
    """Return the pattern that finds `text` anywhere, taken literally."""
    escaped = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"
