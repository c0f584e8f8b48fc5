"""A face model as FaceScape's own code reads one: every array that its facescape_bm.py and facescape_fitter.py ask for.

Their conventions (github.com/zhuhao-nju/facescape, toolkit/src; TPAMI 2023, section 4.1):

- 52 expressions: the neutral, then 51 units at full weight as faces, not offsets (the code subtracts the neutral);
  tongueOut, the 52nd of ARKit, is left out.
- Frontal vertices and triangles come first: the code draws a mesh of all vertices with the frontal triangles, whose
  indices count the frontal vertices. vert_10to16_dict leads from the model's own vertex numbers to these.
- Indices of triangles count from 1, those of vertices from 0. Vertex colours are BGR, 0 to 255.
- Contour lines lie in arrays with a row a landmark, padded by repeating a vertex, so that no pickle is needed.

Identity parameters are those of the model in units of `identity_scale`, so that their variance is 1: the code's L-BFGS
without gradients finds its way in round valleys.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from common.array_types import Floats, Floats32, Ints64
from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress
from processing.face_models.bilinear_shapes import ModelError
from processing.face_models.face_model import Albedo, ExpressionMixture, FaceModel, ModelTopology
from processing.geometry.mesh import Mesh
from processing.template.face_mask import uv_mask

EXPRESSIONS = 52  # FaceScape's code has the number written in
WITHOUT = "tongueOut"
SLAB = 2048  # vertices written at a time
_LEAST_VARIANCE = 1e-4  # of an expression weight
_MASK_TEXELS = 2.0  # so far may a vertex lie outside the texels that the albedo colours
Arrays = dict[str, NDArray[Any]]


def write_facescape_model(path: Path, model: FaceModel, *, progress: Progress = no_progress) -> None:
    """An .npz that FaceScape's classes open unchanged, without pickle, whole or not at all; slab by slab.

    Raises ModelError for a model without UVs, or without 51 units beside tongueOut.
    """
    arrays, order = facescape_arrays(model)
    rows = 3 * len(order)
    shape = (rows, EXPRESSIONS, model.identity_count)
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(_entry(name), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array, order="C"), allow_pickle=False)
        with archive.open(_entry("shape_bm_core"), "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for done, slab in _core_slabs(model, order):
                file.write(slab.tobytes())
                progress(done / len(order), "core")


def facescape_arrays(model: FaceModel) -> tuple[Arrays, Ints64]:
    """All but the core, by name, and (V,) the model's vertices in FaceScape's order. Raises ModelError."""
    topology, mesh = model.topology, model.topology.mesh
    if mesh.uvs is None or mesh.uv_triangles is None:
        raise ModelError(f"model {model.name} has no UVs, and FaceScape's code asks for them: export it as gltf or obj")
    kept = _kept_units(model)
    order = np.concatenate([np.flatnonzero(topology.frontal), np.flatnonzero(~topology.frontal)])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    front = int(topology.frontal.sum())
    frontal = topology.frontal[mesh.triangles].all(axis=1)
    faces = np.concatenate([np.flatnonzero(frontal), np.flatnonzero(~frontal)])
    triangles = place[mesh.triangles[faces]] + 1
    uv_triangles = mesh.uv_triangles[faces].astype(np.int64) + 1
    count = int(frontal.sum())
    scale = identity_scale(model)
    arrays: Arrays = {
        "fv_indices": triangles, "ft_indices": uv_triangles,
        "fv_indices_front": triangles[:count], "ft_indices_front": uv_triangles[:count],
        "v_indices_front": np.arange(front), "vc_dict_front": np.arange(front),
        "vert_num": np.array(len(order)), "face_num": np.array(len(triangles)),
        "frontal_vert_num": np.array(front), "frontal_face_num": np.array(count),
        "texcoords": mesh.uvs, "facial_mask": uv_mask(mesh, topology.face),
        "sym_dict": place[topology.symmetry[order]], "lm_list_v16": place[topology.landmark_vertices],
        "vert_10to16_dict": place, "vert_16to10_dict": order,
        "id_mean": model.identity_mean / scale, "id_var": np.ones(model.identity_count), "identity_scale": scale,
        "units": np.array(["neutral", *(model.units[unit] for unit in kept)]), "length_unit": np.array("mm"),
        "model": np.array(f"{model.name} {model.version}"),
        **_contours(topology, place), **_mixture(model.expression_mixture, kept),
        **_colours(model.albedo, mesh, order[:front]),
    }  # fmt: skip
    return arrays, order


def identity_scale(model: FaceModel) -> Floats:
    """(n,) a unit of FaceScape's identity parameters in the model's: the members' deviation, never nothing."""
    deviation = model.identity_deviation
    return np.asarray(
        np.maximum(deviation, 1e-3 * max(float(deviation.max()), float(np.abs(model.identity_mean).max())))
    )


