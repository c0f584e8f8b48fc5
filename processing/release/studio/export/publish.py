"""Publication of a release, as the places want it that hand data out: a web server's folder, Hugging Face, Zenodo.

No network is used. The release is verified first, byte by byte; what somebody has withdrawn since is never made ready.
The manifest goes along everywhere, so that whoever fetches can check what came.

folder        the release as it is: any web server in front of it will do, or `mien release serve`
huggingface   the same with .gitattributes for large files; a release of more files than the Hub takes is packed
zenodo        one level of files: an archive a subject, one of what is shared, lists and texts beside them, and what the
              record says of itself in zenodo.json for the REST API
"""

import html
import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from common.guarding.file_modes import share_with_others
from common.progress import Progress, no_progress
from processing.release.formats.errors import ReleaseError
from processing.release.formats.manifest import MANIFEST, Manifest
from processing.release.formats.released_files import CONVENTIONS, DATACITE, LAYOUT, LICENCE, MODEL, SHARED_FILES

FOLDER, HUGGINGFACE, ZENODO = "folder", "huggingface", "zenodo"
TARGETS = (HUGGINGFACE, ZENODO)
# What the places take: huggingface.co/docs/hub/storage-limits, help.zenodo.org/docs/deposit/manage-files.
HUB_FILES, HUB_FILES_A_FOLDER = 90_000, 10_000
ZENODO_FILES, ZENODO_BYTES = 100, 50_000_000_000
_BESIDE = {file.path for file in SHARED_FILES if file.beside_archives}
_LARGE = ("*.obj", "*.ply", "*.exr", "*.png", "*.jpg", "*.npz", "*.npy", "*.zip")
_MOMENT = (1980, 1, 1, 0, 0, 0)  # equal content, equal archive
_STORED = {".jpg", ".png", ".exr", ".npz"}  # compressed as they are


@dataclass(frozen=True)
class Published:
    """A release made ready for the place that will hand it out."""

    folder: Path
    #: How many there are in the folder.
    files: int
    #: Of all of them.
    bytes: int
    #: Whether subjects are archives there.
    packed: bool
    #: What a person does next.
    todo: tuple[str, ...]


def publish(
    release: Path,
    manifest: Manifest,
    target: str,
    out: Path,
    *,
    ungated: bool = False,
    progress: Progress = no_progress,
) -> Published:
    """Make `out` out of a verified release. ungated: free for everybody, which is for synthetic subjects alone.

    Raises ReleaseError when `out` is there, for real people who would be free for everybody, and for what the place
    does not take.
    """
    synthetic = is_synthetic_release(release)
    if ungated and not synthetic:
        raise ReleaseError(
            f"{release} holds real people: it cannot be ungated. For a sample that everybody may have, build a release "
            "of synthetic subjects (mien demo makes one)"
        )
    if out.exists():
        raise ReleaseError(f"{out} is there already; name another --out, or remove it")
    building = out.with_name(f".{out.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        make: Callable[[Path, Manifest, Path, bool, Progress], tuple[bool, tuple[str, ...]]]
        make = {FOLDER: _folder, HUGGINGFACE: _huggingface, ZENODO: _zenodo}[target]
        packed, todo = make(release, manifest, building, not ungated, progress)
        share_with_others(building)  # made to be read by others, unlike all else
        building.rename(out)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    return Published(out, len(sizes), sum(sizes), packed, todo)


def is_synthetic_release(release: Path) -> bool:
    """Whether the release says of itself that no subject is a person."""
    try:
        said = json.loads((release / CONVENTIONS.path).read_text(encoding="utf-8"))
        return isinstance(said, dict) and said.get("synthetic") is True
    except (OSError, ValueError):
        return False


def _folder(
    release: Path, manifest: Manifest, out: Path, gated: bool, progress: Progress
) -> tuple[bool, tuple[str, ...]]:
    paths = [entry.path for entry in manifest.files]
    _copy(release, [*paths, *_manifest_files(release)], out, progress)
    how = "mien release serve asks holders for their tokens" if gated else "any web server will do"
    return False, (f"put the folder behind a server ({how})", "publish the manifest's hash where holders can see it")


def _huggingface(
    release: Path, manifest: Manifest, out: Path, gated: bool, progress: Progress
) -> tuple[bool, tuple[str, ...]]:
    paths = [entry.path for entry in manifest.files]
    folders: dict[str, int] = {}
    for path in paths:
        parent = str(PurePosixPath(path).parent)
        folders[parent] = folders.get(parent, 0) + 1
    packed = len(paths) > HUB_FILES or max(folders.values(), default=0) > HUB_FILES_A_FOLDER
    if packed:
        shared, subjects = _by_subject(paths)
        _pack(release, subjects, out / "subjects", "", progress)
        paths = shared
    _copy(release, [*paths, *_manifest_files(release)], out, progress)
    lines = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in _LARGE)
    (out / ".gitattributes").write_text(lines, encoding="ascii")
    access = "set the repository's access to gated, manual approval, before anything is uploaded" if gated else ""
    steps = (f"hf repos create ORGANISATION/{manifest.name} --type dataset" + (" --private" if gated else ""), access)
    upload = f"hf upload-large-folder ORGANISATION/{manifest.name} --repo-type dataset FOLDER"
    return packed, (*(step for step in steps if step), upload)


