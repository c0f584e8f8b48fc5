"""Whatever becomes of the consents, holders of every version are told all that they must delete, and no more."""

import csv
import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from db import captures
from db.consents.withdrawals import releases_that_show_eyes
from db.engine import reading, transaction, utc_now
from db.erasure.take_withdrawals import withdraw_take
from db.errors import AlreadyThere, ConsentError
from db.models import ConsentScope, Release, ReleaseItem, Take
from db.release_records.releases import ReleasedTake, begin_release, complete_release
from db.subjects import get_subject, give_consent, withdraw_consent
from processing.release.formats.errors import ManifestError, ReleaseError
from processing.release.formats.manifest import MANIFEST, decode_manifest, read_manifest
from processing.release.formats.tombstones import Tombstone
from processing.release.holder.manifest_diff import compare
from processing.release.holder.verify import VerificationFault, verify
from processing.release.studio.export.build import BuildRequest, build_release
from processing.release.studio.selection.selection import select_takes
from processing.release.studio.selection.selection_file import propose, read_selection, write_selection
from processing.release.studio.selection.selection_review import narrowed, require_review
from processing.release.studio.selection.selection_rules import Options, Quality, Split
from processing.release.studio.withdrawals.release_records import find_tombstones, recorded

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
RELEASE, PUBLICATION, EYES = list(ConsentScope)[:3]
DAY = utc_now().date()
LABELS = ("1_neutral", "2_smile")
NAMES = (f"faces{n}" for n in itertools.count())


@dataclass
class Person:
    """What somebody allows, as this test sees it: no code of Mien's judges here."""

    code: str
    takes: list[int]
    allows: set[ConsentScope] = field(default_factory=set)
    masked: bool = False
    taken_back: set[int] = field(default_factory=set)

    def give(self, scope: ConsentScope) -> None:
        self.allows.add(scope)
        if scope in (PUBLICATION, EYES):
            self.masked = scope == EYES

    def withdraw(self, scopes: set[ConsentScope]) -> None:
        self.allows -= scopes | ({EYES} if PUBLICATION in scopes else set())


@dataclass(frozen=True)
class Left:
    """A take in a version."""

    person: Person
    take: int
    photographs: bool
    mosaicked: bool

    def files(self) -> Iterator[tuple[str, bool]]:
        """(path, whether holders must delete it by now)."""
        i, label = int(self.person.code[1:]), LABELS[self.person.takes.index(self.take)]
        all_of_it = RELEASE not in self.person.allows or self.take in self.person.taken_back
        eyes = all_of_it or (self.person.masked and not self.mosaicked)
        pictures = all_of_it or PUBLICATION not in self.person.allows
        yield f"{i}/models_reg/{label}.obj", all_of_it
        yield f"{i}/models_reg/{label}.obj.mtl", all_of_it
        yield f"{i}/models_reg/{label}.jpg", eyes
        yield f"{i}/dpmap/{label}.png", all_of_it
        yield f"mesh/{i}/{label}.ply", eyes
        yield f"meta/{i}/{label}.json", all_of_it
        if self.photographs:
            yield f"img/{i}/{label}/3.jpg", pictures or eyes
            yield f"img/{i}/{label}/params.json", pictures


STEPS = st.lists(
    st.one_of(
        st.just(("release",)),
        st.tuples(st.just("give"), st.integers(0, 1), st.sampled_from(ConsentScope)),
        st.tuples(st.just("withdraw"), st.integers(0, 1), st.sets(st.sampled_from(ConsentScope), min_size=1)),
        st.tuples(st.just("take back"), st.integers(0, 1), st.integers(0, 1)),
    ),
    min_size=4,
    max_size=14,
)


