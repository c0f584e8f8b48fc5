"""Whatever is done to a release folder is found and named."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from processing.release.formats.errors import ManifestError
from processing.release.formats.manifest import (
    MANIFEST,
    SIDECAR,
    ManifestHead,
    hash_files,
    make_manifest,
    read_manifest,
    write_manifest,
)
from processing.release.formats.release_paths import path_problem
from processing.release.holder.manifest_diff import compare
from processing.release.holder.verify import VerificationFault, verify

PICTURE = "1/models_reg/1_neutral.jpg"
EMPTY = "1/dpmap/empty.bin"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release of 40 files; its manifest's hash is recorded in RECORDED beside it."""
    folder = tmp_path / "faces-1"
    files = {f"mesh/1/{n}_x.ply": bytes([n]) * 70_000 for n in range(37)}
    files |= {PICTURE: os.urandom(300_000), EMPTY: b"", "info_list.txt": b"1 - - 10000\n"}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    manifest = make_manifest(
        folder, files, ManifestHead(name="faces", version=1, consent_day="2026-01-01", subjects=("S001",))
    )
    (tmp_path / "RECORDED").write_text(write_manifest(folder, manifest))
    return folder


def recorded(folder: Path) -> str:
    return (folder.parent / "RECORDED").read_text()


def faults(folder: Path) -> list[tuple[VerificationFault, str]]:
    return [(problem.fault, problem.path) for problem in verify(folder, recorded_sha256=recorded(folder)).problems]


def test_an_untouched_release_is_intact(release: Path) -> None:
    found = verify(release, recorded_sha256=recorded(release))
    assert found.intact
    assert found.manifest is not None
    assert len(found.manifest.files) == 40


def test_the_sidecar_is_what_sha256sum_reads(release: Path) -> None:
    digest, name = (release / SIDECAR).read_text().split()
    assert name == MANIFEST
    assert digest == hashlib.sha256((release / MANIFEST).read_bytes()).hexdigest() == recorded(release)


@pytest.mark.parametrize("at", [0, 150_000, 299_999])
def test_one_changed_byte(release: Path, at: int) -> None:
    with (release / PICTURE).open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    assert faults(release) == [(VerificationFault.CHANGED, PICTURE)]


def _remove(folder: Path) -> None:
    (folder / PICTURE).unlink()


def _append(folder: Path) -> None:
    with (folder / EMPTY).open("ab") as file:
        file.write(b"x")


def _add(folder: Path) -> None:
    (folder / "1" / "models_reg" / "21_wink.jpg").write_bytes(b"")


def _add_deep(folder: Path) -> None:
    (folder / "hidden" / ".x").mkdir(parents=True)
    (folder / "hidden" / ".x" / "y").write_bytes(b"y")


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _link_file(folder: Path) -> None:
    (folder.parent / "elsewhere.jpg").write_bytes((folder / PICTURE).read_bytes())
    (folder / PICTURE).unlink()
    (folder / PICTURE).symlink_to(folder.parent / "elsewhere.jpg")


def _link_folder(folder: Path) -> None:
    (folder / "mesh").rename(folder.parent / "mesh")
    (folder / "mesh").symlink_to(folder.parent / "mesh", target_is_directory=True)


@pytest.mark.parametrize(
    ("harm", "wanted"),
    [
        (_remove, (VerificationFault.MISSING, PICTURE)),
        (_append, (VerificationFault.CHANGED, EMPTY)),
        (_add, (VerificationFault.EXTRA, "1/models_reg/21_wink.jpg")),
        (_add_deep, (VerificationFault.EXTRA, "hidden/.x/y")),
        (_fifo, (VerificationFault.EXTRA, "pipe")),
        (_link_file, (VerificationFault.SYMLINK, PICTURE)),
        (_link_folder, (VerificationFault.SYMLINK, "mesh")),
    ],
)
def test_each_harm_is_named_once(
    release: Path, harm: Callable[[Path], None], wanted: tuple[VerificationFault, str]
) -> None:
    harm(release)
    assert faults(release) == [wanted]


def test_several_harms_are_all_named(release: Path) -> None:
    for harm in (_remove, _append, _add):
        harm(release)
    assert {fault for fault, _ in faults(release)} == {
        VerificationFault.MISSING,
        VerificationFault.CHANGED,
        VerificationFault.EXTRA,
    }


