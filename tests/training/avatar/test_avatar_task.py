"""A decoder learned from made-up features of egg heads: better than the mean head; what its weights hold and say."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_model import small_model

from processing.errors import NoFace, ShapeError
from processing.face_models.low_poly_head import LowPolyHead
from processing.learning.avatar import identity_features as identity
from processing.learning.avatar.decoder import MEMBER_FEATURES, AvatarDecoder
from processing.learning.avatar.decoder_shape import DecoderShape
from processing.learning.weights_file import LearnedCard, LearnedWeights, WeightsError, read_weights
from processing.training.avatar import feature_files
from processing.training.avatar.augmentation import HeadPool, aligned_heads
from processing.training.avatar.members import Members, kinds_of, nearest_members
from processing.training.avatar.settings import AvatarSettings, AvatarTrainingError
from processing.training.avatar.task import AvatarTask, HeadData
from processing.training.train_settings import TrainSettings
from processing.training.trainer import train

SETTINGS = AvatarSettings(
    size="small", heads=24, photographs=2, of_members=2, shard=2, processes=1, components=8, rate=3e-3, texture_px=32,
    kept_px=16, kept_textures=2, sampling="pca", occlusion_rays=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def members() -> Members:
    model = small_model()
    head = LowPolyHead.of_model(model, 400)
    rng = np.random.default_rng(0)
    faces = [model.face(model.sample_identity(rng), np.zeros(len(model.units))) for _ in range(6)]
    heads = aligned_heads([head.take(face) for face in faces])
    textures = tuple(np.full((32, 32, 3), 40 * n + 20, np.uint8) for n in range(3))
    pool = HeadPool(head.mesh(heads.mean(axis=0)), heads, (np.arange(6),))
    return Members(tuple(f"S{n:03d}" for n in range(6)), head, pool, (0, 2, 5), textures)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, members: Members) -> None:
    """Features that a perfect recogniser might have: the head's own coefficients, mixed; every fifth face unseen."""
    mix = np.random.default_rng(5).standard_normal((3 * len(members.head.vertices), 128)) / 400

    def features(rng: np.random.Generator, head_mm: np.ndarray, *rest: object) -> np.ndarray:
        own = (head_mm - members.pool.mean_mm).ravel() @ mix
        count = int(rest[-1]) - int(rng.random() < 0.2)  # type: ignore[call-overload]
        return (own + 0.02 * rng.standard_normal((count, 128))).astype(np.float32)

    monkeypatch.setattr(feature_files, "photograph_features", features)


def the_task(members: Members, work: Path, settings: AvatarSettings = SETTINGS) -> AvatarTask:
    files, own = feature_files.prepare_features(work, members, settings, seed=4)
    heads, theirs = (HeadData.of([feature_files.read_features(path) for path in some]) for some in (files, own))
    return AvatarTask(members, heads, theirs, heads, settings, "cpu")


@pytest.mark.usefixtures("seen")
def test_it_learns_and_its_weights_tell_consenting_members_alone(members: Members, tmp_path: Path) -> None:
    task = the_task(members, tmp_path / "data")
    card = LearnedCard("avatar", {}, {}, {"name": "made up"}, members.codes, (), SETTINGS.as_json())
    done = train(task, tmp_path / "run", TrainSettings(epochs=40, seed=1), card)
    assert done.figures["vertices_mm"] < 0.6 * done.figures["mean_head_mm"]
    decoder = AvatarDecoder.open(read_weights(tmp_path / "run/weights.safetensors", "avatar"))
    truth = task.heads.heads_mm[task.heads.head[0]]
    found = decoder.predict(task.heads.features[0])
    same = task.network(torch.from_numpy(task.heads.features[:1]))[0].detach().numpy()
    assert np.abs(found - same).max() < 0.2  # kept in 16 bits
    assert np.linalg.norm(found - truth, axis=1).mean() < np.linalg.norm(decoder.mean_mm - truth, axis=1).mean()
    assert len(decoder.codes) == 2
    assert sorted(set(task.own.head)) == [0, 1, 2]  # of two files
    assert set(decoder.codes) < {"S000", "S002", "S005"}  # who may be shown
    near = decoder.nearest(decoder.features[1])
    assert near is not None
    assert near.code == decoder.codes[1]
    assert near.texture.shape == (16, 16, 3)
    with pytest.raises(ShapeError):
        decoder.predict(np.zeros(64, np.float32))
    broken = {**decoder.weights.tensors, "members.texture.1": np.zeros(9, np.uint8)}
    with pytest.raises(WeightsError, match="damaged"):
        AvatarDecoder.open(LearnedWeights(done, broken)).nearest(decoder.features[1])
    without = {name: array for name, array in decoder.weights.tensors.items() if name != MEMBER_FEATURES}
    with pytest.raises(WeightsError, match="other members"):
        AvatarDecoder.open(LearnedWeights(done, without))
    shorter = {**decoder.weights.tensors, "network.second.bias": np.zeros(3, np.float32)}
    with pytest.raises(WeightsError, match="no layer second"):
        AvatarDecoder.open(LearnedWeights(done, shorter))


