"""The displacement network's training: windows of two expressions of one person, the paper's losses and L1 in mm.

Equation 5 of FaceScape (TPAMI) has adversarial and feature-matching loss. Both are here, light beside the absolute
error in millimetres, which is what is measured in the end. Every window is asked for two target expressions at once:
their difference is compared with the true one, too, in which pores, which nothing tells, cancel.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.array_types import Floats, Floats32
from common.progress import Progress, no_progress, part
from processing.errors import DataError
from processing.face_models.face_model import FaceModel
from processing.learning.detail.common_relief import CommonRelief
from processing.learning.detail.detail_inputs import (
    SCALE_MM,
    InputShape,
    input_window,
    joined_motion,
    label_window,
    portrait,
)
from processing.learning.detail.detail_network import CODE, PORTRAIT_PX, DetailNetwork
from processing.learning.networks.pix2pix_hd import (
    GeneratorShape,
    MultiScaleDiscriminator,
    feature_matching_loss,
    lsgan_loss,
    masked_l1,
)
from processing.learning.weights_file import network_tensors
from processing.training.detail.common_relief_fit import learned_relief, liveliness
from processing.training.detail.face_maps import FaceMaps, prepare_maps
from processing.training.detail.key_weights import KeyWeights, key_weights
from processing.training.detail.settings import DetailSettings
from processing.training.precision import descend
from processing.training.study_faces import StudyFaces

__all__ = ["NEEDS_MODEL", "PARTS", "DetailSettings", "DetailTask", "make_task"]

NEEDS_MODEL = True
PARTS = frozenset({"mesh", "texture", "displacement"})  # of every subject
_CONDITION = 4  # channels that the discriminators see beside a map: texture and common relief
_AVERAGED = 0.99  # of the generator's running mean, which is what is kept
_WARM_UP = 30  # steps
_LOOKED_AT = (4, 6)  # people held back, and their expressions, at each validation
_EXPOSURE = 0.1  # by which a portrait may be lighter or darker, a channel
_FIELDS = 8  # places of windows along each side


@dataclass(frozen=True)
class Window:
    """What one part of a batch is of: numbers of subject, source and two targets, and its first texel."""

    subject: int
    source: int
    targets: tuple[int, int]
    at: tuple[int, int]


def make_task(
    faces: StudyFaces,
    model: FaceModel | None,
    settings: DetailSettings,
    work: Path,
    *,
    held_back: Sequence[str],
    seed: int,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> "DetailTask":
    """Prepare a study's maps in `work`, what its faces have in common, and the networks.

    model: by which the key expressions' weights are told.  held_back: the subjects who are not learned from.
    Raises DataError for a study without what is needed.
    """
    if model is None:
        raise DataError("displacement is learned for the faces of a model: name one with --model")
    if model.topology.topology != faces.topology:
        raise DataError(
            f"model {model.name} is of topology {model.topology.topology} and the study of {faces.topology}; name the "
            "model that was made of it"
        )
    train = [one for one in faces.subjects if one not in held_back]
    maps = prepare_maps(faces, faces.subjects, settings.map_px, work, progress=part(progress, 0.0, 0.8))
    learners, others = ([maps.number(one) for one in some] for some in (train, held_back))
    progress(0.8, "what faces have in common")
    relief, change = learned_relief(maps, learners)
    progress(0.9, "weights of the key expressions")
    keys = KeyWeights(key_weights(model, maps, train[: settings.key_subjects], work), model.units)
    common = Common(relief, change, keys)
    return DetailTask(maps, learners, others, common, settings, seed=seed, device=device)


@dataclass(frozen=True, eq=False)
class Common:
    """What the people of a study have in common."""

    relief: CommonRelief
    change: Floats32  # (E, P, P) mm, mean change of each expression from rest
    keys: KeyWeights


class DetailTask:
    """What `processing.training.trainer.train` runs."""

    kind = "detail"

    def __init__(
        self,
        maps: FaceMaps,
        train: Sequence[int],
        held_back: Sequence[int],
        common: Common,
        settings: DetailSettings,
        *,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """train, held_back: numbers of subjects in `maps`."""
        self._maps, self._train, self._held_back = maps, list(train), list(held_back)
        self._common, self._settings, self._device = common, settings, torch.device(device)
        self._relief, self._change = common.relief, common.change
        self.batches_per_epoch = settings.steps_an_epoch
        self.input_shape = InputShape(settings.motion, len(maps.labels))
        self._shape = GeneratorShape(
            self.input_shape.channels + CODE, 1, settings.width, settings.halvings, settings.blocks
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = self._placed(DetailNetwork(self._shape))
            self.discriminator = self._placed(MultiScaleDiscriminator(_CONDITION + 1, settings.discriminator_width))
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        betas = (0.5, 0.999)
        self._optimizers = {
            "generator": torch.optim.Adam(self.generator.parameters(), settings.rate, betas),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), settings.rate / 2, betas),
        }
        self._places, self._chances = self._windows(liveliness(maps, self._train))

    def modules(self) -> Mapping[str, torch.nn.Module]:
        return {"generator": self.generator, "averaged": self.averaged, "discriminator": self.discriminator}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return self._optimizers

    def begin_step(self, step: int) -> None:
        """Rates rise over the first steps and fall then."""
        factor = min(1.0, (step + 1) / _WARM_UP) / (1 + step / self._settings.decay_steps)
        rates = {"generator": self._settings.rate, "discriminator": self._settings.rate / 2}
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rates[name] * factor

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[list[Window]]:
        """People, sources, pairs of targets and windows, drawn."""
        del epoch
        for _ in range(self.batches_per_epoch):
            yield [self._drawn(rng) for _ in range(self._settings.pairs)]

    def step(self, batch: Sequence[Window], rng: np.random.Generator) -> Mapping[str, float]:
        settings = self._settings
        inputs, planes, true, valid, whole = self._tensors(batch)
        made = self.generator(inputs, planes, whole * self._exposures(rng, whole.shape[0]))
        seen = torch.cat([inputs[:, :3], planes.sum(dim=1, keepdim=True) / SCALE_MM], dim=1)
        kept = valid * true + (1 - valid) * made.detach()  # what was not measured is no difference
        shown_true = torch.cat([seen, kept / SCALE_MM], dim=1)
        shown_made = torch.cat([seen, made / SCALE_MM], dim=1)
        judged = self.discriminator(torch.cat([shown_true, shown_made.detach()]))
        half = len(inputs)
        of_true = [[a[:half] for a in scale] for scale in judged]
        verdict = lsgan_loss(of_true, real=True) + lsgan_loss([[a[half:] for a in s] for s in judged], real=False)
        descend(verdict / 2, self._optimizers["discriminator"])
        self.discriminator.requires_grad_(False)
        answers = self.discriminator(shown_made)
        with torch.no_grad():
            wanted = self.discriminator(shown_true)
        adversarial, matching = lsgan_loss(answers, real=True), feature_matching_loss(answers, wanted)
        pair, other = slice(0, half, 2), slice(1, half, 2)
        l1 = masked_l1(made, true, valid)
        both = valid[pair] * valid[other]
        change = masked_l1(made[pair] - made[other], true[pair] - true[other], both)
        loss = (settings.l1 * l1 + settings.change * change) / SCALE_MM
        loss = loss + settings.adversarial * adversarial + settings.feature_matching * matching
        descend(loss, self._optimizers["generator"])
        self.discriminator.requires_grad_(True)
        self._average()
        return {
            "l1_mm": l1.item(), "change_mm": change.item(), "adversarial": adversarial.item(),
            "feature_matching": matching.item(), "discriminator": verdict.item(),
        }  # fmt: skip

    def validate(self) -> Mapping[str, float]:
        """Mean absolute errors over measured texels of people held back, neutral source: of the network, and of what
        faces have in common alone.
        """
        people = (self._held_back or self._train)[: _LOOKED_AT[0]]
        errors, plain, changes = [], [], []
        for subject in people:
            own = np.flatnonzero(self._maps.there[subject])
            rest: tuple[Floats32, Floats32] | None = None
            for target in dict.fromkeys([0, *own[np.linspace(1, len(own) - 1, _LOOKED_AT[1]).astype(int)].tolist()]):
                made, common, true, valid = self._whole(subject, 0, int(target))
                valid = valid & self._relief.valid
                errors.append(np.abs(made - true)[valid].mean())
                plain.append(np.abs(common - true)[valid].mean())
                if rest is None:
                    rest = made, true
                else:
                    changes.append(np.abs((made - rest[0]) - (true - rest[1]))[valid].mean())
        change = float(np.mean(changes)) if changes else 0.0
        error = float(np.mean(errors))
        return {"score": error + change, "error_mm": error, "common_mm": float(np.mean(plain)), "change_mm": change}

    def result(self) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]:
        tensors: dict[str, NDArray[Any]] = dict(network_tensors(self.averaged))
        tensors["relief.rest"] = self._relief.rest.astype(np.float16)
        tensors["relief.slopes"] = self._relief.slopes.astype(np.float16)
        tensors["relief.valid"] = self._relief.valid.astype(np.uint8)
        tensors["key_weights"] = np.asarray(self._common.keys.weights, np.float32)
        if self._settings.motion == "label":
            tensors["relief.change"] = self._change.astype(np.float16)
        architecture = {
            "generator": asdict(self._shape), "motion": self._settings.motion, "map_px": self._maps.size_px,
            "labels": list(self._maps.labels), "units": list(self._common.keys.units),
        }  # fmt: skip
        return tensors, architecture

    def _placed(self, module: torch.nn.Module) -> Any:
        return module.to(self._device, memory_format=torch.channels_last)

    def _average(self) -> None:
        with torch.no_grad():
            pairs = zip(self.averaged.parameters(), self.generator.parameters(), strict=True)
            for kept, now in pairs:
                kept.lerp_(now, 1 - _AVERAGED)

    def _windows(self, lively: Floats32) -> tuple[list[tuple[int, int]], Floats]:
        """Places of windows and how often each is drawn: where faces move more often."""
        multiple, patch, size = self._shape.multiple, self._settings.patch_px, self._maps.size_px
        steps = np.unique(np.linspace(0, (size - patch) // multiple, _FIELDS).round().astype(int)) * multiple
        places = [(int(top), int(left)) for top in steps for left in steps]
        there = np.array([float(lively[top : top + patch, left : left + patch].mean()) for top, left in places])
        chances = there + 0.1 * there.mean() + 1e-9
        return places, np.asarray(chances / chances.sum())

    def _drawn(self, rng: np.random.Generator) -> Window:
        subject = self._train[rng.integers(len(self._train))]
        own = np.flatnonzero(self._maps.there[subject])
        source = int(rng.choice(own))
        first, second = rng.choice(own, 2, replace=len(own) < 2)
        place = self._places[rng.choice(len(self._places), p=self._chances)]
        return Window(subject, source, (int(first), int(second)), place)

    def _inputs(
        self, subject: int, source: int, target: int, at: tuple[int, int], side: int
    ) -> tuple[Floats32, Floats32]:
        maps, grid = self._maps, self._maps.grid.window(*at, side, side)
        texture = maps.arrays["texture"][subject, source, at[0] : at[0] + side, at[1] : at[1] + side]
        if self._settings.motion == "label":
            return label_window(grid, target, self._change, np.asarray(texture), self._relief, at)
        values = joined_motion(
            maps.vertices(subject, source), maps.vertices(subject, target),
            maps.stretch(subject, source), maps.stretch(subject, target),
        )  # fmt: skip
        return input_window(grid, values, np.asarray(texture), self._relief, at)

    def _tensors(self, batch: Sequence[Window]) -> tuple[torch.Tensor, ...]:
        """Inputs, common relief, truth (mm), 1 where measured, portraits; pairs of targets follow each other."""
        rows: list[tuple[Floats32, ...]] = []
        side = self._settings.patch_px
        for one in batch:
            top, left = one.at
            for target in one.targets:
                inputs, common = self._inputs(one.subject, one.source, target, one.at, side)
                height = self._maps.arrays["height"][one.subject, target, top : top + side, left : left + side]
                true = np.asarray(height, np.float32)
                valid = np.isfinite(true)
                kept = np.where(valid, true, 0)[None], valid[None].astype(np.float32)
                rows.append((inputs, common, *kept, self._portrait(one.subject, one.source)))
        stacked = [torch.from_numpy(np.stack(column)).to(self._device) for column in zip(*rows, strict=True)]
        return stacked[0].contiguous(memory_format=torch.channels_last), *stacked[1:]

    def _whole(self, subject: int, source: int, target: int) -> tuple[Floats32, Floats32, Floats32, NDArray[np.bool_]]:
        """Made, common and true relief, mm, of a whole map, and where it was measured."""
        inputs, common = self._inputs(subject, source, target, (0, 0), self._maps.size_px)
        whole = self._portrait(subject, source)
        given, planes, seen = (torch.from_numpy(one[None]).to(self._device) for one in (inputs, common, whole))
        answer = self.averaged(given.contiguous(memory_format=torch.channels_last), planes, seen)
        true, valid = self._maps.height(subject, target)
        return np.asarray(answer[0, 0].float().cpu().numpy(), np.float32), common.sum(axis=0), true, valid

    def _portrait(self, subject: int, source: int) -> Floats32:
        return portrait(self._maps.texture(subject, source), PORTRAIT_PX)

    def _exposures(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        """(B, 3, 1, 1): a photograph's own exposure and tint, which say nothing of age; the same for a pair."""
        drawn = rng.uniform(1 - _EXPOSURE, 1 + _EXPOSURE, (count // 2, 3)).astype(np.float32)
        return torch.from_numpy(np.repeat(drawn, 2, axis=0)[:, :, None, None]).to(self._device)
