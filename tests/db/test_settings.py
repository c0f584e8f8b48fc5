"""Where things are, in order of precedence, and what a misspelling brings."""

import stat
from pathlib import Path

import pytest

from common.configuration.loader import check_keys
from db.errors import RecordError, SettingsError
from db.protocols import EXPRESSIONS, FACESCAPE, load_protocol
from db.settings import Settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIEN_HOME", raising=False)
    monkeypatch.delenv("MIEN_DATABASE", raising=False)


def test_defaults_are_in_the_home(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home")
    assert settings.database == f"sqlite:///{tmp_path}/home/studio.sqlite"
    assert settings.store == str(tmp_path / "home" / "store")
    assert not (tmp_path / "home").exists()
    settings.make_home()
    assert stat.S_IMODE(settings.keys.stat().st_mode) == 0o700
    assert settings.ingest.is_dir()


def test_argument_before_environment_before_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "studio.toml").write_text('database = "sqlite:///file"\nstore = "s3://bucket/x"\n[farm]\nworkers = 2\n')
    assert Settings.load(tmp_path).database == "sqlite:///file"
    monkeypatch.setenv("MIEN_DATABASE", "sqlite:///environment")
    monkeypatch.setenv("MIEN_HOME", str(tmp_path))
    settings = Settings.load()
    assert (settings.home, settings.database) == (tmp_path, "sqlite:///environment")
    assert settings.store == "s3://bucket/x"
    assert settings.sections == {"farm": {"workers": 2}}
    assert Settings.load(tmp_path, "sqlite:///argument").database == "sqlite:///argument"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('databse = "x"', "unknown key 'databse'; did you mean 'database'"),
        ("store = 3", "'store' must be a string"),
        ("farm = 3", r"write \[farm\]"),
        ("store = ", "not a TOML file"),
    ],
)
def test_a_bad_studio_toml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "studio.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        Settings.load(tmp_path)


def test_check_keys_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="known keys: lease_s, workers"):
        check_keys(["zzz"], ["workers", "lease_s"], "studio.toml [farm]", SettingsError)


def test_facescape_has_its_twenty_expressions() -> None:
    assert " ".join(EXPRESSIONS) == (
        "neutral smile mouth_stretch anger jaw_left jaw_right jaw_forward mouth_left mouth_right dimpler chin_raiser "
        "lip_puckerer lip_funneler sadness lip_roll grin cheek_blowing eye_closed brow_raiser brow_lower"
    )
    assert all(instruction for _, instruction in FACESCAPE.expressions)


def test_a_protocol_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nversion = 2\n[[expression]]\nname = "neutral"\ninstruction = " Rest. "\n')
    assert load_protocol(path).expressions == (("neutral", "Rest."),)
    for bad, message in (
        ('name = "mine"\nversion = 2\n', "no \\[\\[expression\\]\\]"),
        ('name = "../mine"\nversion = 2\n', "lower-case"),
        ('name = "mine"\nversion = true\n', "whole number"),
        ('name = "mine"\nverson = 2\n', "did you mean 'version'"),
        (path.read_text() + '[[expression]]\nname = "neutral"\ninstruction = "x"\n', "there already"),
        (path.read_text() + '[[expression]]\nname = "smile"\n', "instruction"),
    ):
        (tmp_path / "bad.toml").write_text(bad)
        with pytest.raises(RecordError, match=message):
            load_protocol(tmp_path / "bad.toml")
