"""FS-Lab made: each subject's detailed face, photographed by the 33 cameras under a light of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.array_types import Floats
from common.progress import Progress, no_progress, part
from processing.evaluation.benchmark_files import Benchmark, BenchmarkImage, BenchmarkWriter
from processing.evaluation.lab.lab_cameras import FOCALS_PX, SIZE_PX, LabView, lab_views
from processing.evaluation.lab.lab_subject import LabError, LabSubject, LabTemplate, truth_of
from processing.evaluation.metrics.view import Perspective, TrueCamera
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh
from processing.geometry.photograph_rendering import Sensor
from processing.synthetic.face_photographs import (
    FacePhotography,
    drawn_background,
    drawn_lighting,
    exposed_for,
    turned_lighting,
)

MOST_SUBJECTS = 100  # two digits of a name
_LIGHT = 1000  # a subject's random numbers for light; those for images are below


@dataclass(frozen=True)
class LabChoice:
    """One face of the benchmark, before it is read."""

    code: str
    label: str
    read: Callable[[], LabSubject]


@dataclass(frozen=True)
class LabSettings:
    """How faces are photographed; all of it is part of the benchmark's recipe."""

    size_px: int = SIZE_PX
    seed: int = 0
    subdivisions: int = 2
    supersample: int = 2
    occlusion_rays: int = 32
    gloss: float = 0.05

    def as_recipe(self) -> dict[str, Any]:
        return {
            "subdivisions": self.subdivisions,
            "supersample": self.supersample,
            "occlusion_rays": self.occlusion_rays,
            "gloss": self.gloss,
            "focals_px": list(FOCALS_PX),
        }


def make_lab(
    choices: Sequence[LabChoice],
    kind: LabTemplate,
    writer: BenchmarkWriter,
    settings: LabSettings,
    *,
    progress: Progress = no_progress,
) -> Benchmark:
    """Write every image, camera and face that is not there yet; the same choices and settings give the same files.

    Raises LabError for too many subjects and where one cannot be used, naming it; nothing that was made is lost.
    """
    if not 0 < len(choices) <= MOST_SUBJECTS:
        raise LabError(f"{len(choices)} subjects; the benchmark has 1 to {MOST_SUBJECTS}")
    views = lab_views(np.zeros(3), settings.size_px)
    images: list[BenchmarkImage] = []
    for number, choice in enumerate(choices):
        told = part(progress, number / len(choices), (number + 1) / len(choices))
        names = [view.name(number) for view in views]
        images += [_image(name, number, choice, view) for name, view in zip(names, views, strict=True)]
        missing = [view for name, view in zip(names, views, strict=True) if not writer.has_image(name)]
        if missing or not writer.has_truth(f"{number:02d}"):
            told(0.0, f"{choice.code} {choice.label} ({number + 1} of {len(choices)}): its detailed face")
            _photograph_all(number, choice.read().upright(kind), kind, missing, writer, settings, told)
    progress(1.0, f"{len(images)} images of {len(choices)} subjects")
    subjects = [{"number": f"{n:02d}", "code": c.code, "expression": c.label} for n, c in enumerate(choices)]
    return writer.finish(images, subjects=subjects)


def _photograph_all(
    number: int, subject: LabSubject, kind: LabTemplate, views: Sequence[LabView], writer: BenchmarkWriter,
    settings: LabSettings, progress: Progress,
) -> None:  # fmt: skip
    detailed = subject.detailed(settings.subdivisions)
    stored = detailed.vertices_mm.astype(np.float32).astype(np.float64)  # as the file keeps it
    detailed = Mesh(stored, detailed.triangles, detailed.uvs, detailed.uv_triangles)
    key = f"{number:02d}"
    if not writer.has_truth(key):
        writer.write_truth(key, truth_of(subject, kind, detailed))
    studio = FacePhotography(detailed, subject.texture, kind.gloss, settings.occlusion_rays)
    light = exposed_for(drawn_lighting(np.random.default_rng([settings.seed, number, _LIGHT])), subject.texture)
    for done, view in enumerate(views):
        progress((done + 1) / (len(views) + 1), f"{subject.code} {subject.label}: image {done + 1} of {len(views)}")
        rng = np.random.default_rng([settings.seed, number, view.focal, view.view])
        camera = pinhole(view.camera)
        picture, _ = studio.photograph(
            camera,
            lighting=turned_lighting(light, camera.R),
            background=drawn_background(rng, camera.width, camera.height),
            supersample=settings.supersample,
            gloss=settings.gloss,
            sensor=Sensor(),
            rng=rng,
        )
        writer.write_image(view.name(number), picture, view.camera)


def pinhole(camera: TrueCamera, distance_mm: float = 1e6) -> Camera:
    """The camera that renders what a true camera sees; of an orthographic one, from `distance_mm` away."""
    view = camera.view
    if isinstance(view, Perspective):
        return Camera(view.K, view.R, view.t, camera.width, camera.height)
    f = view.scale * distance_mm
    K: Floats = np.array([[f, 0, view.t[0]], [0, f, view.t[1]], [0, 0, 1.0]])
    return Camera(K, view.R, np.array([0.0, 0.0, distance_mm]), camera.width, camera.height)


def _image(name: str, number: int, choice: LabChoice, view: LabView) -> BenchmarkImage:
    focal = float(view.camera.view.K[0, 0]) if isinstance(view.camera.view, Perspective) else None
    return BenchmarkImage(
        name, f"{number:02d}", view.pose_deg, view.yaw_deg, view.pitch_deg, focal, choice.label, f"{view.pose_deg:.0f}"
    )
