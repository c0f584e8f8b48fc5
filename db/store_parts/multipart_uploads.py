"""Multipart uploads to an object store that were never completed: they show nowhere, and take room until aborted."""

from dataclasses import dataclass
from datetime import datetime

from fsspec import AbstractFileSystem

from db.store_parts.store_answers import answering


@dataclass(frozen=True)
class Upload:
    """An upload in parts that has begun and not ended."""

    key: str  # of the object, without its bucket
    id: str  # what the object store calls the upload


def unfinished_uploads(fs: AbstractFileSystem, root: str, before: datetime) -> list[Upload]:
    """Uploads to the store at `root` ('bucket/prefix') that began before that time; none where there is no such thing.

    Raises StoreError.
    """
    if not hasattr(fs, "list_multipart_uploads"):
        return []
    bucket, _, prefix = root.partition("/")
    with answering(root):
        found = fs.list_multipart_uploads(bucket)
    return [
        Upload(str(upload["Key"]), str(upload["UploadId"]))
        for upload in found
        if str(upload["Key"]).startswith(f"{prefix}/sha256/") and upload["Initiated"] < before
    ]


def abort_upload(fs: AbstractFileSystem, root: str, upload: Upload) -> None:
    """Give the room of an unfinished upload back. Raises StoreError."""
    with answering(root):
        fs.abort_mpu(root.partition("/")[0], upload.key, upload.id)
