"""What the records refuse, and why. Each error says what to do, and exits with 4 (data)."""


class RecordError(Exception):
    """The records cannot do what was asked."""

    exit_code = 4


class SettingsError(RecordError):
    """studio.toml or the environment says something that cannot be used."""

    exit_code = 2


class NoStudio(SettingsError):
    """There is no studio where one was looked for."""


class OpenToOthers(SettingsError):
    """Other users of this machine could read people's photographs or records."""


class DatabaseUnavailable(RecordError):
    """The database cannot be reached or opened."""


class SchemaOutdated(RecordError):
    """The database has another schema revision than this program."""


class NotFound(RecordError):
    """No such row."""


class AlreadyThere(RecordError):
    """A row with this identity exists."""


class StateConflict(RecordError):
    """A guarded change of state found another state: someone else acted, or the order is wrong."""


class LeaseLost(StateConflict):
    """The worker no longer holds the job: its lease ran out and the job was given back, or it ended elsewhere."""


class ConsentError(RecordError):
    """A consent is missing, malformed, withdrawn, or not yet valid."""


class PersonalDataError(RecordError):
    """Personal data cannot be kept or shown. The message never holds any of it."""


class PersonalKeyError(PersonalDataError):
    """The key to the personal data is missing, malformed or another."""

    exit_code = 2


class BackupError(RecordError):
    """A backup cannot be made, read or restored. What it held before is as it was."""


class BackupKeyError(BackupError):
    """The key or passphrase of a backup is missing, malformed or another. The message never holds any of it."""

    exit_code = 2


class StoreError(RecordError):
    """The store cannot keep or give back a file."""


class MissingObject(StoreError):
    """The store holds no file with this hash."""

    def __init__(self, message: str, sha256: str = "") -> None:
        super().__init__(message)
        self.sha256 = sha256


class RottenObject(StoreError):
    """A file in the store no longer has the hash it is filed under."""


class IdentityError(StoreError):
    """The store is away, another studio's, or it and the database are of different days. Nothing was changed."""


class NotConfirmed(RecordError):
    """So much would go that a person has to confirm it. Nothing was changed."""