@SQLITE
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_holders_are_told_all_that_they_must_delete(engine: Engine, studio_rows: Any, steps: list[Any]) -> None:
    name = next(NAMES)
    with transaction(engine) as tx:
        people, versions = _people(tx, studio_rows), list[list[Left]]()
        for step in [("give", 0, RELEASE), ("give", 0, PUBLICATION), ("give", 1, RELEASE), ("release",), *steps]:
            tx.expire_all()
            _do(tx, name, step, people, versions)
    with reading(engine) as tx:
        stones = find_tombstones(tx, name, DAY)
        query = select(Release.version, ReleaseItem.take_id).join(ReleaseItem, ReleaseItem.release_id == Release.id)
        marks = tx.execute(query.where(Release.name == name, ReleaseItem.withdrawn_at.is_not(None)))
        marked = {(version, take) for version, take in marks}
    for number, version in enumerate(versions, start=1):
        concerned = [stone for stone in stones if stone.concerns(number)]
        for item in version:
            for path, gone in item.files():
                assert any(stone.holds(path) for stone in concerned) == gone, (number, path, stones)
                assert not gone or (number, item.take) in marked
    assert all(stone.last_version == stone.versions[-1] <= len(versions) for stone in stones)


def _do(tx: Any, name: str, step: Any, people: list[Person], versions: list[list[Left]]) -> None:
    """One step; a withdrawal names every version that holds something that nobody may hold since."""
    if step[0] == "release":
        left = [
            Left(person, take, PUBLICATION in person.allows, person.masked)
            for person in people
            if RELEASE in person.allows
            for take in person.takes
            if take not in person.taken_back
        ]
        versions.append(left)
        _release(tx, name, left)
        return
    person = people[step[1]]
    subject = get_subject(tx, person.code)
    before = [_gone(version) for version in versions]
    told: tuple[str, ...] | None = None
    if step[0] == "give":
        try:
            give_consent(tx, subject, step[2], date(2026, 1, 2))
        except (AlreadyThere, ConsentError):
            return
        person.give(step[2])
        told = releases_that_show_eyes(tx, subject) if step[2] == EYES else None
    elif step[0] == "withdraw":
        try:
            told = withdraw_consent(tx, subject, sorted(step[2])).released
        except ConsentError:
            return
        person.withdraw(step[2])
    else:
        take = person.takes[step[2]]
        if not any(item.take == take for version in versions for item in version):
            return  # it never left: how that is recorded is another table's
        told = withdraw_take(tx, person.code, tx.get_one(Take, take).code).released
        person.taken_back.add(take)
    for number, version in enumerate(versions, start=1):
        assert told is None or _gone(version) <= before[number - 1] or f"{name} {number}" in told


def _gone(version: list[Left]) -> set[str]:
    return {path for item in version for path, gone in item.files() if gone}


def _people(tx: Any, rows: Any) -> list[Person]:
    people = []
    rig = rows.rig(tx)
    for _ in range(2):
        subject = rows.subject(tx)
        session = rows.session(tx, subject, rig)
        takes = [rows.accepted(tx, session, rig, name).id for name in ("neutral", "smile")]
        captures.close_session(tx, session, incomplete=True)
        people.append(Person(subject.code, takes))
    return people


def _release(tx: Any, name: str, left: list[Left]) -> None:
    release = begin_release(tx, name, schema_version=3, consent_day=DAY, criteria={})
    items = []
    for item in left:
        subject_id, label = get_subject(tx, item.person.code).id, LABELS[item.person.takes.index(item.take)]
        shown = item.photographs
        items.append(ReleasedTake(subject_id, item.take, shown, shown, item.mosaicked, label))
    complete_release(tx, release, "a" * 64, items)