@pytest.mark.usefixtures("seen")
def test_preparations_follow_from_seed_and_number_and_go_on(members: Members, tmp_path: Path) -> None:
    first, _ = feature_files.prepare_features(tmp_path / "a", members, SETTINGS, seed=4)
    before = feature_files.read_features(first[1])
    first[1].unlink()
    again, _ = feature_files.prepare_features(tmp_path / "a", members, SETTINGS, seed=4)
    after = feature_files.read_features(again[1])
    assert np.array_equal(before.features, after.features)
    assert np.array_equal(before.heads_mm, after.heads_mm)
    first[0].write_bytes(b"no file of features")
    with pytest.raises(AvatarTrainingError, match="made again"):
        feature_files.read_features(first[0])


def test_real_renders_are_looked_at_and_faces_missing_are_left_out(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([None, identity.FoundFace(np.ones(128, np.float32), np.ones(15, np.float32)), None, None])
    sizes = []
    monkeypatch.setattr(feature_files, "find_face", lambda image: sizes.append(image.shape) or next(answers))
    few = replace(SETTINGS, limits=replace(SETTINGS.limits, size_px=48))
    rng = np.random.default_rng(0)
    found = feature_files.photograph_features(rng, members.pool.mean_mm, members.textures[0], members, few, 2)
    assert found.shape == (1, 128)
    assert sizes == [(48, 48, 3)] * 4


def test_the_nearest_members_are_of_those_who_may_be_shown(members: Members) -> None:
    assert nearest_members(members.pool.heads_mm[5], members, 2)[0] == 2  # the third of the textures
    assert set(nearest_members(members.pool.heads_mm[1], members, 9)) == {0, 1, 2}


def test_the_studys_table_says_who_is_alike(tmp_path: Path) -> None:
    table = tmp_path / "subjects.csv"
    assert kinds_of(table, ["1"]) == [("", "")]
    table.write_text("index,code,gender,age\n1,S010,female,34\n2,S011,,\n")
    assert kinds_of(table, ["2", "1", "3"]) == [("", ""), ("female", "20"), ("", "")]
    table.write_text("code,age,gender\nS001,61,male\n")
    assert kinds_of(table, ["S001"]) == [("male", "60")]


def test_shapes_of_decoders_are_checked() -> None:
    shape = DecoderShape(300, dropout=0.1)
    assert DecoderShape.from_json(shape.as_json()) == shape
    for wrong in ({}, {**shape.as_json(), "hidden": 0}, {**shape.as_json(), "vertices": "many"}):
        with pytest.raises(Exception, match="no decoder of heads is built so"):
            DecoderShape.from_json(wrong)


def test_no_face_in_a_photograph() -> None:
    with pytest.raises(NoFace, match="upright"):
        identity.identity_features(np.full((120, 120, 3), 90, np.uint8))
    with pytest.raises(ShapeError):
        identity.find_face(np.zeros((10, 10), np.uint8))


PHOTOGRAPHS = Path(__file__).parents[4] / "shared/data/photos"


@pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason="the photographs of faces are not on this machine")
def test_features_of_a_face_do_not_hang_on_its_size() -> None:
    image = cv2.imread(str(PHOTOGRAPHS / "person_a_2.jpg"))
    face = identity.find_face(image)
    assert face is not None
    large = cv2.resize(image, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)
    assert float(face.features @ identity.identity_features(large)) > 0.85
    assert np.linalg.norm(identity.mean_features(np.stack([face.features] * 3)) - face.features) < 1e-5
