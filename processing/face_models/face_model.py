"""The face model of a study: identity and expression to a face, over one topology, with all that a fit needs.

Bilinear model of FaceScape (TPAMI 2023, section 4.1), after Vlasic et al. 2005 and Cao et al. 2013.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Floats32, Image, Ints32
from processing.errors import ShapeError
from processing.face_models.bilinear_shapes import BilinearShapes, ModelError, Parameters
from processing.face_models.model_card import ModelCard
from processing.geometry.mesh import Mesh

JAW = 17  # landmarks along the jaw; the middle one, 8, is the chin's


@dataclass(frozen=True, eq=False)
class ModelTopology:
    """The mesh that a model moves, and what is known of its vertices."""

    name: str  # of the template
    version: int  # of the template
    topology: str  # processing.template.face_units.topology_of the template
    mesh: Mesh  # V vertices: the members' mean neutral, mm; UVs in the unit square
    parts: NDArray[np.int8]  # (V,) as the template's
    landmark_triangles: Ints32  # (68,) Multi-PIE
    landmark_barycentric: Floats  # (68, 3)
    #: 17: where each landmark of the jaw can lie as the head turns, ascending. 0..7 at the subject's right (-x), 8
    #: under the chin, 9..16 at the subject's left (+x): the silhouette passes through the outermost of them.
    contours: tuple[Ints32, ...]
    symmetry: Ints32  # (V,) the vertex on the other side of the face
    face: Bools  # (V,) the face: what the facial mask shows
    frontal: Bools  # (V,) the face with ears and throat, without scalp, neck, and what lies inside

    def __post_init__(self) -> None:
        count = len(self.mesh.vertices_mm)
        wanted: dict[str, tuple[int, ...]] = {
            "parts": (count,), "landmark_triangles": (68,), "landmark_barycentric": (68, 3), "symmetry": (count,),
            "face": (count,), "frontal": (count,),
        }  # fmt: skip
        for key, shape in wanted.items():
            if getattr(self, key).shape != shape:
                raise ShapeError(f"model: {key}", getattr(self, key).shape, str(shape))
        if len(self.contours) != JAW:
            raise ModelError(f"a face model has contours of {len(self.contours)} landmarks; wanted {JAW}")
        within = {
            "landmark_triangles": (self.landmark_triangles, len(self.mesh.triangles)),
            "symmetry": (self.symmetry, count),
            "contours": (np.concatenate([c.ravel() for c in self.contours]), count),
        }
        for key, (array, most) in within.items():
            if array.size and (array.min() < 0 or array.max() >= most):
                raise ModelError(f"a face model's {key} name what is not in its mesh")
        if not (np.isfinite(self.mesh.vertices_mm).all() and np.isfinite(self.landmark_barycentric).all()):
            raise ModelError("a face model's mesh holds what is not a finite number")

    @property
    def landmark_vertices(self) -> Ints32:
        """(68,) the vertex nearest to each landmark."""
        corners = self.mesh.triangles[self.landmark_triangles]
        return np.asarray(corners[np.arange(68), self.landmark_barycentric.argmax(axis=1)], dtype=np.int32)

    def landmark_points(self, vertices_mm: Floats) -> Floats:
        """(..., V, 3) -> (..., 68, 3) mm."""
        if vertices_mm.shape[-2:] != self.mesh.vertices_mm.shape:
            raise ShapeError("vertices_mm", vertices_mm.shape, f"(..., {len(self.mesh.vertices_mm)}, 3)")
        corners = vertices_mm[..., self.mesh.triangles[self.landmark_triangles], :]
        return np.asarray(np.einsum("nk,...nkd->...nd", self.landmark_barycentric, corners))


@dataclass(frozen=True, eq=False)
class ExpressionMixture:
    """How faces of the study move: a Gaussian mixture over the weights of its members' takes."""

    weights: Floats  # (K,) positive, of sum 1
    means: Floats  # (K, U)
    covariances: Floats  # (K, U, U) positive definite

    def __post_init__(self) -> None:
        parts, units = self.means.shape if self.means.ndim == 2 else (-1, -1)
        for key, shape in {"weights": (parts,), "covariances": (parts, units, units)}.items():
            if getattr(self, key).shape != shape:
                raise ShapeError(f"expression mixture: {key}", getattr(self, key).shape, str(shape))
        if not all(np.isfinite(a).all() for a in (self.weights, self.means, self.covariances)):
            raise ModelError("an expression mixture holds what is not a finite number")
        if (self.weights <= 0).any() or abs(self.weights.sum() - 1) > 1e-6:
            raise ModelError("an expression mixture's weights are not positive, or not of sum 1")
        try:
            np.linalg.cholesky(self.covariances)
        except np.linalg.LinAlgError:
            raise ModelError("a covariance of an expression mixture is not positive definite") from None

    def log_density(self, weights: Parameters) -> Floats:
        """(...,) natural logarithm of the density at weights (..., U)."""
        weights = np.asarray(weights, dtype=np.float64)
        terms = []
        for share, mean, covariance in zip(self.weights, self.means, self.covariances, strict=True):
            root = np.linalg.cholesky(covariance)
            away = np.linalg.solve(root, (weights - mean).reshape(-1, len(mean)).T)
            scale = np.log(np.diag(root)).sum() + 0.5 * len(mean) * np.log(2 * np.pi)
            terms.append(np.log(share) - 0.5 * np.square(away).sum(axis=0) - scale)
        return np.asarray(np.logaddexp.reduce(terms, axis=0).reshape(weights.shape[:-1]))

    def sample(self, rng: np.random.Generator, *, within: float = np.inf) -> Floats:
        """(U,) weights in 0..1 of a random expression, no farther from its part's mean than so many deviations."""
        part = rng.choice(len(self.weights), p=self.weights / self.weights.sum())
        drawn = rng.standard_normal((self.means.shape[1],)).clip(-within, within)
        return np.asarray((self.means[part] + np.linalg.cholesky(self.covariances[part]) @ drawn).clip(0, 1))


