"""Only what may leave leaves; a release is whole in its folder and complete in the records, or not there at all."""

import json
import shutil
import threading
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy.exc import IntegrityError

from db.captures import close_session, get_take
from db.engine import reading, transaction, utc_now
from db.errors import ConsentError, RottenObject, StateConflict
from db.models import ConsentScope, ReleaseState
from db.release_records.releases import begin_release, list_releases, releases_of_subject
from db.subjects import get_subject, give_consent, withdraw_consent
from processing.files.obj import read_obj
from processing.files.ply import read_ply
from processing.files.take_folder import read_take
from processing.release.formats.errors import ReleaseError
from processing.release.holder.manifest_diff import compare
from processing.release.holder.verify import verify
from processing.release.reader import refused_pictures
from processing.release.studio.export import build as build_module
from processing.release.studio.export.build import BuildRequest, build_release
from processing.release.studio.withdrawals.release_records import recorded

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
RELEASE, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION


def _tree(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def _releases(out: Path) -> list[Path]:
    """What looks like a release; what an interrupted build keeps for the next one has a hidden name."""
    return [p for p in out.iterdir() if not p.name.startswith(".")]


def test_the_layout_is_facescapes(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE, PUBLICATION)
    built = build_release(studio.records, "faces", tmp_path / "out")
    takes = ("1_neutral", "2_smile")
    wanted = {
        "manifest.json", "manifest.json.sha256", "info_list.txt", "publishable_list.txt", "subjects.csv", "missing.csv",
        "datasheet.md", "conventions.json", "croissant.json", "histogram.svg", "LICENCE.txt", "takes.csv",
        "mosaicked_list.txt", "tombstones.csv", "no_longer_part.csv", "README.md", "datacite.json",
        "Rt_scale_dict.json", "calibrations/1-1.json", "checks/1.png", "release.pub", "manifest.json.minisig",
    }  # fmt: skip
    wanted |= {f"topology/{studio.template[:12]}{end}" for end in (".json", ".npz", "_landmarks.png")}
    wanted |= {f"predef/{name}" for name in ("landmark_indices.npz", "landmark_indices.txt")}
    wanted |= {f"predef/facial_mask_{version}.png" for version in ("v10", "v16")}
    wanted |= {f"predef/{name}.npy" for name in ("sym_dict", "sym_dict_old")}
    wanted |= {f"meta/1/{take}.json" for take in takes}
    wanted |= {f"1/models_reg/{take}{end}" for take in takes for end in (".obj", ".obj.mtl", ".jpg")}
    wanted |= {f"1/dpmap/{take}.png" for take in takes} | {f"mesh/1/{take}.ply" for take in takes}
    wanted |= {f"img/1/{take}/{name}" for take in takes for name in ("0.jpg", "1.jpg", "2.jpg", "params.json")}
    assert _tree(built.folder) == wanted
    assert built.folder == tmp_path / "out" / "faces-1"
    assert {entry.path for entry in built.manifest.files} == {
        path for path in wanted if not path.startswith("manifest.json")
    }
    assert recorded(studio.records, "faces", 1)[0] == built.manifest_sha256
    assert verify(built.folder, recorded_sha256=built.manifest_sha256).intact


@SQLITE
def test_code_that_knows_the_layout_reads_it(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE, PUBLICATION)
    folder = build_release(studio.records, "faces", tmp_path).folder
    meshes = [read_obj(folder / "1" / "models_reg" / f"{take}.obj") for take in ("1_neutral", "2_smile")]
    for mesh in meshes:
        np.testing.assert_array_equal(mesh.triangles, studio.mesh.triangles)
        np.testing.assert_allclose(mesh.uvs, studio.mesh.uvs, atol=1e-6)
    assert np.abs(meshes[0].vertices_mm - meshes[1].vertices_mm).max() > 0
    material = (folder / "1" / "models_reg" / "1_neutral.obj.mtl").read_text()
    assert "1_neutral.jpg" in material
    assert len(read_ply(folder / "mesh" / "1" / "1_neutral.ply").vertices_mm) == len(studio.mesh.vertices_mm)
    with Image.open(folder / "1" / "dpmap" / "2_smile.png") as image:
        assert np.asarray(image).max() > 255
    params = json.loads((folder / "img" / "1" / "1_neutral" / "params.json").read_text())
    assert len(params) == 9 * 3
    assert (params["2_width"], params["2_height"], params["2_sn"], params["2_valid"]) == (8, 12, "serial-2", True)
    with pytest.raises(Exception, match="6"):  # three cameras are too few for a scan, and the reader says just that
        read_take(folder / "img" / "1" / "1_neutral")


@SQLITE
def test_the_texts_say_who_and_what(studio: Any, tmp_path: Path) -> None:
    first, second = studio.subject(RELEASE, PUBLICATION), studio.subject(RELEASE)
    with transaction(studio.records.engine) as tx:
        subject = get_subject(tx, first)
        subject.age, subject.gender, subject.job = 34, "female", "a secret occupation"
    folder = build_release(studio.records, "faces", tmp_path).folder
    assert (folder / "info_list.txt").read_text() == "1 f 34 01111\n2 - - 01111\n"
    assert (folder / "publishable_list.txt").read_text() == "1\n"
    assert refused_pictures(folder) == ({"2"}, "release faces-1")
    assert refused_pictures(tmp_path) == (frozenset(), "folder")
    assert f"2,{second},,,false,false,2" in (folder / "subjects.csv").read_text()
    missing = (folder / "missing.csv").read_text().splitlines()
    assert '1,3_mouth_stretch,1/dpmap/3_mouth_stretch.png,"not captured, or not accepted"' in missing
    assert "2,1_neutral,img/2/1_neutral,no consent to publish photographs" in missing
    assert "1,1_neutral,1/dpmap/1_neutral.exr,its displacement was baked without one" in missing
    datasheet = (folder / "datasheet.md").read_text()
    assert "| 30-39 | 1 | 0 | 0 | 0 | 1 |" in datasheet
    assert "| not said | 0 | 0 | 0 | 1 | 1 |" in datasheet
    conventions = json.loads((folder / "conventions.json").read_text())
    assert (conventions["displacement"]["scale_mm"], conventions["displacement"]["midpoint"]) == (5.0, 32768)
    assert "scale_mm = 5.0, midpoint = 32768" in datasheet
    for name in _tree(folder):
        assert b"secret occupation" not in (folder / name).read_bytes()


@SQLITE
def test_the_croissant_validates_and_loads(studio: Any, tmp_path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlcroissant = pytest.importorskip("mlcroissant")
        studio.subject(RELEASE, PUBLICATION)
        folder = build_release(studio.records, "faces", tmp_path).folder
        dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
        assert not dataset.metadata.ctx.issues.errors
        assert not dataset.metadata.ctx.issues.warnings
        records = list(dataset.records(record_set="subjects"))
    assert [record["subjects/index"] for record in records] == [1]
    assert records[0]["subjects/code"] == b"S001"


def test_the_consent_gate(studio: Any, tmp_path: Path) -> None:
    today = utc_now().date()
    good = studio.subject(RELEASE, PUBLICATION)
    only_release = studio.subject(RELEASE)
    stays = {
        studio.subject(): "never asked",
        studio.subject(PUBLICATION): "not for release",
        studio.subject(RELEASE, PUBLICATION): "dated tomorrow",
        studio.subject(RELEASE, PUBLICATION): "withdrawn",
    }
    code_of = {why: code for code, why in stays.items()}
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, code_of["withdrawn"]))
        # As a place further east dates it: which day that may be depends on the hour.
        for consent in get_subject(tx, code_of["dated tomorrow"]).consents:
            consent.given_on = today + timedelta(days=1)
    built = build_release(studio.records, "faces", tmp_path)
    assert built.manifest.subjects == (good, only_release)
    assert {skipped.subject for skipped in built.skipped} == stays.keys()
    names = _tree(built.folder)
    assert {name.split("/")[1] for name in names if name.startswith("img/")} == {"1"}
    text = b"".join(
        (built.folder / name).read_bytes() for name in names if name.endswith((".json", ".csv", ".txt", ".md"))
    )
    for code in stays:
        assert code.encode() not in text
    with reading(studio.records.engine) as tx:
        assert [r.name for r in releases_of_subject(tx, get_subject(tx, good))] == ["faces"]
        assert all(releases_of_subject(tx, get_subject(tx, code)) == [] for code in stays)


