"""A study's model: it reproduces its members, forgets who left, minds no order, and refuses what does not fit."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_model import egg_template
from small_study import member_rig, write_study
from threadpoolctl import threadpool_info, threadpool_limits

from processing.face_models.bilinear.build_model import ModelSettings, build_model
from processing.face_models.bilinear_shapes import ModelError
from processing.face_models.blendshapes.rig import RigError, write_rig
from processing.face_models.face_model import FaceModel
from processing.face_models.model_card import Member
from processing.face_models.model_file import read_model, write_model

SETTINGS = ModelSettings(identities=5)
Study = tuple[dict[str, Path], list[Member]]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    rigs, members = write_study(tmp_path_factory.mktemp("study"), 9)
    return rigs, members


@pytest.fixture(scope="module")
def model(study: Study) -> FaceModel:
    rigs, members = study
    return build_model(egg_template(), rigs, None, members, SETTINGS)


def digest(model: FaceModel, path: Path) -> str:
    write_model(path, model)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_members_of_low_rank_are_reproduced(model: FaceModel) -> None:
    for number in (0, 5, 8):
        rig = member_rig(number)
        core, neutral = model.bilinear.neutral_core_mm, rig.neutral_mm
        identity = np.linalg.lstsq(core.reshape(-1, 5).astype(np.float64), neutral.ravel(), rcond=None)[0]
        shapes = model.shapes(identity)
        assert np.abs(shapes[0] - neutral).max() < 2e-3
        assert np.abs(shapes[1:] - rig.shapes_mm).max() < 5e-3
        weights = np.random.default_rng(number).uniform(0, 0.3, 52)
        assert np.abs(model.face(identity, weights) - rig.face(weights)).max() < 0.02
    assert model.card.figures["members_reproduced_rms_mm"] < 1e-3


def test_identity_parameters_have_mean_square_one(model: FaceModel) -> None:
    assert np.allclose(model.identity_mean**2 + model.identity_deviation**2, 1)


def test_units_keep_to_where_they_act(model: FaceModel) -> None:
    brow = model.bilinear.unit_vertices[model.bilinear.rows(model.units.index("browInnerUp"))]
    assert len(brow) > 10
    assert egg_template().mesh.vertices_mm[brow, 1].min() > 0


def test_who_left_has_left_nothing_bit_for_bit(study: Study, model: FaceModel, tmp_path: Path) -> None:
    rigs, members = study
    rest = [m for m in members if m.code != "S004"]
    after = build_model(egg_template(), rigs, None, rest, SETTINGS)
    (tmp_path / "fresh").mkdir()
    fresh, _ = write_study(tmp_path / "fresh", 9)
    fresh.pop("S004").unlink()
    never = build_model(egg_template(), fresh, None, rest, SETTINGS)
    assert digest(after, tmp_path / "a.npz") == digest(never, tmp_path / "b.npz")
    assert digest(after, tmp_path / "a.npz") != digest(model, tmp_path / "c.npz")


def test_the_order_of_members_does_not_matter(study: Study, model: FaceModel, tmp_path: Path) -> None:
    rigs, members = study
    shuffled = [members[i] for i in np.random.default_rng(0).permutation(len(members))]
    again = build_model(egg_template(), dict(reversed(rigs.items())), None, shuffled, SETTINGS)
    assert digest(again, tmp_path / "a.npz") == digest(model, tmp_path / "b.npz")


def test_how_many_processors_there_are_does_not_matter(study: Study, model: FaceModel, tmp_path: Path) -> None:
    rigs, members = study
    threads: set[int] = set()

    def progress(done: float, message: str) -> None:
        del done, message
        threads.update(int(pool["num_threads"]) for pool in threadpool_info() if pool["user_api"] == "blas")

    with threadpool_limits(limits=2, user_api="blas"):
        busy = build_model(egg_template(), rigs, None, members, SETTINGS, progress=progress)
    # With two, sums are in another order: members by the hundred then give other bits.
    assert 1 in threads
    assert digest(busy, tmp_path / "a.npz") == digest(model, tmp_path / "b.npz")


def test_fewer_expression_parameters_are_an_approximation(study: Study) -> None:
    rigs, members = study
    errors = []
    for expressions in (10, 30, 53):
        made = build_model(egg_template(), rigs, None, members, replace(SETTINGS, expressions=expressions))
        assert made.expression_basis.shape == (53, expressions)
        assert np.allclose(made.expression_basis.T @ made.expression_basis, np.eye(expressions))
        errors.append(made.card.figures["members_reproduced_rms_mm"])
        shapes = made.shapes(made.identity_mean)
        kept = made.expression_basis @ made.expression_basis.T
        assert np.allclose(np.tensordot(kept, shapes, axes=1), shapes, atol=0.01)
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 10 * errors[2]


def test_a_small_study_has_fewer_parameters_than_members(study: Study) -> None:
    rigs, members = study
    made = build_model(egg_template(), rigs, None, members[:6], ModelSettings())
    assert made.identity_count == 5


def test_the_file_says_nothing_of_who(model: FaceModel, tmp_path: Path) -> None:
    write_model(tmp_path / "m.npz", model)
    content = (tmp_path / "m.npz").read_bytes()
    plain = content + content.decode("utf-32-le", "ignore").encode()
    assert not any(f"S{number:03d}".encode() in plain for number in range(1, 10))
    read = read_model(tmp_path / "m.npz")
    assert read.card.members == 9
    assert sum(n for counts in read.card.groups.values() for n in counts.values()) == 9


def test_too_few_subjects_are_refused_with_how_many_are_needed(study: Study) -> None:
    rigs, members = study
    with pytest.raises(ModelError, match="at least 5 subjects, each with a rig; there are 4"):
        build_model(egg_template(), rigs, None, members[:4], SETTINGS)


def test_a_subject_without_a_rig_is_named(study: Study) -> None:
    rigs, members = study
    with pytest.raises(ModelError, match=r"no rig of S003 \(1 of 9\)"):
        build_model(egg_template(), {c: p for c, p in rigs.items() if c != "S003"}, None, members, SETTINGS)
    with pytest.raises(ModelError, match="twice"):
        build_model(egg_template(), rigs, None, [*members, members[0]], SETTINGS)


def test_a_rig_of_another_topology_or_other_units_is_refused(study: Study, tmp_path: Path) -> None:
    rigs, members = study
    rig = member_rig(2)
    write_rig(tmp_path / "t.npz", replace(rig, topology="26000-0123456789ab"))
    with pytest.raises(ModelError, match="S003 has topology 26000"):
        build_model(egg_template(), rigs | {"S003": tmp_path / "t.npz"}, None, members, SETTINGS)
    write_rig(
        tmp_path / "u.npz",
        replace(rig, names=rig.names[:-1], shapes_mm=rig.shapes_mm[:-1], weights=rig.weights[:, :-1]),
    )
    with pytest.raises(ModelError, match=r"S003 has other units than that of S001 \(tongueOut\)"):
        build_model(egg_template(), rigs | {"S003": tmp_path / "u.npz"}, None, members, SETTINGS)


def test_a_number_that_is_none_is_refused(study: Study, tmp_path: Path) -> None:
    rigs, members = study
    whole = bytearray(rigs["S002"].read_bytes())
    at = len(whole) // 2
    whole[at : at + 16] = b"\xff" * 16
    (tmp_path / "n.npz").write_bytes(whole)
    with pytest.raises(RigError, match="finite"):
        build_model(egg_template(), rigs | {"S002": tmp_path / "n.npz"}, None, members, SETTINGS)
