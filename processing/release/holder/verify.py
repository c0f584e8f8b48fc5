"""Verification of a release folder: every file, byte for byte, and nothing else."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from processing.release.formats.errors import ManifestError
from processing.release.formats.manifest import (
    MANIFEST,
    OWN,
    SIDECAR,
    Manifest,
    hash_files,
    read_manifest,
    read_sidecar,
)
from processing.release.formats.manifest_signature import check_signature
from processing.release.formats.release_paths import collisions, path_problem
from processing.release.formats.tombstones import Tombstone


class VerificationFault(StrEnum):
    """What can be wrong with a release folder."""

    MANIFEST = "manifest"
    CHANGED = "changed"
    MISSING = "missing"
    EXTRA = "extra"
    PATH = "path"
    SYMLINK = "symlink"
    UNREADABLE = "unreadable"
    SUBJECT = "subject"
    WITHDRAWN = "withdrawn"
    SIGNATURE = "signature"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in words."""

    fault: VerificationFault
    #: Of the file that it is about.
    path: str
    #: For people, after the path.
    why: str


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what is wrong with it."""

    #: Of the release.
    folder: Path
    #: None where there is none to go by.
    manifest: Manifest | None
    #: Of the manifest as it lies there.
    manifest_sha256: str | None
    #: In order of path.
    problems: tuple[Problem, ...]
    #: Files of the manifest that are not here, where only a part of the release was asked for.
    absent: int = 0
    #: The public key whose signature holds; None where none does, or none can be checked.
    signed_by: str | None = None

    @property
    def intact(self) -> bool:
        return self.manifest is not None and not self.problems


def verify(
    folder: Path,
    *,
    recorded_sha256: str | None = None,
    withdrawn: Sequence[Tombstone] = (),
    partial: bool = False,
    signer: str | None = None,
    workers: int | None = None,
) -> Verification:
    """Compare a release folder with its manifest, and the manifest with its sidecar and the recorded hash.

    recorded_sha256: the manifest's hash from the studio's database, or as published.  withdrawn: who has withdrawn
    since, as a newer version or the records say; what of them is here is told.  partial: only a part of the release was
    fetched, so files may be missing.  signer: the public key (or its file) that must have signed the manifest. Never
    raises for what is wrong with the release: everything that is wrong is in `problems`, in order of path.
    """
    try:
        manifest, digest = read_manifest(folder)
    except ManifestError as error:
        return Verification(folder, None, None, (Problem(VerificationFault.MANIFEST, MANIFEST, str(error)),))
    problems = _manifest_problems(folder, digest, recorded_sha256) + _entry_problems(manifest)
    signature = check_signature(folder, manifest, signer)
    problems += [Problem(VerificationFault.SIGNATURE, path, why) for path, why in signature.problems]
    there, found = _walk(folder)
    problems += found
    listed = {entry.path: entry for entry in manifest.files if path_problem(entry.path) is None}
    odd = {problem.path for problem in found}
    gone = [
        path
        for path in listed.keys() - there.keys()
        if path not in odd and not any(path.startswith(f"{other}/") for other in odd)
    ]
    if not partial:
        problems += [
            Problem(VerificationFault.MISSING, path, "is in the manifest and not in the folder") for path in gone
        ]
    problems += _withdrawn_problems(manifest, withdrawn, there)
    problems += [
        Problem(VerificationFault.EXTRA, path, "is in the folder and not in the manifest")
        for path in there.keys() - listed.keys()
    ]
    to_hash: list[str] = []
    for path in sorted(listed.keys() & there.keys()):
        if there[path] == listed[path].bytes:
            to_hash.append(path)
        else:
            problems.append(
                Problem(VerificationFault.CHANGED, path, f"has {there[path]} bytes instead of {listed[path].bytes}")
            )
    for path, hashed in hash_files(folder, to_hash, workers).items():
        if isinstance(hashed, OSError):
            problems.append(Problem(VerificationFault.UNREADABLE, path, f"cannot be read: {hashed.strerror}"))
        elif hashed != listed[path].sha256:
            problems.append(Problem(VerificationFault.CHANGED, path, "has other content than when it was released"))
    found_problems = tuple(sorted(problems, key=lambda p: (p.path, p.fault)))
    absent = len(gone) if partial else 0
    return Verification(folder, manifest, digest, found_problems, absent, signature.signed_by)


def find_newer(folder: Path, manifest: Manifest) -> list[Manifest]:
    """Manifests of later versions of the same release that lie beside the folder."""
    found = []
    try:
        beside = [at for at in folder.absolute().parent.iterdir() if at.name.startswith(f"{manifest.name}-")]
    except OSError:
        return []
    for at in sorted(beside):
        try:
            other, _ = read_manifest(at)
        except ManifestError:
            continue
        if other.name == manifest.name and other.version > manifest.version:
            found.append(other)
    return found


def _withdrawn_problems(manifest: Manifest, withdrawn: Sequence[Tombstone], there: Mapping[str, int]) -> list[Problem]:
    """One a tombstone that is about this version, of which something is here."""
    problems = []
    for tombstone in dict.fromkeys(withdrawn):
        named = tombstone.of_model or tombstone.code in manifest.subjects
        if not named or not tombstone.concerns(manifest.version):
            continue
        files = sum(tombstone.holds(path) for path in there)
        if files:
            places = ", ".join(tombstone.places())
            what = f"subject {tombstone.code} has withdrawn {tombstone.in_words()}"
            if tombstone.of_model:
                what = f"a member has left the face model {tombstone.code}"
                what += f" ({tombstone.next} takes its place)" if tombstone.next else ""
            why = f"{what}: delete {places} ({files} files), in copies too"
            problems.append(Problem(VerificationFault.WITHDRAWN, tombstone.places()[0], why))
    return problems


def _manifest_problems(folder: Path, digest: str, recorded: str | None) -> list[Problem]:
    problems = []
    sidecar = read_sidecar(folder)
    if sidecar is None:
        problems.append(
            Problem(VerificationFault.MANIFEST, SIDECAR, "is missing or holds no hash: the manifest cannot be trusted")
        )
    elif sidecar != digest:
        problems.append(
            Problem(VerificationFault.MANIFEST, MANIFEST, f"was changed: its hash is not the one in {SIDECAR}")
        )
    if recorded is not None and recorded != digest:
        problems.append(
            Problem(VerificationFault.MANIFEST, MANIFEST, "was changed: its hash is not the one the studio recorded")
        )
    return problems


def _entry_problems(manifest: Manifest) -> list[Problem]:
    problems = []
    for entry in manifest.files:
        why = path_problem(entry.path)
        if why is not None:
            problems.append(Problem(VerificationFault.PATH, entry.path, why))
    good = [entry.path for entry in manifest.files if path_problem(entry.path) is None]
    problems += [Problem(VerificationFault.PATH, path, why) for path, why in collisions(good)]
    for code, times in Counter(manifest.subjects).items():
        if times > 1:
            problems.append(Problem(VerificationFault.SUBJECT, MANIFEST, f"names subject {code} {times} times"))
    return problems


def _walk(folder: Path) -> tuple[dict[str, int], list[Problem]]:
    """Files with their sizes, and what is neither file nor folder; links are reported and never followed."""
    sizes: dict[str, int] = {}
    problems: list[Problem] = []
    todo = [""]
    while todo:
        at = todo.pop()
        try:
            with os.scandir(folder / at) as entries:
                for entry in entries:
                    path = f"{at}{entry.name}"
                    if entry.is_symlink():
                        problems.append(
                            Problem(VerificationFault.SYMLINK, path, "is a symbolic link; a release holds files only")
                        )
                    elif entry.is_dir(follow_symlinks=False):
                        todo.append(f"{path}/")
                    elif not entry.is_file(follow_symlinks=False):
                        problems.append(Problem(VerificationFault.EXTRA, path, "is neither a file nor a folder"))
                    elif path not in OWN:
                        sizes[path] = entry.stat(follow_symlinks=False).st_size
        except OSError as error:
            problems.append(Problem(VerificationFault.UNREADABLE, at or ".", f"cannot be read: {error.strerror}"))
    return sizes, problems
