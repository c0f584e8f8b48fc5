"""The learned fit's data and training: renders that lie where they say, mirrors, losses, and a network that learns."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_run import ends_the_same_when_killed

from processing.learning.regressor.face_mirror import FaceMirror, mirrored_rotation, mirrored_units
from processing.learning.regressor.face_network import FaceNetwork, FaceOutput, five_inputs, fused, rotation_of
from processing.learning.regressor.line_of_sight import line_of_sight
from processing.synthetic.training_photographs import Spoiling
from processing.training.regressor.face_draws import compared_vertices, draw_face, draw_weights
from processing.training.regressor.face_figures import pivot_of
from processing.training.regressor.face_loss import PointModel, batch_tensors, face_losses, point_errors
from processing.training.regressor.renders import FaceSource, prepare_shards, read_shard
from processing.training.regressor.samples import Samples
from processing.training.regressor.settings import RegressorError, RegressorSettings
from processing.training.regressor.task import RegressorTask, rate_at
from tests.support.small_model import small_model

SETTINGS = RegressorSettings(
    size="small", input_px=64, coarse_px=64, width=0.5, photographs=12, measured=250, shard=6, views=3, render_px=80,
    batch=4, steps=40, warm_steps=2, average=0.998, points=200, processes=1, geometry_steps=4, geometry_batch=16,
    rate=2e-3,
    spoiling=Spoiling(
        occluder=0.12, glasses=0.08, fringe=0.15, light=0.6, grey=0.03, blur=0.3, coarse=0.2, noise=0.5, jpeg=0.4
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def vertices(model):
    return compared_vertices(model, SETTINGS.points)


@pytest.fixture(scope="module")
def shards(model, vertices, tmp_path_factory):
    folder = tmp_path_factory.mktemp("renders")
    return prepare_shards(folder, 2, FaceSource(model, ()), vertices, SETTINGS, seed=3)


@pytest.fixture(scope="module")
def samples(model, vertices, shards):
    return Samples(shards, pivot_of(model), FaceMirror.of(model, vertices), 64, SETTINGS.render_px)


def test_a_preparation_makes_what_is_missing_and_the_same_again(model, vertices, shards):
    before = [path.read_bytes() for path in shards]
    changed = shards[0].stat().st_mtime_ns
    shards[1].unlink()
    again = prepare_shards(shards[0].parent, 2, FaceSource(model, ()), vertices, SETTINGS, seed=3)
    assert [path.read_bytes() for path in again] == before
    assert shards[0].stat().st_mtime_ns == changed


def test_a_damaged_file_of_renders_is_named(tmp_path):
    path = tmp_path / "shard-00000.npz"
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(RegressorError, match="delete it"):
        read_shard(path)


def test_points_lie_in_the_picture_where_the_truth_says(shards):
    """The face is lit before a background: about its points the picture differs from its edge."""
    shard = read_shard(shards[0])
    for number in range(len(shard)):
        in_camera = shard.points_mm[number] @ shard.R[number].T + shard.t[number]
        pixels = in_camera @ shard.K[number].T
        pixels = pixels[:, :2] / pixels[:, 2:]
        assert (in_camera[:, 2] > 0).all()
        assert np.abs(pixels.mean(axis=0) - 39.5).max() < 30


def face_of(true, place):
    """The truth of a batch as the network would say it; it sees the first five points."""
    return FaceOutput(
        true["scores"], true["weights"], true["R"], true["size"], place, true["distance_mm"], true["seen"][:, :5],
        torch.zeros(len(place), 5, 1, 1),
    )  # fmt: skip


def test_truth_projected_by_the_output_s_own_rule_is_where_the_camera_saw_it(samples, model):
    """Targets are recovered: R, size and distance with a place give back all points, but for the crop's obliqueness."""
    batch = samples.batch(np.arange(12), np.random.default_rng(0))
    true = batch_tensors(batch, "cpu")
    pivot = torch.tensor(pivot_of(model), dtype=torch.float32)
    face = face_of(true, torch.zeros(12, 2))
    seen, _ = face.seen(true["points_mm"], pivot)
    place = (true["seen"] - seen).mean(dim=1)
    off = (true["seen"] - seen - place[:, None]).norm(dim=2) / true["size"][:, None]
    assert float(off.mean()) < 1.0  # mm
    assert float(off.max()) < 8.0


