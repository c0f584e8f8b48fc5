"""`mien learn` from a study to weights, with a task of no use in the place of the real ones; and who is in them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine
from toy_study import write_toy_release, write_toy_study
from toy_task import ToyTask
from typer.testing import CliRunner, Result

from db.captures import close_session
from db.engine import open_database, transaction
from db.errors import ConsentError, NotFound
from db.migrations import upgrade
from db.models import ConsentScope
from db.release_records.releases import ReleasedTake, begin_release, complete_release
from db.settings import Settings
from db.subjects import get_subject, withdraw_consent
from processing.commands.learn import app
from processing.commands.learn_records import require_standing
from processing.learning.weights_file import WeightsError
from processing.release.formats.manifest import read_manifest
from processing.release.formats.tombstones import Tombstone
from processing.training import learn as learn_module
from processing.training.face_checks import PARTS
from processing.training.study_faces import StudyError
from processing.training.train_settings import TrainingError


@dataclass(frozen=True)
class RegressorSettings:
    size: str = "full"
    rate: float = 0.5
    folder: str = ""
    epochs: int = 3

    @staticmethod
    def of(size: str) -> "RegressorSettings":
        return RegressorSettings(size=size, epochs=3 if size == "small" else 30)


@dataclass
class Asked:
    """What the command asked the task's module for."""

    calls: list[dict[str, Any]]
    pictured: tuple[str, ...] = ()

    def make_task(self, faces: Any, model: Any, settings: Any, work: Path, **more: Any) -> ToyTask:
        self.calls.append({"faces": faces, "model": model, "settings": settings, "work": work, **more})
        task = ToyTask(seed=more["seed"])
        if self.pictured:
            result = task.result
            task.result = lambda: (result()[0], {"completion": self.pictured})  # type: ignore[method-assign]
        return task


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asked:
    found = Asked([])
    module = SimpleNamespace(
        make_task=found.make_task, RegressorSettings=RegressorSettings, PARTS=frozenset(PARTS), NEEDS_MODEL=False
    )
    monkeypatch.setattr(learn_module, "task_module", lambda _kind: module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIEN_HOME", raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    return found


def run(*words: object, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def trained(study: Path, out: Path, *more: object, status: int = 0) -> Any:
    words = ("regressor", "--release", study, "--out", out, "--size", "small", "--held-back", 0.3, "--threads", 1)
    result = run(*words, "--json", *more, status=status)
    return json.loads(result.stdout) if status == 0 else result


def test_a_study_becomes_weights_with_a_card(asked: Asked, tmp_path: Path) -> None:
    study = write_toy_study(tmp_path / "study", 6)
    said = trained(study, "run", "--set", "rate=0.25", "--set", "folder=/srv/mien/private", "--synthetic")
    (call,) = asked.calls
    assert call["settings"] == RegressorSettings("small", 0.25, "/srv/mien/private", 3)
    assert (call["work"], call["device"], call["seed"]) == (Path("run/data"), "cpu", 0)
    card = said["card"]
    assert call["faces"].subjects == tuple(sorted({*card["subjects"], *card["held_back"]}))
    assert tuple(card["held_back"]) == call["held_back"]
    assert card["settings"] == {"size": "small", "rate": 0.25, "folder": "private", "epochs": 3}
    assert (card["made"]["epochs"], card["release"]["synthetic"], said["recorded"]) == (3, True, None)
    shown = run("show", "run").stdout
    assert "synthetic: figures flatter" in shown
    assert "score untrained" in shown
    assert json.loads(run("show", "run/weights.safetensors", "--json").stdout)["card"] == card
    again = trained(study, "run", "--set", "rate=0.25", "--set", "folder=/srv/mien/private", "--synthetic")
    assert again["card"] == card
    with pytest.raises(TrainingError, match=r"settings\.rate: was 0\.25, now 0\.5"):
        trained(study, "run", "--set", "folder=/srv/mien/private", "--synthetic")
    assert len(asked.calls) == 2  # refused before anything was prepared


def test_lengths_are_the_callers_or_the_sizes(asked: Asked, tmp_path: Path) -> None:  # noqa: ARG001
    study = write_toy_study(tmp_path / "study")
    assert trained(study, "a", "--epochs", 2)["card"]["made"]["epochs"] == 2
    assert trained(study, "b", "--steps", 23)["card"]["made"]["steps"] == 23  # more than the size's three epochs
    assert trained(study, "c", "--steps", 4)["card"]["made"]["steps"] == 4


def test_an_incomplete_subject_is_told_before_anything_is_made_or_left_out(asked: Asked, tmp_path: Path) -> None:
    study = write_toy_study(tmp_path / "study", 5)
    (study / "S002" / "dpmap" / "2_smile.png").unlink()
    with pytest.raises(StudyError, match=r"1 of 5 subjects .*\n  S002: S002/dpmap/2_smile\.png is not there\n"):
        trained(study, "run")
    assert not asked.calls
    said = trained(study, "run", "--skip-incomplete")
    assert said["skipped"] == ["S002"]
    assert "S002" not in {*said["card"]["subjects"], *said["card"]["held_back"]}
    other = trained(study, "other", "--leave-out", "S002", "--leave-out", "S004")
    assert not {"S002", "S004"} & {*other["card"]["subjects"], *other["card"]["held_back"]}
    assert len(asked.calls[-1]["faces"].subjects) == 3
    with pytest.raises(StudyError, match="no subject S77 to leave out"):
        trained(study, "other", "--leave-out", "S77")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--set", "rate"), "'rate' is no setting; write NAME=VALUE"),
        (("--set", "rite=1"), "rite"),
        (("--set", "rate=fast"), "rate"),
        (("--mixed", "float16"), "CUDA"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: tuple[str, ...], says: str, asked: Asked, tmp_path: Path) -> None:
    study = write_toy_study(tmp_path / "study", 2)
    with pytest.raises(Exception, match=says) as raised:
        trained(study, "run", *words)
    assert raised.value.exit_code == 4  # type: ignore[attr-defined]
    assert not asked.calls


def test_stopped_by_ctrl_c_it_says_that_the_same_call_goes_on(asked: Asked, tmp_path: Path) -> None:
    import signal

    study = write_toy_study(tmp_path / "study")
    begin = ToyTask.begin_epoch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyTask, "begin_epoch", lambda task, n: (begin(task, n), signal.raise_signal(signal.SIGINT))[0])
        result = trained(study, "run", status=130)
    assert "stopped after step 1; the same call goes on from there" in result.output
    with pytest.raises(TrainingError, match="the run has not ended"):
        run("show", "run")
    assert trained(study, "run")["card"]["made"]["starts"] == 2
    assert len(asked.calls) == 2


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="mien learn"):
        run("show", tmp_path / "weights")


