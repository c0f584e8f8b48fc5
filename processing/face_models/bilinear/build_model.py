"""A study's face model from its subjects' rigs and textures."""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from common.array_types import Floats, Floats32
from common.progress import Progress, no_progress, part
from processing.face_models.bilinear.colour_components import ColourSettings, colour_components
from processing.face_models.bilinear.expression_mixture import expression_mixture
from processing.face_models.bilinear.shape_tensor import ShapeTensor
from processing.face_models.bilinear.tucker import TuckerModes, core_slabs, tucker
from processing.face_models.bilinear_shapes import BilinearShapes, ModelError, joined, shapes_of_slices
from processing.face_models.blendshapes.rig import RigSlabs
from processing.face_models.face_model import Albedo, FaceModel
from processing.face_models.model_card import Member, ModelCard, grouped
from processing.face_models.model_topology import model_topology
from processing.files.image_files import read_image
from processing.geometry.topology import topology_id
from processing.template.template import Template

FEWEST = 5  # members


@dataclass(frozen=True)
class ModelSettings:
    """What a model is made with."""

    name: str = "model"
    version: int = 1
    identities: int = 50  # parameters; one fewer than there are members where these are fewer
    expressions: int = 0  # parameters; 0: all, the neutral's and one for each unit
    sweeps: int = 4  # of higher-order orthogonal iteration at most, where the expressions are truncated
    tolerance_mm: float = 0.002  # a unit's motion of a vertex that is nowhere larger is not stored
    mixture: int = 8  # parts of the expression mixture at most
    fewest: int = FEWEST
    colour: ColourSettings = field(default_factory=ColourSettings)


@dataclass(frozen=True)
class MemberTexture:
    """The files of a member's texture: the picture, and which texels were seen."""

    picture: Path
    seen: Path | None = None


def build_model(
    template: Template,
    rigs: Mapping[str, Path],
    textures: Mapping[str, MemberTexture] | None,
    members: Sequence[Member],
    settings: ModelSettings,
    *,
    progress: Progress = no_progress,
) -> FaceModel:
    """The model of `members`, whose rigs and textures are found by their codes.

    The order in which they are given does not matter: they are taken by their codes, and nothing else of a study
    enters, so that the model without a member equals one that never had it. Albedo needs a texture of each.
    Raises ModelError for too few members, one without a rig, rigs of other units, topologies or with NaN; RigError.
    """
    members = sorted(members, key=lambda m: m.code)
    slabs = _rigs(template, rigs, members, settings)
    # Sums are then in one order, however many processors the machine has.
    with threadpool_limits(limits=1, user_api="blas"):
        return _model(template, slabs, rigs, textures or {}, members, settings, progress)


def _model(
    template: Template, slabs: Sequence[RigSlabs], rigs: Mapping[str, Path], textures: Mapping[str, MemberTexture],
    members: Sequence[Member], settings: ModelSettings, progress: Progress,
) -> FaceModel:  # fmt: skip
    units = slabs[0].names
    tensor = ShapeTensor(slabs, 1 + len(units))
    identities = min(settings.identities, len(members) - 1)
    expressions = settings.expressions or 1 + len(units)
    without = sum(m.code not in textures for m in members)
    has_colour = not without and template.mesh.uvs is not None
    colours = f"light matched by {settings.colour.matching}" if has_colour else f"none: {without} without a texture"
    shape_end = 0.8 if has_colour else 0.98
    modes = tucker(
        tensor, identities, expressions, sweeps=settings.sweeps, progress=part(progress, 0, 0.65 * shape_end)
    )
    own = modes.identity * np.sqrt(len(members))
    mean, deviation = own.mean(axis=0), own.std(axis=0)
    shapes = _shapes(tensor, units, modes, (mean, deviation), settings, part(progress, 0.65 * shape_end, shape_end))
    albedo, colour_share = None, None
    if has_colour:
        albedo, colour_share = _albedo(template, textures, members, settings, part(progress, shape_end, 0.98))
    weights = np.concatenate([rig.weights for rig in slabs])
    card = ModelCard(
        members=len(members),
        groups=grouped(members),
        method=_method(settings, template, identities, expressions, units) | {"colours": colours},
        figures=_figures(modes, shapes, colour_share),
        lineage={"template": topology_id(template.mesh), "rigs": _checksums([rigs[m.code] for m in members])},
    )
    progress(1.0, f"model of {len(members)} members: {identities} identity parameters, {len(units)} units")
    return FaceModel(
        name=settings.name,
        version=settings.version,
        topology=model_topology(template, shapes.neutral(mean)),
        bilinear=shapes,
        expression_basis=modes.expression,
        identity_mean=mean,
        identity_deviation=deviation,
        expression_mixture=expression_mixture(weights, settings.mixture),
        albedo=albedo,
        card=card,
    )


