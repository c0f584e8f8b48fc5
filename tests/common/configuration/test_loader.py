"""A table becomes a dataclass, or its fault is named: file, table, key, what came, what is wanted."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from common.configuration.loader import Wording, check_keys, from_table, read_toml, values_by_type, values_from_table
from common.configuration.suggestions import nearest


class Refused(Exception):
    pass


@dataclass(frozen=True)
class Camera:
    name: str
    view: Annotated[int, Meta(ge=0)]
    lag_ms: Annotated[float, Meta(gt=0)] = 1.0
    readout_ms: Annotated[float, Meta(ge=-200, le=200, description="within -200 and 200")] | None = None
    tier: Literal["frontal", "side"] = "side"
    stages: tuple[str, ...] = ()
    folder: Path | None = None
    prove: bool = False


@dataclass(frozen=True)
class Rig:
    camera: tuple[Camera, ...]
    spare: Camera | None = None
    profile: Mapping[str, Camera] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)
    later: object = None
    first: Camera = field(default_factory=lambda: Camera("first", 0))


GOOD: dict[str, Any] = {"name": "cam-00", "view": 3}


def load(table: object, kind: type = Rig) -> Any:
    return from_table(kind, table, "rig.toml", Refused)


cameras = st.builds(
    Camera,
    name=st.text(max_size=5),
    view=st.integers(0, 99),
    lag_ms=st.floats(0.01, 1e6),
    readout_ms=st.none() | st.floats(-200, 200),
    tier=st.sampled_from(["frontal", "side"]),
    stages=st.lists(st.text(max_size=3)).map(tuple),
    folder=st.none() | st.sampled_from([Path("a/b"), Path("/c")]),
    prove=st.booleans(),
)


def written(camera: Camera) -> dict[str, Any]:
    """As TOML has it: no null, no tuple, no path."""
    table = {key: value for key, value in asdict(camera).items() if value is not None}
    return table | {"stages": list(camera.stages)} | ({"folder": str(camera.folder)} if camera.folder else {})


@settings(deadline=None)
@given(views=st.lists(cameras, max_size=3), profiles=st.dictionaries(st.text(max_size=3), cameras, max_size=2))
def test_what_is_written_is_what_is_loaded(views: list[Camera], profiles: dict[str, Camera]) -> None:
    table = {"camera": [written(c) for c in views], "profile": {n: written(c) for n, c in profiles.items()}}
    assert load(table) == Rig(tuple(views), profile=profiles)


@pytest.mark.parametrize("value", [[{"a": 1}], {"a": [1]}, 3, "text"])
def test_what_another_reader_looks_at_stays_as_it_is(value: object) -> None:
    assert load({"camera": [], "later": value}).later == value
    assert load({"camera": [], "rest": {"a": value}}).rest == {"a": value}


def test_a_whole_number_will_do_for_a_number_and_not_the_other_way() -> None:
    assert load({"camera": [GOOD | {"lag_ms": 2}]}).camera[0].lag_ms == 2.0
    assert isinstance(load({"camera": [GOOD | {"lag_ms": 2}]}).camera[0].lag_ms, float)
    with pytest.raises(Refused, match=r"'view' in \[camera\[0\] cam-00\] must be int, not 1\.0"):
        load({"camera": [GOOD | {"view": 1.0}]})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"camera": [GOOD | {"view": True}]}, "'view' in [camera[0] cam-00] must be int, not True"),
        ({"camera": [GOOD | {"view": -1}]}, "'view' in [camera[0] cam-00] must be 0 or above, not -1"),
        ({"camera": [GOOD, GOOD | {"lag_ms": 0}]}, "'lag_ms' in [camera[1] cam-00] must be above 0, not 0"),
        ({"camera": [GOOD | {"lag_ms": float("nan")}]}, "must be above 0, not nan"),
        ({"camera": [GOOD | {"readout_ms": 201}]}, "must be within -200 and 200, not 201"),
        ({"camera": [GOOD | {"readout_ms": "x"}]}, "must be within -200 and 200, not 'x'"),
        ({"camera": [GOOD | {"tier": "8K"}]}, "must be 'frontal' or 'side', not '8K'"),
        ({"camera": [GOOD | {"stages": ["a", 1]}]}, "must be a list, each of it a string, not ['a', 1]"),
        ({"camera": [GOOD | {"stages": "a"}]}, "must be a list, not 'a'"),
        ({"camera": [GOOD | {"folder": 3}]}, "must be a string, not 3"),
        ({"camera": [GOOD | {"prove": 1}]}, "must be bool, not 1"),
        ({"camera": [{"view": 1}]}, "[camera[0]] lacks 'name'"),
        ({"camera": [3]}, "must be a table"),
        ({"camera": 3}, "write [[camera]] above each"),
        ({"camera": [], "profile": {"close up": GOOD | {"vew": 1}}}, "unknown key 'vew' in [profile.close up]"),
        ({"camera": [], "profile": 3}, "must be tables named [profile.NAME]"),
        ({"camera": [], "rest": 3}, "'rest' must be a table: write [rest]"),
        ({"camera": [], "first": 3}, "'first' must be a table: write [first]"),
        ({}, "lacks 'camera'"),
        ({"camra": []}, "unknown key 'camra'; did you mean 'camera'?"),
        ({"camera": [GOOD | {"zzz": 1}]}, "in [camera[0] cam-00]; known keys: folder, lag_ms, name"),
        (3, "is not a table"),
    ],
)
def test_a_fault_is_named(table: object, said: str) -> None:
    with pytest.raises(Refused) as told:
        load(table)
    assert str(told.value).startswith("rig.toml: ")
    assert said in str(told.value)


@settings(deadline=None)
@given(
    name=st.sampled_from(["lag_ms", "readout_ms", "folder", "stages"]),
    at=st.integers(0, 9),
    letter=st.sampled_from("qz"),
)
def test_of_a_misspelt_key_the_meant_one_is_named(name: str, at: int, letter: str) -> None:
    misspelt = name[:at] + letter + name[at:]
    with pytest.raises(Refused, match=f"unknown key '{misspelt}'.*did you mean '{name}'"):
        load({"camera": [GOOD | {misspelt: 1}]})


def test_values_alone_want_nothing_to_be_there_and_fill_nothing_in() -> None:
    assert values_from_table(Camera, {"lag_ms": 2}, "x", Refused) == {"lag_ms": 2.0}
    with pytest.raises(Refused, match="x: unknown key 'lagms'"):
        values_from_table(Camera, {"lagms": 2}, "x", Refused)
    with pytest.raises(Refused, match="'view' must be int"):
        values_from_table(Camera, {"view": "2"}, "x", Refused)


def test_keys_without_a_dataclass_are_checked_by_their_types() -> None:
    types = {"size_px": int, "scale": float, "most": int | None}
    assert values_by_type(types, {"scale": 2, "most": None}, "x", Refused) == {"scale": 2.0, "most": None}
    with pytest.raises(Refused, match="x: unknown key 'size'; did you mean 'size_px'"):
        values_by_type(types, {"size": 1}, "x", Refused)
    with pytest.raises(Refused, match=r"x: 'size_px' must be int, not 1\.5"):
        values_by_type(types, {"size_px": 1.5}, "x", Refused)


def test_texts_will_do_where_all_are_texts() -> None:
    texts = {"name": "12", "view": "3", "lag_ms": "2.5", "prove": "true"}
    assert from_table(Camera, texts, "sim:", Refused, strict=False) == Camera("12", 3, 2.5, prove=True)
    with pytest.raises(Refused, match="'view' must be int, not 'three'"):
        from_table(Camera, texts | {"view": "three"}, "sim:", Refused, strict=False)


def test_a_room_has_its_own_words() -> None:
    wording = Wording("there is no {key!r}", "perhaps {near}", "it has {known}", "{key} is {value!r}; wanted {wanted}")
    for table, said in (
        (GOOD | {"vew": 1}, "x: there is no 'vew'; perhaps view"),
        (GOOD | {"view": "1"}, "x: view is '1'; wanted int"),
    ):
        with pytest.raises(Refused) as told:
            from_table(Camera, table, "x", Refused, wording=wording)
        assert str(told.value) == said


def test_keys_alone_are_checked_too() -> None:
    check_keys(["a"], ["a", "b"], "x", Refused)
    with pytest.raises(Refused, match="x: unknown key 'c'; known keys: a, b"):
        check_keys(["c"], ["b", "a"], "x", Refused)


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 9), max_size=3))
def test_a_toml_file_is_read_as_it_is(tmp_path_factory: pytest.TempPathFactory, values: dict[str, int]) -> None:
    path = tmp_path_factory.mktemp("toml") / "a.toml"
    text = "".join(f"{key} = {value}\n" for key, value in values.items())
    path.write_text(text)
    assert read_toml(path, Refused) == tomllib.loads(text)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("a = ")
    with pytest.raises(Refused, match=r"a\.toml: not valid TOML"):
        read_toml(tmp_path / "a.toml", Refused)
    with pytest.raises(Refused, match=r"b\.toml: cannot be read: No such file"):
        read_toml(tmp_path / "b.toml", Refused)


@settings(deadline=None)
@given(known=st.lists(st.text("abcdef_", min_size=4, max_size=12), min_size=1, unique=True), data=st.data())
def test_a_hint_names_what_there_is(known: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(known))
    assert nearest(name, known) == name
    assert nearest("0000", known) is None