@SQLITE
def test_naming_a_subject_does_not_open_the_gate(studio: Any, tmp_path: Path) -> None:
    code = studio.subject()
    with pytest.raises(ReleaseError, match=f"{code}.*no research-release consent"):
        build_release(studio.records, "faces", tmp_path, BuildRequest(subjects=[code]))
    with pytest.raises(ReleaseError, match="S404"):
        build_release(studio.records, "faces", tmp_path, BuildRequest(subjects=["S404"]))
    with pytest.raises(ReleaseError, match="not yet over"):
        build_release(studio.records, "faces", tmp_path, BuildRequest(day=date(2999, 1, 1)))
    assert _tree(tmp_path / "out") == set()


@SQLITE
def test_consent_given_later_does_not_reach_back(studio: Any, tmp_path: Path) -> None:
    code = studio.subject()
    with transaction(studio.records.engine) as tx:
        give_consent(tx, get_subject(tx, code), RELEASE, date(2026, 3, 1))
    with pytest.raises(ReleaseError, match="valid on 2026-02-28"):
        build_release(studio.records, "faces", tmp_path, BuildRequest(day=date(2026, 2, 28)))
    assert build_release(studio.records, "faces", tmp_path, BuildRequest(day=date(2026, 3, 1))).version == 1


@SQLITE
def test_a_withdrawal_makes_the_next_version(studio: Any, tmp_path: Path) -> None:
    leaves, stays = studio.subject(RELEASE), studio.subject(RELEASE)
    first = build_release(studio.records, "faces", tmp_path)
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, leaves))
    second = build_release(studio.records, "faces", tmp_path)
    assert (first.version, second.version) == (1, 2)
    found = compare(first.manifest, second.manifest)
    assert (found.subjects_removed, found.subjects_added) == ((leaves,), ())
    assert all(path.startswith(("1/", "mesh/1/", "meta/1/", "checks/1.png")) for path in found.removed)
    assert not any(path.startswith(("2/", "mesh/2/")) for path in (*found.added, *found.changed))
    assert second.manifest.subjects == (stays,)
    assert verify(first.folder, recorded_sha256=recorded(studio.records, "faces", 1)[0]).intact
    with pytest.raises(ConsentError), transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, leaves))