def _csv(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


@SQLITE
def test_narrowed_consent_is_told_and_the_next_version_covers_the_eyes(studio: Any, tmp_path: Path) -> None:
    code = studio.subject(RELEASE, PUBLICATION, expressions=("neutral",))
    first = build_release(studio.records, "faces", tmp_path)
    assert verify(first.folder, withdrawn=recorded(studio.records, "faces", 1)[1]).intact
    with transaction(studio.records.engine) as tx:
        give_consent(tx, get_subject(tx, code), EYES, date(2026, 5, 5))
    stones = recorded(studio.records, "faces", 1)[1]
    assert stones == [Tombstone(code, 1, 1, "eyes", (), (1,))]
    (problem,) = verify(first.folder, withdrawn=stones).problems
    assert problem.fault is VerificationFault.WITHDRAWN
    assert (
        "has withdrawn pictures that show the eyes: delete img/1/*/*.jpg, 1/models_reg/*.jpg, mesh/1/*.ply (5 files)"
        in (problem.why)
    )
    for pattern in stones[0].places():
        for path in first.folder.glob(pattern):
            path.unlink()
    assert verify(first.folder, withdrawn=stones, partial=True).intact


@SQLITE
def test_a_version_with_tombstones_alone(studio: Any, tmp_path: Path) -> None:
    code = studio.subject(RELEASE, PUBLICATION, expressions=("neutral",))
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, code))
    with pytest.raises(ReleaseError, match="Nothing may leave"):
        build_release(studio.records, "faces", tmp_path)
    with transaction(studio.records.engine) as tx:
        for scope in (RELEASE, PUBLICATION):
            give_consent(tx, get_subject(tx, code), scope, date(2026, 5, 5))
    first = build_release(studio.records, "faces", tmp_path)
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, code))
    second = build_release(studio.records, "faces", tmp_path)
    assert (second.manifest.subjects, second.version) == ((), 2)
    assert verify(second.folder, recorded_sha256=second.manifest_sha256).intact
    assert _csv(second.folder, "tombstones.csv") == [
        {"index": "1", "code": code, "last_version": "1", "withdrawn": "everything", "expressions": "all",
         "versions": "1", "delete": "1 mesh/1 img/1 meta/1 checks/1.png rigs/1", "next": ""}
    ]  # fmt: skip
    assert f"| {code} | everything | 1 |" in (second.folder / "datasheet.md").read_text()
    changes = compare(first.manifest, second.manifest)
    assert changes.withdrawn == changes.subjects_removed == (code,)
    own = ("1/", "mesh/", "img/", "meta/", "checks/")
    assert changes.delete == tuple(sorted(path for path in first.manifest.by_path if path.startswith(own)))
    third = build_release(studio.records, "faces", tmp_path)  # and it is told for ever
    assert third.manifest.tombstones == second.manifest.tombstones


@SQLITE
def test_a_take_taken_back_is_a_tombstone_and_never_leaves_again(studio: Any, tmp_path: Path) -> None:
    code = studio.subject(RELEASE, PUBLICATION)
    first = build_release(studio.records, "faces", tmp_path)
    with transaction(studio.records.engine) as tx:
        take = tx.scalars(select(Take).where(Take.code == f"{code}-1-E02-1")).one()
        assert withdraw_take(tx, code, take.code).released == ("faces 1",)
    second = build_release(studio.records, "faces", tmp_path)
    assert second.manifest.tombstones == (Tombstone(code, 1, 1, "take", ("2_smile",), (1,)),)
    assert not any("2_smile" in path for path in second.manifest.by_path)
    assert second.manifest.no_longer == ()
    changes = compare(first.manifest, second.manifest)
    assert {path for path in first.manifest.by_path if "2_smile" in path} | {"checks/1.png"} == set(changes.delete)
    (problem,) = verify(first.folder, withdrawn=second.manifest.tombstones).problems
    assert f"subject {code} has withdrawn expressions 2_smile: delete 1/*/2_smile.*, " in problem.why
    with transaction(studio.records.engine) as tx:  # a new consent lets the rest leave, and not this
        withdraw_consent(tx, get_subject(tx, code))
        give_consent(tx, get_subject(tx, code), RELEASE, date(2026, 5, 5))
    third = build_release(studio.records, "faces", tmp_path)
    assert not any("2_smile" in path for path in third.manifest.by_path)
    assert {stone.what for stone in third.manifest.tombstones} == {"take", "photographs"}


