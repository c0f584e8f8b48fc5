"""A benchmark on disk: images of faces, the cameras that made them, and the faces themselves.

    BENCH/benchmark.json        format, kind ("lab", "wild"), name, images, size_px, and how it was made
    BENCH/images.csv            name, subject, pose_deg, yaw_deg, pitch_deg, focal_px, expression, bin
    BENCH/images/<name>.png     size_px x size_px, RGB
    BENCH/cameras/<name>.json   truth's frame -> image, as `<name>.camera.json` of predictions
    BENCH/truth/<key>.ply       the detailed surface that is measured, mm, head frame (y up, z out of the face)
    BENCH/truth/<key>.npz       the whole head without detail, in a topology, with landmarks and the face's vertices

The key of a face is the subject's ("lab": one face, many images) or the image's name ("wild"). benchmark.json is
written last: a folder without one is not finished, and making it again goes on where it ended.
"""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from common.array_types import Bools, Floats, Image
from common.bounded.files import read_bytes
from common.bounded.json_toml import read_json
from common.bounded.npz_files import read_npz
from common.files.atomic_write import atomic_write, write_whole
from processing.errors import DataError
from processing.evaluation.metrics.predictions import TruthFace
from processing.evaluation.metrics.view import TrueCamera, read_view, write_view
from processing.files.image_files import read_image, write_image
from processing.files.mesh_files import read_mesh
from processing.files.ply import write_ply

FORMAT = 1
KINDS = ("lab", "wild")
HEAD, TABLE, MAKING = "benchmark.json", "images.csv", "making.json"
MOST_IMAGES = 200_000
MOST_SIZE_PX = 8192
_MOST_BYTES = 64 << 20  # of the head and of the table
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_WITHOUT_SIGN = ("pose_deg", "focal_px")


class BenchmarkError(DataError):
    """A benchmark's folder cannot be used."""


@dataclass(frozen=True)
class BenchmarkImage:
    """One image."""

    name: str  # of its files
    subject: str
    pose_deg: float  # between where the face and where the camera look, 0: from its front
    yaw_deg: float  # of the camera about the head, positive on the subject's left
    pitch_deg: float  # positive from above
    focal_px: float | None  # None: orthographic, or not known
    expression: str
    bin: str  # by which figures are told apart, as in "30"


@dataclass(frozen=True)
class BenchmarkHead:
    """What a benchmark is, and how it was made."""

    kind: Literal["lab", "wild"]
    name: str
    size_px: int  # of the images
    seed: int
    made_from: str
    recipe: Mapping[str, Any] = field(default_factory=dict)  # the rest of what its images follow from

    def as_json(self) -> dict[str, Any]:
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"format": FORMAT, **said, "recipe": dict(self.recipe)}


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A benchmark that is there whole."""

    folder: Path
    kind: str
    name: str
    size_px: int
    images: Sequence[BenchmarkImage]
    made: Mapping[str, Any]  # benchmark.json as it is

    @classmethod
    def open(cls, folder: Path) -> "Benchmark":
        """Raises BenchmarkError for what is no benchmark, one that is not finished or a table that cannot be used."""
        folder = Path(folder)
        if not (folder / HEAD).is_file():
            if (folder / MAKING).is_file():
                raise BenchmarkError(f"{folder} is not finished: run the `mien benchmark make` that began it again")
            raise BenchmarkError(f"{folder} is no benchmark: it has no {HEAD}; make one by `mien benchmark make`")
        made = _json(folder / HEAD)
        if made.get("format") != FORMAT or made.get("kind") not in KINDS:
            raise BenchmarkError(
                f"{folder / HEAD}: format {made.get('format')!r}, kind {made.get('kind')!r}; this version reads format "
                f"{FORMAT} of kind {' or '.join(KINDS)}"
            )
        size = made.get("size_px", 256)
        if not isinstance(size, int) or not 8 <= size <= MOST_SIZE_PX:
            raise BenchmarkError(f"{folder / HEAD}: size_px is {size!r}; wanted 8 to {MOST_SIZE_PX}")
        images = tuple(_read_table(folder / TABLE))
        if not images:
            raise BenchmarkError(f"{folder / TABLE} lists no images: make it again")
        if made.get("images") != len(images):
            raise BenchmarkError(
                f"{folder}: {HEAD} says {made.get('images')!r} images, {TABLE} has {len(images)}: make it again"
            )
        return cls(folder, str(made["kind"]), str(made.get("name", folder.name)), size, images, made)

    def key(self, image: BenchmarkImage) -> str:
        """Of the image's face: images with equal keys show one face."""
        return image.subject if self.kind == "lab" else image.name

    def picture_path(self, image: BenchmarkImage) -> Path:
        return self.folder / "images" / f"{image.name}.png"

    def picture(self, image: BenchmarkImage) -> Image:
        """(size_px, size_px, 3) BGR. Raises DataError."""
        picture = read_image(self.picture_path(image))
        if picture.shape != (self.size_px, self.size_px, 3):
            raise BenchmarkError(
                f"{self.picture_path(image)} is {picture.shape[1]} x {picture.shape[0]}; the benchmark's images are "
                f"{self.size_px} x {self.size_px}"
            )
        return picture

    def camera(self, image: BenchmarkImage) -> TrueCamera:
        """The camera that made the image. Raises ViewError."""
        view = read_view(self.folder / "cameras" / f"{image.name}.json")
        return TrueCamera(view, self.size_px, self.size_px)

    def truth(self, image: BenchmarkImage) -> TruthFace:
        """The face that the image shows. Raises MeshError and BenchmarkError."""
        return read_truth(self.folder / "truth" / f"{self.key(image)}.ply")