@dataclass(frozen=True, eq=False)
class Albedo:
    """Colours of the study's faces: principal components of its textures, over the texels that are skin to all."""

    mask: Bools  # (S, S) texels that the model colours; row 0 is v = 1
    mean: Floats32  # (N, 3) RGB 0..255 of the N texels of the mask, row by row
    components: Floats32  # (C, N, 3) orthonormal
    deviations: Floats  # (C,) of the members along each component
    fill: tuple[int, int, int] = (128, 128, 128)  # RGB of texels outside the mask

    def __post_init__(self) -> None:
        texels, count = int(self.mask.sum()), len(self.deviations)
        if self.mask.ndim != 2 or self.mask.shape[0] != self.mask.shape[1]:
            raise ShapeError("albedo: mask", self.mask.shape, "(S, S)")
        for key, shape in {"mean": (texels, 3), "components": (count, texels, 3), "deviations": (count,)}.items():
            if getattr(self, key).shape != shape:
                raise ShapeError(f"albedo: {key}", getattr(self, key).shape, str(shape))
        if not all(np.isfinite(a).all() for a in (self.mean, self.components, self.deviations)):
            raise ModelError("a model's albedo holds what is not a finite number")

    def picture(self, parameters: Parameters | None = None) -> Image:
        """(S, S, 3) RGB texture of parameters (C,), in units of `deviations`; the mean without."""
        colours = self.mean.astype(np.float64)
        if parameters is not None:
            parameters = np.asarray(parameters, dtype=np.float64)
            if parameters.shape != self.deviations.shape:
                raise ShapeError("albedo parameters", parameters.shape, str(self.deviations.shape))
            amounts = (parameters * self.deviations).astype(np.float32)
            colours = colours + (amounts @ self.components.reshape(len(amounts), -1)).reshape(colours.shape)
        picture = np.empty((*self.mask.shape, 3), dtype=np.uint8)
        picture[:] = self.fill
        picture[self.mask] = np.rint(colours).clip(0, 255)
        return picture


