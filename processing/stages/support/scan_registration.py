"""Registration of one scan from files to files: what `mien register` does."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from common.array_types import Image
from common.progress import Progress, no_progress, part
from processing.displacement.displacement_bake import bake
from processing.errors import DataError, MeshError, NoFace
from processing.files.appearance_png import read_appearance, write_appearance
from processing.files.displacement_exr import write_displacement_exr
from processing.files.displacement_png import write_displacement_png
from processing.files.image_files import write_image
from processing.files.obj import read_obj, write_obj
from processing.files.ply import read_ply
from processing.files.take_folder import Take, read_photos, read_take
from processing.geometry.mesh import Mesh
from processing.landmarks.landmark_files import read_landmarks, write_landmarks
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.landmarks.scan_landmarks import landmarks_of_scan
from processing.landmarks.triangulation import triangulate_landmarks
from processing.registration.correspondence import TargetSurface
from processing.registration.register import RegistrationReport, register_expression, register_neutral
from processing.scan_quality.registration_picture import registration_picture
from processing.scan_quality.registration_quality import judge_registration, measure_registration
from processing.scan_quality.verdict import QualityReview
from processing.template.builtin_template import default_template
from processing.template.template import SKIN
from processing.template.template_file import read_template
from processing.texture.flow_refinement import AppearanceReport, neutral_appearance, refine_by_appearance
from processing.texture.texture_projection import project_texture


@dataclass(frozen=True)
class RegisteredFiles:
    """What was written, and the registration's own report."""

    mesh: Path
    displacement: Path
    displacement_exr: Path
    texture: Path | None
    landmarks: Path
    quality: Path
    report: RegistrationReport
    review: QualityReview
    appearance: AppearanceReport | None = None

    def as_json(self) -> str:
        files = {k: str(v) for k, v in asdict(self).items() if isinstance(v, Path)}
        said = {"verdict": self.review.verdict, "reasons": self.review.reasons, "figures": self.review.figures}
        return json.dumps({"files": files, **asdict(self.report), "review": said})

    def as_text(self) -> str:
        r = self.report
        lines = [
            f"{self.mesh}: {r.matched:.0%} of the skin met the scan, {r.surface_mm:.3f} mm from it on average; "
            f"landmarks within {r.landmark_mm:.1f} mm (median of {r.landmarks})"
        ]
        if self.appearance is not None:
            a = self.appearance
            lines.append(
                f"skin off its vertex: {a.slip_mm[0]:.2f} mm before, {a.slip_mm[-1]:.2f} mm after comparing it"
            )
        lines.append(f"{self.review.verdict}: {self.quality}")
        return "\n".join([*lines, *(f"  {reason}" for reason in self.review.reasons)])


def read_scan(path: Path) -> Mesh:
    """A scan in OBJ or PLY. Raises MeshError."""
    suffix = Path(path).suffix.lower()
    if suffix == ".obj":
        return read_obj(path)
    if suffix == ".ply":
        return read_ply(path)
    raise MeshError(f"{path}: a scan is an .obj or a .ply file")