def test_a_withdrawal_during_the_build_stops_it(studio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = studio.subject(RELEASE)
    export = build_module.export

    def withdraw_meanwhile(*arguments: Any, **more: Any) -> Any:
        with transaction(studio.records.engine) as tx:
            withdraw_consent(tx, get_subject(tx, code))
        return export(*arguments, **more)

    monkeypatch.setattr(build_module, "export", withdraw_meanwhile)
    with pytest.raises(ReleaseError, match=f"Consent of {code} changed"):
        build_release(studio.records, "faces", tmp_path / "out")
    assert _releases(tmp_path / "out") == []


def test_a_failed_build_leaves_nothing_and_frees_the_number(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE)
    store = studio.records.store
    (scan,) = {s for s in store if store.local_path(s).read_bytes().startswith(b"ply") and _first_scan(store, s)}
    place = store.local_path(scan)
    content = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(content[:-1] + b"?")
    with pytest.raises(RottenObject):
        build_release(studio.records, "faces", tmp_path / "out")
    assert _releases(tmp_path / "out") == []
    place.write_bytes(content)
    assert build_release(studio.records, "faces", tmp_path / "out").version == 1
    with reading(studio.records.engine) as tx:
        assert [r.state for r in list_releases(tx)] == [ReleaseState.FAILED, ReleaseState.COMPLETE]


@SQLITE
def test_two_subjects_of_one_number_are_refused_and_nothing_is_built(studio: Any, tmp_path: Path) -> None:
    """Equal codes the records refuse; S0001 and S001 would share folder 1."""
    one, other = studio.subject(RELEASE), studio.subject(RELEASE)
    with pytest.raises(IntegrityError), transaction(studio.records.engine) as tx:
        get_subject(tx, other).code = one
    with transaction(studio.records.engine) as tx:
        get_subject(tx, other).code = "S0001"
    with pytest.raises(ReleaseError, match=f"{one} and S0001 would share folder 1"):
        build_release(studio.records, "faces", tmp_path / "out")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    with reading(studio.records.engine) as tx:
        assert not [r for r in list_releases(tx) if r.state == ReleaseState.COMPLETE]


def _first_scan(store: Any, sha256: str) -> bool:
    scans = sorted(s for s in store if store.local_path(s).read_bytes().startswith(b"ply"))
    return sha256 == scans[0]


@SQLITE
def test_a_build_that_cannot_be_recorded_leaves_no_folder(
    studio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.subject(RELEASE)

    def broken(*_arguments: Any) -> None:
        raise RuntimeError("the database went away")

    monkeypatch.setattr(build_module, "complete_release", broken)
    with pytest.raises(RuntimeError, match="went away"):
        build_release(studio.records, "faces", tmp_path / "out")
    assert _releases(tmp_path / "out") == []


@SQLITE
def test_a_folder_in_the_way_is_never_touched(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE)
    (tmp_path / "faces-1").mkdir()
    (tmp_path / "faces-1" / "mine.txt").write_text("mine")
    with pytest.raises(ReleaseError, match="move it away"):
        build_release(studio.records, "faces", tmp_path)
    assert _tree(tmp_path / "faces-1") == {"mine.txt"}
    with pytest.raises(ReleaseError, match="cannot name a release"):
        build_release(studio.records, "../faces", tmp_path)


def test_two_builds_at_once(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE)
    with transaction(studio.records.engine) as tx:
        begin_release(tx, "faces", schema_version=1, consent_day=date(2026, 1, 1), criteria={})
    with pytest.raises(StateConflict, match="--abandon"):
        build_release(studio.records, "faces", tmp_path / "out")
    assert build_release(studio.records, "faces", tmp_path / "out", abandon=True).version == 1
    start, outcomes = threading.Barrier(2), []

    def build(out: str) -> None:
        start.wait()
        try:
            outcomes.append(build_release(studio.records, "faces", tmp_path / out).version)
        except StateConflict:
            outcomes.append(0)

    threads = [threading.Thread(target=build, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) in ([0, 2], [2, 3])


@SQLITE
def test_takes_that_are_not_whole_stay(studio: Any, tmp_path: Path) -> None:
    code = studio.subject(RELEASE, expressions=("neutral",))
    with transaction(studio.records.engine) as tx:
        subject = studio.rows.subject(tx, RELEASE)
        rig = studio.rows.rig(tx)
        session = studio.rows.session(tx, subject, rig)
        take = studio.rows.accepted(tx, session, rig, "neutral")
        studio.process(tx, take, until="texture")
        close_session(tx, session, incomplete=True)
    built = build_release(studio.records, "faces", tmp_path)
    assert built.manifest.subjects == (code,)
    assert [(s.take, s.why) for s in built.skipped] == [(take.code, "no displacement yet; see: mien farm graph")]


@SQLITE
def test_files_belong_together_by_lineage(studio: Any, tmp_path: Path) -> None:
    """A later version of the stages that got half way must not lend its scan to the earlier one's mesh."""
    studio.subject(RELEASE, expressions=("neutral",))
    first = build_release(studio.records, "faces", tmp_path)
    with transaction(studio.records.engine) as tx:
        studio.process(tx, get_take(tx, "S001-1-E01-1"), until="texture", version=2)
    second = build_release(studio.records, "faces", tmp_path)
    assert compare(first.manifest, second.manifest).changed in (
        (),
        ("README.md", "croissant.json", "datacite.json", "datasheet.md"),
    )
    with transaction(studio.records.engine) as tx:
        subject = get_subject(tx, "S001")
        studio.session(tx, subject, ("neutral",))
    third = build_release(studio.records, "faces", tmp_path)
    assert "mesh/1/1_neutral.ply" in compare(second.manifest, third.manifest).changed
    assert [(s.take, s.why) for s in third.skipped] == [("S001-1-E01-1", "a newer session of this subject is released")]


@SQLITE
def test_a_file_gone_from_the_store_keeps_its_take(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE, expressions=("neutral",))
    shutil.rmtree(studio.records.store.local_path(studio.template).parent)
    with pytest.raises(ReleaseError, match="the store lacks"):
        build_release(studio.records, "faces", tmp_path)


@SQLITE
def test_the_same_day_gives_the_same_bytes(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE, PUBLICATION)
    day = utc_now().date()
    one = build_release(studio.records, "one", tmp_path, BuildRequest(day=day))
    two = build_release(studio.records, "two", tmp_path, BuildRequest(day=day))
    assert set(compare(one.manifest, two.manifest).changed) == {
        "README.md", "croissant.json", "datacite.json", "datasheet.md"
    }  # they say its name  # fmt: skip


@SQLITE
def test_displacement_maps_of_two_scales_are_not_mixed(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE)
    studio.relief_scale_mm = 2.5
    code = studio.subject(RELEASE)
    with pytest.raises(ReleaseError, match=f"{code}-1-E01-1 has scale 2.5 mm .* earlier ones 5.0 mm"):
        build_release(studio.records, "faces", tmp_path / "out")
    assert _releases(tmp_path / "out") == []
