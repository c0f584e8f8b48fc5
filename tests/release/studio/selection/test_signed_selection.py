"""What was signed is what is built: whatever happens to a file afterwards, nothing leaves that it does not say."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.engine import reading, utc_now
from db.models import ConsentScope
from db.release_records.releases import GivenConsent, ReleasedCapture, ReleasedRun
from processing.errors import DataError
from processing.release.formats.errors import SelectionError
from processing.release.studio.selection.selection import (
    Photograph,
    SelectedSubject,
    SelectedTake,
    Selection,
    Skipped,
    Waiting,
    select_takes,
)
from processing.release.studio.selection.selection_file import digest, propose, read_selection, write_selection
from processing.release.studio.selection.selection_review import narrowed, require_review
from processing.release.studio.selection.selection_rules import Options, Quality, Split

DAY = utc_now().date()
RELEASE, PUBLICATION, EYES = list(ConsentScope)[:3]
CAPTURE = ReleasedCapture("S001-1", 1, "booth", 1, 1, "board", {}, "default", None, None, None, "not_measured")
RUN = ReleasedRun("reconstruct", 1, {}, "0" * 64, {})
LABELS = ("1_neutral", "2_smile", "3_mouth_stretch")


def take(code: str, number: int, *, photographs: bool) -> SelectedTake:
    """A take that leaves, told from every other by its hashes."""
    hashes = [f"{code} {number} {part}" for part in ("scan", "mesh", "template", "texture", "relief")]
    views = {v: Photograph(f"{code} {number} photograph {v}", None) for v in range(3)} if photographs else {}
    runs = {"scan": RUN, "mesh": RUN, "texture": RUN, "displacement": RUN}
    names = f"{code}-1-E{number + 1:02d}-1", LABELS[number]
    return SelectedTake(number, *names, *hashes, CAPTURE, runs, photographs=views)


def consent(place: int) -> GivenConsent:
    return GivenConsent(date(2026, 3, place + 1), "2026-01", f"{place}" * 64)


def subject(number: int, *scopes: ConsentScope, takes: int = 3) -> SelectedSubject:
    code = f"S{number:03d}"
    shown = PUBLICATION in scopes
    consents = {scope: consent(place) for place, scope in enumerate(scopes)}
    whole = tuple(take(code, n, photographs=shown) for n in range(takes))
    return SelectedSubject(number, code, number, 30, None, shown, LABELS, whole, EYES in scopes, consents)


SUBJECTS = (
    subject(1, RELEASE, PUBLICATION),
    subject(2, RELEASE, PUBLICATION, EYES),
    subject(3, RELEASE),
    subject(4, RELEASE, PUBLICATION, takes=2),
)
MAY = Selection(
    DAY,
    SUBJECTS,
    (Skipped("S004", "S004-1-E03-1", "no displacement yet", "unprocessed", LABELS[2]),),
    waiting={s.code: Waiting(3, 3 - len(s.takes)) for s in SUBJECTS},
    known=frozenset({"S001", "S002", "S003", "S004", "S005"}),
)


def written(path: Path, selection: Selection = MAY, split: Split | None = None) -> Path:
    rules: dict[str, Any] = {"quality": Quality(), "options": Options(photographs="as_taken"), "published": {}}
    write_selection(path, propose("faces", selection, split=split or Split(1, "x"), **rules))
    path.write_text(path.read_text().replace('by = ""\n# on', 'by = "A. Reviewer"\non'))
    return path


def built(path: Path, selection: Selection = MAY) -> Selection:
    """What a build would take of it. Raises SelectionError."""
    return narrowed(selection, require_review(read_selection(path), None, None))


def never_more(result: Selection, text: str, records: Selection) -> None:
    """Nothing leaves that the file does not say, nor that the records do not allow. By the text alone, read anew."""
    said = {line["code"]: line for line in tomllib.loads(text)["subject"]}
    may = {s.code: s for s in records.subjects}
    assert {s.code for s in result.subjects} == {code for code, line in said.items() if line["decision"] == "publish"}
    for chosen in result.subjects:
        line, allowed = said[chosen.code], may[chosen.code]
        assert {t.label for t in chosen.takes} == set(line["takes"])
        assert chosen.publishable == (allowed.publishable and "publication" in line)
        assert chosen.mosaic == (allowed.mosaic or line.get("eyes_mosaicked", False))
        assert line.get("eyes_mosaicked", False) or not allowed.mosaic
        assert line["research_release"] == allowed.consents[RELEASE].day
        assert line.get("publication") in (None, allowed.consents.get(PUBLICATION, GivenConsent(None)).day)
        now = {t.label: t for t in allowed.takes}
        for t in chosen.takes:
            assert bool(t.photographs) == (chosen.publishable and bool(now[t.label].photographs))
            assert replace(t, photographs={}) == replace(now[t.label], photographs={})
            assert line["takes"][t.label] in {digest(now[t.label]), digest(replace(now[t.label], photographs={}))}


def _delete(lines: list[str], at: int, _to: int, _new: str) -> list[str]:
    return lines[:at] + lines[at + 1 :]


def _twice(lines: list[str], at: int, to: int, _new: str) -> list[str]:
    return [*lines[:to], lines[at], *lines[to:]]


def _move(lines: list[str], at: int, to: int, _new: str) -> list[str]:
    return _inserted(_delete(lines, at, 0, ""), lines[at], to)


def _inserted(lines: list[str], line: str, to: int) -> list[str]:
    return [*lines[:to], line, *lines[to:]]


def _edit(lines: list[str], at: int, _to: int, new: str) -> list[str]:
    key, equals, _ = lines[at].partition(" = ")
    return [*lines[:at], f"{key} = {new}" if equals else new, *lines[at + 1 :]]


CHANGES: tuple[Callable[[list[str], int, int, str], list[str]], ...] = (_delete, _twice, _move, _edit)
NEW = st.sampled_from(
    ['"publish"', '"leave_out"', "1999-01-01", "2026-03-01", "2026-03-02", "true", "false", "0", "5", '"S001"', '"x"',
     '"S009"', '"2026-01 0000000000000000"', '"as_taken"', '"none"', '["redo"]', "[subject.takes]", "[[subject]]"]
)  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_changed_line_is_built_as_it_says_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "file.toml"
    path.unlink(missing_ok=True)
    before = [line for line in written(path).read_text().splitlines() if not line.startswith("#")]
    at = data.draw(st.integers(0, len(before) - 1))
    to = data.draw(st.integers(0, len(before)))
    change = data.draw(st.sampled_from(CHANGES))
    text = "\n".join(change(before, at, to, data.draw(NEW))) + "\n"
    path.write_text(text)
    try:
        result = built(path)
    except DataError:
        return
    never_more(result, text, MAY)
    options = tomllib.loads(text)["options"]
    assert set(options) >= {"photographs", "colour", "exr"}  # nothing is taken for its default


def test_every_line_that_is_deleted(tmp_path: Path) -> None:
    """All of them: what leaves gets less, or nothing leaves; and the photographs of whoever lost `publication` stay."""
    before = [line for line in written(tmp_path / "file.toml").read_text().splitlines() if not line.startswith("#")]
    whole = built(tmp_path / "file.toml")
    refused, narrower = [], []
    for at, line in enumerate(before):
        text = "\n".join(_delete(before, at, 0, "")) + "\n"
        (tmp_path / "file.toml").write_text(text)
        try:
            result = built(tmp_path / "file.toml")
        except SelectionError:
            refused.append(line.partition(" = ")[0])
            continue
        never_more(result, text, MAY)
        assert _photographs(result) <= _photographs(whole)
        if result.subjects != whole.subjects:
            narrower.append(line.partition(" = ")[0])
    assert set(narrower) <= {*LABELS, "publication"}
    assert {"code", "decision", "research_release", "research_release_form", "publication_form", "eyes_mosaicked",
            "eyes_mosaicked_form", "judged", "photographs", "colour", "exr", "hold_back", "seed", "complete", "by",
            "on", "day", "name", "format", "[review]", "[options]", "[subject.takes]"} <= set(refused)  # fmt: skip


def _photographs(selection: Selection) -> set[str]:
    return {p.sha256 for s in selection.subjects for t in s.takes for p in t.photographs.values()}


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        (replace(subject(1, RELEASE)), "S001  its consent to publication was withdrawn on 2026-11-27"),
        (
            replace(
                SUBJECTS[0], consents={**SUBJECTS[0].consents, PUBLICATION: GivenConsent(date(2026, 5, 5), "2026-01")}
            ),
            "S001  the records have a consent to publication of 2026-05-05, the file one of 2026-03-02",
        ),
        (
            replace(SUBJECTS[0], consents={**SUBJECTS[0].consents, RELEASE: GivenConsent(date(2026, 3, 1), "2027-01")}),
            "S001  the form of its consent to research_release is '2027-01 -' in the records, '2026-01 0000",
        ),
        (replace(SUBJECTS[0], mosaic=True), "S001  consented with eyes mosaicked; the file says otherwise"),
        (replace(SUBJECTS[0], takes=SUBJECTS[0].takes[:2]), "S001 3_mouth_stretch  may not leave"),
        (
            replace(SUBJECTS[0], takes=(replace(SUBJECTS[0].takes[0], mesh="other"), *SUBJECTS[0].takes[1:])),
            "S001 1_neutral  was processed anew since the review",
        ),
    ],
)
def test_the_true_cause_is_named(tmp_path: Path, now: SelectedSubject, wanted: str) -> None:
    path = written(tmp_path / "file.toml", split=Split())
    day = {"S001": {"publication": date(2026, 11, 27)}}
    records = replace(MAY, subjects=(now, *SUBJECTS[1:]), withdrawn=day)
    with pytest.raises(SelectionError) as refused:
        built(path, records)
    lines = str(refused.value).splitlines()[1:]
    assert len(lines) == 1, lines
    assert lines[0].strip().startswith(wanted)


def test_a_consent_to_publication_that_came_later_lets_no_photograph_out(tmp_path: Path) -> None:
    path = written(tmp_path / "file.toml", split=Split())
    records = replace(MAY, subjects=(*SUBJECTS[:2], subject(3, RELEASE, PUBLICATION), SUBJECTS[3]))
    assert built(path, records).subjects[2].publishable is False
    assert not any(p.startswith("S003") for p in _photographs(built(path, records)))


def test_who_is_not_in_the_file_stays(tmp_path: Path) -> None:
    path = written(tmp_path / "file.toml", replace(MAY, subjects=SUBJECTS[:3], skipped=()), Split())
    result = built(path)
    assert [s.code for s in result.subjects] == ["S001", "S002", "S003"]
    assert ("S004", "is not in the reviewed file") in {(s.subject, s.why) for s in result.skipped}


def test_the_review_names_the_key_that_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "file.toml")
    text = path.read_text()
    for gone, key in ((f"on = {DAY}\n", "`on` (the day"), ('by = "A. Reviewer"\n', "`by` ")):
        path.write_text(text.replace(gone, "" if "on" in gone[:2] else 'by = ""\n'))
        with pytest.raises(SelectionError) as refused:
            built(path)
        assert key in str(refused.value)
    path.write_text(text.replace(f"on = {DAY}", f"on = {DAY + timedelta(days=3)}"))
    with pytest.raises(SelectionError, match="that day is to come"):
        built(path)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_takes_that_are_not_processed_are_counted(studio: Any) -> None:
    """Three accepted takes, one of them processed; and a session that nobody closed."""
    from db.captures import close_session
    from db.engine import transaction
    from db.subjects import get_subject

    code = studio.subject(RELEASE, expressions=("neutral",))
    open_one = studio.subject(RELEASE, expressions=())
    with transaction(studio.records.engine) as tx:
        rig = studio.rows.rig(tx, cameras=studio.views)
        session = studio.rows.session(tx, get_subject(tx, code), rig)
        for name in ("smile", "anger"):
            studio.rows.accepted(tx, session, rig, name, studio.photographs(session.code, name))
        close_session(tx, session, incomplete=True)
        session = studio.rows.session(tx, get_subject(tx, open_one), rig)
        studio.rows.accepted(tx, session, rig, "smile", studio.photographs(session.code, "smile"))
    with reading(studio.records.engine) as tx:
        chosen = select_takes(tx, studio.records.store, DAY)
    assert chosen.waiting == {code: Waiting(3, 2, 0), open_one: Waiting(1, 0, 1)}
    file = propose("faces", chosen, quality=Quality(), split=Split(), options=Options(), published={})
    lines = [(s.code, s.decision, s.accepted, s.not_processed, s.not_closed) for s in file.subject]
    assert lines == [(code, "publish", 3, 2, 0), (open_one, "leave_out", 1, 0, 1)]