def register_files(
    scan: Path,
    out: Path,
    *,
    template: Path | None = None,
    landmarks: Path | None = None,
    photos: Path | None = None,
    neutral: Path | None = None,
    expression: str = "",
    size_px: int = 2048,
    progress: Progress = no_progress,
) -> RegisteredFiles:
    """Read, register, bake, texture where there are photographs, write. Nothing is written when a step fails.

    Landmarks are found as `choose_landmarks` says. A neutral with photographs keeps its appearance beside its mesh;
    expressions with photographs are compared with it.
    Raises DataError with what is wrong and what to do.
    """
    if expression and neutral is None:
        raise DataError("--expression needs --neutral: the subject's registered neutral mesh")
    progress(0.0, "reading the scan")
    surface = read_scan(scan)
    model = default_template() if template is None else read_template(template)
    take = read_take(photos) if photos is not None else None
    images: Sequence[Image] = ()
    if take is not None:
        take, images = read_photos(take, progress=part(progress, 0.04, 0.08))
    points = choose_landmarks(surface, landmarks, take, images, part(progress, 0.08, 0.16))
    appearance, likeness, refined = None, None, None
    progress(0.16, "preparing the scan")
    scanned = TargetSurface(surface)
    fitting, comparing = part(progress, 0.2, 0.4), part(progress, 0.4, 0.65)
    if neutral is None:
        registration = register_neutral(model, scanned, points, progress=fitting)
    else:
        start = read_obj(neutral)
        if len(start.vertices_mm) != len(model.mesh.vertices_mm):
            count = len(start.vertices_mm)
            raise MeshError(
                f"{neutral} has {count} vertices, the template {len(model.mesh.vertices_mm)}: not registered"
            )
        if appearance_beside(neutral).is_file():
            likeness = read_appearance(appearance_beside(neutral))
        registration = register_expression(model, expression, start.vertices_mm, scanned, points, progress=fitting)
    vertices = registration.vertices_mm
    if take is not None and neutral is None and model.mesh.uvs is not None:
        appearance = neutral_appearance(model, vertices, images, take.cameras, progress=comparing)
    elif take is not None and likeness is not None:
        refined = refine_by_appearance(model, vertices, scanned, likeness, images, take.cameras, progress=comparing)
        vertices = refined.vertices_mm
    mesh = model.mesh.with_vertices(vertices)
    progress(0.65, "judging the mesh")
    measured = measure_registration(model, vertices, scanned, points, refined)
    review = judge_registration(measured)
    relief = bake(mesh, scanned, size_px=size_px, skin=model.parts == SKIN, progress=part(progress, 0.68, 0.78))
    texture = None
    if take is not None:
        texture = project_texture(mesh, images, take.cameras, size_px=size_px, progress=part(progress, 0.78, 0.93))
    progress(0.93, "writing")

    name = Path(scan).stem
    files = RegisteredFiles(
        mesh=out / f"{name}.obj",
        displacement=out / f"{name}.dpmap.png",
        displacement_exr=out / f"{name}.dpmap.exr",
        texture=out / f"{name}.jpg" if texture is not None else None,
        landmarks=out / f"{name}.landmarks.json",
        quality=out / f"{name}.quality.png",
        report=registration.report,
        review=review,
        appearance=None if refined is None else refined.report,
    )
    if Path(scan).resolve() == files.mesh.resolve():
        raise DataError(f"{files.mesh} is the scan itself; give another --out")
    write_landmarks(files.landmarks, points)
    write_displacement_png(files.displacement, relief)
    write_displacement_exr(files.displacement_exr, relief)
    write_image(files.quality, registration_picture(model, mesh, measured, review))
    if appearance is not None:
        write_appearance(appearance_beside(files.mesh), appearance)
    if texture is not None and files.texture is not None:
        write_image(files.texture, texture.image)
        write_image(out / f"{name}.seen.png", texture.seen.astype(np.uint8) * 255)
    write_obj(files.mesh, mesh, files.texture.name if files.texture is not None else None)
    return files


def appearance_beside(mesh: Path) -> Path:
    """Where a registered neutral keeps how it looks."""
    return mesh.with_suffix(".appearance.png")


def choose_landmarks(
    scan: Mesh, given: Path | None, take: Take | None, images: Sequence[Image], progress: Progress = no_progress
) -> Landmarks3d:
    """Those of a file; what it leaves open (null) comes from the photographs, else from pictures of the scan.

    Where no face is found there, the file's alone serve. Raises DataError, NoFace when there is neither.
    """
    placed = read_landmarks(given) if given is not None else None
    if placed is not None and placed.known.all():
        return placed
    try:
        if take is not None:
            found = triangulate_landmarks(images, take.cameras, progress=progress)
        else:
            found = landmarks_of_scan(scan, progress=progress)
    except NoFace:
        if placed is None:
            raise
        return placed
    return found if placed is None else found.overridden(placed)
