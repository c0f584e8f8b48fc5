"""One take into the release: mesh, material, texture, displacement map, scan, photographs, and what is said of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from PIL import Image

from common.array_types import Floats
from common.files.hashes import file_sha256
from db.store import Store
from processing.errors import ShapeError
from processing.files.image_files import read_image, write_image
from processing.files.obj import write_obj
from processing.files.ply import read_ply
from processing.files.stage_files import read_json, read_vertices, write_json
from processing.geometry.mesh import Mesh, Surface
from processing.release.formats.colour_profiles import stated_profile
from processing.release.formats.errors import ReleaseError
from processing.release.formats.json_documents import write_json_document
from processing.release.formats.manifest import FileEntry
from processing.release.formats.ply_colours import recolour_ply
from processing.release.studio.eye_mosaic import eye_regions, mosaic_scan, mosaic_texture
from processing.release.studio.photograph_export import (
    Face,
    calibrated_views,
    cameras_of,
    picture_size,
    seen_points,
    view_params,
    with_cameras_used,
    write_photograph,
)
from processing.release.studio.selection import SelectedSubject, SelectedTake
from processing.release.studio.selection_rules import Options
from processing.release.studio.take_metadata import META, as_json, describe_take, to_template
from processing.release.studio.topology_files import draw_landmarks
from processing.template.template import SKIN, Template
from processing.template.template_file import read_template

# Counts up when the same take gives other bytes: what an interrupted build left is then made anew.
EXPORT_VERSION = 3
# So many points, evenly over the skin, are asked for by each photograph: params.json, <view>_matches.
SKIN_POINTS = 4096
CHECKS = "checks"
NO_PHOTOGRAPH = "this camera has no photograph"
WITHOUT = {
    "aside": "this camera was set aside when the take was fired",
    "decided": "this camera's photograph is missing; the studio kept the take without it",
}
NO_PHOTOGRAPHS = "no consent to publish photographs"
KEPT_BACK = "the reviewer kept the photographs back"
NOT_ASKED = "this release leaves out photographs"
NO_EXR, EXR_NOT_ASKED = "its displacement was baked without one", "this release leaves out EXR"


class DisplacementEncoding(msgspec.Struct, frozen=True):
    """How displacement maps keep heights in 16 bits."""

    scale_mm: float
    midpoint: int
    formula: str


class Absent(msgspec.Struct, frozen=True):
    """A file that belongs to a take and is not there."""

    path: str
    why: str


class TakeRecord(msgspec.Struct, frozen=True):
    """What was written of a take. key: of all that determines it; tu_to_template: as describe_take.as_json has it."""

    key: str
    index: int
    label: str
    files: tuple[FileEntry, ...]
    absent: tuple[Absent, ...]
    relief: DisplacementEncoding
    size_px: int
    photographs: int
    tu_to_template: dict[str, Any]
    colour_profiles: tuple[str, ...] = ()


@dataclass(frozen=True)
class TakeJob:
    """A take to write. subject: without its takes.  neutral: the hash of its neutral mesh, where that leaves too."""

    subject: SelectedSubject
    take: SelectedTake
    neutral: str | None
    options: Options
    drawn: bool

    @property
    def key(self) -> str:
        """Of all that determines the bytes."""
        what = (EXPORT_VERSION, cv2.__version__, np.__version__, self)
        plain = msgspec.to_builtins(what, str_keys=True, order="sorted")
        return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()


def take_jobs(subject: SelectedSubject, options: Options) -> list[TakeJob]:
    """The work for one subject."""
    neutral = next((take.mesh for take in subject.takes if take.is_neutral), None)
    alone = replace(subject, takes=())
    return [
        TakeJob(alone, take, None if take.is_neutral else neutral, options, drawn=take is subject.takes[0])
        for take in subject.takes
    ]


def export_take(job: TakeJob, store: Store, folder: Path) -> TakeRecord:
    """Write a take's files under `folder`. Raises ReleaseError, StoreError and what numerics raise, naming the take."""
    try:
        return _TakeExport(job, store, folder).write()
    except ShapeError as error:
        raise ReleaseError(f"{job.take.code}: {error}") from None
    except ReleaseError as error:
        raise ReleaseError(f"{job.take.code}: {error}") from None


