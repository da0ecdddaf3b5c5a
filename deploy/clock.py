"""The clock of the programs: the composition root and the commands hand it to every part."""

import time


def clock() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000