def test_a_newer_release_names_those_who_withdrew(asked: Asked, tmp_path: Path) -> None:
    trained(write_toy_release(tmp_path / "faces-1"), "run")
    held = json.loads(run("show", "run", "--json").stdout)["card"]["held_back"]
    inside = [n for n in (1, 2, 3, 4) if str(n) not in held]

    def newer(number: int, *stones: Tombstone) -> Path:
        return write_toy_release(tmp_path / f"faces-{number}", version=number, tombstones=stones)

    def gone(index: int, what: Any = "everything", **more: Any) -> Tombstone:
        return Tombstone(f"S{index:03d}", index, 1, what, versions=(1,), **more)

    run("check", "run", "--release", newer(2))
    run(
        "check",
        "run",
        "--release",
        newer(3, gone(int(held[0])), gone(inside[0], "photographs"), gone(inside[0], "eyes")),
    )
    result = run("check", "run", "--release", newer(4, gone(inside[0], "take", takes=("2_smile",))), "--json", status=4)
    (said,) = json.loads(result.stdout)
    assert said["withdrawn"] == [f"S{inside[0]:03d}: expressions 2_smile"]
    assert "delete it in every copy" in said["in_words"]
    result = run("check", "run", "run/weights.safetensors", "--release", newer(5, gone(inside[1])), status=4)
    assert result.stdout.count(f"S{inside[1]:03d}: everything") == 2
    with pytest.raises(StudyError, match="is version 1"):
        run("check", "run", "--release", write_toy_release(tmp_path / "another", 5))
    asked.pictured = (str(inside[0]),)
    trained(tmp_path / "faces-1", "pictures")
    run("check", "pictures", "--release", tmp_path / "faces-3", status=4)
    trained(write_toy_study(tmp_path / "folder"), "of-folder")
    with pytest.raises(StudyError, match="was trained on a folder"):
        run("check", "of-folder", "--release", tmp_path / "faces-2")


