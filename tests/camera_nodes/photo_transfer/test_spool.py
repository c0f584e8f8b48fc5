"""No photograph is lost or seen half, whenever the node dies."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import run_patiently

from camera_nodes.errors import SpoolError, SpoolFull
from camera_nodes.photo_transfer.spool import Spool
from common.photograph_facts import PhotographFacts, entry_key

PHOTO = bytes(range(256)) * 2000


def described(data, fire_id="f1", name="GPH_0099.JPG", kind="jpeg"):
    return PhotographFacts(
        entry=entry_key(fire_id, "cam-07", kind), fire_id=fire_id, take_id="S001-E01-1", camera="cam-07", name=name,
        sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), kind=kind,
    )  # fmt: skip


def put(spool, fire_id="f1", data=PHOTO, **about):
    photo = described(data, fire_id, **about)
    spool.put(photo, data)
    return photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_what_is_put_is_there_after_a_restart(folder):
    entry = put(Spool(folder, 0))
    assert entry.sha256 == hashlib.sha256(PHOTO).hexdigest()
    again = Spool(folder, 0)
    assert again.entries() == [entry]
    assert again.damaged == []
    assert again.total_bytes == len(PHOTO)
    assert again.read(entry.entry, 1000, 10**9) == PHOTO[1000:]
    assert again.read(entry.entry, len(PHOTO), 10) == b""


def test_equal_names_and_equal_bytes_do_not_collide(folder):
    spool = Spool(folder, 0)
    assert put(spool, "f1").entry != put(spool, "f2").entry
    assert len(Spool(folder, 0)) == 2
    with pytest.raises(SpoolError, match="already"):
        put(spool, "f1")


def test_only_the_right_hash_removes(folder):
    spool = Spool(folder, 0)
    entry = put(spool)
    assert not spool.remove(entry.entry, "0" * 64)
    assert not spool.remove("another", entry.sha256)
    assert len(Spool(folder, 0)) == 1
    assert spool.remove(entry.entry, entry.sha256)
    assert list(folder.iterdir()) == []


def test_a_rejected_photograph_is_kept_aside(folder):
    spool = Spool(folder, 0)
    kept = spool.reject(put(spool).entry)
    assert (kept / "photo").read_bytes() == PHOTO
    assert len(Spool(folder, 0)) == 0
    assert spool.reject("another") is None


KILLER = """
import hashlib, os, sys
from pathlib import Path
from camera_nodes.photo_transfer.spool import Spool
from common.photograph_facts import PhotographFacts
import camera_nodes.photo_transfer.spool as module

spool = Spool(Path(sys.argv[1]), 0)
real = getattr(module, "write_new")
def die(*_): os.kill(os.getpid(), 9)
if sys.argv[2] == "before the rename":
    module.Path.rename = die
elif sys.argv[2] == "before the description":
    module.write_new = lambda path, data: die() if path.name == "entry.json" else real(path, data)
elif sys.argv[2] == "in the photograph":
    def half(path, data):
        path.write_bytes(data[: len(data) // 2]); die()
    module.write_new = half
data = bytes(range(256)) * 2000
known = dict(fire_id="f1", take_id="t", camera="cam-07", name="a.jpg", bytes=len(data))
spool.put(PhotographFacts(entry="f1.cam-07", sha256=hashlib.sha256(data).hexdigest(), **known), data)
"""


def kill(folder: Path, where: str) -> None:
    done = run_patiently([sys.executable, "-c", KILLER, str(folder), where])
    assert done.returncode == -9


def test_killed_between_write_and_rename_the_photograph_is_taken_in(folder):
    kill(folder, "before the rename")
    assert [p.name for p in folder.iterdir()] == [".f1.cam-07"]
    spool = Spool(folder, 0)
    (entry,) = spool.entries()
    assert spool.damaged == []
    assert spool.read(entry.entry, 0, 10**9) == PHOTO
    assert Spool(folder, 0).entries() == [entry]


@pytest.mark.parametrize("where", ["before the description", "in the photograph"])
def test_killed_while_writing_what_there_is_is_set_aside_and_named(folder, where):
    kill(folder, where)
    spool = Spool(folder, 0)
    assert len(spool) == 0
    assert len(spool.damaged) == 1
    assert str(folder / "damaged" / "f1.cam-07") in spool.damaged[0]
    assert (folder / "damaged" / "f1.cam-07" / "photo").stat().st_size > 0
    assert Spool(folder, 0).damaged == []


def test_a_flipped_byte_before_the_rename_is_noticed(folder):
    kill(folder, "before the rename")
    photo = folder / ".f1.cam-07" / "photo"
    photo.write_bytes(b"X" + photo.read_bytes()[1:])
    assert len(Spool(folder, 0).damaged) == 1


def test_a_deletion_cut_short_is_finished(folder):
    spool = Spool(folder, 0)
    entry = put(spool)
    (folder / entry.entry).rename(folder / f".{entry.entry}~")
    again = Spool(folder, 0)
    assert (len(again), again.damaged, list(folder.iterdir())) == (0, [], [])


def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch):
    spool = Spool(folder, 0)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SpoolFull):
            put(spool)
    assert list(folder.iterdir()) == []
    assert len(spool) == 0
    put(spool)


def test_a_disk_that_is_truly_full_leaves_nothing_behind_and_the_next_photograph_fits(tmp_path):
    """A file system of one megabyte: ENOSPC comes from the kernel, half way through the photograph."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: that needs root")
    try:
        spool = Spool(disk / "spool", min_free_bytes=-(10**9))  # the reserve does not save it
        first = put(spool, "f1")
        with pytest.raises(SpoolFull, match="full"):
            put(spool, "f2", PHOTO * 2)
        assert [path.name for path in (disk / "spool").iterdir()] == [first.entry]
        assert spool.read(first.entry, 0, 10**9) == PHOTO
        spool.remove(first.entry, first.sha256)
        second = put(spool, "f3", PHOTO + PHOTO[:1000])
        assert Spool(disk / "spool", 0).entries() == [second]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_raw_file_has_an_entry_of_its_own_behind_the_photographs(folder):
    spool = Spool(folder, 0)
    raw = put(spool, data=b"raw", name="A.NEF", kind="raw")
    later = put(spool, "f2")
    assert (raw.entry, raw.kind) == ("f1.cam-07.raw", "raw")
    assert spool.entries() == Spool(folder, 0).entries() == [later, raw]


def test_it_keeps_the_reserve_free(folder):
    with pytest.raises(SpoolFull, match="MB are free"):
        put(Spool(folder, 2**62))


def test_a_folder_that_is_a_file_is_named(folder):
    folder.write_text("")
    with pytest.raises(SpoolError, match="spool"):
        Spool(folder, 0)