def _zenodo(
    release: Path, manifest: Manifest, out: Path, gated: bool, progress: Progress
) -> tuple[bool, tuple[str, ...]]:
    if manifest.bytes > ZENODO_BYTES:
        raise ReleaseError(
            f"{release} has {manifest.bytes / 1e9:.1f} GB, a Zenodo record takes {ZENODO_BYTES / 1e9:.0f}: build "
            "releases of fewer subjects, or ask Zenodo for more room"
        )
    shared, subjects = _by_subject([entry.path for entry in manifest.files])
    upload = out / "files"
    beside = [path for path in shared if path in _BESIDE]
    models = [path for path in shared if LAYOUT.kind_of(path) == MODEL.kind]
    rest = [path for path in shared if path not in _BESIDE and path not in models]
    whole = {"shared": rest} | ({"models": models} if models else {})
    groups = _grouped(subjects, ZENODO_FILES - len(beside) - len(_manifest_files(release)) - len(whole))
    _pack(release, whole | groups, upload, f"{manifest.name}-{manifest.version}-", progress)
    _copy(release, [*beside, *_manifest_files(release)], upload, no_progress)
    if not (release / DATACITE.path).is_file():
        raise ReleaseError(f"{release} holds tombstones alone: send its manifest to the holders (mien release notices)")
    record = zenodo_record(json.loads((release / DATACITE.path).read_text(encoding="utf-8")), gated=gated)
    (out / "zenodo.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return True, (
        "POST zenodo.json to /api/deposit/depositions, then PUT each of files/ to its bucket",
        "unpacked into one folder, the archives give the release that manifest.json names",
    )


def zenodo_record(said: Mapping[str, Any], *, gated: bool) -> dict[str, Any]:
    """What Zenodo's deposit API takes, out of the DataCite record: developers.zenodo.org, 'Deposit metadata'."""
    abstract = "".join(f"<p>{html.escape(text['description'])}</p>" for text in said["descriptions"])
    rights = said["rightsList"][0]
    metadata: dict[str, Any] = {
        "title": said["titles"][0]["title"],
        "upload_type": "dataset",
        "description": abstract,
        "creators": [{"name": creator["name"]} for creator in said["creators"]],
        "publication_date": next(date["date"] for date in said["dates"] if date["dateType"] == "Issued"),
        "keywords": [subject["subject"] for subject in said["subjects"]],
        "version": said["version"],
        "language": "eng",
        "notes": f"Terms: {rights['rights']}",
    }
    if gated:
        metadata |= {
            "access_right": "restricted",
            "access_conditions": "<p>Biometric data of people who consented to research under a licence. Send the "
            f"signed licence ({html.escape(LICENCE.path)}) of your institution; access is for a term.</p>",
        }
    else:
        metadata |= {"access_right": "open", "license": str(rights.get("rightsIdentifier", "other-open")).lower()}
    return {"metadata": metadata}


def _by_subject(paths: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Paths of no single subject (lists, models), and those of each subject, by its index."""
    shared: list[str] = []
    subjects: dict[str, list[str]] = {}
    for path in paths:
        index, _ = LAYOUT.owner(path)
        (shared if index is None else subjects.setdefault(index, [])).append(path)
    return shared, dict(sorted(subjects.items(), key=lambda item: int(item[0])))


def _grouped(subjects: Mapping[str, list[str]], most: int) -> dict[str, list[str]]:
    """As many archives as there may be: a subject each, or runs of subjects where there are more."""
    names = list(subjects)
    size = max(-(-len(names) // max(most, 1)), 1)
    groups: dict[str, list[str]] = {}
    for start in range(0, len(names), size):
        run = names[start : start + size]
        name = run[0] if len(run) == 1 else f"{run[0]}-to-{run[-1]}"
        groups[name] = [path for subject in run for path in subjects[subject]]
    return groups


def _pack(release: Path, groups: Mapping[str, Sequence[str]], out: Path, prefix: str, progress: Progress) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for number, (name, paths) in enumerate(groups.items()):
        progress(number / len(groups), f"{prefix}{name}.zip")
        with zipfile.ZipFile(out / f"{prefix}{name}.zip", "w") as archive:
            for path in paths:
                how = zipfile.ZIP_STORED if Path(path).suffix in _STORED else zipfile.ZIP_DEFLATED
                entry = zipfile.ZipInfo(path, _MOMENT)
                entry.compress_type, entry.external_attr = how, 0o644 << 16
                with (release / path).open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target, 1 << 20)


def _copy(release: Path, paths: Sequence[str], out: Path, progress: Progress) -> None:
    """Copies, not links: what is published must not change when the release's own file is touched."""
    for number, path in enumerate(paths):
        progress(number / max(len(paths), 1), path)
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(release / path, target)


def _manifest_files(release: Path) -> list[str]:
    """The manifest, its sidecar, and its signatures where it has some."""
    return sorted(path.name for path in release.glob(f"{MANIFEST}*") if path.is_file() and not path.is_symlink())