@SQLITE
def test_what_is_left_out_is_no_longer_part_and_may_be_kept(studio: Any, tmp_path: Path) -> None:
    stays, leaves = studio.subject(RELEASE, PUBLICATION), studio.subject(RELEASE)
    first = build_release(studio.records, "faces", tmp_path)
    path = tmp_path / "faces.toml"
    with reading(studio.records.engine) as tx:
        chosen = select_takes(tx, studio.records.store, DAY)
    rules: dict[str, Any] = {"quality": Quality(), "split": Split(), "options": Options(), "published": {}}
    write_selection(path, propose("faces", chosen, **rules))
    text = path.read_text().replace('by = ""\n# on', 'by = "A. Reviewer"\non')
    kept = [line for line in text.splitlines() if not line.startswith(("publication", "2_smile"))]
    kept_out = "\n".join(kept).replace(
        f'code = "{leaves}"\ndecision = "publish"', f'code = "{leaves}"\ndecision = "hold_back"'
    )
    path.write_text(kept_out)
    assert narrowed(chosen, require_review(read_selection(path), None, None)).subjects[0].kept_back
    second = build_release(studio.records, "faces", tmp_path, BuildRequest(selection=path))
    assert second.manifest.tombstones == ()
    told = {(gone.code, gone.take, gone.what, gone.why) for gone in second.manifest.no_longer}
    assert told == {
        (stays, "1_neutral", "photographs", "left_out"),
        (stays, "2_smile", "take", "left_out"),
        (leaves, "1_neutral", "take", "left_out"),
        (leaves, "2_smile", "take", "left_out"),
    }
    assert not (second.folder / "img").exists()
    assert (
        "1,1_neutral,img/1/1_neutral,the reviewer kept the photographs back"
        in (second.folder / "missing.csv").read_text()
    )
    rows = _csv(second.folder, "no_longer_part.csv")
    assert {row["why"] for row in rows} == {"left out by the studio"}  # who is held back is nobody's business
    assert verify(first.folder, withdrawn=second.manifest.tombstones).intact
    assert f"{stays} 2_smile: left out by the studio" in compare(first.manifest, second.manifest).no_longer


@SQLITE
def test_a_manifest_of_schema_2_is_read_and_means_every_version(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE, expressions=("neutral",))
    folder = build_release(studio.records, "faces", tmp_path).folder
    value = json.loads((folder / MANIFEST).read_bytes())
    del value["no_longer"]
    older = {"code": "S009", "index": 9, "last_version": 4, "what": "photographs"}
    value |= {"schema_version": 2, "tombstones": [older]}
    manifest = decode_manifest(json.dumps(value).encode(), "it")
    (stone,) = manifest.tombstones
    assert [stone.concerns(version) for version in (1, 4, 5)] == [True, True, False]
    assert (stone.holds("img/9/1_neutral/0.jpg"), stone.holds("9/models_reg/1_neutral.jpg")) == (True, False)
    for later in ({"takes": []}, {"versions": [1]}, {"what": "eyes"}):
        with pytest.raises(ManifestError, match="it was edited"):
            decode_manifest(json.dumps(value | {"tombstones": [older | later]}).encode(), "it")
    with pytest.raises(ManifestError, match="it was edited"):
        decode_manifest(json.dumps(value | {"no_longer": []}).encode(), "it")


@SQLITE
def test_the_newest_version_beside_a_folder_counts(studio: Any, tmp_path: Path) -> None:
    """Who consents again is not named any more, whatever an intermediate version said."""
    from processing.commands.release_holder import _newer

    code, _ = studio.subject(RELEASE, expressions=("neutral",)), studio.subject(RELEASE, expressions=("neutral",))
    build_release(studio.records, "faces", tmp_path)
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, code))
    build_release(studio.records, "faces", tmp_path)
    assert [stone.code for stone in _newer(tmp_path / "faces-1", None)] == [code]
    with transaction(studio.records.engine) as tx:
        give_consent(tx, get_subject(tx, code), RELEASE, date(2026, 5, 5))
    third = build_release(studio.records, "faces", tmp_path)
    assert _newer(tmp_path / "faces-1", None) == []
    shutil.rmtree(tmp_path / "faces-2")
    assert read_manifest(third.folder)[0].subjects == (code, "S002")
