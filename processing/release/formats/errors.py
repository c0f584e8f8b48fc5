"""Errors of releases: what is refused when one is built, read, compared, fetched or signed."""

from processing.errors import DataError


class ReleaseError(DataError):
    """A release cannot be built, read or compared."""


class ManifestError(ReleaseError):
    """A manifest is missing, is not one, or was changed."""


class SelectionError(ReleaseError):
    """A selection file cannot be read, is not reviewed, or no longer holds."""


class FetchError(ReleaseError):
    """A release cannot be fetched."""


class SignatureError(ReleaseError):
    """A signature, or a key to make or check one, is missing, is none, or does not fit."""


class AccessError(FetchError):
    """A release is there, and not for this token or link; or a grant cannot be given so."""
