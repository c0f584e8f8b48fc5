"""Stages fit together; parameters are checked; discovery reads folders."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.stages import outputs
from processing.stages.base import OUTSIDE, TAKE, Inputs, Need, ParamsError, Stage, StageError, StageParams
from processing.stages.discovery import discover, in_order


def test_miens_own_stages_fit_together() -> None:
    stages = discover()
    assert set(stages) >= {"reconstruct", "landmarks", "register", "texture", "bake", "preview"}
    seen: set[str] = set()
    for name, stage in stages.items():
        assert stage.version >= 1
        for _, need in stage.parsed_needs():
            assert need.source in OUTSIDE or need.stage in seen or (need.of_neutral and need.stage == name)
        assert stage.Params.from_mapping(stage.Params().to_mapping()) == stage.Params()
        seen.add(name)


def test_outputs_that_others_read_are_made_by_the_stages_that_they_name() -> None:
    stages = discover()
    named = {value for value in vars(outputs).values() if isinstance(value, outputs.OutputName)}
    for name in {*named, *outputs.CAPTIONS}:
        assert name.output in stages[name.stage].makes, name
    for name in (outputs.SCAN_REVIEW, outputs.MESH_REVIEW):
        assert name.output == outputs.REVIEW


class Params(StageParams):
    size_px: int = 8
    scale: float = 1.0
    name: str = "x"
    most: int | None = None


def test_parameters_are_frozen_and_complete() -> None:
    params = Params.from_mapping({"size_px": 4, "scale": 2, "most": 3})
    assert params.to_mapping() == {"size_px": 4, "scale": 2.0, "name": "x", "most": 3}
    with pytest.raises(AttributeError):
        params.size_px = 5  # type: ignore[misc]


@given(st.sampled_from(["size_px", "scale", "name"]), st.integers(0, 6), st.sampled_from("qz_"))
def test_a_misspelt_parameter_is_refused_and_the_meant_one_named(name: str, at: int, letter: str) -> None:
    misspelt = name[:at] + letter + name[at:]
    with pytest.raises(ParamsError, match=f"stage x: there is no '{misspelt}'.*{name}"):
        Params.from_mapping({misspelt: 1}, "stage x")


@pytest.mark.parametrize(("name", "value"), [("size_px", 1.5), ("size_px", True), ("size_px", None), ("scale", "1"),
                                             ("name", 3), ("most", "many")])  # fmt: skip
def test_a_value_of_a_wrong_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(ParamsError, match=f"'{name}' is {value!r}; wanted"):
        Params.from_mapping({name: value})


def test_needs_say_where_an_input_comes_from() -> None:
    assert Need.parse("take", "take") == Need("take")
    assert Need.parse("scan", "reconstruct") == Need("", "reconstruct", "scan")
    assert Need.parse("x", "bake.displacement") == Need("", "bake", "displacement")
    assert Need.parse("neutral", "neutral:register.mesh") == Need("", "register", "mesh", of_neutral=True)


def made(stage_name: str, given: Mapping[str, str], *outputs: str) -> Stage:
    class Made(Stage):
        name: ClassVar[str] = stage_name
        version: ClassVar[int] = 1
        needs: ClassVar[Mapping[str, str]] = given
        makes: ClassVar[Mapping[str, str]] = dict.fromkeys(outputs, "txt")

        def run(self, inputs: Inputs, params: StageParams, out: Path) -> None:
            """Never run here."""

    return Made()


def test_makers_come_before_users_whatever_their_names() -> None:
    stages = {"a": made("a", {"x": "z"}, "y"), "m": made("m", {"y": "a"}), "z": made("z", {"take": TAKE}, "x")}
    assert list(in_order(stages)) == ["z", "a", "m"]


def test_a_circle_and_a_need_without_maker_are_refused() -> None:
    with pytest.raises(StageError, match="circle"):
        in_order({"a": made("a", {"x": "b"}, "y"), "b": made("b", {"y": "a"}, "x")})
    with pytest.raises(StageError, match=r"stage a needs 'x' of b\.x, which nothing makes"):
        in_order({"a": made("a", {"x": "b"}), "b": made("b", {}, "other")})


FILE = """
from processing.stages.base import Stage
class Given(Stage):
    name, version, needs, makes = "given", 1, {}, {"x": "txt"}
"""


def test_a_stage_is_a_file_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="holds no stage"):
        discover(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "given.py").write_text(FILE)
    assert list(discover(tmp_path / "one")) == ["given"]
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "first.py").write_text(FILE)
    (tmp_path / "two" / "second.py").write_text(FILE)
    with pytest.raises(StageError, match="there is already a stage 'given'"):
        discover(tmp_path / "two")
