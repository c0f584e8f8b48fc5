"""The learned fit as a task of the trainer: renders of a study's model, the network, its losses and figures."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.array_types import Ints64
from common.progress import Progress, no_progress, part
from processing.face_models.face_model import FaceModel
from processing.geometry.topology import topology_id
from processing.learning.regressor.face_mirror import FaceMirror
from processing.learning.regressor.face_network import FaceNetwork, FaceOutput
from processing.learning.weights_file import network_tensors
from processing.training.precision import descend
from processing.training.regressor.detections import detections_of
from processing.training.regressor.face_draws import compared_vertices
from processing.training.regressor.face_figures import figures, pivot_of
from processing.training.regressor.face_loss import WEIGHTS, PointModel, batch_tensors, face_losses, point_errors
from processing.training.regressor.landmark_task import LandmarkTask
from processing.training.regressor.photograph_shards import photograph_shards
from processing.training.regressor.renders import FaceSource, prepare_shards
from processing.training.regressor.samples import FaceBatch, Samples
from processing.training.regressor.settings import RegressorError, RegressorSettings
from processing.training.study_faces import StudyFaces

PARTS = frozenset({"mesh"})  # that must be there of every subject; textures where they are
NEEDS_MODEL = True
_POINT_NOISE = 0.02  # crop sides by which points are moved at most (deviation) while the geometry is taught
_MOST_MESHES = 60  # of them


def make_task(
    faces: StudyFaces,
    model: FaceModel | None,
    settings: RegressorSettings,
    work: Path,
    *,
    held_back: tuple[str, ...],
    seed: int,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> "RegressorTask | LandmarkTask":
    """Renders under `work` (made where they are not there yet), and the task that learns from them: by their pixels, or
    by what the landmark detector sees in them.

    held_back: subjects whose meshes and skin are measured with; the skin of the others is worn by the faces to learn
    from, where it may be shown.  Raises RegressorError without a model, or for one of another topology than the study.
    """
    if model is None:
        raise RegressorError("a regressor needs the study's face model: name it by --model")
    if topology_id(model.topology.mesh) != faces.topology:
        raise RegressorError(
            f"model {model.name} is of another topology than the study: build it from this study (mien model build)"
        )
    textures = tuple(
        faces.texture(s, faces.neutral(s), settings.texture_px)
        for s in faces.subjects
        if s in faces.pictured and s not in held_back and faces.files(s, faces.neutral(s)).texture.is_file()
    )
    vertices = compared_vertices(model, settings.points)
    count = -(-settings.photographs // settings.shard)
    paths = prepare_shards(
        work / "renders", count, FaceSource(model, textures), vertices, settings, seed=seed,
        progress=part(progress, 0.0, 0.8),
    )  # fmt: skip
    measured = held_back_source(faces, model, [s for s in held_back if s in faces.pictured], settings, seed)
    shards = -(-settings.measured // settings.shard)
    checks = prepare_shards(
        work / "held-back", shards, measured, vertices, settings, seed=seed + 1, progress=part(progress, 0.8, 0.9)
    )
    if settings.reads == "landmarks":
        seen = detections_of(paths, progress=part(progress, 0.9, 1.0))
        return LandmarkTask(model, settings, seen, detections_of(checks), vertices, device=device)
    photographs = []
    if settings.photograph_fits:
        photographs = photograph_shards(Path(settings.photograph_fits), work / "photographs", model, vertices, settings)
    return RegressorTask(
        model, settings, paths, checks, vertices, photographs=photographs, device=device, seed=seed
    )  # fmt: skip


def held_back_source(
    faces: StudyFaces, model: FaceModel, subjects: list[str], settings: RegressorSettings, seed: int
) -> FaceSource:
    """Meshes of those held back as they are registered, in their own skin; without anybody, faces of the model."""
    takes = [
        (subject, label)
        for subject in subjects
        for label in faces.labels(subject)
        if faces.files(subject, label).texture.is_file()
    ]
    some = np.random.default_rng([seed, 7]).permutation(len(takes))[:_MOST_MESHES]
    meshes = []
    for number in sorted(some.tolist()):
        subject, label = takes[number]
        texture = faces.texture(subject, label, settings.texture_px)[..., ::-1]
        meshes.append((faces.vertices(subject, label), np.ascontiguousarray(texture)))
    return FaceSource(model, (), tuple(meshes))


@dataclass(eq=False)
class _Ahead:
    """A batch that is made ready beside the step before it."""

    numbers: Ints64
    seed: int
    make: Callable[[Ints64, int, int], FaceBatch]
    following: "_Ahead | None" = None
    ready: "Future[FaceBatch] | None" = None

    def take(self, pool: ThreadPoolExecutor, size_px: int, next_px: int) -> FaceBatch:
        """What it is, of crops of a size, and the following one begun."""
        mine = self.ready.result() if self.ready is not None else self.make(self.numbers, self.seed, size_px)
        self.ready, after = None, self.following
        if after is not None and after.ready is None:
            after.ready = pool.submit(after.make, after.numbers, after.seed, next_px)
        return mine


class RegressorTask:
    """A network that learns faces from renders; what is kept is the average of its weights over many steps."""

    kind = "regressor"

    def __init__(
        self,
        model: FaceModel,
        settings: RegressorSettings,
        shards: list[Path],
        held_back: list[Path],
        vertices: Ints64,
        *,
        photographs: Sequence[Path] = (),
        device: str,
        seed: int,
    ) -> None:
        self.settings, self.device, self.vertices = settings, device, vertices
        self.pivot_mm = pivot_of(model)
        self.mirror = FaceMirror.of(model, vertices)
        self.renders, self.measured = self._samples([*shards, *photographs]), self._samples(held_back)
        self.photographs = len(self._samples(photographs)) if photographs else 0  # the last of `renders`
        torch.manual_seed(seed)
        self.network = _network(model, settings).to(device)
        self.points = PointModel(model, vertices).to(device)
        self.located = located_rows(model, vertices)
        self._teach_geometry(seed)
        self.average = _network(model, settings).to(device)
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.AdamW(
            _groups(self.network, settings.weight_decay), lr=settings.rate, betas=(0.9, 0.99)
        )
        rendered = len(self.renders) - self.photographs
        self._mixed = round(settings.photograph_share * settings.batch) if self.photographs else 0  # of a batch
        self._size = min(settings.batch, rendered + self._mixed)
        self.batches_per_epoch = max(1, rendered // (self._size - self._mixed))
        self.steps = torch.nn.Module()  # how many were made, kept with the networks: the rate follows from it
        self.steps.register_buffer("made", torch.zeros((), dtype=torch.int64))
        self._pool = ThreadPoolExecutor(1)
        self._lock = threading.Lock()

    def modules(self) -> Mapping[str, torch.nn.Module]:
        return {"network": self.network, "average": self.average, "steps": self.steps}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"adam": self.optimizer}

    def batches(self, _epoch: int, rng: np.random.Generator) -> Iterator[_Ahead]:
        """Each render once an epoch, photographs at random; the crops and what spoils them follow from each batch's
        own seed.
        """
        rendered, size = len(self.renders) - self.photographs, self._size - self._mixed
        order = rng.permutation(rendered)
        seeds = rng.integers(1 << 62, size=self.batches_per_epoch)
        ahead = []
        for k, seed in enumerate(seeds.tolist()):
            own = rendered + rng.integers(max(1, self.photographs), size=self._mixed)
            ahead.append(_Ahead(np.r_[order[k * size : (k + 1) * size], own], seed, self._drawn))
        for one, following in pairwise(ahead):
            one.following = following
        yield from ahead

    def step(self, batch: _Ahead, _rng: np.random.Generator) -> Mapping[str, float]:
        made = int(self.steps.made)
        true = batch_tensors(batch.take(self._pool, self.crop_px(made), self.crop_px(made + 1)), self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(made)
        found = self.network(true["images"], true["five"])
        pivot = torch.tensor(self.pivot_mm, dtype=torch.float32, device=self.device)
        with torch.autocast(torch.device(self.device).type, enabled=False):
            losses = face_losses(found, self.points, true, pivot, torch.from_numpy(self.located))
            total = sum(WEIGHTS[name] * value for name, value in losses.items())
        assert isinstance(total, torch.Tensor)
        descend(total, self.optimizer)
        self._averaged(made)
        self.steps.made += 1
        return {"total": float(total.detach()), **{name: float(value.detach()) for name, value in losses.items()}}

    def crop_px(self, made: int) -> int:
        """Of the crops of step `made`: a training begins with smaller ones."""
        settings = self.settings
        return settings.coarse_px if made < settings.coarse_share * settings.steps else settings.input_px

    def rate(self, made: int) -> float:
        """Of step `made`, from 0."""
        return rate_at(made, self.settings)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self) -> Mapping[str, float]:
        """mm by which the compared points of people held back are off before the camera, by turn and bow."""
        if not len(self.measured):
            return {"score": 0.0}
        errors, rotations = [], []
        pivot = torch.tensor(self.pivot_mm, dtype=torch.float32, device=self.device)
        for start in range(0, len(self.measured), self.settings.batch):
            numbers = np.arange(start, min(start + self.settings.batch, len(self.measured)))
            true = batch_tensors(self.measured.batch(numbers, None), self.device)
            found = self.average(true["images"], true["five"])
            points = self.points(found.scores, found.weights)
            errors.append(point_errors(found, points, true, pivot).mean(dim=1).cpu().numpy())
            rotations.append(true["R"].cpu().numpy())
        return figures(np.concatenate(errors), np.concatenate(rotations))

    def result(self) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]:
        tensors = dict(network_tensors(self.average, half=True))
        tensors |= {"pivot_mm": np.asarray(self.pivot_mm, np.float32), **self.mirror.tensors()}
        return tensors, self.network.architecture()

    def _samples(self, paths: Sequence[Path]) -> Samples:
        settings = self.settings
        return Samples(paths, self.pivot_mm, self.mirror, settings.input_px, settings.render_px)

    def _drawn(self, numbers: Ints64, seed: int, size_px: int) -> FaceBatch:
        with self._lock:  # OpenCV's normal numbers are drawn from one state
            rng = np.random.default_rng(seed)
            return self.renders.batch(numbers, rng, self.settings.spoiling, size_px=size_px)

    def _teach_geometry(self, seed: int) -> None:
        """The layers from points to faces, by faces that the model makes before the renders' cameras: no pictures."""
        settings, rng = self.settings, np.random.default_rng([seed, 3])
        layers = self.network.geometry
        optimizer = torch.optim.Adam(layers.parameters(), lr=1e-3)
        pivot = torch.tensor(self.pivot_mm, dtype=torch.float32, device=self.device)
        rows = torch.from_numpy(self.located)
        for step in range(settings.geometry_steps):
            optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / settings.geometry_steps) + 1e-5
            numbers = rng.integers(len(self.renders), size=settings.geometry_batch)
            true = {key: torch.from_numpy(v).to(self.device) for key, v in self.renders.blind(numbers, rng).items()}
            new = rng.standard_normal(true["scores"].shape).clip(-2.2, 2.2).astype(np.float32)
            true["scores"] = torch.from_numpy(new).to(self.device)
            with torch.no_grad():
                true["points_mm"] = self.points(true["scores"], true["weights"])
                as_seen = FaceOutput(
                    true["scores"], true["weights"], true["R"], true["size"], true["place"], true["distance_mm"],
                    true["seen"][:, :0], true["seen"][:, :0, None],
                )  # fmt: skip
                true["seen"] = as_seen.seen(true["points_mm"], pivot)[0]
            noise = rng.standard_normal((len(numbers), len(rows), 2)) * rng.uniform(
                0, _POINT_NOISE, (len(numbers), 1, 1)
            )
            located = true["seen"][:, rows] + torch.from_numpy(noise.astype(np.float32)).to(self.device)
            losses = face_losses(self.network.face_of(located, true["five"]), self.points, true, pivot, rows)
            total = sum(WEIGHTS[name] * value for name, value in losses.items())
            assert isinstance(total, torch.Tensor)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            optimizer.step()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _averaged(self, made: int) -> None:
        """Polyak's average, which forgets its beginning faster than the whole."""
        share = min(self.settings.average, (1 + made) / (10 + made))
        for kept, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - share)
            else:
                kept.copy_(new)


def located_rows(model: FaceModel, vertices: Ints64) -> Ints64:
    """(K,) rows of compared vertices that the network is to see: those nearest to landmarks."""
    return np.flatnonzero(np.isin(vertices, model.topology.landmark_vertices))


def rate_at(made: int, settings: RegressorSettings) -> float:
    """The rate of a step: up over the first, then down as a cosine to a hundredth (Loshchilov and Hutter 2017)."""
    if made < settings.warm_steps:
        return settings.rate * (made + 1) / settings.warm_steps
    share = min(1.0, (made - settings.warm_steps) / max(1, settings.steps - settings.warm_steps))
    return float(settings.rate * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * share))))


def _network(model: FaceModel, settings: RegressorSettings) -> FaceNetwork:
    points = len(located_rows(model, compared_vertices(model, settings.points)))
    network = FaceNetwork(
        model.identity_count, len(model.units), points, input_px=settings.input_px, width=settings.width
    )  # fmt: skip
    network.to(memory_format=torch.channels_last)
    return network


def _groups(network: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weights of convolutions and layers decay; biases and normalisations do not."""
    many = [p for p in network.parameters() if p.ndim > 1]
    few = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": many, "weight_decay": decay}, {"params": few, "weight_decay": 0.0}]
