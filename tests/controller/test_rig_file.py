"""A rig file is read back as it was written, and whatever is wrong in it is named with file, key and likely meaning."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.errors import ConfigurationError
from controller.rig_file import CameraEntry, ExposureEntry, Rig, SyncLimits, format_rig, parse_rig, read_rig

GOOD = """
name = "studio-a"

[sync]
max_skew_ms = 4
window_ms = 150

[[camera]]
name = "cam-01"
view = 1

[[camera]]
name = "cam-00"
view = 0
serial = "6123"
tier = "frontal"
lag_ms = 58.25
"""


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "rig.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_rig(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_cameras_come_in_view_order_with_defaults(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(GOOD)
    rig = read_rig(path)
    assert [camera.name for camera in rig.cameras] == ["cam-00", "cam-01"]
    assert rig.cameras[0] == CameraEntry("cam-00", 0, serial="6123", tier="frontal", lag_ms=58.25)
    assert rig.sync == replace(SyncLimits(), max_skew_ms=4.0, window_ms=150.0)


@pytest.mark.parametrize(
    ("old", "new", "key", "meant"),
    [
        ("max_skew_ms", "max_skw_ms", "max_skw_ms", "max_skew_ms"),
        ("serial", "serail", "serail", "serial"),
        ("[sync]", "[snyc]", "snyc", "sync"),
        ("[[camera]]", "[[cameras]]", "cameras", "camera"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_likely_one(
    tmp_path: Path, old: str, new: str, key: str, meant: str
) -> None:
    message = refusal(tmp_path, GOOD.replace(old, new))
    assert f"'{key}'" in message
    assert f"did you mean '{meant}'" in message


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "cam-01"', 'name = "cam-00"', "cam-00"),
        ("view = 1", "view = 0", "view 0"),
        ("view = 1", 'view = "1"', "must be int"),
        ("view = 1", "view = true", "must be int"),
        ("view = 1", "view = -1", "count from 0"),
        ("view = 1", "", "lacks 'view'"),
        ('name = "cam-01"', 'name = "../cam"', "camera name"),
        ("lag_ms = 58.25", "lag_ms = nan", "lag"),
        ("lag_ms = 58.25", "lag_ms = -3", "lag"),
        ("max_skew_ms = 4", "max_skew_ms = 0", "above 0"),
        ('tier = "frontal"', 'tier = "8K"', "tier"),
        ('name = "studio-a"', "", "name"),
        ("[sync]", "[sync", "TOML"),
    ],
)
def test_a_wrong_value_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in refusal(tmp_path, GOOD.replace(old, new))


def test_a_missing_file_and_an_empty_rig_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_rig(tmp_path / "nowhere.toml")
    assert "at least one" in refusal(tmp_path, 'name = "a"')


@given(
    names=st.lists(st.from_regex(r"\A[a-z][a-z0-9-]{0,10}\Z"), min_size=1, max_size=6, unique=True),
    lag=st.floats(0, 1000),
    serial=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8),
    lead=st.floats(1, 1000),
)
def test_format_and_parse_are_inverse(names: list[str], lag: float, serial: str, lead: float) -> None:
    import tomllib

    cameras = tuple(CameraEntry(name, view, lag_ms=lag) for view, name in enumerate(names))
    cameras = (replace(cameras[0], serial=serial), *cameras[1:])
    rig = Rig("any", cameras, sync=SyncLimits(minimum_lead_ms=lead), exposure=ExposureEntry(iso="200"))
    assert parse_rig(tomllib.loads(format_rig(rig)), "text") == rig
