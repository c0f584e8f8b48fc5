"""The reviewed file: proposed by rules, changed and signed by a person, built as it stands or refused by name."""

import tomllib
import uuid
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from db.engine import reading, transaction, utc_now
from db.models import ConsentScope, RunVerdict
from db.release_records.releases import released_before
from db.stage_runs.run_reviews import save_run_review
from db.store import Store
from db.subjects import get_subject, give_consent, withdraw_consent
from processing.release.formats.errors import ReleaseError, SelectionError
from processing.release.studio.export.build import BuildRequest, build_release
from processing.release.studio.selection.release_inputs import StoredFiles
from processing.release.studio.selection.selection import select_takes
from processing.release.studio.selection.selection_file import propose, read_selection, write_selection
from processing.release.studio.selection.selection_rules import Options, Quality, Split, draw_held_back, quality_problem

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
RELEASE, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION


def proposed(studio: Any, path: Path, *, quality: Quality | None = None, split: Split | None = None) -> Path:
    with reading(studio.records.engine) as tx:
        chosen = select_takes(tx, studio.records.store, utc_now().date(), quality=quality)
        published = {earlier.code: earlier.last_version for earlier in released_before(tx, "faces")}
    file = propose(
        "faces", chosen, quality=quality or Quality(), split=split or Split(), options=Options(), published=published
    )
    write_selection(path, file)
    return path


def signed(path: Path) -> Path:
    text = path.read_text().replace('[review]\nby = ""', '[review]\nby = "A. Reviewer"\non = 2026-11-21')
    assert "A. Reviewer" in text
    path.write_text(text)
    return path


def edit(path: Path, *changes: tuple[str, str]) -> Path:
    text = path.read_text()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after, 1)
    path.write_text(text)
    return path


def test_what_was_reviewed_is_what_is_built(studio: Any, tmp_path: Path) -> None:
    codes = [studio.subject(RELEASE) for _ in range(3)]
    path = proposed(studio, tmp_path / "selection.toml", split=Split(1, "x"))
    lines = {line["code"]: line for line in tomllib.loads(path.read_text())["subject"]}
    (held,) = (code for code, line in lines.items() if line["decision"] == "hold_back")
    stays = next(code for code in codes if code != held)
    with pytest.raises(SelectionError, match="not reviewed"):
        build_release(studio.records, "faces", tmp_path / "out", BuildRequest(selection=path))
    signed(edit(path, (f'code = "{stays}"\ndecision = "publish"', f'code = "{stays}"\ndecision = "leave_out"')))
    built = build_release(studio.records, "faces", tmp_path / "out", BuildRequest(selection=path))
    assert set(built.manifest.subjects) == set(codes) - {held, stays}
    assert built.manifest.selection_sha256 == read_selection(path).sha256
    assert "read and signed by A. Reviewer" in (built.folder / "datasheet.md").read_text()
    for name in built.folder.rglob("*"):
        if name.is_file():  # who is held back is nobody's business
            assert held.encode() not in name.read_bytes()


def test_expressions_can_be_left_out_and_photographs_undistorted(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE, PUBLICATION)
    path = signed(proposed(studio, tmp_path / "selection.toml"))
    smile = next(line for line in path.read_text().splitlines() if line.startswith('2_smile = "'))
    edit(path, (smile + "\n", ""), ('photographs = "as_taken"', 'photographs = "none"'))
    built = build_release(studio.records, "faces", tmp_path / "out", BuildRequest(selection=path))
    assert not (built.folder / "img").exists()
    assert not (built.folder / "1/models_reg/2_smile.obj").exists()
    missing = (built.folder / "missing.csv").read_text()
    assert "1,2_smile,1/models_reg/2_smile.obj,left out by the reviewer" in missing
    assert "1,1_neutral,img/1/1_neutral,this release leaves out photographs" in missing


def test_what_no_longer_holds_is_named(studio: Any, tmp_path: Path) -> None:
    gone, renewed, good = (studio.subject(RELEASE) for _ in range(3))
    path = signed(proposed(studio, tmp_path / "selection.toml"))
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, gone))
        withdraw_consent(tx, get_subject(tx, renewed))
        give_consent(tx, get_subject(tx, renewed), RELEASE, date(2026, 5, 5))
        subject = get_subject(tx, good)
        studio.session(tx, subject, ("neutral", "smile"))
    with pytest.raises(SelectionError) as refused:
        build_release(studio.records, "faces", tmp_path / "out", BuildRequest(selection=path))
    text = str(refused.value)
    assert f"{gone}  no research-release consent" in text
    assert f"{renewed}  the records have a consent of 2026-05-05, the file one of 2026-01-02" in text
    assert f"{good} 1_neutral  was processed anew since the review" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ([('code = "S002"', 'code = "S001"')], "subject S001 stands 2 times"),
        ([("research_release = 2026-01-02\n", "")], "subject S001 is to be published, and its consent .* has no date"),
        (
            [('decision = "publish"', 'decision = "publishh"')],
            r"'decision' in \[subject\[0\] S001\] must be",
        ),
        ([("hold_back = 0", "hold_bak = 0")], "unknown field `hold_bak`"),
        ([("format = 1", "format = 9")], "has format 9"),
        ([('name = "faces"', 'name = "other"')], "selects for release 'other'"),
        ([('code = "S002"', 'code = "S777"')], "S777  has nothing that may leave"),
        ([("[review]\n", "[review\n")], "is no selection"),
    ],
)
def test_a_file_that_cannot_be_built(studio: Any, tmp_path: Path, changes: list[tuple[str, str]], wanted: str) -> None:
    studio.subject(RELEASE, expressions=("neutral",))
    studio.subject(RELEASE, expressions=("neutral",))
    path = edit(signed(proposed(studio, tmp_path / "selection.toml")), *changes)
    with pytest.raises(ReleaseError, match=wanted):
        build_release(studio.records, "faces", tmp_path / "out", BuildRequest(selection=path))
    assert not (tmp_path / "out").exists()


