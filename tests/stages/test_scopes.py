"""Stages of a take, a subject and a study: what each may read, and what is made again when what changes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.farm.execution.in_process import RunCache, execute_runs, results_of
from processing.farm.scheduling.stage_graph import EachInput, Parts, StageOutput, StageRun, TakeInput, plan, plan_over
from processing.stages.base import FACE_UNITS, MEMBERS, TAKE, TEMPLATE, Inputs, Need, Scope, Stage, StageError
from processing.stages.discovery import Stages, in_order

SHARED = {TEMPLATE: "t" * 64, FACE_UNITS: "u" * 64}


def stage(name: str, scope: Scope, needs: Mapping[str, str], fewest: int = 1) -> Stage:
    """A stage that writes what it read, a line an input."""

    def run(_self: Stage, inputs: Inputs, _params: Any, out: Path) -> None:
        lines = [f"{what} {path.read_text() if path.is_file() else path.name}" for what, path in inputs.paths.items()]
        for what, many in inputs.many.items():
            lines += [f"{what}/{label} {path.read_text().splitlines()[0]}" for label, path in many.items()]
        (out / "made.txt").write_text("\n".join([name, *lines]))

    kind = {"name": name, "version": 1, "scope": scope, "needs": needs, "makes": {"made": "txt"}, "fewest": fewest}
    made: Stage = type(name, (Stage,), {**kind, "run": run})()
    return made


def stages_of(*found: Stage) -> Stages:
    return MappingProxyType({one.name: one for one in found})


FIT = stage("fit", Scope.TAKE, {"take": TAKE, "template": TEMPLATE, "neutral": "neutral:fit.made"})
RIG = stage("rig", Scope.SUBJECT, {"units": FACE_UNITS, "meshes": "each:fit.made", "rest": "neutral:fit.made"}, 2)
SHEET = stage("sheet", Scope.SUBJECT, {"rig": "rig.made"})
MODEL = stage("model", Scope.STUDY, {"members": MEMBERS, "rigs": "each:rig.made", "skins": "each:neutral:fit.made"})
STAGES = stages_of(FIT, RIG, SHEET, MODEL)


def takes(*numbers: int) -> list[TakeInput]:
    names = {1: "neutral", 2: "smile", 10: "lip_roll"}
    return [TakeInput(f"{k}_{names.get(k, 'other')}", names.get(k, "other"), f"{k:064d}") for k in numbers]


def named(runs: Sequence[StageRun]) -> dict[tuple[str, str], StageRun]:
    return {(run.take, run.stage): run for run in runs}


def test_a_need_of_each_is_written_in_one_way() -> None:
    assert Need.parse("meshes", "each:register.mesh") == Need("", "register", "mesh", each=True)
    skin = Need.parse("skins", "each:neutral:texture.texture")
    assert skin == Need("", "texture", "texture", of_neutral=True, each=True)
    assert skin.text == "each:neutral:texture.texture"


def test_what_is_of_the_subject_follows_its_takes_in_the_protocols_order() -> None:
    runs = plan(takes(10, 2, 1), SHARED, STAGES)
    assert [run.stage for run in runs[-2:]] == ["rig", "sheet"]
    rig = named(runs)["", "rig"]
    meshes = rig.inputs["meshes"]
    assert isinstance(meshes, EachInput)
    assert [label for label, _ in meshes.items] == ["1_neutral", "2_smile", "10_lip_roll"]
    assert rig.inputs["rest"] == StageOutput(named(runs)["1_neutral", "fit"].key, "made")
    assert rig.parents == {run.key for run in runs if run.stage == "fit"}
    assert rig.scope is Scope.SUBJECT
    assert not [run for run in runs if run.stage == "model"]
    assert {run.stage for run in plan(takes(1, 2), SHARED, STAGES, of_subject=False)} == {"fit"}


def test_too_few_takes_give_no_run_and_none_of_what_follows() -> None:
    assert {run.stage for run in plan(takes(1), SHARED, STAGES)} == {"fit"}


@given(
    st.lists(st.integers(2, 30), min_size=1, max_size=6, unique=True),
    st.integers(0, 5),
    st.sampled_from(["template", "face units", "photographs", "fewer", "order", "stage of the subject"]),
)
def test_a_subjects_run_is_made_again_exactly_when_something_that_it_reads_changes(
    numbers: list[int], which: int, change: str
) -> None:
    """And what is of a take never hears of the subject's stages."""
    given_takes = takes(1, *numbers)
    before = named(plan(given_takes, SHARED, STAGES))
    shared, stages, after_takes = dict(SHARED), STAGES, list(given_takes)
    at = which % len(given_takes)
    if change in (TEMPLATE, FACE_UNITS):
        shared[change] = "x" * 64
    elif change == "photographs":
        after_takes[at] = TakeInput(given_takes[at].name, given_takes[at].expression, "9" * 64)
    elif change == "fewer":
        after_takes.pop(max(at, 1))
    elif change == "order":
        after_takes = after_takes[::-1]
    else:
        stages = stages_of(FIT)
    after = named(plan(after_takes, shared, stages))
    again = {of for of, run in before.items() if of in after and after[of].key != run.key}
    all_fits = {(take.name, "fit") for take in given_takes}
    of_subject = {("", "rig"), ("", "sheet")}
    wanted = {
        TEMPLATE: all_fits | of_subject,
        FACE_UNITS: of_subject,
        "photographs": of_subject | (all_fits if at == 0 else {(given_takes[at].name, "fit")}),
        "fewer": of_subject,
        "order": set(),
        "stage of the subject": set(),
    }[change]
    assert again == {of for of in wanted if of in after}