def _edit(folder: Path, change: Callable[[dict[str, object]], None], *, sidecar: bool) -> None:
    value = json.loads((folder / MANIFEST).read_bytes())
    change(value)
    data = json.dumps(value).encode()
    (folder / MANIFEST).write_bytes(data)
    if sidecar:
        (folder / SIDECAR).write_text(f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n")


def test_a_file_changed_together_with_its_entry(release: Path) -> None:
    (release / PICTURE).write_bytes(b"other")

    def agree(value: dict[str, object]) -> None:
        for entry in value["files"]:  # type: ignore[attr-defined]
            if entry["path"] == PICTURE:
                entry |= {"bytes": 5, "sha256": hashlib.sha256(b"other").hexdigest()}

    _edit(release, agree, sidecar=False)
    assert faults(release) == [(VerificationFault.MANIFEST, MANIFEST), (VerificationFault.MANIFEST, MANIFEST)]
    _edit(release, lambda _value: None, sidecar=True)
    assert faults(release) == [(VerificationFault.MANIFEST, MANIFEST)]  # the studio's records still know
    assert verify(release).intact  # who has neither records nor published hash cannot know


@pytest.mark.parametrize(
    "path", ["../outside.txt", "/etc/hostname", "1/../../outside.txt", "C:/x", "a\\b", "a//b", "./a", ""]
)
def test_a_path_that_climbs_is_named_and_not_followed(release: Path, path: str) -> None:
    outside = release.parent / "outside.txt"
    outside.write_bytes(b"outside")

    def climb(value: dict[str, object]) -> None:
        entry = {"path": path, "bytes": 7, "sha256": hashlib.sha256(b"outside").hexdigest()}
        value["files"].append(entry)  # type: ignore[attr-defined]

    _edit(release, climb, sidecar=True)
    assert path_problem(path) is not None
    found = verify(release)
    assert [(problem.fault, problem.path) for problem in found.problems] == [(VerificationFault.PATH, path)]


def test_an_entry_twice(release: Path) -> None:
    _edit(release, lambda value: value["files"].append(value["files"][0]), sidecar=True)  # type: ignore[attr-defined]
    assert [problem.fault for problem in verify(release).problems] == [VerificationFault.PATH]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(note="new key"),
        lambda value: value.update(schema_version=99),
        lambda value: value.update(version="one"),
        lambda value: value.pop("files"),
    ],
)
def test_what_is_no_manifest_is_said(release: Path, change: Callable[[dict[str, object]], None]) -> None:
    _edit(release, change, sidecar=True)
    found = verify(release)
    assert not found.intact
    assert [problem.fault for problem in found.problems] == [VerificationFault.MANIFEST]
    with pytest.raises(ManifestError):
        read_manifest(release)


def test_a_missing_manifest_or_sidecar(release: Path) -> None:
    (release / SIDECAR).write_text("nonsense")
    assert faults(release) == [(VerificationFault.MANIFEST, SIDECAR)]
    (release / MANIFEST).unlink()
    assert faults(release) == [(VerificationFault.MANIFEST, MANIFEST)]
    assert not verify(release.parent / "nowhere").intact


def test_hashes_are_those_of_hashlib(release: Path) -> None:
    names = [path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()]
    for workers in (1, 3):
        found = hash_files(release, [*names, "nowhere"], workers)
        assert isinstance(found.pop("nowhere"), OSError)
        assert found == {n: hashlib.sha256((release / n).read_bytes()).hexdigest() for n in names}


def test_diff_knows_a_renamed_file(release: Path) -> None:
    before, _ = read_manifest(release)
    (release / PICTURE).rename(release / "1/models_reg/2_smile.jpg")
    (release / EMPTY).write_bytes(b"now something")
    (release / "info_list.txt").unlink()
    names = [
        p.relative_to(release).as_posix()
        for p in release.rglob("*")
        if p.is_file() and p.name not in (MANIFEST, SIDECAR)
    ]
    after = make_manifest(
        release, names, ManifestHead(name="faces", version=2, consent_day="2026-01-01", subjects=("S002",))
    )
    found = compare(before, after)
    assert found.moved == ((PICTURE, "1/models_reg/2_smile.jpg"),)
    assert (found.changed, found.removed, found.added) == ((EMPTY,), ("info_list.txt",), ())
    assert (found.subjects_removed, found.subjects_added) == (("S001",), ("S002",))
    assert compare(before, before).same