def read_truth(path: Path) -> TruthFace:
    """A face by its PLY, with what the .npz beside it says. Raises MeshError and BenchmarkError."""
    mesh = read_mesh(path)
    beside = path.with_suffix(".npz")
    names = ("vertices_mm", "topology", "landmarks_mm", "face", "centre_mm", "pupil_mm")
    try:
        said = read_npz(beside, set(names))
    except FileNotFoundError:
        return TruthFace(mesh)
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{beside} cannot be read: {error}") from None
    vertices = _finite(beside, said, "vertices_mm", (-1, 3))
    face: Bools | None = None
    if "face" in said:
        face = said["face"].astype(np.bool_)
        if vertices is None or face.shape != vertices.shape[:1]:
            raise BenchmarkError(f"{beside}: face has shape {face.shape}; wanted one value a vertex of vertices_mm")
    pupil = _finite(beside, said, "pupil_mm", ())
    if pupil is not None and not 20 <= float(pupil) <= 120:
        raise BenchmarkError(f"{beside}: pupils {float(pupil):.3g} mm apart; faces are in millimetres")
    return TruthFace(
        mesh,
        vertices,
        str(said["topology"]) if "topology" in said else None,
        _finite(beside, said, "landmarks_mm", (68, 3)),
        face,
        _finite(beside, said, "centre_mm", (3,)),
        None if pupil is None else float(pupil),
    )


class BenchmarkWriter:
    """Writes a benchmark image by image; what is there whole from an earlier call is kept.

    Raises BenchmarkError where the folder holds another benchmark, or something else.
    """

    def __init__(self, folder: Path, head: BenchmarkHead) -> None:
        self.folder, self.head = Path(folder), head
        wanted = json.loads(json.dumps(head.as_json()))
        for name in (HEAD, MAKING):
            if (self.folder / name).is_file():
                there = {key: value for key, value in _json(self.folder / name).items() if key in wanted}
                if there != wanted:
                    other = next(key for key in wanted if there.get(key) != wanted[key])
                    raise BenchmarkError(
                        f"{self.folder} holds a benchmark with another {other} ({_short(there.get(other))}, not "
                        f"{_short(wanted[other])}): give another --out, or remove it"
                    )
                break
        else:
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise BenchmarkError(f"{self.folder} is not empty and holds no benchmark: give another --out")
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / MAKING, json.dumps(wanted, indent=1) + "\n")
        for name in ("images", "cameras", "truth"):
            (self.folder / name).mkdir(exist_ok=True)

    def has_image(self, name: str) -> bool:
        """Whether picture and camera are there: files appear whole or not at all."""
        return self._picture(name).is_file() and self._camera(name).is_file()

    def write_image(self, name: str, picture: Image, camera: TrueCamera) -> None:
        """picture: (size_px, size_px, 3) BGR. Raises BenchmarkError for another size or a name no file should have."""
        if not _NAME.fullmatch(name):
            raise BenchmarkError(f"{name[:100]!r} is no name of an image: letters, digits, _ . and - make one")
        if picture.shape != (self.head.size_px, self.head.size_px, 3):
            raise BenchmarkError(f"image {name} has shape {picture.shape}; the benchmark's side is {self.head.size_px}")
        write_image(self._picture(name), picture)
        write_view(self._camera(name), camera.view)

    def has_truth(self, key: str) -> bool:
        return self._truth(key, ".ply").is_file() and self._truth(key, ".npz").is_file()

    def write_truth(self, key: str, truth: TruthFace) -> None:
        """Raises BenchmarkError for a key that no file should be called by."""
        if not _NAME.fullmatch(key):
            raise BenchmarkError(f"{key[:100]!r} is no name of a face: letters, digits, _ . and - make one")
        arrays: dict[str, Any] = {
            "vertices_mm": truth.base_vertices_mm, "topology": truth.topology, "landmarks_mm": truth.landmarks_mm,
            "face": truth.face, "centre_mm": truth.centre_mm, "pupil_mm": truth.pupil_mm,
        }  # fmt: skip
        packed: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
        with atomic_write(self._truth(key, ".npz")) as temporary:
            np.savez_compressed(temporary, **packed)
        write_ply(self._truth(key, ".ply"), truth.mesh)

    def read_truth(self, key: str) -> TruthFace:
        """A face that was written. Raises MeshError and BenchmarkError."""
        return read_truth(self._truth(key, ".ply"))

    def finish(self, images: Sequence[BenchmarkImage], **more: Any) -> Benchmark:
        """The table, then the head: from now on it is a benchmark. more: what benchmark.json shall say besides.

        Raises BenchmarkError for an image or a face that is not there.
        """
        kind = self.head.kind
        missing = [i.name for i in images if not self.has_image(i.name)]
        missing += sorted({k for i in images if not self.has_truth(k := i.subject if kind == "lab" else i.name)})
        if missing:
            raise BenchmarkError(f"{len(missing)} images or faces are not there, {missing[0]} first")
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(f.name for f in fields(BenchmarkImage))
        rows.writerows(["" if value is None else value for value in astuple(image)] for image in images)
        write_whole(self.folder / TABLE, text.getvalue())
        said = {**self.head.as_json(), "images": len(images), **more}
        write_whole(self.folder / HEAD, json.dumps(said, indent=1) + "\n")
        (self.folder / MAKING).unlink(missing_ok=True)
        return Benchmark.open(self.folder)

    def _picture(self, name: str) -> Path:
        return self.folder / "images" / f"{name}.png"

    def _camera(self, name: str) -> Path:
        return self.folder / "cameras" / f"{name}.json"

    def _truth(self, key: str, suffix: str) -> Path:
        return self.folder / "truth" / f"{key}{suffix}"


