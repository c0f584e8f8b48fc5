"""A signed link opens what it was signed for; any other way of writing it opens nothing."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.release.formats.access_secrets import read_secret, write_secret
from processing.release.formats.errors import AccessError
from processing.release.studio.access.signed_links import KEY_FILE, check, server_key, sign

KEY = bytes(range(32))
UNTIL = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
grants = st.integers(1, 10**7)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda when: when.replace(microsecond=0)
)
names = st.text(st.characters(categories=("L", "N"), include_characters="-_. "), min_size=1, max_size=20)
places = st.lists(names, min_size=1, max_size=4).map("/".join)


def parts(link: str) -> tuple[str, str]:
    _, _, said, path = link.split("/", 3)
    return said, path


@given(grants, moments, places)
def test_it_opens_its_place(grant: int, until: datetime, place: str) -> None:
    said, path = parts(sign(KEY, grant, until, place))
    found = check(KEY, said, path)
    assert found is not None
    assert (found.grant_id, found.until, found.place) == (grant, until, place)


@given(grants, moments, names, places)
def test_a_folders_link_opens_what_is_in_it_and_a_files_that_file_alone(
    grant: int, until: datetime, folder: str, inside: str
) -> None:
    said, _ = parts(sign(KEY, grant, until, folder))
    assert check(KEY, said, f"{folder}/{inside}") is not None
    said, _ = parts(sign(KEY, grant, until, f"{folder}/{inside}"))
    assert check(KEY, said, folder) is None
    assert check(KEY, said, f"{folder}/{inside}/more") is None
    assert check(KEY, said, f"{folder}/more") is None


@given(st.data())
def test_any_change_of_any_byte_is_refused(data: st.DataObject) -> None:
    link = sign(KEY, 12, UNTIL, "faces-3/mesh/1/1_neutral.ply").removeprefix("/link/").encode()
    at = data.draw(st.integers(0, len(link) - 1))
    how = data.draw(st.sampled_from(["change", "remove", "add", "cut"]))
    byte = bytes([data.draw(st.integers(0, 255))])
    changed = {
        "change": link[:at] + byte + link[at + 1 :],
        "remove": link[:at] + link[at + 1 :],
        "add": link[:at] + byte + link[at:],
        "cut": link[:at],
    }[how]
    if changed == link:
        return
    said, _, path = changed.decode("utf-8", "surrogateescape").partition("/")
    assert check(KEY, said, path) is None


@given(st.text(max_size=100), st.text(max_size=50))
def test_what_was_never_signed_is_refused(said: str, path: str) -> None:
    assert check(KEY, said, path) is None


def test_each_way_of_writing_a_signature_is_one() -> None:
    """The last letter of 43 in base64 has two bits that decoders overlook."""
    said, path = parts(sign(KEY, 12, UNTIL, "faces-3"))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
    opened = [letter for letter in letters if check(KEY, said[:-1] + letter, path) is not None]
    assert opened == [said[-1]]
    number, until, signature = said.split(".")
    for other in (
        f"G12.{until}",
        f"g012.{until}",
        f"G0012.{until}",
        f"G012.0{until}",
        f"G012.+{until}",
        f"G012. {until}",
    ):
        assert check(KEY, f"{other}.{signature}", path) is None
    assert number == "G012"


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    key = server_key(tmp_path / "keys")
    assert server_key(tmp_path / "keys") == key
    assert len(key) == 32
    said, path = parts(sign(key, 12, UNTIL, "faces-3"))
    assert check(KEY, said, path) is None
    status = (tmp_path / "keys" / KEY_FILE).stat()
    assert status.st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("wrong", ["open", "short", "no hex", "long", "link", "folder", "pipe"])
def test_a_key_that_is_none_or_open_to_others_is_refused(tmp_path: Path, wrong: str) -> None:
    server_key(tmp_path)
    path = tmp_path / KEY_FILE
    text = path.read_text()
    if wrong == "open":
        path.chmod(0o640)
    elif wrong in ("short", "no hex", "long"):
        path.write_text({"short": "ab", "no hex": "z" * 64, "long": "a" * 5000}[wrong])
    else:
        path.unlink()
        if wrong == "link":
            (tmp_path / "elsewhere").write_text(text)
            path.symlink_to(tmp_path / "elsewhere")
        elif wrong == "folder":
            path.mkdir()
        else:
            os.mkfifo(path, 0o600)
    with pytest.raises(AccessError) as caught:
        server_key(tmp_path)
    assert text.strip() not in str(caught.value)


def test_a_secret_is_never_written_over(tmp_path: Path) -> None:
    write_secret(tmp_path / "token", "one")
    with pytest.raises(AccessError, match="name another file"):
        write_secret(tmp_path / "token", "two")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(AccessError):
        write_secret(tmp_path / "dangling", "two")
    assert read_secret(tmp_path / "token") == "one"
    assert not (tmp_path / "nowhere").exists()
