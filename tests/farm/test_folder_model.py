"""Models of folders without records: rigs once, refusals that name every subject, a member left out leaves nothing."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pytest
from small_template import small_template

from processing.farm.folder_model import FolderModel, FolderModelResult, build_from_folder, place_outputs, read_subjects
from processing.farm.model_names import ModelRefused
from processing.files.obj import write_obj
from processing.files.stage_files import read_vertices
from processing.stages.base import MEMBERS, TEMPLATE, Inputs, ParamsError, Scope, Stage, StageParams
from processing.template.template_file import write_template

LABELS = ("1_neutral", "2_smile", "10_lip_roll")
ran: list[str] = []


class Register(Stage):
    """In the place of the real one, whose outputs the folder holds."""

    name, version = "register", 1
    needs: ClassVar[Mapping[str, str]] = {"template": TEMPLATE}
    makes: ClassVar[Mapping[str, str]] = {"mesh": "npz", "review": "json"}


class Texture(Stage):
    name, version = "texture", 1
    needs: ClassVar[Mapping[str, str]] = {"mesh": "register"}
    makes: ClassVar[Mapping[str, str]] = {"texture": "jpg"}


class Offsets(Stage):
    """How far each expression is from the neutral."""

    name, version = "offsets", 1
    scope, fewest = Scope.SUBJECT, 2
    needs: ClassVar[Mapping[str, str]] = {
        "template": TEMPLATE, "meshes": "each:register.mesh", "reviews": "each:register.review",
        "rest": "neutral:register.mesh",
    }  # fmt: skip
    makes: ClassVar[Mapping[str, str]] = {"rig": "json"}

    def run(self, inputs: Inputs, params: StageParams, out: Path) -> None:  # noqa: ARG002
        assert not inputs.each("reviews")
        assert list(inputs.each("meshes")) == [label for label in LABELS if label in inputs.each("meshes")]
        rest = read_vertices(inputs["rest"])
        found = {k: float(np.abs(read_vertices(path) - rest).mean()) for k, path in inputs.each("meshes").items()}
        ran.append("rig")
        (out / "rig.json").write_text(json.dumps(found))


class Mean(Stage):
    name, version = "mean", 1
    scope, fewest = Scope.STUDY, 2
    needs: ClassVar[Mapping[str, str]] = {
        "members": MEMBERS, "rigs": "each:offsets.rig", "skins": "each:neutral:texture.texture"
    }  # fmt: skip
    makes: ClassVar[Mapping[str, str]] = {"model": "json", "card": "md"}

    class Params(StageParams):
        name: str = "model"
        number: int = 1

    def run(self, inputs: Inputs, params: Any, out: Path) -> None:
        rigs = [json.loads(path.read_text()) for path in inputs.each("rigs").values()]
        members = json.loads(inputs["members"].read_text())["members"]
        ran.append("model")
        said = {"smile": float(np.mean([rig["2_smile"] for rig in rigs])), "skins": list(inputs.each("skins"))}
        (out / "model.json").write_text(json.dumps(said))
        (out / "card.md").write_text(f"{params.name} {[(m['age'], m['gender']) for m in members]}")


STAGES = MappingProxyType({stage.name: stage for stage in (Register(), Texture(), Offsets(), Mean())})


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Three subjects of three expressions, two of whom said something of themselves."""
    template, _ = small_template()
    write_template(tmp_path / "small.npz", template)
    folder = tmp_path / "study"
    for number, code in enumerate(("A01", "A02", "A03"), start=1):
        meshes = folder / code / "models_reg"
        meshes.mkdir(parents=True)
        for position, label in enumerate(LABELS):
            vertices = template.mesh.vertices_mm * (1 + 0.01 * number * position)
            write_obj(meshes / f"{label}.obj", template.mesh.with_vertices(vertices))
    (folder / "A01" / "models_reg" / "1_neutral.jpg").write_bytes(b"a texture")
    (folder / "subjects.csv").write_text("code,age,gender\nA01,34,female\nA03,,other\n")
    ran.clear()
    return folder


def build(
    folder: Path, name: str = "faces", work: str = "work", params: Mapping[str, Mapping[str, Any]] | None = None
) -> FolderModelResult:
    model = FolderModel(name, "mean", str(folder.parent / "small.npz"), params or {})
    return build_from_folder(read_subjects(folder), folder.parent / work, model, STAGES)


