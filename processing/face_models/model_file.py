"""A face model in one file: a versioned .npz without pickle, read within limits and checked whole."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.bounded.json_toml import parse_json
from common.bounded.limits import MAX_FACE_MODEL_BYTES
from common.bounded.npz_files import map_npz, read_npz
from common.files.atomic_write import atomic_write
from processing.errors import DataError
from processing.face_models.bilinear_shapes import BilinearShapes, ModelError
from processing.face_models.face_model import Albedo, ExpressionMixture, FaceModel, ModelTopology
from processing.face_models.model_card import ModelCard
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id

KIND, FORMAT = "mien face model", 1
_LARGEST = "unit_core_mm"
_ROWS = 4096  # that are looked at together: they stay in the cache
Arrays = Mapping[str, NDArray[Any]]

_FLOATS32 = ("vertices_mm", "neutral_core_mm", "unit_core_mm", "albedo_mean", "albedo_components")
_FLOATS = (
    "uvs", "landmark_barycentric", "expression_basis", "identity_mean", "identity_deviation", "mixture_weights",
    "mixture_means", "mixture_covariances", "albedo_deviations",
)  # fmt: skip
_INTS = ("triangles", "uv_triangles", "landmark_triangles", "contours", "symmetry", "unit_vertices")
_OTHER = {"parts": "int8", "unit_starts": "int64", "contour_starts": "int64", "face": "bool", "frontal": "bool",
          "albedo_mask": "bool"}  # fmt: skip
#: Name -> type of each array of the file.
ARRAYS: dict[str, np.dtype[Any]] = {
    **dict.fromkeys(_FLOATS32, np.dtype("<f4")),
    **dict.fromkeys(_FLOATS, np.dtype("<f8")),
    **dict.fromkeys(_INTS, np.dtype("<i4")),
    **{name: np.dtype(kind) for name, kind in _OTHER.items()},
}


def write_model(path: Path, model: FaceModel) -> None:
    """One .npz file, whole or not at all; equal models give equal bytes."""
    topology = model.topology
    head: dict[str, Any] = {
        "kind": KIND, "format": FORMAT, "name": model.name, "version": model.version, "units": list(model.units),
        "template": {"name": topology.name, "version": topology.version, "topology": topology.topology},
        "length_unit": "mm", "card": model.card.as_json(),
    }  # fmt: skip
    if model.albedo is not None:
        head["albedo_fill"] = list(model.albedo.fill)
    arrays = {name: np.ascontiguousarray(array, ARRAYS[name]) for name, array in _arrays_of(model).items()}
    text = json.dumps(head, sort_keys=True, allow_nan=False)
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        # As they are: packing takes a minute and gains a tenth.
        np.savez(file, head=np.array(text), **arrays)  # type: ignore[arg-type]


def _arrays_of(model: FaceModel) -> dict[str, NDArray[Any]]:
    topology, shapes, mixture, albedo = model.topology, model.bilinear, model.expression_mixture, model.albedo
    arrays: dict[str, NDArray[Any]] = {
        "vertices_mm": topology.mesh.vertices_mm,
        "triangles": topology.mesh.triangles,
        "parts": topology.parts,
        "landmark_triangles": topology.landmark_triangles,
        "landmark_barycentric": topology.landmark_barycentric,
        "contour_starts": np.cumsum([0, *(len(c) for c in topology.contours)]),
        "contours": np.concatenate(topology.contours),
        "symmetry": topology.symmetry,
        "face": topology.face,
        "frontal": topology.frontal,
        "neutral_core_mm": shapes.neutral_core_mm,
        "unit_starts": shapes.unit_starts,
        "unit_vertices": shapes.unit_vertices,
        "unit_core_mm": shapes.unit_core_mm,
        "expression_basis": model.expression_basis,
        "identity_mean": model.identity_mean,
        "identity_deviation": model.identity_deviation,
    }
    if topology.mesh.uvs is not None and topology.mesh.uv_triangles is not None:
        arrays |= {"uvs": topology.mesh.uvs, "uv_triangles": topology.mesh.uv_triangles}
    if mixture is not None:
        arrays |= {
            "mixture_weights": mixture.weights,
            "mixture_means": mixture.means,
            "mixture_covariances": mixture.covariances,
        }
    if albedo is not None:
        arrays |= {
            "albedo_mask": albedo.mask,
            "albedo_mean": albedo.mean,
            "albedo_components": albedo.components,
            "albedo_deviations": albedo.deviations,
        }
    return arrays


def read_model(path: Path, *, topology: str | None = None) -> FaceModel:
    """What `write_model` wrote. topology: refuse a model of any other (`topology_id`). Raises ModelError."""
    path = Path(path)
    with _told(path):
        arrays = read_npz(path, ("head", *ARRAYS), most=MAX_FACE_MODEL_BYTES)
        head = _head(path, arrays)
        said = str(head["template"]["topology"])
        if topology is not None and said != topology:
            raise ModelError(
                f"{path} is a model of topology {said} (template {str(head['template']['name'])[:40]}), the data of "
                f"{topology}. Use a model that was built on the same template"
            )
        _check_types(arrays)
        return _model(head, arrays)


def map_model(path: Path) -> tuple[FaceModel, Callable[[], None]]:
    """`read_model`, whose units stay in the file until they are looked at, and what checks them: for one who asks for
    few vertices, or has something else to do meanwhile. `subset`s are finite; of the rest nothing is to be believed
    before the check has returned. Both raise ModelError.
    """
    path = Path(path)
    with _told(path):
        arrays, checksums = map_npz(path, ("head", *ARRAYS), (_LARGEST,), most=MAX_FACE_MODEL_BYTES)
        head = _head(path, arrays)
        _check_types(arrays)
        model = _model(head, arrays, finite_elsewhere=True)

    def check() -> None:
        with _told(path):
            rows = arrays[_LARGEST]
            for at in range(0, len(rows), _ROWS):
                if not np.isfinite(rows[at : at + _ROWS]).all():
                    raise ModelError("a face model holds what is not a finite number")
            checksums()

    return model, check


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong with a file, as a ModelError."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None
    except ModelError:
        raise
    except (KeyError, ValueError, TypeError, IndexError, OverflowError, AttributeError, DataError) as error:
        raise ModelError(f"{path} is no whole face model ({error}); make one with `mien model build`") from None


def read_card(path: Path) -> tuple[str, int, ModelCard]:
    """A model's name, version and card, without its arrays. Raises ModelError."""
    path = Path(path)
    try:
        head = _head(path, read_npz(path, ("head",), most=MAX_FACE_MODEL_BYTES))
        return str(head["name"]), int(head["version"]), ModelCard.from_json(head["card"])
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ModelError(f"{path} is no face model ({error}); make one with `mien model build`") from None


