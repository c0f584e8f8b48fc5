"""The streamed Tucker decomposition: low rank is recovered, slabs do not matter, sweeps never make it worse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.array_types import Floats
from processing.face_models.bilinear.shape_tensor import ShapesInMemory, ShapeTensor
from processing.face_models.bilinear.tucker import core_slabs, leading, tucker
from processing.face_models.bilinear_shapes import ModelError

seeds = st.integers(0, 10_000)


def tensor_of(shapes: Floats, slab_values: int = 10**7) -> ShapeTensor:
    """shapes: (n, 1 + U, V, 3)."""
    by_vertex = shapes.transpose(0, 2, 1, 3)
    return ShapeTensor([ShapesInMemory(np.ascontiguousarray(m)) for m in by_vertex], shapes.shape[1], slab_values)


def low_rank(rng: np.random.Generator, members: int, shapes: int, vertices: int, ranks: tuple[int, int]) -> Floats:
    core = rng.standard_normal((*ranks, vertices, 3)) * 50 * 0.4 ** np.arange(ranks[0])[:, None, None, None]
    ids, exps = rng.standard_normal((members, ranks[0])), rng.standard_normal((shapes, ranks[1]))
    return np.asarray(np.einsum("ia,je,aevd->ijvd", ids, exps, core, optimize=True))


def approximation(tensor: ShapeTensor, identity: Floats, expression: Floats) -> Floats:
    parts = [core.reshape(core.shape[0], stop - start, 3, -1) for start, stop, core in core_slabs(tensor, identity)]
    core = np.concatenate(parts, axis=1)
    return np.asarray(np.einsum("ia,avdk,ke,je->ijvd", identity, core, expression, expression, optimize=True))


def angle(a: Floats, b: Floats) -> float:
    """The largest between two subspaces, by its sine."""
    a, b = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    return float(np.linalg.norm(b - a @ (a.T @ b), 2))


@given(seed=seeds, ranks=st.tuples(st.integers(1, 4), st.integers(1, 4)), members=st.integers(4, 9))
@settings(max_examples=25)
def test_a_tensor_of_low_rank_is_recovered(seed: int, ranks: tuple[int, int], members: int) -> None:
    shapes = low_rank(np.random.default_rng(seed), members, 6, 20, ranks)
    tensor = tensor_of(shapes)
    modes = tucker(tensor, *ranks)
    found = approximation(tensor, modes.identity, modes.expression)
    assert np.abs(found - shapes).max() < 1e-6 * np.abs(shapes).max()
    assert modes.norm2 == pytest.approx(np.square(shapes).sum())
    assert modes.kept2[-1] == pytest.approx(modes.norm2)


@given(seed=seeds, values=st.integers(1, 4000))
@settings(max_examples=25)
def test_slabs_do_not_matter(seed: int, values: int) -> None:
    shapes = np.random.default_rng(seed).standard_normal((7, 5, 23, 3)) * 10
    whole, slabs = tensor_of(shapes), tensor_of(shapes, values)
    one, other = tucker(whole, 3, 2), tucker(slabs, 3, 2)
    assert np.allclose(one.identity_spectrum, other.identity_spectrum, rtol=1e-10)
    assert one.kept2[-1] == pytest.approx(other.kept2[-1], rel=1e-7)
    hosvd = [tucker(t, 3, 5) for t in (whole, slabs)]
    assert angle(hosvd[0].identity, hosvd[1].identity) < 1e-7


@given(seed=seeds, expressions=st.integers(1, 4), identities=st.integers(1, 5))
@settings(max_examples=25)
def test_a_sweep_never_makes_it_worse(seed: int, expressions: int, identities: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = rng.standard_normal((6, 5, 15, 3)) * 0.5 ** np.arange(6)[:, None, None, None]
    tensor = tensor_of(shapes)
    modes = tucker(tensor, identities, expressions, sweeps=6)
    assert list(modes.kept2) == sorted(modes.kept2)
    hosvd = [leading(g, c)[0] for g, c in zip(_grams(shapes), (identities, expressions), strict=True)]
    begun = np.linalg.norm(approximation(tensor, hosvd[0], hosvd[1]) - shapes)
    ended = np.linalg.norm(approximation(tensor, modes.identity, modes.expression) - shapes)
    assert ended <= begun * (1 + 1e-9)
    assert ended**2 == pytest.approx(modes.norm2 - modes.kept2[-1], rel=1e-6, abs=1e-9)


def _grams(shapes: Floats) -> tuple[Floats, Floats]:
    flat, across = shapes.reshape(len(shapes), -1), shapes.transpose(1, 0, 2, 3).reshape(shapes.shape[1], -1)
    return flat @ flat.T, across @ across.T


def test_with_all_expressions_the_identities_are_those_of_an_svd() -> None:
    shapes = np.random.default_rng(1).standard_normal((8, 5, 30, 3)) * 0.6 ** np.arange(8)[:, None, None, None]
    modes = tucker(tensor_of(shapes), 4, 5)
    assert angle(modes.identity, np.linalg.svd(shapes.reshape(8, -1), full_matrices=False)[0][:, :4]) < 1e-9
    assert len(modes.kept2) == 1


def test_explained_variance_is_about_the_mean_and_complete_with_all_identities() -> None:
    shapes = np.random.default_rng(2).standard_normal((6, 4, 30, 3)) + 100
    explained = tucker(tensor_of(shapes), 6, 4).explained
    assert (np.diff(explained) >= 0).all()
    assert explained[0] < 0.4
    assert explained[-1] == pytest.approx(1)


@given(seed=seeds)
def test_signs_do_not_hang_on_the_solver(seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((6, 20))
    vectors, _ = leading(rows @ rows.T, 6)
    assert (vectors.sum(axis=0) > -1e-9).all()


@pytest.mark.parametrize(("identities", "expressions"), [(0, 3), (7, 3), (3, 0), (3, 6)])
def test_more_parameters_than_data_are_refused(identities: int, expressions: int) -> None:
    with pytest.raises(ModelError, match="6 members of 5 shapes"):
        tucker(tensor_of(np.zeros((6, 5, 4, 3))), identities, expressions)
