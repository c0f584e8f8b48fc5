"""A take's folder on a worker, made from the store."""

from collections.abc import Mapping
from pathlib import Path

from db.store import Store


def write_take_folder(listing: Mapping[str, str], params: bytes, store: Store, folder: Path) -> None:
    """Make a take's folder from the store: photographs (file name -> SHA-256), each checked, and params.json."""
    folder.mkdir(parents=True)
    for name, sha256 in listing.items():
        store.verify(sha256)
        store.link(sha256, folder / name)
    (folder / "params.json").write_bytes(params)
