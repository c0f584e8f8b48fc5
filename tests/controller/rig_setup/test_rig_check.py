"""A rig file is checked as a whole: whatever is wrong in it is said at its line, all at once, and read_rig agrees."""

import json
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from common.configuration.toml_lines import read_toml_lines
from controller.commands import rig as commands
from controller.errors import ConfigurationError
from controller.rig_file import read_rig
from controller.rig_setup.rig_check import RigCheck, check_rig

GOOD = """\
# a rig
name = "studio-a"

[sync]
max_skew_ms = 4
window_ms = 150

[transfer]
transfers = 8

[exposure]
iso = "100"
scene = "even"

[profile.cross]
iso = "200"
scene = "cross"

[lights]
interface = "10.0.1.1"
between = "even"

[scene.even]
1 = { 1-12 = 255 }

[scene.cross]
1 = { 13-24 = 255, 30 = 2 }
2 = { 5 = 128 }

[[camera]]
name = "cam-00"
view = 0
serial = "6100"
tier = "frontal"

[[camera]]
name = "cam-01"
view = 1
serial = "6101"
lag_ms = 58.25

[[camera]]
name = "cam-02"
view = 2
serial = "6102"
"""
# A line of GOOD, what it becomes, and what must be said at its line. No two of them touch one line.
FAULTS = (
    ("max_skew_ms = 4", "max_skew_ms = -4", "must be above 0, not -4"),
    ("window_ms = 150", "windw_ms = 150", "did you mean 'window_ms'"),
    ("transfers = 8", 'transfers = "8"', "must be int"),
    ('iso = "100"', "iso = 100", "must be a string"),
    ('iso = "200"', 'iso = "200', "is not closed on its line"),
    ('scene = "cross"', 'scene = "crss"', "did you mean 'cross'"),
    ('interface = "10.0.1.1"', 'interface = "10.0.1.300"', "give this server's IPv4 address"),
    ('between = "even"', 'between = "evn"', "did you mean 'even'"),
    ("1 = { 1-12 = 255 }", "1 = { 1-12 = 256 }", "levels are 0 to 255"),
    ("1 = { 13-24 = 255, 30 = 2 }", "0 = { 13-24 = 255 }", "'0' is not a universe"),
    ("2 = { 5 = 128 }", "2 = { 5 = 128, 513 = 1 }", "'513' is no channel"),
    ('name = "cam-00"', 'name = "Cam 00"', "a camera name of lower-case letters"),
    ("view = 0", "view = -1", "views count from 0"),
    ('tier = "frontal"', 'tier = "front"', "'frontal' or 'side'"),
    ('name = "cam-01"', "name = ", "not valid TOML"),
    ("lag_ms = 58.25", "lag_ms = 5825", "a lag of 0 to 1000 ms"),
    ('serial = "6101"', 'serial = "6101"\nserail = "6101"', "did you mean 'serial'"),
    ("view = 2", "view = 1", "view 1 is given to"),
    ('serial = "6102"', 'serial = "6101"', "serial '6101' is given to"),
    ("# a rig", "coment = 1", "unknown key 'coment'"),
)


def spoilt(chosen: list[int]) -> tuple[str, list[tuple[int, str]]]:
    """GOOD with some faults, and at which lines of it what must be said."""
    lines, told_at = GOOD.split("\n"), dict[int, str]()
    for old, new, told in (FAULTS[i] for i in chosen):
        at = GOOD.split("\n").index(old)
        lines[at] = new
        told_at[at] = told
    wanted, line = [], 0
    for at, text in enumerate(lines):
        line += 1 + text.count("\n")
        if at in told_at:
            wanted.append((line, told_at[at]))
    return "\n".join(lines), wanted


