"""Learning to decode heads from identity features: data, loss and figures (Lin et al., sections 3.2, 3.3 and 4.1)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from common.array_types import Floats, Floats32, Ints64
from common.progress import Progress, no_progress, part
from processing.face_models.face_model import FaceModel
from processing.learning.avatar.decoder import COMPLETION, MEMBER_FEATURES, MEMBER_TEXTURE
from processing.learning.avatar.decoder_network import ShapeDecoder
from processing.learning.avatar.decoder_shape import DecoderShape
from processing.learning.avatar.identity_features import mean_features
from processing.learning.weights_file import network_tensors
from processing.training.avatar.feature_files import FeatureFile, make_held_file, prepare_features, read_features
from processing.training.avatar.members import Members, gather_members
from processing.training.avatar.settings import AvatarSettings, AvatarTrainingError
from processing.training.precision import descend
from processing.training.study_faces import StudyFaces

__all__ = ["NEEDS_MODEL", "PARTS", "AvatarSettings", "AvatarTask", "make_task"]
#: What must be there of every subject.
PARTS = frozenset({"mesh", "neutral_texture"})
NEEDS_MODEL = False
NOSE_TIP = 30  # of Multi-PIE's 68
_QUALITY = 88
_HELD_SHARE = 0.1  # of sampled heads, where no subject is held back


@dataclass(frozen=True, eq=False)
class HeadData:
    """Heads and photographs' features of them."""

    heads_mm: Floats32  # (H, L, 3)
    features: Floats32  # (F, 128)
    head: Ints64  # (F,)

    @staticmethod
    def of(files: Sequence[FeatureFile]) -> "HeadData":
        """Several files, one after the other."""
        starts = np.cumsum([0, *(len(one.heads_mm) for one in files)])
        which = [one.head + start for one, start in zip(files, starts, strict=False)]
        return HeadData(
            np.concatenate([one.heads_mm for one in files]), np.concatenate([one.features for one in files]),
            np.concatenate(which),
        )  # fmt: skip

    def split(self, share: float) -> tuple["HeadData", "HeadData"]:
        """Photographs of the first heads, and of the last share of them."""
        last = self.head >= len(self.heads_mm) - max(1, round(share * len(self.heads_mm)))
        return replace(self, features=self.features[~last], head=self.head[~last]), replace(
            self, features=self.features[last], head=self.head[last]
        )


class AvatarTask:
    """The trainer's task. heads: to learn from; held: of people held back."""

    kind = "avatar"

    def __init__(
        self, members: Members, heads: HeadData, own: HeadData, held: HeadData, settings: AvatarSettings, device: str
    ) -> None:
        self.members, self.heads, self.own, self.held = members, heads, own, held
        self.settings, self.device = settings, device
        self.network = ShapeDecoder(
            DecoderShape(
                len(members.head.vertices), heads.features.shape[1], components=settings.components,
                dropout=settings.dropout,
            )
        )  # fmt: skip
        mean, components = principal_components(heads.heads_mm, settings.components)
        spread = heads.features.mean(axis=0), heads.features.std(axis=0)
        self.network.begin_with(mean, components, spread)
        self.network.to(device)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), settings.rate, betas=settings.betas, weight_decay=settings.weight_decay
        )
        self.batches_per_epoch = max(1, len(heads.features) // settings.batch)
        self._noise = torch.from_numpy(settings.feature_noise * spread[1]).float().to(device)
        self._weight = torch.from_numpy(self._vertex_weights()).float().to(device)
        self._features = torch.from_numpy(heads.features).to(device)
        self._mean = mean

    def modules(self) -> Mapping[str, torch.nn.Module]:
        return {"network": self.network}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"adam": self.optimizer}

    def batches(
        self,
        epoch: int,  # noqa: ARG002 - the trainer's rng follows from it already
        rng: np.random.Generator,
    ) -> Iterator[Ints64]:
        """Photographs' numbers, each once an epoch but for the last few."""
        order = rng.permutation(len(self.heads.features))
        size = min(self.settings.batch, len(order))
        for number in range(self.batches_per_epoch):
            yield order[number * size : (number + 1) * size]

    def step(self, batch: Ints64, rng: np.random.Generator) -> Mapping[str, float]:
        """The paper's loss: absolute differences of coordinates, vertices of the face five times."""
        features = self._features[torch.from_numpy(batch).to(self.device)]
        if self.settings.feature_noise:
            noise = torch.from_numpy(rng.standard_normal(features.shape, dtype=np.float32)).to(self.device)
            features = features + noise * self._noise
        wanted = torch.from_numpy(self.heads.heads_mm[self.heads.head[batch]]).to(self.device)
        off = (self.network(features).float() - wanted).abs().mean(dim=(0, 2))
        loss = (self._weight * off).sum() / self._weight.sum()
        descend(loss, self.optimizer)
        return {"loss_mm": float(loss.detach())}

    def validate(self) -> Mapping[str, float]:
        """Weighted mean distances of corresponding vertices, mm, of people held back; and if all had the mean head."""
        with torch.no_grad():
            found = self.network(torch.from_numpy(self.held.features).to(self.device)).float().cpu().numpy()
        truth = self.held.heads_mm[self.held.head]
        ours, mean = self._off_mm(found, truth), self._off_mm(self._mean[None], truth)
        return {"score": ours, "vertices_mm": ours, "mean_head_mm": mean}

    def result(self) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]:
        """Network, head, and what completion needs of consenting members: mean features and small textures."""
        tensors: dict[str, NDArray[Any]] = network_tensors(self.network, half=True)
        tensors.update(self.members.head.arrays())
        codes: list[str] = []
        features: list[Floats32] = []
        for number in self._kept():
            own = self.own.features[self.own.head == number]
            tensors[f"{MEMBER_TEXTURE}{len(codes)}"] = self._stored(number)
            codes.append(self.members.codes[self.members.pictured[number]])
            features.append(mean_features(own))
        if codes:
            tensors[MEMBER_FEATURES] = np.asarray(features, np.float32)
        return tensors, {**self.network.shape.as_json(), COMPLETION: codes}

    def _kept(self) -> list[int]:
        """Numbers into `textures` of members that are apart: each the farthest in features from those before."""
        seen = [number for number in range(len(self.members.textures)) if (self.own.head == number).any()]
        if not seen:
            return []
        means = np.stack([mean_features(self.own.features[self.own.head == number]) for number in seen])
        chosen = [int((means @ means.mean(axis=0)).argmax())]
        while len(chosen) < min(self.settings.kept_textures, len(seen)):
            chosen.append(int((means @ means[chosen].T).max(axis=1).argmin()))
        return [seen[one] for one in sorted(chosen)]

    def _stored(self, number: int) -> NDArray[np.uint8]:
        size = (self.settings.kept_px, self.settings.kept_px)
        picture = cv2.resize(self.members.textures[number], size, interpolation=cv2.INTER_AREA)
        _, stored = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        return np.asarray(stored, np.uint8).ravel()

    def _vertex_weights(self) -> Floats:
        mean = self.members.pool.mean_mm
        nose = self.members.head.landmark_points(mean)[NOSE_TIP]
        near = np.linalg.norm(mean - nose, axis=1) < self.settings.face_mm
        return np.where(near, self.settings.face_weight, 1.0)

    def _off_mm(self, found: NDArray[Any], truth: NDArray[Any]) -> float:
        weight = self._vertex_weights()
        return float((np.linalg.norm(found - truth, axis=2).mean(axis=0) * weight).sum() / weight.sum())