def _rigs(
    template: Template, rigs: Mapping[str, Path], members: Sequence[Member], settings: ModelSettings
) -> list[RigSlabs]:
    """The members' rigs, opened; all of one topology and one set of units."""
    codes = [m.code for m in members]
    if len(set(codes)) != len(codes):
        raise ModelError("a subject is named twice among a model's members")
    fewest = max(2, settings.fewest)
    if len(members) < fewest:
        raise ModelError(
            f"a model needs at least {fewest} subjects, each with a rig; there are {len(members)}. Add subjects to the "
            "selection"
        )
    without = [code for code in codes if code not in rigs]
    if without:
        raise ModelError(
            f"no rig of {', '.join(without[:5])} ({len(without)} of {len(codes)}): make it, or leave the subject out "
            "of the selection"
        )
    opened = [RigSlabs(rigs[code]) for code in codes]
    topology = topology_id(template.mesh)
    for code, rig in zip(codes, opened, strict=True):
        if rig.topology != topology or rig.vertices != len(template.mesh.vertices_mm):
            raise ModelError(
                f"the rig of {code} has topology {rig.topology}, template {template.name} has {topology}: register its "
                "takes to this template"
            )
        if rig.names != opened[0].names:
            other = ", ".join(sorted(set(rig.names) ^ set(opened[0].names))[:5]) or "another order"
            raise ModelError(
                f"the rig of {code} has other units than that of {codes[0]} ({other}): "
                "make both with the same face units"
            )
    return opened


def _shapes(
    tensor: ShapeTensor, units: tuple[str, ...], modes: TuckerModes, spread: tuple[Floats, Floats],
    settings: ModelSettings, progress: Progress,
) -> BilinearShapes:  # fmt: skip
    """The core turned into the units, slab by slab: (1 + U) slices a unit of scaled identity parameter."""
    scale = 1 / np.sqrt(len(tensor.members))
    whole = modes.expression.shape[1] == tensor.shapes
    back = None if whole else modes.expression @ modes.expression.T
    parts = []
    for _, stop, core in core_slabs(tensor, modes.identity):
        turned = core if back is None else (core.reshape(-1, tensor.shapes) @ back).reshape(core.shape)
        # (n_id, 3 s, 1 + U) -> (1 + U, s, 3, n_id)
        slices = turned.transpose(2, 1, 0) * scale
        slices[1:] -= slices[0]
        sliced: Floats32 = slices.reshape(tensor.shapes, -1, 3, len(core)).astype(np.float32)
        parts.append(shapes_of_slices(units, sliced, settings.tolerance_mm, *spread))
        progress(stop / tensor.vertices, f"core: {stop} of {tensor.vertices} vertices")
    return joined(parts)


def _albedo(
    template: Template, textures: Mapping[str, MemberTexture], members: Sequence[Member], settings: ModelSettings,
    progress: Progress,
) -> tuple[Albedo, Floats]:  # fmt: skip
    def read(number: int) -> tuple[Any, Any]:
        files = textures[members[number].code]
        return read_image(files.picture)[..., ::-1], None if files.seen is None else read_image(files.seen)

    return colour_components(len(members), read, template.mesh, template.parts, settings.colour, progress=progress)


def _method(
    settings: ModelSettings, template: Template, identities: int, expressions: int, units: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "decomposition": "truncated Tucker in identity and expression (De Lathauwer et al. 2000), no mean subtracted",
        "template": f"{template.name} {template.version}",
        "vertices": len(template.mesh.vertices_mm),
        "length_unit": "mm",
        "identity_parameters": identities,
        "expression_parameters": expressions,
        "units": len(units),
        "unit_names": "ARKit's",
        "stored_tolerance_mm": settings.tolerance_mm,
    }


def _figures(modes: TuckerModes, shapes: BilinearShapes, colour_share: Floats | None) -> dict[str, Any]:
    samples = len(modes.identity) * len(modes.expression) * shapes.vertex_count
    lost = max(modes.norm2 - modes.kept2[-1], 0.0)
    figures: dict[str, Any] = {
        "members_reproduced_rms_mm": round(float(np.sqrt(lost / samples)), 4),
        "variance_explained": [round(float(v), 5) for v in modes.explained],
        "moved_share": round(len(shapes.unit_vertices) / (len(shapes.units) * shapes.vertex_count), 4),
    }
    if colour_share is not None:
        figures["colour_variance_explained"] = [round(float(v), 5) for v in colour_share]
    return figures


def _checksums(rigs: Sequence[Path]) -> str:
    """One digest of all rigs by the checksums that their files carry: no list from which a member could be told."""
    digest = hashlib.sha256()
    for path in rigs:
        with zipfile.ZipFile(path) as archive:
            said = sorted((m.filename, m.CRC, m.file_size) for m in archive.infolist())
        digest.update(repr(said).encode())
    return digest.hexdigest()
