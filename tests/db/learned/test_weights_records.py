"""Weights in the records: of consenting people alone, marked by whatever takes one of them away, never used then."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mien_tests_db_fixtures import events_about
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.captures import close_session
from db.consents.study_settings import StudySettings
from db.engine import reading, transaction
from db.erasure.erasures import erase_subject
from db.erasure.take_withdrawals import withdraw_take
from db.errors import AlreadyThere, ConsentError, NotFound
from db.face_models.model_records import record_model
from db.learned.weights_records import (
    WeightsRecord,
    find_weights,
    record_weights,
    release_of_manifest,
    require_standing,
    require_trainable,
    weights_records,
)
from db.models import ConsentScope, FaceModel, Leaving, Release, Take
from db.release_records.releases import ReleasedTake, begin_release, complete_release
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.job_queue import InputFile, JobSpec, claim, enqueue_all, finish
from db.store import Store
from db.subject_data.consent_receipts import as_text, receipt_of
from db.subject_data.subject_rows import subject_records
from db.subjects import get_subject, give_consent, withdraw_consent

RESEARCH, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION
MODEL, MOSAIC = ConsentScope.STATISTICAL_MODEL, ConsentScope.EYES_MOSAICKED
CODES = ("S001", "S002", "S003")
A, B = "a" * 64, "b" * 64


@dataclass
class Studio:
    engine: Engine
    store: Store
    rows: Any
    takes: list[str]

    def card(self, **more: Any) -> dict[str, Any]:
        return {"kind": "detail", "model": {}, "release": {"name": "faces"}, **more}

    def record(self, *codes: str, sha256: str = A, pictured: tuple[str, ...] = (), **card: Any) -> WeightsRecord:
        with transaction(self.engine) as tx:
            release = release_of_manifest(tx, "faces", 1, B)
            return record_weights(tx, sha256, self.card(**card), release, codes, pictured)

    def found(self, sha256: str = A) -> WeightsRecord:
        with reading(self.engine) as tx:
            record = find_weights(tx, sha256)
        assert record is not None
        return record


@pytest.fixture
def studio(engine: Engine, tmp_path: Path, studio_rows: Any) -> Studio:
    """Three subjects who consent to everything, a take each, in release faces 1."""
    store = Store(str(tmp_path / "store"))
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        taken = []
        for _ in CODES:
            subject = studio_rows.subject(tx, RESEARCH, PUBLICATION, MODEL)
            session = studio_rows.session(tx, subject, rig)
            filed = [f"{subject.code} {camera.name}".encode() for camera in rig.cameras]
            photographs = [(store.put_bytes(data), len(data)) for data in filed]
            taken.append(studio_rows.accepted(tx, session, rig, 1, photographs))
            close_session(tx, session, incomplete=True)
        release = begin_release(tx, "faces", schema_version=4, consent_day=date(2026, 3, 1), criteria={})
        items = [ReleasedTake(take.session.subject_id, take.id, True, True) for take in taken]
        complete_release(tx, release, B, items)
        codes = [take.code for take in taken]
    return Studio(engine, store, studio_rows, codes)


def withdrawn(*scopes: ConsentScope) -> Callable[[Session, Studio], tuple[str, ...]]:
    return lambda tx, _: withdraw_consent(tx, get_subject(tx, "S002"), scopes or tuple(ConsentScope)).weights


def covered(tx: Session, _: Studio) -> tuple[str, ...]:
    give_consent(tx, get_subject(tx, "S002"), MOSAIC, date(2026, 3, 1))
    return ("detail aaaaaaaaaaaa",)


def taken_back(tx: Session, studio: Studio) -> tuple[str, ...]:
    return withdraw_take(tx, "S002", studio.takes[1]).weights


@pytest.mark.parametrize(
    ("leave", "why", "pictured"),
    [
        (withdrawn(), Leaving.CONSENT, False),
        (withdrawn(MODEL), Leaving.CONSENT, False),
        (taken_back, Leaving.TAKE, False),
        (withdrawn(PUBLICATION), Leaving.CONSENT, True),
        (covered, Leaving.CONSENT, True),
    ],
)
def test_whatever_takes_a_subject_away_marks_what_was_trained_on_it_and_nothing_else(
    studio: Studio, leave: Any, why: Leaving, pictured: bool
) -> None:
    made = studio.record(*CODES, pictured=("S002",) if pictured else ())
    assert (made.stands, [s.code for s in made.subjects]) == (True, list(CODES))
    other = studio.record("S001", "S003", sha256="c" * 64, pictured=("S001",))
    with transaction(studio.engine) as tx:
        require_standing(tx, made.sha256)
        assert leave(tx, studio) == ("detail aaaaaaaaaaaa",)
    marked = studio.found()
    assert not marked.stands
    assert [(s.code, s.why) for s in marked.left] == [("S002", why)]
    with reading(studio.engine) as tx:
        with pytest.raises(ConsentError, match=r"not to be used since .* train again \(mien learn detail\)"):
            require_standing(tx, made.sha256)
        require_standing(tx, other.sha256)
        require_standing(tx, "d" * 64)  # of nobody's here
        about = (
            events_about(tx, "take", studio.takes[1]) if why is Leaving.TAKE else events_about(tx, "subject", "S002")
        )
        assert about[-1].detail["in_weights"] == ["detail aaaaaaaaaaaa"]
    assert studio.found("c" * 64).stands


@pytest.mark.parametrize("leave", [withdrawn(PUBLICATION), covered])
def test_weights_without_a_picture_stay_when_pictures_alone_are_withdrawn(studio: Studio, leave: Any) -> None:
    studio.record(*CODES, pictured=("S001",))
    with transaction(studio.engine) as tx:
        leave(tx, studio)
    assert studio.found().stands


def test_a_mark_is_for_good_and_says_when_the_first_left(studio: Studio) -> None:
    studio.record(*CODES)
    with transaction(studio.engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S002"), [MODEL])
    first = studio.found().marked_at
    with transaction(studio.engine) as tx:
        give_consent(tx, get_subject(tx, "S002"), MODEL, date(2026, 3, 1))
        withdraw_consent(tx, get_subject(tx, "S003"), [MODEL])
    record = studio.found()
    assert (record.marked_at, [s.code for s in record.left]) == (first, ["S002", "S003"])


def test_an_erasure_leaves_the_mark(studio: Studio) -> None:
    studio.record(*CODES)
    with transaction(studio.engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S002"))
    # Nobody who is in weights that stand can be erased: an erasure asks that all consents are closed.
    with pytest.raises(ConsentError):
        erase_subject(studio.engine, studio.store, "S001")
    assert erase_subject(studio.engine, studio.store, "S002").finished
    assert [s.code for s in studio.found().left] == ["S002"]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (withdrawn(MODEL), "S002 does not consent to be part of a statistical model"),
        (withdrawn(), "S002 does not consent"),
        (taken_back, "withdrawn since faces 1: build the next version"),
    ],
)
def test_nobody_who_left_before_is_recorded_or_trained_on(studio: Studio, fault: Any, says: str) -> None:
    with transaction(studio.engine) as tx:
        fault(tx, studio)
    with pytest.raises(ConsentError, match=says):
        studio.record(*CODES)
    with reading(studio.engine) as tx:
        with pytest.raises(ConsentError, match=says):
            require_trainable(tx, release_of_manifest(tx, "faces", 1, B), CODES, None)
        assert weights_records(tx) == []
    assert studio.record("S001", "S003").stands


def test_a_picture_of_somebody_who_must_not_be_shown_is_refused(studio: Studio) -> None:
    with transaction(studio.engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S003"), [PUBLICATION])
    with pytest.raises(ConsentError, match="pictures of S003"):
        studio.record(*CODES, pictured=CODES)
    assert studio.record(*CODES, pictured=("S001",)).stands


def test_strangers_other_manifests_and_second_records_are_refused(studio: Studio) -> None:
    with pytest.raises(NotFound, match="does not have S009"):
        studio.record("S001", "S009")
    with reading(studio.engine) as tx:
        with pytest.raises(NotFound, match="another manifest"):
            release_of_manifest(tx, "faces", 1, A)
        with pytest.raises(NotFound):
            release_of_manifest(tx, "faces", 2, B)
    studio.record(*CODES)
    with pytest.raises(AlreadyThere):
        studio.record(*CODES)


def test_who_is_in_the_face_model_is_in_the_weights(studio: Studio) -> None:
    """The photographs that a fit is learned from are drawn of the model: of all its members."""
    file = studio.store.put_bytes(b"a model")
    with transaction(studio.engine) as tx:
        ids = tuple(get_subject(tx, code).id for code in CODES)
        spec = JobSpec(
            key=studio.rows.sha("model"), stage="model", version=1, params={}, subjects=ids,
            inputs=(InputFile("members", file),),
        )  # fmt: skip
        enqueue_all(tx, [spec])
    with transaction(studio.engine) as tx:
        job = claim(tx, "w", stages=["model"])
        assert job is not None
    with transaction(studio.engine) as tx:
        finish(tx, job, [OutputFile("model", file, 7, "application/x-npz")])
        record_model(tx, "faces", 1, spec.key, A, {})
    made = studio.record("S001", model={"sha256": file})
    assert (made.model, [s.code for s in made.subjects]) == ("faces 1", list(CODES))
    with transaction(studio.engine) as tx:
        require_standing(tx, file)
        withdraw_take(tx, "S002", studio.takes[1])
        withdraw_consent(tx, get_subject(tx, "S003"), [MODEL])
    assert [s.code for s in studio.found().left] == ["S002", "S003"]
    with reading(studio.engine) as tx:
        with pytest.raises(ConsentError, match="mien model rebuild faces"):
            require_standing(tx, file)
        with pytest.raises(ConsentError, match="a member left it: mien model rebuild faces, then train"):
            require_trainable(tx, tx.get_one(Release, 1), ["S001"], file)
        assert tx.get_one(FaceModel, 1).marked_at is not None
        assert tx.get_one(Take, 1).code == studio.takes[0]


def test_a_subject_hears_of_the_weights_that_it_is_in(studio: Studio) -> None:
    studio.record(*CODES)
    with transaction(studio.engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S002"), [MODEL])
    with reading(studio.engine) as tx:
        said = as_text(receipt_of(tx, get_subject(tx, "S002"), StudySettings()))
        assert "statistical model detail aaaaaaaaaaaa: you have left it" in said
        (row,) = subject_records(tx, get_subject(tx, "S002")).tables["learned_weights"]
    assert row["sha256"] == A
    assert row["marked_at"] is not None
