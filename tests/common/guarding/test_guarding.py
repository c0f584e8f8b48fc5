"""Whatever is said: nothing of it is obeyed, forges a log line or is a secret; and what is written is closed."""

import io
import json
import logging
import os
import stat
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import run_patiently

from common.guarding.file_modes import close, open_mode, share_with_others
from common.guarding.log_records import SafeLogFormatter
from common.guarding.output_streams import GuardedStream
from common.guarding.safe_text import escaped_lines, plain, plain_lines
from common.guarding.secret_masking import MASK, masked

ANY = st.text(st.characters(codec=None), max_size=60)  # halves of pairs too
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m[red]x[/nope]\u202egpj.exe\r\n2026-11-28 12:00:00 ERROR: FORGED\x00\ud800"


def obeyed(text: str) -> set[str]:
    """The characters of a text that are obeyed instead of shown, by Unicode's own categories."""
    directions = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return {
        c
        for c in text
        if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(c) in directions
    }


@settings(deadline=None)
@given(ANY)
def test_a_plain_text_is_one_line_that_nothing_obeys(text: str) -> None:
    assert not obeyed(plain(text))
    assert len(plain(text)) == len(text)
    assert obeyed(plain_lines(text)) <= {"\n", "\t"}
    assert plain(plain(text)) == plain(text)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_json_that_passes_a_guarded_stream_is_the_same_json(text: str) -> None:
    written = escaped_lines(json.dumps({"text": text}, ensure_ascii=False))
    assert not obeyed(written)
    assert json.loads(written) == {"text": text}


@settings(deadline=None)
@given(ANY)
def test_a_guarded_stream_writes_nothing_that_is_obeyed(text: str) -> None:
    raw = io.BytesIO()
    stream = GuardedStream(io.TextIOWrapper(raw, "utf-8"))
    stream.write(text)
    stream.flush()
    assert obeyed(raw.getvalue().decode()) <= {"\n", "\t"}


def test_on_a_terminal_colours_pass_and_no_command_does() -> None:
    raw = io.BytesIO()
    stream = GuardedStream(io.TextIOWrapper(raw, "utf-8"))
    stream._terminal = True
    stream.write(f"\x1b[1;31mred\x1b[0m {EVIL}")
    stream.flush()
    said = raw.getvalue().decode()
    assert said.startswith("\x1b[1;31mred\x1b[0m ")
    assert "\x1b]0" not in said
    assert "\x1b[2J" not in said


@settings(deadline=None)
@given(ANY, ANY)
def test_a_record_begins_one_line_whatever_is_logged(message: str, cause: str) -> None:
    try:
        raise ValueError(cause)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "%s said", (message,), sys.exc_info())
    first, *further = SafeLogFormatter("LOG %(message)s").format(record).split("\n")
    assert first.startswith("LOG ")
    assert all(line.startswith("    | ") for line in further)
    assert not any(obeyed(line) - {"\t"} for line in (first, *further))


SECRET = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp", "Cf"), exclude_characters="'\"*"),
    min_size=6,
    max_size=20,
)


@settings(deadline=None)
@given(
    SECRET,
    st.sampled_from(["postgresql://mien:{}@h/x", "postgres//mien:{}@h", "s3://AKIA:{}@bucket/x", "sftp://u:{}@h:22/p"]),
)
def test_a_password_in_an_address_is_not_said(secret: str, address: str) -> None:
    told = masked(f"cannot reach '{address.format('QQ' + secret)}': refused", {})
    assert "QQ" + secret not in told
    assert MASK in told


@settings(deadline=None)
@given(SECRET, st.sampled_from(["AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "MIEN_PERSONAL_KEY", "AWS_SESSION_TOKEN"]))
def test_a_secret_of_the_environment_is_not_said(secret: str, name: str) -> None:
    assert f"§{secret}" not in masked(f"the server said §{secret} back", {name: f"§{secret}"})


@pytest.mark.parametrize(
    "named",
    ["password=hunter22", "?sslpassword=hunter22&x=1", "aws_secret_access_key: hunter22", '"token": "hunter22"'],
)
def test_what_is_named_a_secret_is_not_said(named: str) -> None:
    assert "hunter22" not in masked(named, {})


def test_ordinary_words_stay() -> None:
    said = "cam-07: no token bucket; see http://127.0.0.1:5780/ and S012-E07-1 at 10:30 (mien@example.org)"
    assert masked(said, {"SHORT_KEY": "cam"}) == said


def test_a_command_closes_what_it_writes_and_shows_no_secret_in_a_fault(tmp_path: Path) -> None:
    code = (
        "import sys, mien\n"
        "def app(*a, **k):\n"
        "    open('made', 'w').write('x')\n"
        "    raise RuntimeError('at postgresql://mien:s3cretpw@h/x \\x1b[2J')\n"
        "mien.load = lambda name: app\n"
        "mien.typer.main.get_command = lambda app: app\n"
        "sys.argv = ['mien', 'db']\n"
        "mien.main()\n"
    )
    done = run_patiently([sys.executable, "-c", code], cwd=tmp_path)
    assert done.returncode == 1
    assert "RuntimeError" in done.stderr
    assert "s3cretpw" not in done.stderr
    assert "\x1b" not in done.stderr
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600


def test_what_is_handed_on_is_readable_and_what_has_another_name_stays_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.guarding.file_modes._given", 0o022)
    (tmp_path / "release" / "deep").mkdir(parents=True)
    file, kept = tmp_path / "release" / "deep" / "a.obj", tmp_path / "kept"
    file.write_text("x")
    kept.write_text("y")
    os.link(kept, tmp_path / "release" / "linked")
    (tmp_path / "release" / "away").symlink_to(kept)
    share_with_others(tmp_path / "release")
    assert open_mode(tmp_path / "release") == open_mode(tmp_path / "release" / "deep") == 0o755
    assert open_mode(file) == 0o644
    assert open_mode(kept) is None
    assert close(file)
    assert not close(file)
