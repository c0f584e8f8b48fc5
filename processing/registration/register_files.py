"""Registration of one scan from files to files: what `mien register` does."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from processing.cameras import Image
from processing.errors import DataError, MeshError
from processing.mesh import Mesh
from processing.mesh_files import read_obj, read_ply, whole_file, write_obj
from processing.registration.landmarks import (
    Landmarks3d,
    read_landmarks,
    triangulate_landmarks,
    write_landmarks,
)
from processing.registration.register import RegistrationReport, register_expression, register_neutral
from processing.registration.scan_landmarks import landmarks_of_scan
from processing.registration.template import SKIN, Template, default_template
from processing.takes import Take, read_photos, read_take


@dataclass(frozen=True)
class RegisteredFiles:
    """What was written, and the registration's own report."""

    mesh: Path
    displacement: Path
    texture: Path | None
    landmarks: Path
    report: RegistrationReport

    def as_json(self) -> str:
        files = {k: str(v) for k, v in asdict(self).items() if isinstance(v, Path)}
        return json.dumps({"files": files, **asdict(self.report)})

    def as_text(self) -> str:
        r = self.report
        return (
            f"{self.mesh}: {r.matched:.0%} of the skin met the scan, {r.surface_mm:.3f} mm from it on average; "
            f"landmarks within {r.landmark_mm:.1f} mm (median of {r.landmarks})"
        )


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
) -> RegisteredFiles:
    """Read, register, bake, texture where there are photographs, write. Nothing is written when a step fails.

    Landmarks come from `landmarks`, else from the photographs, else from pictures of the scan itself.
    Raises DataError with what is wrong and what to do.
    """
    from processing.appearance import project_texture
    from processing.displacement import bake, write_relief

    if expression and neutral is None:
        raise DataError("--expression needs --neutral: the subject's registered neutral mesh")
    surface = read_scan(scan)
    model = default_template() if template is None else Template.load(template)
    take = read_take(photos) if photos is not None else None
    images: list[Image] = []
    if take is not None:
        take, images = read_photos(take)
    points = _landmarks(surface, landmarks, take, images)
    if neutral is None:
        registration = register_neutral(model, surface, points)
    else:
        start = read_obj(neutral)
        if len(start.vertices_mm) != len(model.mesh.vertices_mm):
            count = len(start.vertices_mm)
            raise MeshError(
                f"{neutral} has {count} vertices, the template {len(model.mesh.vertices_mm)}: not registered"
            )
        registration = register_expression(model, expression, start.vertices_mm, surface, points)
    mesh = model.mesh.with_vertices(registration.vertices_mm)
    relief = bake(mesh, surface, size_px=size_px, skin=model.parts == SKIN)
    texture = project_texture(mesh, images, take.cameras, size_px=size_px) if take is not None else None

    import cv2

    name = Path(scan).stem
    files = RegisteredFiles(
        mesh=out / f"{name}.obj",
        displacement=out / f"{name}.dpmap.png",
        texture=out / f"{name}.jpg" if texture is not None else None,
        landmarks=out / f"{name}.landmarks.json",
        report=registration.report,
    )
    if Path(scan).resolve() == files.mesh.resolve():
        raise DataError(f"{files.mesh} is the scan itself; give another --out")
    write_landmarks(files.landmarks, points)
    write_relief(files.displacement, relief)
    if texture is not None and files.texture is not None:
        with whole_file(files.texture) as temporary:
            temporary.write_bytes(cv2.imencode(".jpg", texture.image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    write_obj(files.mesh, mesh, files.texture.name if files.texture is not None else None)
    return files


def _landmarks(scan: Mesh, given: Path | None, take: Take | None, images: list[Image]) -> Landmarks3d:
    if given is not None:
        return read_landmarks(given)
    if take is not None:
        return triangulate_landmarks(images, take.cameras)
    return landmarks_of_scan(scan)