def test_the_loss_of_the_truth_is_nothing_and_grows_with_what_is_wrong(samples, model, vertices):
    true = batch_tensors(samples.batch(np.arange(12), None), "cpu")
    pivot, points = torch.tensor(pivot_of(model), dtype=torch.float32), PointModel(model, vertices)
    made = points(true["scores"], true["weights"])
    assert float((made - true["points_mm"]).abs().max()) < 0.02
    place = true["seen"].mean(dim=1) * 0
    face = face_of(true, place)
    place = (true["seen"] - face.seen(made, pivot)[0]).mean(dim=1)
    face = replace(face, place=place)
    rows = torch.arange(5)
    right = face_losses(face, points, true, pivot, rows)
    wrong = face_losses(replace(face, scores=face.scores + 1.0), points, true, pivot, rows)
    assert float(right["located"]) < 0.01
    assert float(right["shape"]) < 0.02
    assert float(right["scores"]) == pytest.approx(0, abs=1e-9)
    assert float(wrong["scores"]) == pytest.approx(1, abs=1e-4)
    assert float(wrong["camera"]) > float(right["camera"]) + 0.5
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).expand(12, 3, 3)
    assert float(point_errors(replace(face, R=turn @ face.R), made, true, pivot).mean()) > 20


def test_a_mirrored_face_is_the_model_s_own_where_the_model_is_symmetric(model, vertices):
    mirror = FaceMirror.of(model, vertices)
    rng = np.random.default_rng(0)
    points = rng.standard_normal((len(vertices), 3)).astype(np.float32)
    np.testing.assert_array_equal(mirror.points(mirror.points(points)), points)
    mean = mirror.scores(np.zeros(model.identity_count, np.float32))
    assert np.abs(mean).max() < 0.3  # the egg is the same from both sides
    assert mirrored_units(("jawLeft", "jawOpen", "jawRight")).tolist() == [2, 1, 0]
    again = FaceMirror.of_tensors(mirror.tensors())
    np.testing.assert_array_equal(again.matrix, mirror.matrix)
    assert again.fits(model.identity_count, len(model.units))


def test_a_mirrored_batch_is_seen_mirrored(samples):
    """One of the two ways of a draw is the mirror image of the other: pixels and points both."""
    one, other = (samples._one(0, _Always(value), None, 64) for value in (0.9, 0.1))
    np.testing.assert_allclose(one["seen"][:, 1], other["seen"][samples.mirror.rows][:, 1], atol=0.02)
    np.testing.assert_allclose(one["seen"][:, 0], 1 - other["seen"][samples.mirror.rows][:, 0], atol=0.02)
    np.testing.assert_allclose(mirrored_rotation(other["R"]), one["R"], atol=0.02)


class _Always:
    """Chance that says the same number first, and afterwards nothing out of the ordinary."""

    def __init__(self, first):
        self.first = first

    def random(self):
        first, self.first = self.first, 0.99
        return first

    def standard_normal(self, size):
        return np.zeros(size)

    def uniform(self, *_, size=None):
        return np.zeros(size) if size else 0.0

    def integers(self, *_):
        return 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_six_numbers_make_a_rotation(seed):
    six = torch.tensor(np.random.default_rng(seed).standard_normal((4, 6)) * 2)
    R = rotation_of(six)
    torch.testing.assert_close(R @ R.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand(4, 3, 3))
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(4, dtype=torch.float64))


