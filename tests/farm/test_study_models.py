"""Models of a study over the records: built of consenting subjects, marked when one leaves, built again without it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import select
from typer.testing import CliRunner

from common.files.hashes import file_sha256
from db.consents.study_settings import StudySettings
from db.engine import reading, transaction
from db.erasure.erasures import erase_subject
from db.erasure.take_withdrawals import withdraw_take
from db.errors import ConsentError, NotFound
from db.face_models.model_records import ModelRecord, model_records, models_of
from db.models import ConsentScope, Job, JobInput, JobState, JobSubject, Take
from db.settings import Settings
from db.stage_runs.job_queue import retry
from db.stage_runs.served_files import served_file
from db.store import Store
from db.studio import StudioRecords
from db.subject_data.consent_receipts import as_text, receipt_of
from db.subject_data.subject_rows import subject_records
from db.subjects import get_subject, give_consent, withdraw_consent
from processing.commands.model_study import selected
from processing.farm import study_model
from processing.farm.daemon import FarmDaemon
from processing.farm.model_names import ModelRefused
from processing.farm.scheduling.missing_runs import models_to_rebuild
from processing.farm.study_model import BuiltModel, ModelSelection, build_model, rebuild_model
from processing.release.formats.errors import SelectionError
from processing.release.studio.selection.selection_file import (
    ModelLine,
    Review,
    SelectionFile,
    SubjectLine,
    judged_by,
    write_selection,
)
from processing.release.studio.selection.selection_rules import Options, Quality, Split

STAGES = tuple(str(Path(__file__).parent / folder) for folder in ("toy_stages", "subject_stages"))
CODES = ("S001", "S002", "S003")


@pytest.fixture
def study(studio: Any, another_session: Any) -> Any:
    """Three subjects whose takes and rigs are made, all of whom may be part of a model."""
    with transaction(studio.engine) as tx:
        for _ in CODES[1:]:
            another_session(tx, studio.store)
        for code in CODES:
            allow(tx, code)
    studio.run(stages=STAGES)
    return studio


def allow(tx: Any, code: str) -> None:
    give_consent(tx, get_subject(tx, code), ConsentScope.STATISTICAL_MODEL, datetime.now(UTC).date())


def records(studio: Any) -> StudioRecords:
    return StudioRecords(Settings.load(studio.home, studio.url), studio.engine, Store(studio.store))


def build(studio: Any, *codes: str, name: str = "faces", **changed: Any) -> BuiltModel:
    settings = studio.settings(stages=STAGES, template=str(studio.template), **changed)
    return build_model(records(studio), settings, name, ModelSelection(dict.fromkeys(codes, ()), "a" * 64), "summarise")


def rebuild(studio: Any, name: str = "faces") -> BuiltModel:
    settings = studio.settings(stages=STAGES, template=str(studio.template))
    return rebuild_model(records(studio), settings, name, "summarise")


def content(studio: Any, built: BuiltModel) -> bytes:
    return bytes(Store(studio.store).open(built.files["model"]).read())


def models(studio: Any) -> list[ModelRecord]:
    with reading(studio.engine) as tx:
        return model_records(tx)


def test_a_model_is_of_its_members_and_its_next_version_holds_nothing_of_one_who_left(study: Any) -> None:
    first = build(study, *reversed(CODES))
    assert first.runs == 1  # the rigs were there
    assert [m.code for m in first.record.members] == list(CODES)
    assert json.loads(content(study, first))["members"] == 3
    with reading(study.engine) as tx:
        job = tx.get_one(Job, first.record.job_id)
        assert (job.take_id, job.subject_id) == (None, None)
        assert len(list(tx.scalars(select(JobSubject).where(JobSubject.job_id == job.id)))) == 3
        labels = list(tx.scalars(select(JobInput.label).where(JobInput.job_id == job.id, JobInput.name == "gathered")))
        assert labels == list(CODES)
        assert served_file(tx, first.files["model"])
    with pytest.raises(ModelRefused, match="faces 1 stands"):
        rebuild(study)
    with transaction(study.engine) as tx:
        done = withdraw_consent(tx, get_subject(tx, "S002"), [ConsentScope.STATISTICAL_MODEL])
    assert done.models == ("faces 1",)
    (marked,) = models(study)
    assert not marked.stands
    assert [(m.code, str(m.why)) for m in marked.left] == [("S002", "consent")]
    with reading(study.engine) as tx:
        with pytest.raises(ConsentError):
            served_file(tx, first.files["model"])
        assert [(m.take, m.why) for m in models_to_rebuild(tx)] == [
            ("faces 1", "S002 left it: mien model rebuild faces")
        ]
    second = rebuild(study)
    assert (second.record.version, second.record.stands) == (2, True)
    assert [record.superseded_by for record in models(study)] == [2, None]
    alone = build(study, "S001", "S003", name="others")
    assert content(study, second) == content(study, alone)  # as if S002 had never been there
    with reading(study.engine) as tx:
        assert [r.version for r in models_of(tx, ["S002"])] == [1]
        kept = subject_records(tx, get_subject(tx, "S002"))
        assert [row["name"] for row in kept.tables["face_model"]] == ["faces"]
        assert not any("summarise" in file.name for file in kept.files)
        said = as_text(receipt_of(tx, get_subject(tx, "S002"), StudySettings()))
        assert "statistical model faces 1: you have left it" in said


def test_a_withdrawn_take_marks_the_model_and_the_next_has_the_rig_without_it(study: Any) -> None:
    build(study, *CODES)
    with transaction(study.engine) as tx:
        done = withdraw_take(tx, "S001", tx.get_one(Take, study.takes[1]).code)
    assert done.models == ("faces 1",)
    second = rebuild(study)
    assert [m.code for m in second.record.members] == list(CODES)
    assert second.record.stands
    assert second.runs == 2  # the rig of S001, and the model


@pytest.mark.parametrize("leaving", [CODES, CODES[1:]])
def test_too_few_who_stay_are_no_next_version_until_they_consent_again(study: Any, leaving: tuple[str, ...]) -> None:
    build(study, *CODES)
    with transaction(study.engine) as tx:
        for code in leaving:
            withdraw_consent(tx, get_subject(tx, code), [ConsentScope.STATISTICAL_MODEL])
    with pytest.raises(ModelRefused, match=f"at least 2 subjects, and {3 - len(leaving)} are chosen"):
        rebuild(study)
    (marked,) = models(study)
    assert not marked.stands
    with transaction(study.engine) as tx:
        for code in leaving[:2]:
            allow(tx, code)
    again = rebuild(study)
    assert (again.record.version, again.record.stands, len(again.record.members)) == (2, True, 5 - len(leaving))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_member_without_its_neutral_is_named_with_the_way_out(study: Any) -> None:
    build(study, *CODES)
    with transaction(study.engine) as tx:
        withdraw_take(tx, "S001", tx.get_one(Take, study.takes[0]).code)
    with pytest.raises(ModelRefused, match=r"S001: (.|\n)*leaves them out: mien release select"):
        rebuild(study)
    without = build(study, *CODES[1:])
    assert (without.record.version, without.record.stands) == (2, True)


def test_an_erased_member_takes_the_model_and_its_list_of_members_along(study: Any) -> None:
    first = build(study, *CODES)
    with reading(study.engine) as tx:
        listed = tx.scalar(
            select(JobInput.sha256).where(JobInput.job_id == first.record.job_id, JobInput.name == "members")
        )
    store = Store(study.store)
    assert listed is not None
    assert store.exists(listed)
    with transaction(study.engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S003"))
    assert erase_subject(study.engine, store, "S003").finished
    assert not store.exists(first.files["model"])
    assert not store.exists(listed)
    (gone,) = models(study)
    assert (gone.job_id, gone.stands, len(gone.members)) == (None, False, 3)
    second = rebuild(study)
    assert [m.code for m in second.record.members] == ["S001", "S002"]


def test_what_stands_in_the_way_is_said_by_code(study: Any) -> None:
    with pytest.raises(NotFound, match="S404"):
        build(study, "S001", "S404")
    with pytest.raises(ModelRefused, match="at least 2 subjects, and 1 are chosen"):
        build(study, "S001")
    with pytest.raises(ModelRefused, match="no name of a model"):
        build(study, "S001", "S002", name="../faces")
    with transaction(study.engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S001"), [ConsentScope.STATISTICAL_MODEL])
        withdraw_consent(tx, get_subject(tx, "S003"), [ConsentScope.STATISTICAL_MODEL])
    with pytest.raises(ConsentError, match="S001, S003 do not consent"):
        build(study, *CODES)
    assert models(study) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_rig_is_of_the_takes_that_the_selection_names(study: Any) -> None:
    chosen = {"S001": ("1_neutral", "2_smile"), "S002": ()}
    settings = study.settings(stages=STAGES, template=str(study.template))
    built = build_model(records(study), settings, "few", ModelSelection(chosen, "b" * 64), "summarise")
    assert built.runs == 2  # a rig of two takes, and the model
    assert built.record.selection["subjects"] == {"S001": ["1_neutral", "2_smile"], "S002": []}
    other = ModelSelection({**chosen, "S001": ("1_neutral", "2_smile", "9_jaw")}, "b" * 64)
    with pytest.raises(ModelRefused, match="S001: 9_jaw of the selection not accepted any more"):
        build_model(records(study), settings, "few", other, "summarise")


def test_who_withdraws_while_it_is_made_stops_it(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(FarmDaemon):
        def run(self, *, until_idle: bool = False) -> Any:
            with transaction(study.engine) as tx:
                done = withdraw_consent(tx, get_subject(tx, "S002"), [ConsentScope.STATISTICAL_MODEL])
                assert done.stopped == 1
                assert retry(tx) == 0
            return super().run(until_idle=until_idle)

    monkeypatch.setattr(study_model, "FarmDaemon", Interrupted)
    with pytest.raises(ModelRefused, match="the subject withdrew its consent"):
        build(study, *CODES)
    assert models(study) == []


@pytest.mark.parametrize("what", ["the consent", "a take"])
def test_what_is_withdrawn_between_the_run_and_its_record_is_in_no_model(
    study: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    class Finished(FarmDaemon):
        def run(self, *, until_idle: bool = False) -> Any:
            summary = super().run(until_idle=until_idle)
            with transaction(study.engine) as tx:
                if what == "a take":
                    withdraw_take(tx, "S001", tx.get_one(Take, study.takes[1]).code)
                else:
                    withdraw_consent(tx, get_subject(tx, "S001"), [ConsentScope.STATISTICAL_MODEL])
            return summary

    with monkeypatch.context() as patch:
        patch.setattr(study_model, "FarmDaemon", Finished)
        with pytest.raises(ConsentError, match="S001"):
            build(study, *CODES)
    assert models(study) == []
    again = build(study, *(CODES if what == "a take" else CODES[1:]))  # of what is left
    assert (again.record.version, again.record.stands) == (1, True)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_takes_that_are_not_processed_are_named(studio: Any, another_session: Any) -> None:
    with transaction(studio.engine) as tx:
        another_session(tx, studio.store)
        allow(tx, "S001")
        allow(tx, "S002")
    studio.order("poison-2_smile")
    studio.farm(stages=STAGES).plan_once()
    with pytest.raises(ModelRefused, match="S001: waits for 3 of 3 expressions: 1_neutral"):
        build(studio, "S001", "S002")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_call_that_was_interrupted_before_its_record_goes_on(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study_model, "record_model", killed)
        with pytest.raises(KeyboardInterrupt):
            build(study, *CODES)
    assert models(study) == []
    again = build(study, *CODES)
    assert (again.runs, again.record.version) == (0, 1)
    with reading(study.engine) as tx:
        assert tx.scalars(select(Job.state).where(Job.stage == "summarise")).all() == [JobState.DONE]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_commands_say_who_is_in_which_version_and_who_left(study: Any) -> None:
    from processing.commands.model import app

    where = ["--home", str(study.home), "--database", study.url]
    build(study, *CODES)
    with transaction(study.engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S002"), [ConsentScope.STATISTICAL_MODEL])
    listed = CliRunner().invoke(app, ["list", *where, "--json"])
    (said,) = json.loads(listed.stdout)
    assert (said["name"], said["version"], said["stands"]) == ("faces", 1, False)
    assert said["members"] == list(CODES)
    assert [(left["code"], left["why"]) for left in said["left"]] == [("S002", "consent")]
    shown = CliRunner().invoke(app, ["status", "faces", *where])
    assert "S002 (consent)" in shown.stdout
    assert "mien model rebuild faces" in shown.stdout
    unknown = CliRunner().invoke(app, ["status", "others", *where])
    assert isinstance(unknown.exception, NotFound)
    neither = CliRunner().invoke(app, ["build", "faces", *where])
    assert isinstance(neither.exception, ModelRefused)


def test_a_selection_gives_its_published_subjects_with_their_takes(tmp_path: Path) -> None:
    day = datetime.now(UTC).date()
    rules = (Quality(), Split())
    lines = (
        SubjectLine(code="S001", decision="publish", research_release=day, takes={"1_neutral": "x", "2_smile": "y"}),
        SubjectLine(code="S002", decision="hold_back", research_release=day, takes={"1_neutral": "x"}),
        SubjectLine(code="S003", decision="leave_out"),
    )
    file = SelectionFile(1, "faces", day, judged_by(*rules), Review(), *rules, Options(), lines)
    write_selection(tmp_path / "selection.toml", file)
    takes, sha256 = selected(tmp_path / "selection.toml")
    assert takes == {"S001": ("1_neutral", "2_smile")}
    assert sha256 == file_sha256(tmp_path / "selection.toml")
    twice = (ModelLine("faces", 1, "publish"), ModelLine("faces", 1, "publish"), ModelLine("faces", 2, "leave_out"))
    write_selection(tmp_path / "twice.toml", replace(file, model=twice))
    with pytest.raises(SelectionError, match="model faces stands 2 times"):
        selected(tmp_path / "twice.toml")
