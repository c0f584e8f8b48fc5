"""A remote store's copies on this machine: nobody else can read them, plant them, or have others' files removed."""

import os
import stat
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from db.errors import StoreError
from db.store import Store
from db.store_parts.store_cache import NAME, StoreCache

WHERE = ["", "tmp", "sha256", "sha256/shard"]


@pytest.fixture
def place() -> str:
    return f"memory://{uuid.uuid4().hex}/store"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "precious").write_text("precious")
    os.utime(folder / "precious", (0, 0))
    return folder


def test_the_copies_are_closed_under_any_umask(place: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store(place, cache=tmp_path / "cache")
        copy = store.local_path(store.put_bytes(b"a face"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400


def test_a_copy_that_is_another_is_never_given_out(place: str, tmp_path: Path) -> None:
    store = Store(place, cache=tmp_path / "cache")
    sha256 = store.put_bytes(b"a face")
    copy = store.local_path(sha256)
    for lie in (b"b face", b"a longer face", b""):
        copy.unlink()
        copy.write_bytes(lie)
        assert store.local_path(sha256).read_bytes() == b"a face"
    copy.unlink()
    copy.symlink_to("/etc/passwd")
    assert store.local_path(sha256).read_bytes() == b"a face"
    copy.unlink()
    os.mkfifo(copy)
    assert store.local_path(sha256).read_bytes() == b"a face"


@pytest.mark.parametrize("where", WHERE)
def test_nothing_is_read_written_or_removed_through_a_link(
    place: str, tmp_path: Path, victim: Path, where: str
) -> None:
    cache = tmp_path / "cache"
    store = Store(place, cache=cache)
    sha256 = store.put_bytes(b"a face")
    link = cache / where.replace("shard", sha256[:2])
    (victim / sha256).write_text("named like a copy")
    if link.is_dir():
        for path in sorted(link.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        link.rmdir()
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(victim)
    again = Store(place, cache=cache)
    for act in (
        lambda: again.local_path(sha256),
        lambda: again.put_bytes(b"another"),
        lambda: again.drop_cached(sha256),
        lambda: again.sound_copy(sha256),
        lambda: again.remove(sha256, untouched_since=datetime.now(UTC) + timedelta(days=1)),
        lambda: [path.unlink() for path in again.leftovers(datetime.now(UTC))],
    ):
        with suppress(StoreError):
            act()
    assert sorted(path.name for path in victim.iterdir()) == sorted(["precious", sha256])
    assert (victim / "precious").read_text() == "precious"


def test_a_folder_in_which_others_may_write_is_not_trusted(place: str, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(StoreError, match="others may write"):
        Store(place, cache=tmp_path / "cache").put_bytes(b"a face")


def test_without_a_home_it_lies_in_the_temporary_folder_as_this_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert StoreCache().folder == tmp_path / NAME
    (tmp_path / NAME).mkdir()
    monkeypatch.setattr("os.geteuid", lambda: 4711)  # the name is another user's
    assert StoreCache().folder == tmp_path / f"{NAME}-4711"
