"""A low-poly head: its vertices are the topology's, the face has the most of them, nothing crosses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_model import egg_template, small_model

from processing.errors import ShapeError
from processing.face_models.low_poly_head import LowPolyHead, LowPolyHeadError
from processing.geometry.mesh import Mesh, Surface
from processing.mesh_repair.mesh_defects import opposing_triangles, self_intersecting
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN

ICT = Path(__file__).parents[3] / "shared/data/ict_face.npz"


@pytest.fixture(scope="module")
def head() -> LowPolyHead:
    return LowPolyHead.of_model(small_model(), 600)


def test_its_vertices_are_the_topologys(head) -> None:
    model = small_model()
    assert len(head.vertices) == 600
    faces = np.stack([model.face(model.identity_mean, w) for w in np.eye(len(model.units))[:3]])
    assert (head.take(faces) == faces[:, head.vertices]).all()
    assert (head.parts == model.topology.parts[head.vertices]).all()
    with pytest.raises(ShapeError):
        head.take(faces[:, :-1])


def test_landmarks_are_where_the_full_head_has_them(head) -> None:
    model = small_model()
    mean = model.topology.mesh.vertices_mm
    off = head.landmark_points(head.take(mean)) - model.topology.landmark_points(mean)
    assert np.linalg.norm(off, axis=1).max() < 0.5


def test_the_face_keeps_more_than_the_skull_and_all_parts(head) -> None:
    model = small_model()
    face = model.topology.face
    share = face[head.vertices].mean()
    assert share > 0.6 > face.mean()
    assert set(np.unique(head.parts)) == {SKIN, EYE, MOUTH_INTERIOR}
    mean = model.topology.mesh.vertices_mm
    off = Surface(head.mesh(head.take(mean))).closest(mean).distance_mm
    assert off[face].mean() < 0.15
    assert off.mean() < 0.6


def test_nothing_crosses_or_turns_over_in_any_unit(head) -> None:
    model = small_model()
    for weights in np.r_[np.zeros((1, len(model.units))), np.eye(len(model.units))]:
        mesh = head.mesh(head.take(model.face(model.identity_mean, weights)))
        assert not self_intersecting(mesh).any()
        assert not opposing_triangles(mesh).any()


def test_the_same_again_and_through_arrays(head) -> None:
    again = LowPolyHead.of_arrays(LowPolyHead.of_model(small_model(), 600).arrays())
    for key, array in again.arrays().items():
        assert (array == head.arrays()[key]).all(), key


def test_uvs_of_every_corner_by_itself_are_one() -> None:
    template = egg_template()
    mesh = template.mesh
    single = np.arange(3 * len(mesh.triangles)).reshape(-1, 3).astype(np.int32)
    alone = Mesh(mesh.vertices_mm, mesh.triangles, mesh.uvs[mesh.uv_triangles].reshape(-1, 2), single)
    one, other = (LowPolyHead.of_template(replace(template, mesh=m), 700) for m in (mesh, alone))
    assert len(other.vertices) == 700
    assert (one.triangles == other.triangles).all()
    assert len(other.uvs) == len(one.uvs)


def test_a_template_without_eyes_or_mouth() -> None:
    template = egg_template()
    bare = replace(template, parts=np.zeros_like(template.parts))
    head = LowPolyHead.of_template(bare, 500)
    assert len(head.vertices) == 500
    assert not head.parts.any()


def test_arrays_that_are_none() -> None:
    arrays = LowPolyHead.of_template(egg_template(), 2000).arrays()
    with pytest.raises(LowPolyHeadError, match="uvs"):
        LowPolyHead.of_arrays({k: v for k, v in arrays.items() if k != "head.uvs"})
    with pytest.raises(LowPolyHeadError, match="triangles"):
        LowPolyHead.of_arrays(arrays | {"head.triangles": arrays["head.triangles"] + 9999})
    with pytest.raises(LowPolyHeadError, match="300"):
        LowPolyHead.of_template(egg_template(), 100)


@pytest.mark.slow
def test_the_built_in_topology() -> None:
    from processing.template.builtin_template import default_template

    template = default_template()
    head = LowPolyHead.of_template(template)
    assert len(head.vertices) == 3000
    assert set(np.unique(head.parts)) == {SKIN, EYE, MOUTH_INTERIOR}
    for name in ("neutral", "mouth_stretch", "jaw_left", "grin", "brow_raiser"):  # the full one crosses in the others
        mesh = head.mesh(head.take(template.expression(name)))
        assert not self_intersecting(mesh).any(), name
    mean = template.mesh.vertices_mm
    skin = template.parts == SKIN
    assert Surface(head.mesh(head.take(mean))).closest(mean[skin]).distance_mm.mean() < 0.3


@pytest.mark.slow
@pytest.mark.skipif(not ICT.is_file(), reason="needs ../shared/data/ict_face.npz")
def test_a_template_of_many_pieces() -> None:
    from processing.template.template_import import import_ict

    template = import_ict(ICT)
    head = LowPolyHead.of_template(template)
    assert len(head.vertices) == 3000
    neutral = head.take(template.mesh.vertices_mm)
    crossing = self_intersecting(head.mesh(neutral)).sum()
    assert crossing < self_intersecting(template.mesh).sum()  # teeth, gums and lids of the full one cross
