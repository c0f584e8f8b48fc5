"""Take export: mesh, material, texture, displacement map, scan, photographs, and what is said of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from common.array_types import Floats
from common.files.hashes import file_sha256
from db.store import Store
from processing.errors import ShapeError
from processing.files.image_files import read_image, write_image
from processing.files.obj import write_obj
from processing.files.ply import read_ply
from processing.files.stage_files import read_json, read_vertices, write_json
from processing.geometry.mesh import Mesh, Surface
from processing.release.formats.assets.colour_profiles import stated_profile
from processing.release.formats.assets.displacement_encoding import DisplacementEncoding, read_displacement_encoding
from processing.release.formats.assets.ply_vertices import recolour_ply
from processing.release.formats.errors import ReleaseError
from processing.release.formats.json_documents import write_json_document
from processing.release.formats.manifest import FileEntry
from processing.release.formats.released_files import (
    CAMERAS,
    DISPLACEMENT,
    DISPLACEMENT_EXR,
    FACTS,
    LANDMARK_CHECK,
    LAYOUT,
    MATERIAL,
    MESH,
    PHOTOGRAPH,
    SCAN,
    TEXTURE,
    ReleasedFile,
)
from processing.release.studio.export.eye_mosaic import EyeRegions, eye_regions, mosaic_scan, mosaic_texture
from processing.release.studio.export.photograph_export import (
    Face,
    calibrated_views,
    cameras_of,
    picture_size,
    seen_points,
    view_params,
    with_cameras_used,
    write_photograph,
)
from processing.release.studio.export.take_metadata import (
    RegisteredTake,
    StageReports,
    as_json,
    describe_take,
    to_template,
)
from processing.release.studio.export.topology_files import draw_landmarks
from processing.release.studio.selection.selection import SelectedSubject, SelectedTake
from processing.release.studio.selection.selection_rules import Options
from processing.template.template import SKIN, Template
from processing.template.template_file import read_template

# Counts up when the same take gives other bytes: what an interrupted build left is then made anew.
EXPORT_VERSION = 3
# So many points, evenly over the skin, are asked for by each photograph: params.json, <view>_matches.
SKIN_POINTS = 4096
NO_PHOTOGRAPH = "this camera has no photograph"
WITHOUT = {
    "aside": "this camera was set aside when the take was fired",
    "decided": "this camera's photograph is missing; the studio kept the take without it",
}
NO_PHOTOGRAPHS = "no consent to publish photographs"
KEPT_BACK = "the reviewer kept the photographs back"
NOT_ASKED = "this release leaves out photographs"
NO_EXR, EXR_NOT_ASKED = "its displacement was baked without one", "this release leaves out EXR"
NOT_MOSAICKED = "its eyes cannot be mosaicked"


class Absent(msgspec.Struct, frozen=True):
    """A file that belongs to a take and is not there."""

    path: str
    #: For people.
    why: str


class TakeRecord(msgspec.Struct, frozen=True):
    """What was written of a take."""

    #: Of all that determines the bytes: TakeJob.key.
    key: str
    #: The subject's folder.
    index: int
    #: Of the expression, '2_smile'.
    label: str
    #: What is there.
    files: tuple[FileEntry, ...]
    #: What is not.
    absent: tuple[Absent, ...]
    #: How its displacement map keeps heights.
    relief: DisplacementEncoding
    #: Of its displacement map.
    size_px: int
    #: How many photographs there are.
    photographs: int
    #: As take_metadata.as_json has it.
    tu_to_template: dict[str, Any]
    #: Of its photographs, as their cameras stated them.
    colour_profiles: tuple[str, ...] = ()


@dataclass(frozen=True)
class TakeJob:
    """A take to write."""

    #: Without its takes.
    subject: SelectedSubject
    take: SelectedTake
    #: The hash of its subject's neutral mesh, where that leaves too.
    neutral: str | None
    options: Options
    #: Whether the subject's landmarks are drawn on this take.
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


@lru_cache(maxsize=4)
def load_template(path: Path) -> Template:
    """A template from the store, kept: all takes of a release share one or two."""
    return read_template(path)


class _TakeExport:
    """Writes one take: what is written and what is absent is noted on the way."""

    def __init__(self, job: TakeJob, store: Store, folder: Path) -> None:
        self.job, self.subject, self.take, self.options = job, job.subject, job.take, job.options
        self.store, self.folder = store, folder
        self.written: list[str] = []
        self.absent: dict[str, str] = {}
        self.colour_profiles: tuple[str, ...] = ()

    def write(self) -> TakeRecord:
        """All files of the take. Raises what export_take raises."""
        take, store = self.take, self.store
        template = load_template(store.local_path(take.template))
        vertices = read_vertices(self._checked(take.mesh))
        neutral = read_vertices(self._checked(self.job.neutral)) if self.job.neutral else None
        registered = RegisteredTake(template, vertices, to_template(template, vertices, neutral))
        mesh = template.mesh.with_vertices(vertices)
        face = Face(mesh, Surface(mesh), eye_regions(template)) if self.subject.mosaic else None
        write_obj(self._place(MESH), mesh, texture=Path(self._at(TEXTURE)).name)
        self.written.append(self._at(MATERIAL))
        self._copy_stage_files()
        if face is not None:
            self._mosaic(mesh, face.regions)
        encoding, size_px = read_displacement_encoding(self.folder / self._at(DISPLACEMENT))
        photographs = self._photographs(face, template, mesh)
        if self.job.drawn:
            check = self._place(LANDMARK_CHECK)
            check.parent.mkdir(parents=True, exist_ok=True)
            write_image(check, draw_landmarks(template, registered.motion(vertices)))
        self._describe(registered, encoding, size_px, photographs)
        entries = (FileEntry(p, (self.folder / p).stat().st_size, file_sha256(self.folder / p)) for p in self.written)
        return TakeRecord(
            key=self.job.key,
            index=self.subject.index,
            label=take.label,
            files=tuple(sorted(entries, key=lambda entry: entry.path)),
            absent=tuple(Absent(path, why) for path, why in self.absent.items()),
            relief=encoding,
            size_px=size_px,
            photographs=photographs,
            tu_to_template=as_json(registered.motion),
            colour_profiles=self.colour_profiles,
        )

    def _copy_stage_files(self) -> None:
        """Outputs of stages as they are in the store, the mesh apart, which is written with its UVs."""
        for file in LAYOUT.stage_files:
            if file is MESH:
                continue
            made = self.take.made(file)
            if file is DISPLACEMENT_EXR and not self.options.exr:
                self.absent[self._at(file)] = EXR_NOT_ASKED
            elif made is None:
                why = NO_EXR if file is DISPLACEMENT_EXR else f"its stage {file.stage} made no {file.output}"
                self.absent[self._at(file)] = why
            elif file.shows_eyes and self.subject.mosaic and file not in (TEXTURE, SCAN):
                self.absent[self._at(file)] = NOT_MOSAICKED
            else:
                self.store.copy(made, self._place(file))

    def _mosaic(self, mesh: Mesh, regions: EyeRegions) -> None:
        """Eyes in the copied texture and in the colours of the copied scan."""
        texture, scan = self.folder / self._at(TEXTURE), self.folder / self._at(SCAN)
        write_image(texture, mosaic_texture(read_image(texture), mesh, regions))
        coloured = mosaic_scan(read_ply(scan), mesh, regions).colors
        if coloured is not None:
            recolour_ply(scan, coloured)

    def _describe(
        self, registered: RegisteredTake, encoding: DisplacementEncoding, size_px: int, photographs: int
    ) -> None:
        """The take's facts."""
        displacement = {
            "scale_mm": encoding.scale_mm,
            "midpoint": encoding.midpoint,
            "formula": encoding.formula,
            "size_px": size_px,
            "surface": self._at(MESH),
        }
        pictures = {
            "publishable": self.subject.publishable,
            "eyes_mosaicked": self.subject.mosaic,
            "photographs": self.options.photographs if photographs else "none",
            "colour": self.options.colour,
            "colour_profiles": list(self.colour_profiles),
        }
        reports = StageReports(
            registration=self._report(self.take.report),
            reconstruction=self._report(self.take.runs[SCAN.name].outputs.get("report")),
            detected=self._json(self.take.landmarks),
        )
        files = {**dict.fromkeys(self.written), self._at(FACTS): None, **self.absent}
        said = describe_take(
            self.subject, self.take, registered, reports, displacement=displacement, pictures=pictures, files=files
        )
        facts = self._place(FACTS)
        facts.parent.mkdir(parents=True, exist_ok=True)
        write_json(facts, said)

    def _photographs(self, face: Face | None, template: Template, mesh: Mesh) -> int:
        """Write photographs and params.json; how many photographs there are."""
        take, folder = self.take, PHOTOGRAPH.place(self.subject.index, self.take.label)
        if not self.subject.publishable or self.options.photographs == "none":
            unpublished = KEPT_BACK if self.subject.kept_back else NO_PHOTOGRAPHS
            self.absent[folder] = unpublished if not self.subject.publishable else NOT_ASKED
            return 0
        params = with_cameras_used(take.capture.calibration, self._json(take.cameras) or {})
        left_out = dict(self._report(take.runs[SCAN.name].outputs.get("report")).get("skipped", {}))
        skin = _skin(template, mesh, face.surface if face is not None else Surface(mesh))
        sizes: dict[int, tuple[int, int]] = {}
        matches: dict[int, int] = {}
        colours: set[str] = set()
        for view in sorted(calibrated_views(params) - take.photographs.keys()):
            self.absent[self._at(PHOTOGRAPH, view)] = WITHOUT.get(take.absent.get(view, ""), NO_PHOTOGRAPH)
        for view, photograph in sorted(take.photographs.items()):
            path = self._at(PHOTOGRAPH, view)
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
        target = self._place(CAMERAS)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_json_document(target, view_params(params, serials, sizes, undistorted=undistorted, matches=matches))
        self.colour_profiles = tuple(sorted(colours))
        return len(sizes)

    def _at(self, file: ReleasedFile, view: int | str = "") -> str:
        return file.at(self.subject.index, self.take.label, view)

    def _place(self, file: ReleasedFile) -> Path:
        """Where a file is to be written, which counts as written from now on."""
        self.written.append(self._at(file))
        return self.folder / self._at(file)

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
