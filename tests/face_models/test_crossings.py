"""Crossings of a model's faces: none are left where parts are drawn apart, and the rest of the face stays."""

from pathlib import Path

import numpy as np
import pytest
from small_model import small_model

from processing.face_models.bilinear.build_model import ModelSettings, build_model
from processing.face_models.bilinear_shapes import ModelError
from processing.face_models.blendshapes.rig import Rig, write_rig
from processing.face_models.crossings import ALLOWED_MM, WITHIN, FacePoser, count_crossings, sampled_faces
from processing.face_models.model_card import Member
from processing.geometry.topology import topology_id
from processing.synthetic.face_study import LABELS, face_study

ICT = Path(__file__).parents[3] / "shared/data/ict_face.npz"


@pytest.fixture(scope="module", params=["anny", "ict"])
def model(request, tmp_path_factory):
    """A model of five synthetic people."""
    if request.param == "ict" and not ICT.is_file():
        pytest.skip("needs ../shared/data/ict_face.npz")
    folder, rigs, members = tmp_path_factory.mktemp("rigs"), {}, []
    for subject in face_study(5, seed=11, population=request.param, vertices=4000, ict=ICT):
        truth, code = subject.truth, subject.code
        weights = np.stack([truth.weights[label] for label in LABELS])
        topology = topology_id(subject.template.mesh)
        rig = Rig(truth.units, subject.neutral_mm.astype(np.float32), truth.shapes_mm, topology, LABELS, weights)
        rigs[code] = folder / f"{code}.npz"
        write_rig(rigs[code], rig)
        members.append(Member(code))
        template = subject.template
    return build_model(template, rigs, None, members, ModelSettings(identities=4))


def test_no_random_face_has_parts_in_each_other(model):
    plain, apart = count_crossings(model, 40, np.random.default_rng(1))
    assert plain.faces == apart.faces == 40
    assert apart.crossing == 0
    assert max(apart.deepest_mm.values()) <= ALLOWED_MM
    assert apart.farthest_mm < 8


def test_a_unit_that_closes_too_far_is_put_right(model):
    """Blinks of the sum are deeper than those of the poser, whatever the person."""
    poser, rng = FacePoser(model), np.random.default_rng(2)
    weights = np.zeros(len(model.units))
    weights[[model.units.index(f"eyeBlink{side}") for side in ("Left", "Right")]] = 1.0
    for _ in range(3):
        identity = model.sample_identity(rng)
        before, after = poser.crossings(model.face(identity, weights)), poser.crossings(poser.face(identity, weights))
        assert max(after.values()) <= max(max(before.values()), ALLOWED_MM)
        assert max(after.values()) < ALLOWED_MM


def test_people_and_expressions_are_drawn_within_two_deviations(model):
    for identity, weights in sampled_faces(model, 30, np.random.default_rng(3)):
        scores = (identity - model.identity_mean) / model.identity_deviation
        assert np.abs(scores).max() <= WITHIN
        assert ((weights >= 0) & (weights <= 1)).all()
        assert weights[model.units.index("mouthClose")] <= weights[model.units.index("jawOpen")]


def test_a_model_without_expressions_says_so():
    from dataclasses import replace

    bare = replace(small_model(), expression_mixture=None)
    with pytest.raises(ModelError, match="expression mixture"):
        next(sampled_faces(bare, 1, np.random.default_rng(0)))