def test_no_output_is_a_face_from_the_front():
    np.testing.assert_allclose(rotation_of(torch.zeros(1, 6))[0], np.diag([1.0, -1, -1]))


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8))
def test_the_line_of_sight_is_a_rotation_onto_z(x, y):
    Q = line_of_sight(np.array([x, y, 1.0]))
    np.testing.assert_allclose(Q @ Q.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(Q @ [x, y, 1.0], [0, 0, np.sqrt(x * x + y * y + 1)], atol=1e-12)


def test_faces_are_drawn_by_the_model(model):
    rng = np.random.default_rng(0)
    face = draw_face(rng, model, ())
    np.testing.assert_allclose(
        face.vertices_mm, model.face(model.identity_mean + face.scores * model.identity_deviation, face.weights)
    )
    drawn = np.array([draw_weights(rng, model) for _ in range(200)])
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert 0.04 < (drawn == 0).all(axis=1).mean() < 0.25


def test_the_rate_rises_and_falls():
    rates = [rate_at(step, SETTINGS) for step in range(SETTINGS.steps + 5)]
    assert rates[0] < rates[1] == SETTINGS.rate
    assert rates[-1] == pytest.approx(0.01 * SETTINGS.rate)
    assert all(a >= b for a, b in pairwise(rates[2:]))


def test_points_that_are_not_there_are_told_so():
    assert five_inputs(None).tolist() == [0.0] * 11
    assert five_inputs(np.full((5, 2), np.nan))[10] == 0
    assert five_inputs(np.full((5, 2), 0.5))[10] == 1


def trained(model, vertices, shards, *, steps):
    """Losses and the task after `steps` of one batch."""
    task = RegressorTask(model, replace(SETTINGS, rate=1e-3), shards, shards[:1], vertices, device="cpu", seed=0)
    batch = next(iter(task.batches(0, np.random.default_rng(0))))
    return [task.step(batch, np.random.default_rng(0))["total"] for _ in range(steps)], task


def test_a_tiny_network_learns_a_batch(model, vertices, shards):
    losses, task = trained(model, vertices, shards, steps=25)
    assert np.mean(losses[-3:]) < 0.6 * np.mean(losses[:3])
    for module in task.modules().values():
        module.eval()
    assert 0 < task.validate()["score"] < 1000
    tensors, architecture = task.result()
    assert architecture["input_px"] == 64
    assert {"pivot_mm", "mirror_matrix", "network.places.weight"} <= set(tensors)


def test_training_twice_gives_the_same_bits(model, vertices, shards):
    ends = [trained(model, vertices, shards, steps=3) for _ in range(2)]
    assert ends[0][0] == ends[1][0]
    other = ends[1][1].average.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in ends[0][1].average.state_dict().items())


def test_a_point_is_located_where_its_map_says(model):
    """One cell alone with the share: the point is the cell's middle, and beside it as far as its shift says."""
    network = FaceNetwork(model.identity_count, len(model.units), 2, input_px=64, width=0.5, maps=8, hidden=8)
    maps = torch.zeros(1, 6, 4, 8)
    maps[0, :2] = -50
    maps[0, 0, 1, 6] = maps[0, 1, 3, 0] = 50
    maps[0, 3] = -2  # the second point's, across
    located = network.located(maps)
    torch.testing.assert_close(located[0], torch.tensor([[6.5 / 8, 1.5 / 4], [0.5 / 8 - 0.5, 3.5 / 4]]))


def test_a_fused_network_says_the_same(model):
    torch.manual_seed(1)
    network = FaceNetwork(model.identity_count, len(model.units), 4, input_px=64, width=0.5, maps=8, hidden=8)
    with torch.no_grad():
        network.train()(torch.randint(0, 255, (4, 3, 64, 64)), torch.zeros(4, 11))  # statistics of its own
    x, five = torch.randint(0, 255, (2, 3, 64, 64)), torch.zeros(2, 11)
    with torch.inference_mode():
        one, other = network.eval()(x, five), fused(network)(x, five)
    torch.testing.assert_close(one.located, other.located, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in fused(network).modules())


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(RegressorError, match="multiple of 32"):
        replace(SETTINGS, input_px=100)
    with pytest.raises(RegressorError, match="no size"):
        RegressorSettings.of("huge")
    with pytest.raises(RegressorError, match="steps"):
        replace(SETTINGS, steps=0)


def test_a_run_that_dies_ends_with_the_same_bits(model, vertices, shards, tmp_path):
    def make():
        few = replace(SETTINGS, steps=6)
        return RegressorTask(model, few, list(shards), list(shards[:1]), vertices, device="cpu", seed=3)

    assert ends_the_same_when_killed(make, tmp_path)