def _kept_units(model: FaceModel) -> list[int]:
    kept = [number for number, unit in enumerate(model.units) if unit != WITHOUT]
    if len(kept) != EXPRESSIONS - 1:
        raise ModelError(
            f"model {model.name} has {len(kept)} units beside {WITHOUT}; FaceScape's code knows {EXPRESSIONS - 1}"
        )
    return kept


def _core_slabs(model: FaceModel, order: Ints64) -> Iterator[tuple[int, Floats32]]:
    """(how many vertices are done, (3 n, 52, identities)) of one slab of vertices after another."""
    slices = [0, *(1 + unit for unit in _kept_units(model))]
    scale = identity_scale(model).astype(np.float32)
    for start in range(0, len(order), SLAB):
        vertices = order[start : start + SLAB]
        dense = model.subset(vertices).dense()[slices] * scale
        dense[1:] += dense[0]
        slab = dense.transpose(1, 2, 0, 3).reshape(3 * len(vertices), EXPRESSIONS, -1)
        yield start + len(vertices), np.ascontiguousarray(slab, dtype="<f4")


def _contours(topology: ModelTopology, place: Ints64) -> Arrays:
    """Candidates of the jaw's landmarks: 0..7 at the subject's right (-x), 8 under the chin, 9..16 at its left."""
    lines = [line if len(line) else topology.landmark_vertices[[k]] for k, line in enumerate(topology.contours)]

    def rectangular(some: list[Any]) -> Ints64:
        longest = max(len(line) for line in some)
        return np.stack([place[np.r_[line, np.repeat(line[-1:], longest - len(line))]] for line in some])

    return {
        "contour_line_left": rectangular(lines[:8]),
        "contour_line_right": rectangular(lines[9:]),
        "bottom_cand": place[lines[8]],
    }


def _mixture(mixture: ExpressionMixture | None, kept: list[int]) -> Arrays:
    """How the weights of the 51 units are spread; without a mixture, broadly."""
    if mixture is None:
        weights, means = np.ones(1), np.full((1, len(kept)), 0.1)
        covariances = 0.09 * np.eye(len(kept))[None]
    else:
        weights, means = mixture.weights, mixture.means[:, kept]
        covariances = mixture.covariances[:, kept][:, :, kept]
    values, axes = np.linalg.eigh(covariances)
    covariances = np.einsum("kij,kj,klj->kil", axes, values.clip(_LEAST_VARIANCE), axes)
    return {"exp_gmm_weights": weights, "exp_gmm_means": means, "exp_gmm_covariances": covariances}


def _colours(albedo: Albedo | None, mesh: Mesh, vertices: Ints64) -> Arrays:
    """Mean (3 F,) and components (3 F, C), a deviation each, of the frontal vertices' colours: BGR, 0 to 255."""
    count = len(vertices)
    if albedo is None or mesh.uvs is None or mesh.uv_triangles is None:
        return {"color_bm_mean": np.full(3 * count, 160, np.float32), "color_bm_core": np.zeros((3 * count, 1), "f4")}
    uv_of = np.zeros(len(mesh.vertices_mm), np.int64)
    uv_of[mesh.triangles.ravel()] = mesh.uv_triangles.ravel()
    size = len(albedo.mask)
    pixels = mesh.uvs[uv_of[vertices]] * [size, -size] + [-0.5, size - 0.5]
    rows, columns = np.nonzero(albedo.mask)
    away, texel = cKDTree(np.c_[columns, rows]).query(pixels)
    inside = away <= _MASK_TEXELS
    mean = np.where(inside[:, None], albedo.mean[texel], np.array(albedo.fill, np.float32))[:, ::-1]
    spread = albedo.components[:, texel] * inside[:, None] * albedo.deviations[:, None, None]
    core = spread[..., ::-1].reshape(len(albedo.deviations), -1).T
    return {"color_bm_mean": mean.ravel().astype(np.float32), "color_bm_core": core.astype(np.float32)}


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(f"{name}.npy")  # of 1980: equal models give equal bytes