def test_a_reviewed_file_is_not_written_over(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE, expressions=("neutral",))
    path = proposed(studio, tmp_path / "selection.toml")
    with pytest.raises(SelectionError, match="not written over"):
        proposed(studio, path)
    with pytest.raises(ReleaseError, match="leave --day and --subject out"):
        build_release(
            studio.records, "faces", tmp_path / "out", BuildRequest(selection=path, day=utc_now().date() - timedelta(1))
        )


def test_quality_rules(studio: Any, tmp_path: Path) -> None:
    code = studio.subject(RELEASE)
    with transaction(studio.records.engine) as tx:
        take = get_subject(tx, code)
        chosen = select_takes(tx, studio.records.store, utc_now().date())
        job = next(t for t in chosen.subjects[0].takes if t.label == "2_smile").runs["scan"].key
        from sqlalchemy import select as sql

        from db.models import Job

        save_run_review(tx, tx.scalars(sql(Job.id).where(Job.key == job)).one(), RunVerdict.REDO, ["holes"], {})
        assert take.code == code
    path = proposed(studio, tmp_path / "selection.toml", quality=Quality(complete=False))
    (line,) = tomllib.loads(path.read_text())["subject"]
    assert list(line["takes"]) == ["1_neutral"]
    assert line["left_out"] == {f"{code}-1-E02-1": "its scan's verdict is redo"}
    strict = proposed(studio, tmp_path / "strict.toml", quality=Quality(complete=True))
    (line,) = tomllib.loads(strict.read_text())["subject"]
    assert (line["decision"], line["why"]) == ("leave_out", "1 of 20 expressions are there")


@pytest.mark.usefixtures("database_url")
def test_each_figure_has_its_rule() -> None:
    report = {"surface_mm": 0.4, "matched": 0.8}
    strict = Quality(max_surface_mm=0.3), Quality(min_matched=0.9), Quality(max_exposure_skew_ms=5.0)
    words = [quality_problem(rule, "accept", report, 6.0) for rule in strict]
    assert ["0.40 mm" in str(words[0]), "80%" in str(words[1]), "6.0 ms" in str(words[2])] == [True] * 3
    assert all(quality_problem(rule, None, {}, None) is None for rule in strict)


@pytest.mark.usefixtures("database_url")
def test_those_held_back_stay_held_back() -> None:
    """Whoever joins later changes the draw by themselves at most, and nobody published is ever drawn."""
    codes = [f"S{n:03d}" for n in range(1, 898)]
    split = Split(50, "faces")
    held = draw_held_back(split, codes, ())
    assert len(held) == 50
    assert held == draw_held_back(split, list(reversed(codes)), ())
    later = draw_held_back(split, [*codes, "S898", "S899"], set(codes) - held)
    assert len(held - later) <= 2
    assert later <= held | {"S898", "S899"}
    assert draw_held_back(Split(50, "other"), codes, ()) != held


def test_a_subject_costs_as_many_questions_however_many_takes_it_has(studio: Any) -> None:
    asked: list[str] = []
    event.listen(studio.records.engine, "before_cursor_execute", lambda _c, _cursor, text, *_: asked.append(text))
    counts = []
    for expressions in (("neutral",), ("neutral", "smile", "anger", "grin", "sadness")):
        code = studio.subject(RELEASE, PUBLICATION, expressions=expressions)
        asked.clear()
        with reading(studio.records.engine) as tx:
            chosen = select_takes(tx, studio.records.store, utc_now().date(), only=[code])
        assert [len(subject.takes) for subject in chosen.subjects] == [len(expressions)]
        counts.append(len(asked))
    assert counts[0] == counts[1]


@pytest.mark.usefixtures("database_url")
def test_a_remote_store_is_listed_and_not_asked_for_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(f"memory://{uuid.uuid4().hex}/store")
    there = [store.put_bytes(bytes([n])) for n in range(40)]
    monkeypatch.setattr(store, "exists", lambda _hash: pytest.fail("asked for one file"))
    filed = StoredFiles(store)
    assert all(sha256 in filed for sha256 in there)
    assert "ab" * 32 not in filed