def _json(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise BenchmarkError(f"{path} holds no object")
    return found


def _read_table(path: Path) -> list[BenchmarkImage]:
    """Raises BenchmarkError with the line."""
    try:
        table = csv.DictReader(io.StringIO(read_bytes(path, _MOST_BYTES).decode("utf-8-sig")))
        rows = list(table)
    except (OSError, ValueError, csv.Error) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}") from None
    wanted = [f.name for f in fields(BenchmarkImage)]
    missing = [name for name in wanted if name not in (table.fieldnames or ())]
    if missing:
        raise BenchmarkError(f"{path} has no column {missing[0]}; it needs {', '.join(wanted)}")
    if len(rows) > MOST_IMAGES:
        raise BenchmarkError(f"{path} lists {len(rows):,} images; at most {MOST_IMAGES:,} are read")
    images, names = [], set()
    for line, row in enumerate(rows, start=2):
        try:
            images.append(_image(row))
        except ValueError as error:
            raise BenchmarkError(f"{path}, line {line}: {error}") from None
        if images[-1].name in names:
            raise BenchmarkError(f"{path}, line {line}: {images[-1].name} stands there twice")
        names.add(images[-1].name)
    return images


def _image(row: Mapping[str, Any]) -> BenchmarkImage:
    """Raises ValueError."""
    for key in ("name", "subject"):
        if not _NAME.fullmatch(row[key] or ""):
            raise ValueError(f"{key} {str(row[key])[:100]!r}: letters, digits, _ . and - make one")
    numbers = {}
    for key in ("pose_deg", "yaw_deg", "pitch_deg", "focal_px"):
        text = row[key] or ""
        value = float(text) if text or key != "focal_px" else None
        if value is not None and not (np.isfinite(value) and (value >= 0 or key not in _WITHOUT_SIGN)):
            raise ValueError(f"{key} is {text[:30]}")
        numbers[key] = value
    pose, yaw, pitch = (numbers[key] or 0.0 for key in ("pose_deg", "yaw_deg", "pitch_deg"))
    expression, group = str(row["expression"] or "")[:100], str(row["bin"] or "")[:100]
    return BenchmarkImage(row["name"], row["subject"], pose, yaw, pitch, numbers["focal_px"], expression, group)


def _finite(path: Path, said: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Floats | None:
    if name not in said:
        return None
    array = said[name]
    fits = array.ndim == len(shape) and all(n in (-1, m) for n, m in zip(shape, array.shape, strict=True))
    if array.dtype.kind not in "iuf" or not fits or not np.isfinite(array).all():
        raise BenchmarkError(f"{path}: {name} is not finite numbers of shape {shape}")
    return np.asarray(array, dtype=np.float64)


def _short(value: Any) -> str:
    return str(value)[:80]
