"""A tiny displacement network, trained on a tiny study: batches, steps, figures, and the weights that come of it."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from killed_run import ends_the_same_when_killed
from small_model import egg_template, small_model

from processing.errors import DataError
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.files.image_files import write_image
from processing.files.obj import write_obj
from processing.learning.detail.detail_predictor import DetailPredictor
from processing.learning.weights_file import LearnedCard, LearnedWeights, read_weights, write_weights
from processing.template.template_file import write_template
from processing.training.detail.task import DetailSettings, DetailTask, make_task
from processing.training.study_faces import StudyFaces

LABELS = ("1_neutral", "2_smile", "19_brow_raiser")
PEOPLE, SIZE = 3, 32
TINY = DetailSettings(
    map_px=SIZE, patch_px=16, pairs=2, width=4, blocks=1, discriminator_width=3, steps_an_epoch=2, key_subjects=1
)


@lru_cache(maxsize=1)
def written() -> dict[str, list[np.ndarray]]:
    """Of each person: meshes of the labels."""
    model, people = small_model(), {}
    for number in range(PEOPLE):
        rng = np.random.default_rng(number)
        identity = model.sample_identity(rng)
        weights = [np.zeros(52), *(rng.uniform(0, 1, 52) * (rng.random(52) < 0.2) for _ in LABELS[1:])]
        people[f"S{number + 1:03d}"] = [model.face(identity, one) for one in weights]
    return people


@pytest.fixture
def study(tmp_path: Path) -> StudyFaces:
    template = egg_template()
    folder = tmp_path / "study"
    for number, (code, meshes) in enumerate(written().items()):
        rng = np.random.default_rng([1, number])
        for position, (label, vertices) in enumerate(zip(LABELS, meshes, strict=True)):
            (folder / code / "models_reg").mkdir(parents=True, exist_ok=True)
            write_obj(folder / code / "models_reg" / f"{label}.obj", template.mesh.with_vertices(vertices))
            picture = rng.integers(80, 200, (SIZE, SIZE, 3)).astype(np.uint8)
            write_image(folder / code / "models_reg" / f"{label}.jpg", picture)
            height = (0.05 * rng.standard_normal((SIZE, SIZE)) + 0.1 * position).astype(np.float32)
            valid = rng.random((SIZE, SIZE)) < 0.9
            write_displacement_png(folder / code / "dpmap" / f"{label}.png", DisplacementMap(height, valid))
    write_template(folder / "template.npz", template)
    return StudyFaces.open(folder)


def task_of(study: StudyFaces, work: Path, settings: DetailSettings = TINY, seed: int = 3) -> DetailTask:
    return make_task(
        study, small_model(), settings, work, held_back=("S003",), seed=seed
    )  # fmt: skip


def trained(task: DetailTask, steps: int = 2) -> list[dict[str, float]]:
    losses = []
    for number, batch in enumerate(task.batches(0, np.random.default_rng(5))):
        if number < steps:
            task.begin_step(number)
            losses.append(dict(task.step(batch, np.random.default_rng([5, number]))))
    return losses


@pytest.mark.parametrize("motion", ["deforming", "label"])
def test_weights_come_back_as_they_were_learned(study: StudyFaces, tmp_path: Path, motion: str) -> None:
    task = task_of(study, tmp_path / "work", replace(TINY, motion=motion))  # type: ignore[arg-type]
    losses = trained(task)
    assert all(np.isfinite(list(one.values())).all() for one in losses)
    with torch.no_grad():
        figures = task.validate()
        tensors, architecture = task.result()
    assert figures["score"] >= figures["error_mm"] > 0
    model = small_model()
    lineage = {"topology": model.topology.topology}
    card = LearnedCard("detail", architecture, lineage, dict(study.lineage), ("S001",), ("S003",))
    write_weights(tmp_path / "weights.safetensors", LearnedWeights(card, tensors))
    read = read_weights(tmp_path / "weights.safetensors", "detail")
    predictor = DetailPredictor.open(read, model.topology.mesh)
    assert predictor.labels == LABELS
    assert not predictor.key_weights[0].any()
    rest, smile = (study.vertices("S003", label) for label in LABELS[:2])
    texture = study.texture("S003", LABELS[0], SIZE)
    made = predictor.heights(texture, rest, rest, smile, label=1)
    with torch.no_grad():
        wanted = task._whole(task._maps.number("S003"), 0, 1)[0]
    np.testing.assert_allclose(made, wanted, atol=2e-3)  # stretches and common relief are kept in 16 bits
    tiled = predictor.heights(texture, rest, rest, smile, label=1, tile_px=8)
    np.testing.assert_allclose(tiled, made, atol=1e-5)
    larger = predictor.map(texture, rest, rest, smile, 100, label=1)
    assert larger.height_mm.shape == larger.valid.shape == (100, 100)


def test_the_same_seed_gives_the_same_bits_and_prepared_maps_are_used_again(study: StudyFaces, tmp_path: Path) -> None:
    first, second = task_of(study, tmp_path / "work"), task_of(study, tmp_path / "work")
    assert trained(first) == trained(second)
    for one, other in zip(first.averaged.parameters(), second.averaged.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(DataError, match="maps of another study or size"):
        task_of(study, tmp_path / "work", replace(TINY, map_px=16))


def test_held_back_people_are_never_drawn(study: StudyFaces, tmp_path: Path) -> None:
    task = task_of(study, tmp_path / "work", replace(TINY, steps_an_epoch=40))
    windows = [window for batch in task.batches(0, np.random.default_rng(1)) for window in batch]
    assert {window.subject for window in windows} == {0, 1}
    assert {window.source for window in windows} == {0, 1, 2}
    assert {target for window in windows for target in window.targets} == {0, 1, 2}
    places = np.array([window.at for window in windows])
    assert (places >= 0).all()
    assert (places + 16 <= SIZE).all()
    assert (places % 4 == 0).all()


def test_what_cannot_be_learned_from_is_refused(study: StudyFaces, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--model"):
        make_task(study, None, TINY, tmp_path / "work", held_back=("S002",), seed=0)
    with pytest.raises(DataError, match="multiples of 4"):
        replace(TINY, patch_px=18)
    with pytest.raises(DataError, match="there is no motion"):
        replace(TINY, motion="optical")  # type: ignore[arg-type]


def test_weights_of_another_topology_or_version_are_refused(study: StudyFaces, tmp_path: Path) -> None:
    task = task_of(study, tmp_path / "work")
    tensors, architecture = task.result()
    mesh = small_model().topology.mesh
    other = LearnedCard("detail", architecture, {"topology": "other"}, {}, (), ())
    with pytest.raises(DataError, match="topology other"):
        DetailPredictor.open(LearnedWeights(other, tensors), mesh)
    card = LearnedCard("detail", {**architecture, "motion": "label"}, {}, {}, (), ())
    with pytest.raises(DataError, match="train again"):
        DetailPredictor.open(LearnedWeights(card, tensors), mesh)


def test_a_run_that_dies_ends_with_the_same_bits(study: StudyFaces, tmp_path: Path) -> None:
    assert ends_the_same_when_killed(lambda: task_of(study, tmp_path / "data"), tmp_path)
