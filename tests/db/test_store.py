"""What the store holds is what was put, whole, under its own hash, in a folder or elsewhere."""

import hashlib
import os
from pathlib import Path

import pytest

from db.errors import MissingObject, RottenObject, StoreError
from db.store import Store

DATA = bytes(range(256)) * 9000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["folder", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store(tmp_path / "store")
    return Store(f"memory://{tmp_path.name}-{os.getpid()}", cache=tmp_path / "cache")


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "0.jpg"
    path.write_bytes(DATA)
    return path


def test_put_and_get_back(store: Store, photograph: Path, tmp_path: Path) -> None:
    assert store.put_file(photograph, expected=DIGEST) == DIGEST
    assert store.put_bytes(DATA) == DIGEST
    assert list(store) == [DIGEST]
    assert store.exists(DIGEST)
    assert store.size(DIGEST) == len(DATA)
    assert store.local_path(DIGEST).read_bytes() == DATA
    store.link(DIGEST, tmp_path / "in" / "photo.jpg")
    store.copy(DIGEST, tmp_path / "out" / "photo.jpg")
    assert (tmp_path / "in" / "photo.jpg").read_bytes() == (tmp_path / "out" / "photo.jpg").read_bytes() == DATA
    with store.open(DIGEST) as file:
        assert file.read() == DATA
    store.verify(DIGEST)


def test_a_wrong_hash_files_nothing(store: Store, photograph: Path) -> None:
    with pytest.raises(StoreError, match="nothing was filed"):
        store.put_file(photograph, expected="0" * 64)
    assert list(store) == []


def test_what_is_not_there_is_said(store: Store) -> None:
    absent = "0" * 64
    assert not store.exists(absent)
    for act in (store.local_path, store.size, store.open, store.verify):
        with pytest.raises(MissingObject):
            act(absent)
    for bad in ("../../etc/passwd", "ABC", DIGEST.upper()):
        with pytest.raises(StoreError, match="not a SHA-256"):
            store.local_path(bad)


def test_a_rotten_file_is_found(tmp_path: Path, photograph: Path) -> None:
    store = Store(tmp_path / "store")
    store.put_file(photograph)
    place = store.local_path(DIGEST)
    place.chmod(0o644)
    with place.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\xff")
    with pytest.raises(RottenObject):
        store.verify(DIGEST)
    with pytest.raises(RottenObject):
        store.copy(DIGEST, tmp_path / "copy.jpg")
    assert not (tmp_path / "copy.jpg").exists()


def test_a_rotten_remote_file_is_not_cached(tmp_path: Path, photograph: Path) -> None:
    import fsspec

    place = f"memory://rotten-{tmp_path.name}-{os.getpid()}"
    store = Store(place, cache=tmp_path / "cache")
    store.put_file(photograph)
    files = fsspec.filesystem("memory")
    (key,) = files.find(place.removeprefix("memory:/"))
    files.pipe_file(key, DATA[:-1])
    for _ in range(2):
        with pytest.raises(RottenObject):
            store.local_path(DIGEST)
    assert not list((tmp_path / "cache" / "tmp").iterdir())


def test_an_interrupted_put_leaves_nothing(tmp_path: Path, photograph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="make room"):
            store.put_file(photograph)
        with pytest.raises(StoreError, match="make room"):
            store.put_bytes(DATA)
    assert list(store) == []
    assert not list((tmp_path / "store" / "tmp").iterdir())


def test_filed_files_are_read_only(tmp_path: Path, photograph: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.local_path(store.put_file(photograph)).stat().st_mode & 0o222 == 0
