"""A secret's file is its owner's alone, or it is not read."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.files.secret_files import NoSecret, check_private, close_own_folder, read_secret, write_secret

MOST = 100


@settings(deadline=None)
@given(text=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=MOST))
def test_what_is_written_is_read_and_nobody_else_may(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("keys") / "key"
    write_secret(path, text)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_secret(path, MOST) == text.encode()
    with pytest.raises(FileExistsError):
        write_secret(path, "another")
    assert read_secret(path, MOST) == text.encode()


@settings(deadline=None)
@given(mode=st.integers(0, 0o777))
def test_a_secret_is_read_only_where_its_owner_alone_may(tmp_path_factory: pytest.TempPathFactory, mode: int) -> None:
    path = tmp_path_factory.mktemp("keys") / "key"
    path.write_bytes(b"secret")
    path.chmod(mode | 0o400)
    if mode & 0o077:
        with pytest.raises(NoSecret) as told:
            read_secret(path, MOST)
        assert (told.value.fault, told.value.mode) == ("open", mode | 0o400)
        assert "secret" not in str(told.value)
        with pytest.raises(NoSecret):
            check_private(path)
    else:
        assert read_secret(path, MOST) == b"secret"
        check_private(path, owners=(os.geteuid(),))


def test_what_is_no_file_or_longer_than_any_secret_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "long").write_bytes(b"x" * (MOST + 1))
    (tmp_path / "long").chmod(0o600)
    for name, fault in (("pipe", "kind"), ("folder", "kind"), ("long", "size")):
        with pytest.raises(NoSecret) as told:
            read_secret(tmp_path / name, MOST)
        assert told.value.fault == fault
    with pytest.raises(FileNotFoundError):
        read_secret(tmp_path / "nothing", MOST)


def test_a_link_is_followed_only_when_asked(tmp_path: Path) -> None:
    write_secret(tmp_path / "key", "secret")
    (tmp_path / "link").symlink_to("key")
    with pytest.raises(OSError, match="symbolic"):
        read_secret(tmp_path / "link", MOST)
    assert read_secret(tmp_path / "link", MOST, follow=True) == b"secret"


def test_another_users_file_is_named(tmp_path: Path) -> None:
    write_secret(tmp_path / "key", "secret")
    with pytest.raises(NoSecret) as told:
        check_private(tmp_path / "key", owners=(os.geteuid() + 1,))
    assert (told.value.fault, told.value.uid) == ("owner", os.geteuid())


def test_a_folder_of_ones_own_is_closed_and_another_is_refused(tmp_path: Path) -> None:
    mine = (os.geteuid(),)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine").chmod(0o755)
    close_own_folder(tmp_path / "mine", mine)
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o700
    (tmp_path / "all").mkdir()
    (tmp_path / "all").chmod(0o777)
    (tmp_path / "link").symlink_to("mine")
    for name, owners, fault in (("all", mine, "open"), ("link", mine, "kind"), ("mine", (mine[0] + 1,), "owner")):
        with pytest.raises(NoSecret) as told:
            close_own_folder(tmp_path / name, owners)
        assert told.value.fault == fault
