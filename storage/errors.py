"""What can go wrong in storage, by name; used by every module of this room and by its callers.

One root, so that a shell can turn all of them into one kind of answer. Errors of the server itself
(connection lost, serialisation) stay `psycopg.Error`: they say nothing about the caller's data.
"""


class StorageError(Exception):
    """The root: the message names what was wrong, where, and what to do."""


class MigrationError(StorageError):
    """The schema cannot be brought to this version of the code."""


class EditedMigrationError(MigrationError):
    """A migration that a database has already run was changed afterwards."""


class DatabaseNewerError(MigrationError):
    """The database has run migrations that this version of the code does not know."""


class PartitionRefusedError(StorageError):
    """Partitions for such timestamps are not made: too many at once, or a year outside the calendar."""


class AlreadyExistsError(StorageError):
    """Another row has this natural key (a serial number, a name)."""


class NotFoundError(StorageError):
    """No row has this id."""


class TooManyCommandsError(StorageError):
    """As many commands wait for this charger as may."""


class LedgerError(StorageError):
    """A transfer that the ledger refuses; nothing was moved."""


class InsufficientFundsError(LedgerError):
    """The debited account may not be negative and has less than the amount, holds counted."""


class IdempotencyConflictError(LedgerError):
    """The key was used before for a transfer with other facts."""


class HoldClosedError(LedgerError):
    """The hold was posted or voided before, with another outcome than the one asked for now."""


class DatabaseAwayError(StorageError):
    """The server cannot be reached, or ended the connection; nothing is known of what was under way."""