def read_relief_encoding(path: Path) -> tuple[DisplacementEncoding, int]:
    """What a displacement map says of its own encoding, and its size in pixels.

    Raises ReleaseError when it is not 16-bit grey or is silent.
    """
    with Image.open(path) as image:
        mode, said = image.mode, {str(key): str(value) for key, value in getattr(image, "text", {}).items()}
        size = image.width
    try:
        encoding = DisplacementEncoding(float(said["scale_mm"]), int(said["midpoint"]), said["formula"])
    except (KeyError, ValueError) as error:
        raise ReleaseError(f"{path.name} does not say its displacement scale ({error}); bake it again") from None
    if not mode.startswith("I"):
        raise ReleaseError(f"{path.name}: displacement maps are 16-bit grey PNG, this one is {mode}")
    return encoding, size


def take_paths(index: int, label: str) -> dict[str, str]:
    """Where a take's files are, by what they are."""
    return {
        "mesh": f"{index}/models_reg/{label}.obj",
        "material": f"{index}/models_reg/{label}.obj.mtl",
        "texture": f"{index}/models_reg/{label}.jpg",
        "displacement": f"{index}/dpmap/{label}.png",
        "displacement_exr": f"{index}/dpmap/{label}.exr",
        "scan": f"mesh/{index}/{label}.ply",
        "photographs": f"img/{index}/{label}",
        "facts": f"{META}/{index}/{label}.json",
    }


@lru_cache(maxsize=4)
def load_template(path: Path) -> Template:
    """A template from the store, kept: all takes of a release share one or two."""
    return read_template(path)


