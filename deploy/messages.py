"""Errors that an operator can mend: each says what is wrong and which setting to change.

Raised anywhere in this room and printed by the command line without a traceback.
"""


class SetupError(Exception):
    """Something outside Gridwire stands in the way. `setting` names what to change, if a setting can."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n  {remedy}")
        self.problem = problem
        self.remedy = remedy


class ListenError(SetupError):
    """The address to listen on cannot be had."""

    def __init__(self, what: str, address: str, error: OSError, setting: str) -> None:
        super().__init__(f"{what} on {address}: {error.strerror}.", f"Set {setting} or GRIDWIRE_LISTEN_HOST.")