@dataclass(frozen=True, eq=False)
class FaceModel:
    """face(identity, weights): n identity parameters and U expression weights to V vertices, mm, head frame."""

    name: str
    version: int
    topology: ModelTopology
    bilinear: BilinearShapes
    #: (1 + U, n_exp) orthonormal columns: row 0 the expression parameters of the neutral, row j those of unit j
    #: (w_exp^(i) of the paper, section 4.1).
    expression_basis: Floats
    identity_mean: Floats  # (n,) of the members' identity parameters
    identity_deviation: Floats  # (n,)
    expression_mixture: ExpressionMixture | None = None
    albedo: Albedo | None = None
    card: ModelCard = field(default_factory=lambda: ModelCard(0))

    def __post_init__(self) -> None:
        identities, units = self.bilinear.identity_count, len(self.units)
        if self.bilinear.vertex_count != len(self.topology.mesh.vertices_mm):
            raise ShapeError("model: core", self.bilinear.neutral_core_mm.shape, f"({self.vertex_count}, 3, n)")
        for key in ("identity_mean", "identity_deviation"):
            if getattr(self, key).shape != (identities,):
                raise ShapeError(f"model: {key}", getattr(self, key).shape, f"({identities},)")
        if self.expression_basis.ndim != 2 or self.expression_basis.shape[0] != 1 + units:
            raise ShapeError("model: expression_basis", self.expression_basis.shape, f"({1 + units}, n_exp)")
        if self.expression_mixture is not None and self.expression_mixture.means.shape[1] != units:
            raise ShapeError("expression mixture: means", self.expression_mixture.means.shape, f"(K, {units})")
        arrays = (self.identity_mean, self.identity_deviation, self.expression_basis)
        if not all(np.isfinite(a).all() for a in arrays) or (self.identity_deviation < 0).any():
            raise ModelError("a face model's parameters are not finite numbers, or a deviation is negative")

    @property
    def units(self) -> tuple[str, ...]:
        return self.bilinear.units

    @property
    def vertex_count(self) -> int:
        return len(self.topology.mesh.vertices_mm)

    @property
    def identity_count(self) -> int:
        return self.bilinear.identity_count

    @property
    def core_mm(self) -> Floats32:
        """(n, n_exp, V, 3): the core tensor in the expression basis, made anew; 837 MB for 50 x 53 x 26,317."""
        slices = self.bilinear.dense()
        slices[1:] += slices[0]
        turned = np.tensordot(np.linalg.pinv(self.expression_basis).astype(np.float32), slices, axes=1)
        return np.ascontiguousarray(turned.transpose(3, 0, 1, 2))

    def shapes(self, identity: Parameters) -> Floats:
        """(1 + U, V, 3) mm: the neutral and each unit at weight 1, absolute, of identity parameters (n,)."""
        return self.bilinear.shapes(identity)

    def face(self, identity: Parameters, weights: Parameters) -> Floats:
        """(V, 3) mm: neutral + sum of w_j (shape_j - neutral), weights (U,)."""
        return self.bilinear.face(identity, weights)

    def subset(self, vertices: NDArray[np.integer[Any]]) -> BilinearShapes:
        """The shapes of some vertices (M,), each once, in this order."""
        return self.bilinear.subset(vertices)

    def sample_identity(self, rng: np.random.Generator, *, within: float = 2.0) -> Floats:
        """(n,) identity parameters of a person who is not in the study, each within so many deviations of the mean."""
        drawn = rng.standard_normal(self.identity_count)
        while (outside := np.abs(drawn) > within).any():
            drawn[outside] = rng.standard_normal(int(outside.sum()))
        return np.asarray(self.identity_mean + drawn * self.identity_deviation)

    def sample_weights(self, rng: np.random.Generator, *, within: float = np.inf) -> Floats:
        """(U,) weights of a random expression, as ExpressionMixture.sample draws them.

        Raises ModelError for a model without an expression mixture.
        """
        if self.expression_mixture is None:
            raise ModelError(f"model {self.name} has no expression mixture: its members' takes had no weights")
        return self.expression_mixture.sample(rng, within=within)
