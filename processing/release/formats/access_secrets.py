"""Secret files that open a release: tokens, links, the key that signs them. Their owner alone may read them."""

from pathlib import Path

from common.files import secret_files
from common.files.secret_files import NoSecret
from processing.release.formats.errors import AccessError


def read_secret(path: Path, most: int = 4096) -> str:
    """A small file that its owner alone may read. Raises AccessError, never with what is in it."""
    try:
        return secret_files.read_secret(path, most).decode("ascii")
    except OSError as error:
        raise AccessError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AccessError(f"{path} is no plain text") from None
    except NoSecret as error:
        match error.fault:
            case "open":
                raise AccessError(f"{path} is a secret that others may read: chmod 600 {path}") from None
            case "size":
                raise AccessError(f"{path} is longer than {most} bytes: it is something else") from None
            case _:
                raise AccessError(f"{path} is no file") from None


def write_secret(path: Path, text: str) -> None:
    """A new file that its owner alone may read. Raises AccessError when something is there already."""
    try:
        secret_files.write_secret(path, text)
    except OSError as error:
        raise AccessError(f"{path} cannot be made: {error.strerror}; name another file") from None