@pytest.fixture
def studio(tmp_path: Path, studio_rows: Any, asked: Asked) -> Iterator[tuple[Engine, Path]]:  # noqa: ARG001
    """A studio at the default home whose release faces 1 lies in faces-1, of four subjects who consent."""
    release = write_toy_release(tmp_path / "faces-1")
    settings = Settings.load(None, None)
    settings.make_home()
    engine = open_database(settings.database)
    upgrade(engine)
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        takes = []
        scopes = (ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION, ConsentScope.STATISTICAL_MODEL)
        for _ in range(4):
            session = studio_rows.session(tx, studio_rows.subject(tx, *scopes), rig)
            takes.append(studio_rows.accepted(tx, session, rig, 1))
            close_session(tx, session, incomplete=True)
        row = begin_release(tx, "faces", schema_version=4, consent_day=date(2026, 3, 1), criteria={})
        items = [ReleasedTake(take.session.subject_id, take.id, True, True) for take in takes]
        complete_release(tx, row, read_manifest(release)[1], items)
    yield engine, release
    engine.dispose()


def withdraw(engine: Engine, code: str) -> None:
    with transaction(engine) as tx:
        withdraw_consent(tx, get_subject(tx, code), [ConsentScope.STATISTICAL_MODEL])


def test_a_studio_records_what_was_trained_on_its_release_and_refuses_it_when_somebody_left(
    studio: tuple[Engine, Path], asked: Asked
) -> None:
    engine, release = studio
    assert run("list").stdout.startswith("No weights are recorded")
    said = trained(release, "run")
    assert said["recorded"].startswith("regressor ")
    assert trained(release, "run")["recorded"] == said["recorded"]
    (listed,) = json.loads(run("list", "--json").stdout)
    codes = [f"S{int(index):03d}" for index in said["card"]["subjects"]]
    assert (listed["name"], listed["stands"], listed["subjects"]) == (said["recorded"], True, codes)
    require_standing(Path("run/weights.safetensors"))
    withdraw(engine, codes[0])
    with pytest.raises(ConsentError, match=r"train again \(mien learn regressor\)"):
        require_standing(Path("run/weights.safetensors"))
    assert f"{codes[0]} (consent) on" in run("list").stdout.replace("\n", " ")
    assert "not to be used since" in run("show", "run").stdout.replace("\n", " ")
    count = len(asked.calls)
    with pytest.raises(ConsentError, match=f"{codes[0]} does not consent"):
        trained(release, "again")
    assert len(asked.calls) == count  # before anything was made
    assert trained(release, "again", "--leave-out", said["card"]["subjects"][0])["recorded"]


def test_weights_trained_elsewhere_are_recorded_by_hand(studio: tuple[Engine, Path]) -> None:
    engine, release = studio
    said = trained(release, "run", "--no-record")
    assert said["recorded"] is None
    assert json.loads(run("list", "--json").stdout) == []
    assert "is recorded: trained on" in run("record", "run").stdout
    other = trained(release, "other", "--no-record", "--seed", 3)
    withdraw(engine, f"S{int(other['card']['subjects'][0]):03d}")
    with pytest.raises(ConsentError, match="does not consent to be part of a statistical model"):
        run("record", "other")
    trained(write_toy_study(release.parent / "folder"), "third")
    with pytest.raises(NotFound, match="trained on a folder"):
        run("record", "third")


def test_a_machine_without_a_studio_asks_nobody(asked: Asked, tmp_path: Path) -> None:  # noqa: ARG001
    assert trained(write_toy_release(tmp_path / "faces-1"), "run")["recorded"] is None
    require_standing(Path("run/weights.safetensors"))
    with pytest.raises(Exception, match="studio"):
        run("record", "run")


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(TrainingError, match="nothing to learn called 'oracle'"):
        learn_module.task_module("oracle")
    request = learn_module.LearnRequest("regressor", Path("x"), Path("y"))
    assert replace(request, kind="avatar").kind == "avatar"
