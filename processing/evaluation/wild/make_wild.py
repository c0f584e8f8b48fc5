"""FS-Wild made: photographs whose faces are replaced by fitted ones of known shape, in four bins of pose.

FaceScape (TPAMI 2023), section 6.1. What a photograph came to is noted when it is done, so that making goes on where it
was stopped. Nothing that is written or told has a photograph's name: pictures are called by their content.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.array_types import Bools, Floats, Image
from common.bounded.json_toml import read_json
from common.files.atomic_write import write_whole
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.evaluation.benchmark_files import Benchmark, BenchmarkImage, BenchmarkWriter
from processing.evaluation.metrics.predictions import TruthFace
from processing.evaluation.metrics.view import Orthographic, TrueCamera
from processing.evaluation.wild.face_swap import SwapInputs, swapped
from processing.evaluation.wild.highlights import Gloss
from processing.evaluation.wild.texture_pool import StudyTexture, TexturePool
from processing.evaluation.wild.wild_photographs import WildPhotograph, framed
from processing.face_models.face_model import FaceModel
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import find_faces
from processing.single_view.appearance.lighting import Appearance, linear
from processing.single_view.appearance.lighting_fit import estimate_appearance
from processing.single_view.editing.face_view import pixels_of
from processing.single_view.editing.landmark_alignment import picture_alignment
from processing.single_view.photo_fit import fit_photographs
from processing.single_view.photograph import PhotoFit, PhotoFitError, PhotoFitSettings, Photograph
from processing.single_view.photograph_files import read_photograph

#: Degrees between where the face and where the camera look, from and up to.
BINS = ((0.0, 5.0), (5.0, 30.0), (30.0, 60.0), (60.0, 90.0))
LEAST_FACE_PX = 90.0  # of a face's longer side in its photograph
MOST_BEYOND = 0.4  # of an image, that its photograph does not show
WORST_LANDMARKS = 8.0  # per cent of the eyes' distance: a fit that is worse makes a face that does not belong
NOTES = "photographs"  # folder of what each came to, while the benchmark is made
_EYES = (slice(36, 42), slice(42, 48))


@dataclass(frozen=True)
class WildSettings:
    """How the benchmark is made; all of it is part of its recipe."""

    size_px: int = 256
    seed: int = 0
    per_bin: int = 100
    perturb: float = 0.0  # deviations by which identities are changed, so that nobody's own face is the truth
    gloss: bool = True
    work_px: int = 512  # side of the pictures that are worked on

    def as_recipe(self) -> dict[str, Any]:
        return {
            "per_bin": self.per_bin,
            "perturb": self.perturb,
            "gloss": self.gloss,
            "bins_deg": [list(b) for b in BINS],
        }


@dataclass(frozen=True)
class WildNote:
    """What a photograph came to: an image, or why there is none."""

    image: BenchmarkImage | None = None
    texture: str = ""  # the member's code
    landmark_percent: float = 0.0
    refused: str = ""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "image": None if self.image is None else asdict(self.image)}


@dataclass(frozen=True)
class WildReport:
    """What was made of the photographs."""

    benchmark: Benchmark
    bins: dict[str, int]  # images of each
    refused: dict[str, int]  # reason -> photographs
    beyond: int  # photographs of bins that were full

    def lacking(self, per_bin: int) -> dict[str, int]:
        """How many photographs each bin is short of."""
        return {name: per_bin - count for name, count in self.bins.items() if count < per_bin}


def bin_name(pose_deg: float) -> str:
    """'0-5', '5-30', '30-60' or '60-90'. Raises DataError beyond."""
    for low, high in BINS:
        if low <= pose_deg < high:
            return f"{low:.0f}-{high:.0f}"
    raise DataError(
        f"the face looks {pose_deg:.0f} degrees away from the camera; the benchmark ends at {BINS[-1][1]:.0f}"
    )


def make_wild(
    photographs: Sequence[WildPhotograph],
    model: FaceModel,
    textures: TexturePool,
    writer: BenchmarkWriter,
    settings: WildSettings,
    *,
    detector: LandmarkDetector | None = None,
    fit: Callable[[Image], PhotoFit] | None = None,
    progress: Progress = no_progress,
) -> WildReport:
    """Write an image, its camera and its face for each photograph that can be used, `per_bin` of each bin at most; and
    go on where an earlier call ended. Photographs are taken in an order drawn by the seed.

    detector: an open one that looks for several faces; fit: in place of the model's own fit (tests).
    Raises DataError where none can be used, with the reasons.
    """
    fitting = fit or _Fitting(model, detector)
    maker = _WildMaker(model, textures, writer, settings, fitting)
    order = np.random.default_rng([settings.seed, 0]).permutation(len(photographs))
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    notes: list[WildNote] = []
    beyond = 0
    for done, number in enumerate(order.tolist()):
        photograph = photographs[number]
        progress(done / len(order), f"photograph {done + 1} of {len(order)}")
        note = maker.note(photograph, counts)
        if note is None:
            beyond += 1
        elif note.image is None:
            refused[note.refused] += 1
        else:
            counts[note.image.bin] += 1
            notes.append(note)
    if not notes:
        why = "; ".join(f"{count}: {reason}" for reason, count in refused.most_common(4))
        raise DataError(f"none of {len(photographs)} photographs can be used: {why}")
    notes.sort(key=lambda n: n.image.name if n.image else "")
    images = [note.image for note in notes if note.image is not None]
    bins = {f"{low:.0f}-{high:.0f}": counts[f"{low:.0f}-{high:.0f}"] for low, high in BINS}
    faces = [
        {"name": n.image.name, "texture": n.texture, "landmark_percent": round(n.landmark_percent, 2)}
        for n in notes
        if n.image is not None
    ]
    progress(1.0, f"{len(images)} images")
    made = writer.finish(images, bins=bins, asked_per_bin=settings.per_bin, refused=dict(refused), faces=faces)
    for path in (writer.folder / NOTES).glob("*.json"):
        path.unlink()
    (writer.folder / NOTES).rmdir()
    return WildReport(made, bins, dict(refused), beyond)


class _Fitting:
    """The model's own fit of the largest face, by weak perspective: the benchmark's cameras are orthographic."""

    def __init__(self, model: FaceModel, detector: LandmarkDetector | None) -> None:
        self._model, self._detector = model, detector

    def __call__(self, image: Image) -> PhotoFit:
        try:
            return self._fit(image, None)
        except PhotoFitError:
            faces = [] if self._detector is None else find_faces(image, self._detector)
            if len(faces) < 2:
                raise
            return self._fit(image, 1 + max(range(len(faces)), key=lambda k: faces[k].size_px))

    def _fit(self, image: Image, face: int | None) -> PhotoFit:
        photograph = Photograph(image, "the photograph", face=face)
        settings = PhotoFitSettings(projection="weak")
        return fit_photographs(self._model, [photograph], settings=settings, detector=self._detector)[0]


class _WildMaker:
    def __init__(
        self, model: FaceModel, textures: TexturePool, writer: BenchmarkWriter, settings: WildSettings,
        fit: Callable[[Image], PhotoFit],
    ) -> None:  # fmt: skip
        self._model, self._textures, self._writer, self._settings, self._fit = model, textures, writer, settings, fit
        self._notes = writer.folder / NOTES
        self._notes.mkdir(exist_ok=True)

    def note(self, photograph: WildPhotograph, counts: Counter[str]) -> WildNote | None:
        """What the photograph came to, made now where it is not there yet; None where its bin is full."""
        path = self._notes / f"{photograph.name}.json"
        there = _read_note(path)
        if there is not None and (there.image is None or self._is_there(photograph.name, there.texture)):
            if there.image is not None and counts[there.image.bin] >= self._settings.per_bin:
                return None
            return there
        try:
            note = self._made(photograph, counts)
        except DataError as error:
            note = WildNote(refused=_impersonal(str(error), photograph.path))
        if note is not None:
            write_whole(path, json.dumps(note.as_json()) + "\n")
        return note

    def _is_there(self, name: str, texture: str) -> bool:
        """Whether an image is whole, and whose texture it shows may still be shown."""
        known = any(one.code == texture for one in self._textures.textures)
        return known and self._writer.has_image(name) and self._writer.has_truth(name)

    def _made(self, photograph: WildPhotograph, counts: Counter[str]) -> WildNote | None:
        image = read_photograph(photograph.path).image
        fit = self._fit(image)
        percent = float(fit.figures["landmark_percent"])
        if percent > WORST_LANDMARKS:
            raise DataError(f"the fit's landmarks lie more than {WORST_LANDMARKS:.0f} % of the eyes' distance off")
        camera = fit.camera.camera
        yaw, pitch, pose = head_pose(camera.R)
        group = bin_name(pose)
        if counts[group] >= self._settings.per_bin:
            return None
        model, settings = self._model, self._settings
        rng = np.random.default_rng([settings.seed, 1, int(photograph.name[1:9], 16)])
        places = camera.to_camera(fit.vertices_mm)
        face_px = pixels_of(places[model.topology.face], camera.K)
        if float(np.ptp(face_px, axis=0).max()) < LEAST_FACE_PX:
            raise DataError(f"the face is less than {LEAST_FACE_PX:.0f} pixels high")
        frame = framed(image, face_px, settings.work_px)
        if frame.beyond > MOST_BEYOND:
            raise DataError(
                f"the photograph ends so near to the face that over {100 * MOST_BEYOND:.0f} % of the image lack"
            )
        wanted_mm = self._perturbed(fit, rng)
        texture = self._texture(photograph, fit, image, rng)
        appearance = fit.appearance
        if appearance is None:
            appearance = estimate_appearance(model, fit.vertices_mm, camera, image, rng=np.random.default_rng(0))
        made = self._swapped(fit, appearance, frame.picture, frame.to_picture, frame.sharpness, wanted_mm, texture, rng)
        small = cv2.resize(made, (settings.size_px, settings.size_px), interpolation=cv2.INTER_AREA)
        view = orthographic(camera.K, camera.R, camera.t, frame.to_picture, settings.size_px / settings.work_px)
        true_camera = TrueCamera(view, settings.size_px, settings.size_px)
        self._writer.write_truth(photograph.name, self._truth(wanted_mm))
        self._writer.write_image(photograph.name, np.asarray(small, dtype=np.uint8), true_camera)
        strongest = model.units[int(fit.weights.argmax())] if fit.weights.max() > 0.2 else "neutral"
        row = BenchmarkImage(
            photograph.name, photograph.name, round(pose, 2), round(yaw, 2), round(pitch, 2), None, strongest, group
        )
        return WildNote(row, texture.code, percent)

    def _perturbed(self, fit: PhotoFit, rng: np.random.Generator) -> Floats:
        """(V, 3) the face that the picture is to show, in the model's frame, its features where the fit's are."""
        model, amount = self._model, self._settings.perturb
        if amount == 0:
            return fit.vertices_mm.astype(np.float32).astype(np.float64)
        drawn = rng.standard_normal(model.identity_count).clip(-2, 2)
        identity = fit.identity + amount * drawn * model.identity_deviation
        other = model.face(identity, fit.weights)
        here, there = (model.topology.landmark_points(v)[27:].mean(axis=0) for v in (fit.vertices_mm, other))
        return np.asarray((other + (here - there)).astype(np.float32), dtype=np.float64)

    def _texture(
        self, photograph: WildPhotograph, fit: PhotoFit, image: Image, rng: np.random.Generator
    ) -> StudyTexture:
        by_person = self._textures.by_person(photograph.age, photograph.gender, rng)
        return by_person or self._textures.by_colour(_skin_colour(self._model, fit, image), rng)

    def _swapped(
        self, fit: PhotoFit, appearance: Appearance, picture: Image, to_picture: Floats, sharpness: float,
        wanted_mm: Floats, texture: StudyTexture, rng: np.random.Generator,
    ) -> Image:  # fmt: skip
        model, camera = self._model, fit.camera.camera
        mesh = model.topology.mesh
        alignment = picture_alignment(model, fit.vertices_mm, camera, fit.landmarks_px)
        seen = mesh.with_vertices(camera.to_camera(fit.vertices_mm) + alignment.move_mm)
        wanted = mesh.with_vertices(camera.to_camera(wanted_mm))
        skin = _warped(appearance.skin, to_picture, picture.shape[0])
        gloss = Gloss.drawn(rng) if self._settings.gloss else Gloss(0.0, 12.0)
        given = SwapInputs(picture, to_picture @ camera.K, seen, wanted, appearance.lighting, skin, sharpness)
        return swapped(model, given, texture.picture(), gloss, rng)[0]

    def _truth(self, vertices_mm: Floats) -> TruthFace:
        topology = self._model.topology
        landmarks = topology.landmark_points(vertices_mm)
        right, left = (landmarks[eye].mean(axis=0) for eye in _EYES)
        return TruthFace(
            Mesh(vertices_mm, topology.mesh.triangles), vertices_mm, topology.topology, landmarks, topology.face,
            np.zeros(3), float(np.linalg.norm(left - right)),
        )  # fmt: skip


def head_pose(R: Floats) -> tuple[float, float, float]:
    """Yaw (the camera on the subject's left), pitch (above) and the angle between both gazes, degrees, by the rotation
    (3, 3) from the head's frame into the camera's.
    """
    x, y, z = (-R[2]).tolist()
    yaw, pitch = np.degrees([np.arctan2(x, z), np.arcsin(np.clip(y, -1, 1))])
    return float(yaw), float(pitch), float(np.degrees(np.arccos(np.clip(z, -1, 1))))


def orthographic(K: Floats, R: Floats, t: Floats, to_picture: Floats, factor: float) -> Orthographic:
    """The camera of a square of a photograph, resized by `factor`, of a fit by weak perspective."""
    scale = float(K[0, 0] / t[2])
    place = np.array([scale * t[0] + K[0, 2], scale * t[1] + K[1, 2], 1.0])
    shrink = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1.0]])
    final = shrink @ to_picture
    return Orthographic(scale * float(final[0, 0]), R, (final @ place)[:2])


def _skin_colour(model: FaceModel, fit: PhotoFit, image: Image) -> Floats:
    """(3,) linear RGB of the photographed cheeks and forehead."""
    camera = fit.camera.camera
    pixels = camera.project(fit.vertices_mm[model.topology.face & (model.topology.parts == 0)])
    seen = sample_image(image, pixels).astype(np.float64)
    bright = seen.mean(axis=1)
    among = (bright > np.percentile(bright, 40)) & (bright < np.percentile(bright, 85))
    return linear(np.median(seen[among], axis=0)[::-1].astype(np.float64))


def _warped(mask: Bools, to_picture: Floats, size_px: int) -> Bools:
    """A mask of the photograph in the square."""
    moved = cv2.warpAffine(mask.astype(np.float32), to_picture[:2], (size_px, size_px), flags=cv2.INTER_LINEAR)
    return np.asarray(moved > 0.5)


def _read_note(path: Path) -> WildNote | None:
    """What was noted; None where nothing was, or nothing that can be read."""
    try:
        said = read_json(path)
        image = said.pop("image")
        return WildNote(image=None if image is None else BenchmarkImage(**image), **said)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _impersonal(reason: str, path: Path) -> str:
    """A refusal without the photograph's name, which may be somebody's, and in one line."""
    for name in (str(path), path.name):  # not the stem: it may be a word, as "face"
        reason = reason.replace(name, "the photograph")
    return reason.splitlines()[0][:200]
