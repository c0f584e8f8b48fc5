"""`mien register`: one scan into the template's topology, by the stages that `mien process` and the farm run.

The scan is there already, so a stage that hands it on stands in Reconstruct's place; it puts the photographs' cameras
right as Reconstruct does. Landmarks that a person placed go before those found.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.progress import Progress, no_progress
from common.take_codes import NEUTRAL
from processing.errors import DataError, MeshError
from processing.farm.display.registration_report import RegisteredFiles, RegistrationResult
from processing.farm.execution.single_take import SingleTake, copy_whole, take_results
from processing.farm.execution.stage_run import Results, made
from processing.farm.template_files import template_file
from processing.files.mesh_files import check_mesh_name, read_mesh
from processing.files.obj import write_obj
from processing.files.stage_files import read_vertices, write_vertices
from processing.stages.bake import Bake
from processing.stages.base import PLACED_LANDMARKS, SCAN_FILE, TAKE, TEMPLATE
from processing.stages.discovery import Stages, discover, upstream
from processing.stages.landmarks import Landmarks
from processing.stages.outputs import (
    APPEARANCE,
    DISPLACEMENT,
    DISPLACEMENT_EXR,
    LANDMARKS,
    MESH,
    MESH_PICTURE,
    MESH_REPORT,
    MESH_REVIEW,
    TEXTURE,
    TEXTURE_SEEN,
)
from processing.stages.reconstruct import Reconstruct
from processing.stages.register import Register
from processing.stages.substitutes.given_files import GivenLandmarks, GivenScan
from processing.stages.texture import Texture
from processing.template.template import Template
from processing.template.template_file import read_template


@dataclass(frozen=True)
class RegistrationInputs:
    """What a scan is registered with."""

    scan: Path  # OBJ or PLY, head frame, mm
    template: Path | None = None  # None: the built-in one
    landmarks: Path | None = None  # 68 that a person placed, null where they are to be found
    photos: Path | None = None  # a take's folder
    neutral: Path | None = None  # the subject's registered neutral, an OBJ as this command writes it
    expression: str = ""  # with `neutral`: what the scan shows


def register_scan(
    given: RegistrationInputs, out: Path, *, size_px: int = 2048, progress: Progress = no_progress
) -> RegistrationResult:
    """Register, bake, texture where there are photographs; `out` has all of it, or nothing when a step fails.

    A neutral with photographs keeps its appearance beside its mesh; expressions with photographs are compared with it.
    size_px: side of the maps, texels.  Raises DataError with what is wrong and what to do.
    """
    if given.expression and given.neutral is None:
        raise DataError("--expression needs --neutral: the subject's registered neutral mesh")
    check_mesh_name(given.scan)
    if given.scan.resolve() == (out / f"{given.scan.stem}.obj").resolve():
        raise DataError(f"{out / given.scan.name} is the scan itself; give another --out")
    file = template_file(None if given.template is None else str(given.template))
    template = read_template(file)
    with tempfile.TemporaryDirectory(prefix="mien-neutral-") as folder:
        inputs = {TEMPLATE: file, SCAN_FILE: given.scan}
        optional = {TAKE: given.photos, PLACED_LANDMARKS: given.landmarks, **_neutral(given, template, Path(folder))}
        inputs |= {need: path for need, path in optional.items() if path is not None}
        expression = NEUTRAL if given.neutral is None else given.expression
        take = SingleTake(given.scan.stem, inputs, _stages(given), _params(given, size_px), expression)
        with take_results(take, progress=progress) as results:
            progress(1.0, "writing")
            return _place(given, out, template, results)


def appearance_beside(mesh: Path) -> Path:
    """Where a registered neutral keeps how it looks."""
    return mesh.with_suffix(".appearance.png")


def _neutral(given: RegistrationInputs, template: Template, folder: Path) -> dict[str, Path | None]:
    """The neutral's results as Register needs them. Raises MeshError for a mesh of another topology."""
    if given.neutral is None:
        return {}
    start = read_mesh(given.neutral).vertices_mm
    if len(start) != len(template.mesh.vertices_mm):
        raise MeshError(
            f"{given.neutral} has {len(start)} vertices, the template {len(template.mesh.vertices_mm)}: not registered"
        )
    write_vertices(folder / "mesh.npz", start)
    return {
        Register.needs["neutral"]: folder / "mesh.npz",
        Register.needs["neutral_appearance"]: _appearance(given),
    }


def _appearance(given: RegistrationInputs) -> Path | None:
    """The neutral's appearance, where this command kept it."""
    beside = None if given.neutral is None else appearance_beside(given.neutral)
    return beside if beside is not None and beside.is_file() else None


def _stages(given: RegistrationInputs) -> Stages:
    replaced = {Reconstruct.name: GivenScan(), Landmarks.name: GivenLandmarks()}
    wanted = [Register.name, Bake.name, *([Texture.name] if given.photos is not None else [])]
    return upstream({**discover(), **replaced}, *wanted)


def _params(given: RegistrationInputs, size_px: int) -> dict[str, dict[str, Any]]:
    comparable = given.neutral is None or _appearance(given) is not None
    params: dict[str, dict[str, Any]] = {
        Register.name: {"refine": given.photos is not None and comparable},
        Bake.name: {"size_px": size_px},
    }
    return params if given.photos is None else params | {Texture.name: {"size_px": size_px}}


def _place(given: RegistrationInputs, out: Path, template: Template, results: Results) -> RegistrationResult:
    """Under the scan's name, the mesh last."""
    name = given.scan.stem
    files = RegisteredFiles(
        mesh=out / f"{name}.obj",
        displacement=out / f"{name}.dpmap.png",
        displacement_exr=out / f"{name}.dpmap.exr",
        texture=out / f"{name}.jpg" if given.photos is not None else None,
        landmarks=out / f"{name}.landmarks.json",
        quality=out / f"{name}.quality.png",
    )
    copies = {
        files.landmarks: LANDMARKS,
        files.displacement: DISPLACEMENT,
        files.displacement_exr: DISPLACEMENT_EXR,
        files.quality: MESH_PICTURE,
    }
    if given.photos is not None and given.neutral is None:
        copies[appearance_beside(files.mesh)] = APPEARANCE
    if files.texture is not None:
        copies |= {
            files.texture: TEXTURE,
            out / f"{name}.seen.png": TEXTURE_SEEN,
        }
    for target, output in copies.items():
        copy_whole(made(results, output), target)
    mesh = template.mesh.with_vertices(read_vertices(made(results, MESH)))
    write_obj(files.mesh, mesh, files.texture.name if files.texture is not None else None)
    return RegistrationResult.read(files, made(results, MESH_REPORT), made(results, MESH_REVIEW))
