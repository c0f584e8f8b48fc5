"""Rigs in other programs: glTF and USD read back give the rig's faces; names are ARKit's; files are small."""

from pathlib import Path

import numpy as np
import pytest
from glb_reader import Glb
from small_rig import small_rig
from small_template import small_template

from processing.face_models.exports.rig_targets import rig_targets
from processing.files.morph_targets.gltf import write_glb
from processing.files.morph_targets.morph_target_model import STILL_MM, MorphTargetModel, TopologyArrays
from processing.files.morph_targets.obj_folder import write_obj_folder
from processing.files.morph_targets.usd import write_usd
from processing.files.obj import read_obj
from processing.template.face_units import ARKIT_UNITS


@pytest.mark.parametrize("seed", range(2))
def test_gltf_has_the_52_units_by_arkits_names(tmp_path: Path, seed: int) -> None:
    template, _ = small_template()
    rig = small_rig(seed)
    path = tmp_path / "rig.glb"
    write_glb(path, rig_targets(rig, template.mesh, "subject_1"))
    glb = Glb(path)
    (mesh,) = glb.document["meshes"]
    (primitive,) = mesh["primitives"]
    assert tuple(mesh["extras"]["targetNames"]) == ARKIT_UNITS
    base = glb.array(primitive["attributes"]["POSITION"])
    corners = glb.array(primitive["indices"])[:, 0]
    for target, shape in zip(primitive["targets"], rig.shapes_mm, strict=True):
        moved = (base + glb.array(target["POSITION"]))[corners] * 1000
        np.testing.assert_allclose(moved, shape[template.mesh.triangles.ravel()], atol=2 * STILL_MM)
    dense = len(ARKIT_UNITS) * 24 * len(base)
    assert path.stat().st_size < 0.75 * dense
    (animation,) = glb.document["animations"]
    (sampler,) = animation["samplers"]
    weights = glb.array(sampler["output"]).reshape(-1, 52)
    np.testing.assert_array_equal(weights[1::2], np.eye(52))
    assert len(glb.array(sampler["input"])) == len(weights) == 105


@pytest.mark.parametrize("seed", range(2))
def test_usd_poses_the_face_as_the_rig_does(tmp_path: Path, seed: int) -> None:
    usd = pytest.importorskip("pxr.Usd")
    from pxr import UsdGeom, UsdSkel, Vt

    template, _ = small_template()
    rig = small_rig(seed)
    path = tmp_path / "rig.usdc"
    write_usd(path, rig_targets(rig, template.mesh, "subject_1"))
    stage = usd.Stage.Open(str(path))
    face = UsdGeom.Mesh(stage.GetPrimAtPath("/subject_1/face"))
    binding = UsdSkel.BindingAPI(face.GetPrim())
    assert tuple(binding.GetBlendShapesAttr().Get()) == ARKIT_UNITS
    query = UsdSkel.BlendShapeQuery(binding)
    rng = np.random.default_rng(seed)
    for weights in [*np.eye(52)[rng.permutation(52)[:6]], rng.uniform(0, 1, 52) * (rng.random(52) < 0.2)]:
        subweights, shapes, subshapes = query.ComputeSubShapeWeights(Vt.FloatArray.FromNumpy(weights.astype("f4")))
        points = Vt.Vec3fArray.FromNumpy(rig.neutral_mm)
        places, offsets = query.ComputeBlendShapePointIndices(), query.ComputeSubShapePointOffsets()
        assert query.ComputeDeformedPoints(subweights, shapes, subshapes, places, offsets, points)
        np.testing.assert_allclose(np.array(points), rig.face(weights), atol=52 * STILL_MM)
    animation = UsdSkel.Animation(stage.GetPrimAtPath("/subject_1/weights"))
    times = animation.GetBlendShapeWeightsAttr().GetTimeSamples()
    played = np.array([animation.GetBlendShapeWeightsAttr().Get(time) for time in times])
    np.testing.assert_array_equal(played[1::2], np.eye(52))


def test_an_obj_folder_has_a_file_a_unit(tmp_path: Path) -> None:
    template, _ = small_template()
    rig = small_rig()
    write_obj_folder(tmp_path / "rig", rig_targets(rig, template.mesh, "subject_1"))
    assert {path.stem for path in (tmp_path / "rig").glob("*.obj")} == {"neutral", *ARKIT_UNITS}
    for name in ("jawOpen", "tongueOut"):
        again = read_obj(tmp_path / "rig" / f"{name}.obj").vertices_mm
        np.testing.assert_allclose(again, rig.shapes_mm[rig.names.index(name)], atol=1e-3)


def _strip(count: int) -> MorphTargetModel:
    """A strip of triangles whose targets move nothing, one vertex, and all."""
    rng = np.random.default_rng(count)
    neutral = np.zeros((count, 3), np.float32)
    neutral[:, 0] = np.arange(count)
    neutral[1::2, 1] = 1
    first = np.arange(count - 2, dtype=np.int32)
    triangles = np.stack([first, first + 1, first + 2], axis=1)
    one = neutral.copy()
    one[count - 1] += 2
    targets = {"still": neutral, "one": one, "all": (neutral + rng.normal(size=(count, 3))).astype(np.float32)}
    topology = TopologyArrays(triangles, np.zeros((1, 2), np.float32), np.zeros_like(triangles))
    return MorphTargetModel("strip", topology, neutral, targets)


@pytest.mark.parametrize("count", [3, 50, 70_000])
def test_targets_that_move_nothing_one_vertex_or_all(tmp_path: Path, count: int) -> None:
    model = _strip(count)
    write_glb(tmp_path / "strip.glb", model)
    glb = Glb(tmp_path / "strip.glb")
    (primitive,) = glb.document["meshes"][0]["primitives"]
    base = glb.array(primitive["attributes"]["POSITION"])
    corners = glb.array(primitive["indices"])[:, 0]
    for target, positions in zip(primitive["targets"], model.targets.values(), strict=True):
        moved = (base + glb.array(target["POSITION"]))[corners] * 1000
        np.testing.assert_allclose(moved, positions[model.topology.triangles.ravel()], atol=0.02)
