"""Files appear whole or not at all, last, and are never reached through a link."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.files.append_lines import append_lines
from common.files.atomic_write import atomic_write, write_first, write_new, write_whole
from common.files.durable import fsync_file, fsync_folder
from common.files.hard_links import link_or_copy
from common.files.hashes import file_sha256, is_sha256, stream_sha256
from common.processors import usable_cpus

CONTENT = st.binary(max_size=200) | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def as_bytes(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content


@contextmanager
def failing(name: str, code: int) -> Iterator[None]:
    """Let a call of the system fail."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, fail)
        yield


@settings(deadline=None)
@given(first=CONTENT, second=CONTENT, durable=st.booleans(), mode=st.sampled_from([None, 0o600, 0o640, 0o644]))
def test_a_whole_write_puts_all_bytes_in_place_of_what_was_there(
    tmp_path_factory: pytest.TempPathFactory, first: bytes | str, second: bytes | str, durable: bool, mode: int | None
) -> None:
    path = tmp_path_factory.mktemp("whole") / "a.json"
    for content in (first, second):
        write_whole(path, content, mode=mode, durable=durable)
        assert path.read_bytes() == as_bytes(content)
        assert stat.S_IMODE(path.stat().st_mode) == (mode or 0o644)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
@pytest.mark.parametrize("write", [write_whole, write_new, write_first])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, call: str, write) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a"
    with failing(call, errno.ENOSPC), pytest.raises(OSError, match="No space"):
        write(path, b"new")
    assert list(tmp_path.iterdir()) == []
    if write is write_whole:
        path.write_bytes(b"old")
        with failing(call, errno.ENOSPC), pytest.raises(OSError, match="No space"):
            write(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_durable_is_not_flushed(tmp_path: Path) -> None:
    with failing("fsync", errno.EIO):
        write_whole(tmp_path / "a", b"1", durable=False)
    assert (tmp_path / "a").read_bytes() == b"1"


def test_an_atomic_write_keeps_the_ending_and_leaves_nothing_when_its_block_fails(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "deep" / "a.png") as temporary:
        assert (temporary.suffix, temporary.parent) == (".png", tmp_path / "deep")
        temporary.write_bytes(b"picture")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "deep" / "a.png"):
        raise ZeroDivisionError
    assert [p.read_bytes() for p in (tmp_path / "deep").iterdir()] == [b"picture"]


@pytest.mark.parametrize("there", ["file", "link", "dangling link", "folder"])
def test_a_new_file_is_made_only_where_nothing_is(tmp_path: Path, there: str) -> None:
    path, other = tmp_path / "new", tmp_path / "other"
    if there == "file":
        path.write_bytes(b"old")
    elif there == "folder":
        path.mkdir()
    else:
        if there == "link":
            other.write_bytes(b"old")
        path.symlink_to(other)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(FileExistsError):
        write_new(path, b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert not other.exists() or other.read_bytes() == b"old"


def test_of_two_who_make_a_file_the_first_one_counts(tmp_path: Path) -> None:
    assert write_first(tmp_path / "key", b"first", mode=0o600)
    assert not write_first(tmp_path / "key", b"second", mode=0o600)
    assert (tmp_path / "key").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key").stat().st_nlink == 1


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS])
def test_a_file_system_that_cannot_flush_a_folder_is_passed_over(tmp_path: Path, code: int) -> None:
    with failing("fsync", code):
        fsync_folder(tmp_path)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_is_not(tmp_path: Path, code: int) -> None:
    (tmp_path / "a").touch()
    with failing("fsync", code), pytest.raises(OSError, match=os.strerror(code)):
        fsync_folder(tmp_path)
    with failing("fsync", code), pytest.raises(OSError, match=os.strerror(code)):
        fsync_file(tmp_path / "a")
    with pytest.raises(NotADirectoryError):
        fsync_folder(tmp_path / "a")


LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)


@settings(deadline=None)
@given(kept=st.lists(LINE), cut=LINE, added=st.lists(LINE, min_size=1))
def test_a_line_that_was_cut_off_stays_a_line_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, kept: list[str], cut: str, added: list[str]
) -> None:
    path = tmp_path_factory.mktemp("lines") / "journal"
    path.write_text("".join(f"{line}\n" for line in kept) + cut, encoding="utf-8", newline="")
    append_lines(path, "".join(f"{line}\n" for line in added))
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines == [*kept, *([cut] if cut else []), *added, ""]


def test_lines_are_not_added_through_a_link_and_the_file_is_its_owners(tmp_path: Path) -> None:
    append_lines(tmp_path / "journal", "a\n")
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "journal")
    with pytest.raises(OSError, match="symbolic"):
        append_lines(tmp_path / "link", "b\n")
    assert (tmp_path / "journal").read_text() == "a\n"


@settings(deadline=None)
@given(st.binary(max_size=5000))
def test_a_files_hash_is_that_of_its_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("hash") / "a"
    path.write_bytes(data)
    assert file_sha256(path) == hashlib.sha256(data).hexdigest()
    assert is_sha256(file_sha256(path))
    with path.open("rb") as file:
        file.seek(min(3, len(data)))
        assert stream_sha256(file) == hashlib.sha256(data[3:]).hexdigest()


def test_a_hash_is_of_an_ordinary_file_and_through_a_link_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    assert file_sha256(tmp_path / "link") == file_sha256(tmp_path / "a")
    for name in ("link", "pipe"):
        with pytest.raises(OSError, match=r"symbolic|pipe"):
            file_sha256(tmp_path / name, follow=False)


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789abcdefg/A"), min_size=60, max_size=66))
def test_what_could_be_a_hash(text: str) -> None:
    assert is_sha256(text) == (len(text) == 64 and all(sign in "0123456789abcdef" for sign in text))


@pytest.mark.parametrize("code", [None, errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP])
def test_a_file_is_linked_or_where_it_cannot_be_copied(tmp_path: Path, code: int | None) -> None:
    source, target = tmp_path / "a", tmp_path / "deep" / "b"
    source.write_bytes(b"x")
    if code is None:
        link_or_copy(source, target)
    else:
        with failing("link", code):
            link_or_copy(source, target)
    assert target.read_bytes() == b"x"
    assert target.samefile(source) == (code is None)
    with pytest.raises(FileExistsError):
        link_or_copy(source, target)


def test_another_fault_of_a_link_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with failing("link", errno.EIO), pytest.raises(OSError, match=os.strerror(errno.EIO)):
        link_or_copy(tmp_path / "a", tmp_path / "b")


def test_the_processors_that_a_process_was_pinned_to_are_counted() -> None:
    pinned = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(pinned)})
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, pinned)
    assert usable_cpus() == len(pinned)