def checked(text: str) -> tuple[RigCheck, bool]:
    """What a check finds in a file of this text, and whether read_rig refuses it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rig.toml"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        found = check_rig(path)
        try:
            read_rig(path)
        except ConfigurationError:
            return found, True
        return found, False


@given(st.lists(st.integers(0, len(FAULTS) - 1), unique=True))
def test_all_faults_are_told_at_their_lines_and_nothing_else(chosen: list[int]) -> None:
    text, wanted = spoilt(chosen)
    found, refused = checked(text)
    assert refused == bool(chosen)
    assert len(found.errors) == len(wanted), found.errors
    for error, (line, told) in zip(found.errors, wanted, strict=True):
        assert error.line == line
        assert told in error.text
    assert (found.rig is None) == refused


@given(st.integers(0, 10**9), st.integers(1, 12))
def test_a_file_is_refused_exactly_when_the_check_finds_something(seed: int, cuts: int) -> None:
    """Lines dropped, doubled, swapped, cut and joined at random."""
    draw = random.Random(seed)
    lines = GOOD.split("\n")
    for _ in range(cuts):
        at = draw.randrange(len(lines))
        match draw.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[draw.randrange(len(lines))])
            case 2:
                lines[at] = lines[at][: draw.randrange(len(lines[at]) + 1)]
            case 3:
                lines[at] += draw.choice(['"', "]", "}", " #", '"""', " = 1", "[", "\udcff", "\r"])
            case 4:
                other = draw.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 5 if at + 1 < len(lines):
                lines[at] += lines.pop(at + 1)
    found, refused = checked("\n".join(lines))
    assert bool(found.errors) == refused
    assert (found.rig is None) == refused
    assert all(1 <= error.line <= len(lines) + 1 for error in found.errors)


def test_values_over_several_lines_and_tables_in_tables_have_their_lines() -> None:
    text = 'a = [\n  1,\n  2,\n]\nb = """\nx\n= 1\n"""\n[t.u]\nc.d = 1\n[[l]]\n[[l]]\nk = { m = 1 }\n[l.v]\nw = 1\n'
    found = read_toml_lines(text)
    assert found.broken == []
    assert found.document["l"][1]["v"] == {"w": 1}
    for at, line in ((("a", 1), 1), (("b",), 5), (("t", "u"), 9), (("t", "u", "c", "d"), 10), (("l", 0), 11),
                     (("l", 1, "k", "m"), 13), (("l", 1, "v", "w"), 15), (("l", 1, "x"), 12), (("z",), 1)):  # fmt: skip
        assert found.line_of(at) == line, at


def test_a_broken_head_is_one_error_and_what_stands_under_it_is_not_judged() -> None:
    found, _ = checked(GOOD.replace("[scene.cross]", "[scene.cross"))
    assert [(error.line, error.key) for error in found.errors] == [(26, "")]
    found, _ = checked(GOOD + '[sync]\nwindow_ms = 1\n\n[[camera]]\nname = "cam-03"\nview = 2\n')
    assert [error.text.removesuffix("-") for error in found.errors] == [
        "not valid TOML: Cannot declare ('sync',) twice",
        "view 2 is given to cam-02 and to cam-03",
    ]


@pytest.mark.parametrize(
    ("data", "line", "told"),
    [
        (b'name = "a"\nx = "\xff"\n', 2, "no UTF-8"),
        (b"a = " + b"[" * 5000, 1, "nested deeper"),
        (b"#" * 40_000_000, 1, "at most"),
        (b"", 1, "lacks 'name'"),
    ],
)
def test_what_is_no_text_or_too_much_is_an_error_too(tmp_path: Path, data: bytes, line: int, told: str) -> None:
    path = tmp_path / "rig.toml"
    path.write_bytes(data)
    found = check_rig(path)
    assert found.errors[0].line == line
    assert told in found.errors[0].text


def test_the_command_says_line_and_remedy_and_ends_with_4(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    text, wanted = spoilt([0, 4, 12])
    path.write_text(text)
    told = CliRunner().invoke(commands.app, ["check", str(path)])
    assert told.exit_code == 4
    assert [int(line.split(":")[1]) for line in told.stdout.splitlines()[:-1]] == [line for line, _ in wanted]
    assert told.stdout.splitlines()[-1] == "3 errors."
    data = json.loads(CliRunner().invoke(commands.app, ["check", str(path), "--json"]).stdout)
    assert [error["line"] for error in data["errors"]] == [line for line, _ in wanted]
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "rig.toml").write_text(GOOD)
    told = CliRunner().invoke(commands.app, ["check", "--home", str(tmp_path / "studio")])
    assert told.exit_code == 0
    assert "3 cameras, 1 frontal, 3 known by serial" in told.stdout
    assert CliRunner().invoke(commands.app, ["check", str(tmp_path / "none.toml")]).exception is not None