def study(codes: Sequence[str], shared: Mapping[str, str], changed: Mapping[str, str]) -> StageRun:
    """The run of a study whose subjects have their photographs by their code, but for those that have others."""
    plans = {}
    for code in codes:
        digest = changed.get(code, code)
        plans[code] = named(plan([TakeInput("1_neutral", "neutral", digest), *takes(2)], shared, STAGES))

    def output(code: str, need: Need) -> StageOutput:
        of = ("1_neutral" if need.of_neutral else "", need.stage)
        return StageOutput(plans[code][of].key, need.output)

    (run,) = plan_over(Scope.STUDY, Parts(codes, output), shared, STAGES)
    return run


CODES = st.lists(st.integers(1, 40).map("S{:03d}".format), min_size=2, max_size=8, unique=True).map(sorted)


@given(CODES, st.integers(0, 7), st.sampled_from(["a subject leaves", "another joins", "retaken", "units", "members"]))
def test_a_studys_run_is_made_again_exactly_when_its_selection_or_a_rig_in_it_changes(
    codes: list[str], which: int, change: str
) -> None:
    shared = {**SHARED, MEMBERS: "m" * 64}
    before = study(codes, shared, {})
    assert study(codes, shared, {}).key == before.key
    assert study(codes, shared, {"S999": "somebody else was retaken"}).key == before.key
    at = codes[which % len(codes)]
    if change == "a subject leaves":
        after = study([code for code in codes if code != at], shared, {})
        its = {source.key for _, of, source in before.sources() if of == at and isinstance(source, StageOutput)}
        assert before.parents - after.parents == its
    elif change == "another joins":
        after = study([*codes, "S500"], shared, {})
    elif change == "retaken":
        after = study(codes, shared, {at: "again"})
    elif change == "units":
        after = study(codes, {**shared, FACE_UNITS: "x" * 64}, {})
    else:
        after = study(codes, {**shared, MEMBERS: "x" * 64}, {})
    assert after.key != before.key
    rigs = before.inputs["rigs"]
    assert isinstance(rigs, EachInput)
    assert [code for code, _ in rigs.items] == codes


def test_files_go_by_label_in_order(tmp_path: Path) -> None:
    folders = {}
    for take in takes(10, 2, 1):
        folders[take.name] = tmp_path / take.name
        folders[take.name].mkdir()
    files = {("", source): tmp_path / source for source in SHARED}
    for (_, source), path in files.items():
        path.write_text(source)
    runs = plan(takes(10, 2, 1), SHARED, STAGES)
    cache = RunCache(tmp_path / "cache")
    execute_runs(runs, STAGES, cache, {(name, TAKE): folder for name, folder in folders.items()} | files)
    made = results_of(runs, cache)[""]["rig"]["made"].path.read_text().splitlines()
    assert made == [
        *("rig", "units face units", "rest fit", "take 1_neutral", "template template"),
        *("meshes/1_neutral fit", "meshes/2_smile fit", "meshes/10_lip_roll fit"),
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (stage("x", Scope.TAKE, {"rig": "rig.made"}), "of a take and needs 'rig' of rig, which is of a subject"),
        (
            stage("x", Scope.SUBJECT, {"model": "model.made"}),
            "of a subject and needs 'model' of model, which is of a st",
        ),
        (stage("x", Scope.SUBJECT, {"mesh": "fit.made"}), "'each:fit.made' or 'neutral:fit.made'"),
        (stage("x", Scope.TAKE, {"mesh": "each:fit.made"}), "write 'fit.made' or 'neutral:fit.made'"),
        (stage("x", Scope.STUDY, {"mesh": "each:fit.made"}), "write 'each:neutral:fit.made'"),
        (stage("x", Scope.STUDY, {"rig": "rig.made"}), "write 'each:rig.made'"),
        (stage("x", Scope.SUBJECT, {"take": TAKE}), "from 'take', which a subject does not have"),
        (stage("x", Scope.TAKE, {"members": MEMBERS}), "from 'members', which a take does not have"),
    ],
)
def test_a_need_that_its_scope_cannot_have_is_refused_and_says_how_it_is_written(wrong: Stage, said: str) -> None:
    with pytest.raises(StageError, match=said):
        in_order({**STAGES, "x": wrong})