def test_rigs_are_made_once_and_the_model_lies_where_it_is_wanted(study: Path) -> None:
    made = build(study)
    assert (made.members, made.rigs, ran) == (3, 3, ["rig"] * 3 + ["model"])
    files = place_outputs(made, study.parent / "faces.json", STAGES["mean"])
    assert [path.name for path in files] == ["faces.json", "faces.card.md"]
    assert files[1].read_text() == "faces [('30-39', 'female'), (None, None), (None, 'other')]"
    assert json.loads(files[0].read_text())["skins"] == ["A01"]
    assert (build(study).rigs, len(ran)) == (0, 4)  # nothing is made again
    shutil.copy(study / "A02/models_reg/10_lip_roll.obj", study / "A02/models_reg/2_smile.obj")
    assert build(study).rigs == 1


def test_who_is_left_out_leaves_nothing(study: Path) -> None:
    build(study)
    shutil.rmtree(study / "A02")
    without = build(study)
    never = build(study, work="another")
    assert (without.rigs, never.rigs) == (0, 2)
    assert {n: o.sha256 for n, o in without.outputs.items()} == {n: o.sha256 for n, o in never.outputs.items()}


def test_what_cannot_be_a_model_is_refused_by_subject(study: Path, tmp_path: Path) -> None:
    template, _ = small_template()
    with pytest.raises(ModelRefused, match="no folder"):
        build(tmp_path / "nowhere")
    with pytest.raises(ModelRefused, match="no <subject>/models_reg"):
        read_subjects(tmp_path)
    with pytest.raises(ModelRefused, match="no name of a model"):
        build(study, name="Faces 2")
    other = study / "A01/models_reg/2_smile.obj"
    mesh = template.mesh.with_vertices(template.mesh.vertices_mm)
    write_obj(other, type(mesh)(mesh.vertices_mm, mesh.triangles[::-1].copy()))
    (study / "A03/models_reg/2_smile.obj").write_text("v 1 2 nan\nf 1 1 1\n")
    with pytest.raises(ModelRefused, match=r"2 of 3 subjects have no rig") as refused:
        build(study)
    assert "A01: 2_smile.obj has the topology" in str(refused.value)
    assert "A03: " in str(refused.value)
    (study / "A01/models_reg/1_neutral.obj").unlink()
    with pytest.raises(ModelRefused, match="A01 without a neutral"):
        build(study)
    for code in ("A01", "A03"):
        shutil.rmtree(study / code)
    with pytest.raises(ModelRefused, match="at least 2 subjects, and there are 1"):
        build(study)
    for label in LABELS[1:]:
        (study / f"A02/models_reg/{label}.obj").unlink()
    with pytest.raises(ModelRefused, match="A02 with too few expressions"):
        build(study)


@pytest.mark.parametrize("stage", ["nowhere", "register", "texture", "mean", "offsets"])
def test_a_parameter_of_a_stage_that_is_not_made_here_is_refused_before_any_work(study: Path, stage: str) -> None:
    with pytest.raises(ParamsError, match=f"'{stage}'|stage {stage}: there is no 'sizes'"):
        build(study, params={stage: {"sizes": 3}})
    assert not (study.parent / "work").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("code,age,gender\nA01,old,female\n", "line 2: age 'old'"),
        ("code,age,gender\nA01,34,woman\n", "line 2: gender 'woman'"),
        ("code,age\nA01,400\n", "line 2: age '400'"),
        pytest.param(f"code,age\nA01,{'1' * 5000}\n", "line 2: age '1111", id="digits without end"),
        ("code;age;gender\nA01;34;female\n", "no column code or index, separated by commas.*code;age;gender"),
        ("subject,age\nA01,34\n", "no column code or index"),
        ("", "no column code or index"),
    ],
)
def test_a_list_of_subjects_is_read_or_refused_by_its_line(study: Path, text: str, said: str) -> None:
    (study / "subjects.csv").write_text(text)
    with pytest.raises(ModelRefused, match=said):
        read_subjects(study)
    (study / "subjects.csv").write_bytes(b"\xef\xbb\xbfcode,age,gender\r\nA01,34,female\r\nB77,20,male\r\n")
    assert [(s.code, s.age) for s in read_subjects(study)] == [("A01", 34), ("A02", None), ("A03", None)]
    (study / "subjects.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelRefused, match="no list of subjects"):
        read_subjects(study)
