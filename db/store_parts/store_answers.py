"""Remote stores that do not answer: whatever their client raises becomes one error that names the store."""

from collections.abc import Iterator
from contextlib import contextmanager

from common.guarding.secret_masking import masked
from db.errors import StoreError


@contextmanager
def answering(root: str, *, is_local: bool = False) -> Iterator[None]:
    """Raises StoreError for what fails inside; a file or folder that is not there is left to the caller.

    is_local: the store is a folder, where only an OSError is the store's; anything else is an error of ours.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, StoreError):
        raise
    except Exception as error:
        if is_local and not isinstance(error, OSError):
            raise
        raise unanswered(root, error) from error


def unanswered(root: str, error: Exception) -> StoreError:
    """What is said of a store at `root` that failed in this way."""
    said = error.strerror if isinstance(error, OSError) else None
    return StoreError(masked(f"The store {root} does not answer: {said or type(error).__name__}"))
