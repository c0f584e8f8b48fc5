"""A model or a rig, read from its file and written in a format of other programs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common.array_types import Floats
from common.bounded.files import read_bytes
from common.bounded.json_toml import parse_json
from common.bounded.limits import MAX_FACE_MODEL_BYTES, MAX_MAP_BYTES
from common.bounded.npz_files import read_npz
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.face_models.bilinear_shapes import ModelError
from processing.face_models.blendshapes.rig import Rig, RigError, read_rig
from processing.face_models.exports.facescape_model import write_facescape_model
from processing.face_models.exports.rig_targets import model_rig, rig_targets
from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import KIND, read_model
from processing.files.morph_targets.gltf import write_glb
from processing.files.morph_targets.morph_target_model import MorphTargetModel
from processing.files.morph_targets.obj_folder import write_obj_folder
from processing.files.morph_targets.usd import write_usd
from processing.files.stage_files import read_json
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id
from processing.template.builtin_template import default_template
from processing.template.template_file import read_template

FACESCAPE = "facescape"
WRITERS: dict[str, Callable[[Path, MorphTargetModel], None]] = {
    "gltf": write_glb,
    "usd": write_usd,
    "obj": write_obj_folder,
}
FORMATS = (FACESCAPE, *WRITERS)


@dataclass(frozen=True)
class FaceChoice:
    """Whose face a model's export is, and what goes with a rig's."""

    #: Of a random person of the model's distribution; None: the mean.
    seed: int | None = None
    #: JSON with `identity`, the model's parameters, as `mien model fit` writes it.
    identity: Path | None = None
    #: A JPEG over the UVs; a model with albedo has its own.
    texture: Path | None = None
    #: Of a rig's topology (.npz); None: the built-in one.
    template: Path | None = None


@dataclass(frozen=True)
class ExportedFace:
    """What was written."""

    path: Path
    bytes: int
    vertices: int
    units: int
    #: 'model', 'mean of the model', 'sample 3 of the model', 'rig' ...
    what: str


def export_face(
    source: Path, out: Path, form: str, choice: FaceChoice | None = None, *, progress: Progress = no_progress
) -> ExportedFace:
    """Write a model's or a rig's file as `form`, one of FORMATS, to `out`: a file, or a folder for obj.

    Raises ModelError, RigError and DataError, saying what to do.
    """
    choice = choice or FaceChoice()
    if form not in FORMATS:
        raise DataError(f"there is no format '{form}'; there are: {', '.join(FORMATS)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not _is_model(source):
        return _export_rig(source, out, form, choice)
    if choice.template is not None:
        raise DataError(f"{source} is a model and has its topology with it: leave --template out")
    model = read_model(source)
    if form == FACESCAPE:
        if choice != FaceChoice():
            raise DataError("FaceScape's format holds the whole model: leave --seed, --identity and --texture out")
        write_facescape_model(out, model, progress=progress)
        return ExportedFace(out, _size(out), model.vertex_count, len(model.units), "model")
    identity, what = _identity(model, choice)
    rig = model_rig(model, identity)
    texture = _texture(choice.texture) if choice.texture else _albedo(model)
    return _write(rig, model.topology.mesh, out, form, texture, what, f"{model.name}_{model.version}")


def _export_rig(source: Path, out: Path, form: str, choice: FaceChoice) -> ExportedFace:
    if form == FACESCAPE:
        raise RigError(f"{source} is one subject's rig; FaceScape's format is of a model: mien model build")
    if choice.seed is not None or choice.identity is not None:
        raise RigError(f"{source} is one subject's rig: leave --seed and --identity out")
    rig = read_rig(source)
    template = read_template(choice.template) if choice.template else default_template()
    if topology_id(template.mesh) != rig.topology:
        raise RigError(
            f"{source} is of topology {rig.topology}, template {template.name} is {topology_id(template.mesh)}: name "
            "the template that its takes were registered to with --template"
        )
    texture = _texture(choice.texture) if choice.texture else None
    return _write(rig, template.mesh, out, form, texture, "rig", "rig")


def _write(rig: Rig, mesh: Mesh, out: Path, form: str, texture: bytes | None, what: str, name: str) -> ExportedFace:
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    WRITERS[form](out, rig_targets(rig, mesh, f"face_{safe}", texture=texture, facts={"made of": what}))
    return ExportedFace(out, _size(out), len(rig.neutral_mm), len(rig.names), what)


def _identity(model: FaceModel, choice: FaceChoice) -> tuple[Floats, str]:
    """The identity parameters, and whose they are in words."""
    if choice.seed is not None and choice.identity is not None:
        raise DataError("--seed draws a person, --identity names one: give one of them")
    if choice.seed is not None:
        return model.sample_identity(np.random.default_rng(choice.seed)), f"sample {choice.seed} of the model"
    if choice.identity is None:
        return model.identity_mean, "mean of the model"
    path = choice.identity
    said = read_json(path)
    try:
        identity = np.array(said["identity"], dtype=np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} has no `identity`, numbers in a list ({error}); mien model fit writes one") from None
    if identity.shape != (model.identity_count,) or not np.isfinite(identity).all():
        raise ModelError(
            f"{path}: `identity` has {identity.size} numbers; model {model.name} {model.version} has "
            f"{model.identity_count} identity parameters: is it a fit of this model?"
        )
    return identity, f"identity of {path.name}"


def _is_model(source: Path) -> bool:
    try:
        head = parse_json(str(read_npz(source, ("head",), most=MAX_FACE_MODEL_BYTES)["head"]))
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}") from None
    except (KeyError, ValueError) as error:
        raise DataError(f"{source} is neither a face model nor a rig ({error})") from None
    return isinstance(head, dict) and head.get("kind") == KIND


def _texture(path: Path) -> bytes:
    try:
        data = read_bytes(path, MAX_MAP_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a texture ({error})") from None
    if data[:3] != b"\xff\xd8\xff":
        raise DataError(f"{path} is no JPEG: textures of exports are")
    return data


def _albedo(model: FaceModel) -> bytes | None:
    """The mean albedo as JPEG."""
    if model.albedo is None:
        return None
    _, data = cv2.imencode(".jpg", model.albedo.picture()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return data.tobytes()


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