class _TakeExport:
    def __init__(self, job: TakeJob, store: Store, folder: Path) -> None:
        self.job, self.subject, self.take, self.options = job, job.subject, job.take, job.options
        self.store, self.folder = store, folder
        self.at = take_paths(job.subject.index, job.take.label)
        self.written: list[str] = []
        self.absent: dict[str, str] = {}
        self.colour_profiles: tuple[str, ...] = ()

    def write(self) -> TakeRecord:
        take, store = self.take, self.store
        template = load_template(store.local_path(take.template))
        vertices = read_vertices(self._checked(take.mesh))
        neutral = read_vertices(self._checked(self.job.neutral)) if self.job.neutral else None
        motion = to_template(template, vertices, neutral)
        mesh = template.mesh.with_vertices(vertices)
        regions = eye_regions(template) if self.subject.mosaic else None
        face = Face(mesh, Surface(mesh), regions) if regions is not None else None

        write_obj(self._place("mesh"), mesh, texture=f"{take.label}.jpg")
        self.written.append(self.at["material"])
        texture, scan = self._place("texture"), self._place("scan")
        store.copy(take.texture, texture)
        store.copy(take.scan, scan)
        if face is not None:
            write_image(texture, mosaic_texture(read_image(texture), mesh, face.regions))
            coloured = mosaic_scan(read_ply(scan), mesh, face.regions).colors
            if coloured is not None:
                recolour_ply(scan, coloured)
        relief_path = self._place("displacement")
        store.copy(take.displacement, relief_path)
        relief, size_px = read_relief_encoding(relief_path)
        if self.options.exr and take.exr is not None:
            store.copy(take.exr, self._place("displacement_exr"))
        else:
            self.absent[self.at["displacement_exr"]] = NO_EXR if self.options.exr else EXR_NOT_ASKED
        photographs = self._photographs(face, template, mesh)
        if self.job.drawn:
            check = f"{CHECKS}/{self.subject.index}.png"
            self.written.append(check)
            (self.folder / CHECKS).mkdir(parents=True, exist_ok=True)
            write_image(self.folder / check, draw_landmarks(template, motion(vertices)))
        said = describe_take(
            self.subject,
            take,
            template,
            vertices,
            motion,
            relief={
                "scale_mm": relief.scale_mm,
                "midpoint": relief.midpoint,
                "formula": relief.formula,
                "size_px": size_px,
                "surface": self.at["mesh"],
            },
            registration=self._report(take.report),
            reconstruction=self._report(take.runs["scan"].outputs.get("report")),
            detected=self._json(take.landmarks),
            pictures={
                "publishable": self.subject.publishable,
                "eyes_mosaicked": self.subject.mosaic,
                "photographs": self.options.photographs if photographs else "none",
                "colour": self.options.colour,
                "colour_profiles": list(self.colour_profiles),
            },
            files={**dict.fromkeys(self.written), self.at["facts"]: None, **self.absent},
        )
        facts = self._place("facts")
        facts.parent.mkdir(parents=True, exist_ok=True)
        write_json(facts, said)
        entries = (FileEntry(p, (self.folder / p).stat().st_size, file_sha256(self.folder / p)) for p in self.written)
        return TakeRecord(
            key=self.job.key,
            index=self.subject.index,
            label=take.label,
            files=tuple(sorted(entries, key=lambda entry: entry.path)),
            absent=tuple(Absent(path, why) for path, why in self.absent.items()),
            relief=relief,
            size_px=size_px,
            photographs=photographs,
            tu_to_template=as_json(motion),
            colour_profiles=self.colour_profiles,
        )

    def _photographs(self, face: Face | None, template: Template, mesh: Mesh) -> int:
        """Write photographs and params.json; how many photographs there are."""
        take, folder = self.take, self.at["photographs"]
        if not self.subject.publishable or self.options.photographs == "none":
            unpublished = KEPT_BACK if self.subject.kept_back else NO_PHOTOGRAPHS
            self.absent[folder] = unpublished if not self.subject.publishable else NOT_ASKED
            return 0
        params = with_cameras_used(take.capture.calibration, self._json(take.cameras) or {})
        left_out = dict(self._report(take.runs["scan"].outputs.get("report")).get("skipped", {}))
        skin = _skin(template, mesh, face.surface if face is not None else Surface(mesh))
        sizes: dict[int, tuple[int, int]] = {}
        matches: dict[int, int] = {}
        colours: set[str] = set()
        for view in sorted(calibrated_views(params) - take.photographs.keys()):
            self.absent[f"{folder}/{view}.jpg"] = WITHOUT.get(take.absent.get(view, ""), NO_PHOTOGRAPH)
        for view, photograph in sorted(take.photographs.items()):
            path = f"{folder}/{view}.jpg"
            data = self._checked(photograph.sha256).read_bytes()
            if face is not None and params.get(f"{view}_valid") is False:
                why = left_out.get(str(view), "its camera is not reliable")
                self.absent[path] = f"its eyes cannot be found for certain: {why}"
                continue
            size = picture_size(data, path)
            cameras, profiles = cameras_of(params, {view: size})
            camera = cameras.get(view)
            if face is not None and camera is None:
                self.absent[path] = "its eyes cannot be found: its camera is not calibrated"
                continue
            write_photograph(data, self.folder / path, size, camera, profiles.get(view), self.options, face)
            sizes[view] = size
            colours.add(stated_profile(data))
            if camera is not None and params.get(f"{view}_valid") is not False:
                matches[view] = seen_points(camera, *skin)
            self.written.append(path)
        serials = {view: take.photographs[view].serial for view in sizes}
        undistorted = self.options.photographs == "undistorted"
        target = self.folder / folder / "params.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_json_document(target, view_params(params, serials, sizes, undistorted=undistorted, matches=matches))
        self.written.append(f"{folder}/params.json")
        self.colour_profiles = tuple(sorted(colours))
        return len(sizes)

    def _place(self, what: str) -> Path:
        self.written.append(self.at[what])
        return self.folder / self.at[what]

    def _checked(self, sha256: str) -> Path:
        """A file of the store that still has its hash. Raises MissingObject, RottenObject."""
        self.store.verify(sha256)
        return self.store.local_path(sha256)

    def _json(self, sha256: str | None) -> dict[str, Any] | None:
        return None if sha256 is None else read_json(self._checked(sha256))

    def _report(self, sha256: str | None) -> Mapping[str, Any]:
        """What a stage reported, its own wrapping undone."""
        said = self._json(sha256) or {}
        inner = said.get("report")
        return {**inner, **{k: v for k, v in said.items() if k != "report"}} if isinstance(inner, dict) else said


def _skin(template: Template, mesh: Mesh, surface: Surface) -> tuple[Floats, Floats, Surface]:
    """Up to SKIN_POINTS vertices of the skin that counts, their normals, and the surface that may hide them."""
    skin = np.flatnonzero((template.parts == SKIN) & (template.weights > 0.5))
    chosen = skin[np.unique(np.linspace(0, len(skin) - 1, min(SKIN_POINTS, len(skin))).astype(np.int64))]
    return mesh.vertices_mm[chosen], mesh.vertex_normals[chosen], surface