def _head(path: Path, arrays: Arrays) -> dict[str, Any]:
    if "head" not in arrays:
        raise ValueError("it does not say what it is")
    head = parse_json(str(arrays["head"]))
    if not isinstance(head, dict) or head.get("kind") != KIND:
        raise ValueError("it does not say what it is")
    if head.get("format") != FORMAT:
        raise ModelError(
            f"{path} is a face model of format {str(head.get('format'))[:20]}; this Mien reads {FORMAT}. Build the "
            "model again, or read it with the Mien that wrote it"
        )
    return head


def _check_types(arrays: Arrays) -> None:
    for name, array in arrays.items():
        if name != "head" and array.dtype != ARRAYS[name]:
            raise ValueError(f"{name} holds {array.dtype}; wanted {ARRAYS[name]}")


def _model(head: Mapping[str, Any], arrays: Arrays, *, finite_elsewhere: bool = False) -> FaceModel:
    template = head["template"]
    vertices = arrays["vertices_mm"].astype(np.float64)
    mesh = Mesh(vertices, arrays["triangles"], arrays.get("uvs"), arrays.get("uv_triangles"))
    if topology_id(mesh) != template["topology"]:
        raise ValueError("its triangles are not those of its topology")
    starts = arrays["contour_starts"]
    if starts.ndim != 1 or not len(starts) or starts[0] != 0 or starts[-1] != len(arrays["contours"]):
        raise ValueError("its contour_starts do not run through its contours")
    if (np.diff(starts) < 0).any():
        raise ValueError("its contour_starts do not run through its contours")
    topology = ModelTopology(
        name=str(template["name"]),
        version=int(template["version"]),
        topology=str(template["topology"]),
        mesh=mesh,
        parts=arrays["parts"],
        landmark_triangles=arrays["landmark_triangles"],
        landmark_barycentric=arrays["landmark_barycentric"],
        contours=tuple(np.split(arrays["contours"], starts[1:-1])),
        symmetry=arrays["symmetry"],
        face=arrays["face"],
        frontal=arrays["frontal"],
    )
    shapes = BilinearShapes(
        units=tuple(str(unit) for unit in head["units"]),
        **{key: arrays[key] for key in ("neutral_core_mm", "unit_starts", "unit_vertices", "unit_core_mm")},
        finite_elsewhere=finite_elsewhere,
    )
    return FaceModel(
        name=str(head["name"]),
        version=int(head["version"]),
        topology=topology,
        bilinear=shapes,
        expression_basis=arrays["expression_basis"],
        identity_mean=arrays["identity_mean"],
        identity_deviation=arrays["identity_deviation"],
        expression_mixture=_mixture(arrays),
        albedo=_albedo(head, arrays),
        card=ModelCard.from_json(head["card"]),
    )


def _mixture(arrays: Arrays) -> ExpressionMixture | None:
    if "mixture_weights" not in arrays:
        return None
    return ExpressionMixture(arrays["mixture_weights"], arrays["mixture_means"], arrays["mixture_covariances"])


def _albedo(head: Mapping[str, Any], arrays: Arrays) -> Albedo | None:
    if "albedo_mask" not in arrays:
        return None
    red, green, blue = (int(value) for value in head["albedo_fill"])
    if not all(math.isfinite(v) and 0 <= v <= 255 for v in (red, green, blue)):
        raise ValueError("its albedo_fill is no colour")
    return Albedo(
        arrays["albedo_mask"], arrays["albedo_mean"], arrays["albedo_components"], arrays["albedo_deviations"],
        (red, green, blue),
    )  # fmt: skip
