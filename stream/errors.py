"""What can go wrong between a device's payload and its row, by name; used by all of this room.

Payloads that do not decode are `protocols.samples.DecodeError`; errors of the database stay as they are.
"""


class StreamError(Exception):
    """The root: the message names what was wrong, where, and what to do."""


class FrameError(StreamError):
    """Bytes in the log that are not a frame of ours, or of a layout that cannot be read."""


class PublisherClosedError(StreamError):
    """The publisher was closed before the log had these rows: the device must send them again."""


class PositionMovedError(StreamError):
    """Another writer stores this partition: this one must read its position again."""


class LogGapError(StreamError):
    """Frames are missing between two that were read; read again, from where they might be."""
