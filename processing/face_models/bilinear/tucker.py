"""Truncated Tucker decomposition of the data tensor in identity and expression, streamed by slabs of vertices.

Higher-order SVD by the modes' Gram matrices (De Lathauwer, De Moor and Vandewalle 2000a), then higher-order orthogonal
iteration (2000b) where the expression mode is truncated: with all expression parameters kept, the HOSVD is the
optimum of the identity mode already. Vlasic et al. 2005 and Cao et al. 2013 leave the vertex mode as it is;
so does this. Sums are in double precision: Gram matrices square the range of values, and a face's details are a
ten-thousandth of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.array_types import Floats
from common.progress import Progress, no_progress, part
from processing.face_models.bilinear.shape_tensor import ShapeTensor
from processing.face_models.bilinear_shapes import ModelError

ENOUGH = 1e-9  # of the tensor's squared norm: a sweep that gains less is the last


@dataclass(frozen=True, eq=False)
class TuckerModes:
    """Orthonormal factors of both modes, and what they keep of the tensor."""

    identity: Floats  # (n, n_id): a member's row are its identity parameters
    expression: Floats  # (1 + U, n_exp)
    identity_spectrum: Floats  # (n,) eigenvalues of the identity mode's Gram matrix, mm^2, falling
    expression_spectrum: Floats  # (1 + U,) the same of the expression mode
    mean_share: float  # of the squared norm, in the members' mean
    norm2: float  # mm^2, of the tensor
    kept2: tuple[float, ...]  # mm^2, of the core: after the HOSVD, after each half sweep

    @property
    def explained(self) -> Floats:
        """(n_id,) the share of the variance about the mean shapes in the first 1, 2, ... identity parameters."""
        around = max(1.0 - self.mean_share, 1e-300)
        kept = np.cumsum(self.identity_spectrum[: self.identity.shape[1]]) / max(self.norm2, 1e-300)
        return np.asarray(((kept - self.mean_share) / around).clip(0, 1))


def tucker(
    tensor: ShapeTensor, identities: int, expressions: int, *, sweeps: int = 4, progress: Progress = no_progress
) -> TuckerModes:
    """Factors of `identities` and `expressions` columns. One pass over the tensor, one more a half sweep.

    Raises ModelError for more columns than the tensor has members or shapes.
    """
    members, shapes = len(tensor.members), tensor.shapes
    if not (1 <= identities <= members and 1 <= expressions <= shapes):
        raise ModelError(
            f"{members} members of {shapes} shapes give at most {members} identity and {shapes} expression parameters; "
            f"asked for {identities} and {expressions}"
        )
    truncated = expressions < shapes
    passes = 1 + 2 * sweeps * truncated
    gram_id, gram_exp = _grams(tensor, part(progress, 0.0, 1.0 / passes))
    identity, id_spectrum = leading(gram_id, identities)
    expression, exp_spectrum = leading(gram_exp, expressions)
    norm2 = float(np.trace(gram_id))
    kept: list[float] = [] if truncated else [float(id_spectrum[:identities].sum())]
    for sweep in range(sweeps * truncated):
        gram = _projected_gram(tensor, identity, part(progress, (1 + 2 * sweep) / passes, (2 + 2 * sweep) / passes))
        if not kept:
            kept.append(float(np.trace(expression.T @ gram @ expression)))
        better, values = leading(gram, expressions)
        if (gained := float(values[:expressions].sum())) <= kept[-1]:
            break
        expression, begun = better, kept[-1]
        kept.append(gained)
        gram = _mixed_gram(tensor, expression, part(progress, (2 + 2 * sweep) / passes, (3 + 2 * sweep) / passes))
        better, values = leading(gram, identities)
        if (gained := float(values[:identities].sum())) <= kept[-1]:
            break
        identity = better
        kept.append(gained)
        if gained - begun <= ENOUGH * norm2:
            break
    mean_share = float(gram_id.sum()) / members / max(norm2, 1e-300)
    return TuckerModes(identity, expression, id_spectrum, exp_spectrum, mean_share, norm2, tuple(kept))


def leading(gram: Floats, count: int) -> tuple[Floats, Floats]:
    """The eigenvectors (n, count) of the largest eigenvalues of a Gram matrix, and all of these, falling.

    Each vector's sign is that in which its sum is positive, or its largest entry where the sum is nothing.
    """
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1].clip(0), vectors[:, ::-1][:, :count]
    total = vectors.sum(axis=0)
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(count)]
    sign = np.where(np.abs(total) > 1e-6 * np.sqrt(len(vectors)), total, largest)
    return np.ascontiguousarray(vectors * np.where(sign < 0, -1.0, 1.0)), values


def core_slabs(tensor: ShapeTensor, identity: Floats) -> Iterator[tuple[int, int, Floats]]:
    """The tensor projected on columns (n, n_id): vertices start..stop and (n_id, (stop - start) * 3, 1 + U) mm."""
    turned = np.ascontiguousarray(identity.T)
    for start, stop, slab in tensor.slabs():
        flat = turned @ slab.reshape(len(slab), -1)
        yield start, stop, flat.reshape(len(turned), -1, tensor.shapes)


def _grams(tensor: ShapeTensor, progress: Progress) -> tuple[Floats, Floats]:
    """(n, n) and (1 + U, 1 + U) mm^2, of both modes in one pass."""
    members, shapes = len(tensor.members), tensor.shapes
    identity, expression = np.zeros((members, members)), np.zeros((shapes, shapes))
    for _, stop, slab in tensor.slabs():
        rows, columns = slab.reshape(members, -1), slab.reshape(-1, shapes)
        identity += rows @ rows.T
        expression += columns.T @ columns
        progress(stop / tensor.vertices, f"products of {members} members: {stop} of {tensor.vertices} vertices")
    return identity, expression


def _projected_gram(tensor: ShapeTensor, identity: Floats, progress: Progress) -> Floats:
    """(1 + U, 1 + U) mm^2: the expression mode's, of the tensor projected on the identity columns."""
    gram = np.zeros((tensor.shapes, tensor.shapes))
    for _, stop, core in core_slabs(tensor, identity):
        columns = core.reshape(-1, tensor.shapes)
        gram += columns.T @ columns
        progress(stop / tensor.vertices, f"expression parameters: {stop} of {tensor.vertices} vertices")
    return gram


def _mixed_gram(tensor: ShapeTensor, expression: Floats, progress: Progress) -> Floats:
    """(n, n) mm^2: the identity mode's, of the tensor projected on the expression columns."""
    gram = np.zeros((len(tensor.members), len(tensor.members)))
    for _, stop, slab in tensor.slabs():
        rows = (slab.reshape(-1, tensor.shapes) @ expression).reshape(len(slab), -1)
        gram += rows @ rows.T
        progress(stop / tensor.vertices, f"identity parameters: {stop} of {tensor.vertices} vertices")
    return gram