def principal_components(heads_mm: Floats32, count: int) -> tuple[Floats, Floats]:
    """(L, 3) mean and (K, L, 3) components as long as their standard deviations, K = min(count, heads - 1)."""
    from scipy.sparse.linalg import svds

    flat = heads_mm.reshape(len(heads_mm), -1).astype(np.float32)
    mean = flat.mean(axis=0)
    flat = flat - mean
    count = min(count, len(flat) - 1)
    if count < 1:
        return np.asarray(mean.reshape(-1, 3), np.float64), np.zeros((0, *heads_mm.shape[1:]))
    if count < min(flat.shape) - 1:
        start = np.random.default_rng(0).standard_normal(min(flat.shape))
        _, s, vt = svds(flat, k=count, v0=start.astype(np.float32))
        s, vt = s[::-1], vt[::-1]
    else:
        _, s, vt = np.linalg.svd(flat, full_matrices=False)
        s, vt = s[:count], vt[:count]
    components = vt * (s / np.sqrt(len(flat)))[:, None]
    return np.asarray(mean.reshape(-1, 3), np.float64), np.asarray(components.reshape(count, -1, 3), np.float64)


def make_task(
    faces: StudyFaces,
    model: FaceModel | None,
    settings: AvatarSettings,
    work: Path,
    *,
    held_back: Sequence[str],
    seed: int,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> AvatarTask:
    """The task, its photographs' features made under `work` where they are not there yet.

    held_back: subjects that figures are of; the others of `faces` are learned from.
    model: of the study, whose topology says where eyes and mouth are; None: the template beside a folder's subjects.
    Raises AvatarTrainingError and what reading the study raises.
    """
    train = [code for code in faces.subjects if code not in held_back]
    members = gather_members(faces, model, train, settings, work / "members.npz", progress=part(progress, 0.0, 0.1))
    files, own_files = prepare_features(work, members, settings, seed=seed, progress=part(progress, 0.1, 0.9))
    heads = HeadData.of([read_features(path) for path in files])
    own = HeadData.of([read_features(path) for path in own_files])
    if held_back:
        path = work / "held-back.npz"
        held = HeadData.of([make_held_file(path, faces, held_back, members, settings, seed)])
    else:
        heads, held = heads.split(_HELD_SHARE)
    progress(1.0, "heads and features are there")
    if not len(heads.features) or not len(held.features):
        raise AvatarTrainingError("no face is found in renders of this study: are its textures faces?")
    return AvatarTask(members, heads, own, held, settings, device)
