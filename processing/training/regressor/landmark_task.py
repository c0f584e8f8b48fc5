"""Layers from landmarks to faces, taught by the model before cameras and with errors of real detections.

A sample is a face that the model makes, seen by the camera of some render; its landmarks lie where the model has them,
off by what the detector was off in that render. So there are as many faces as one wants, with errors that go with the
view, the side that is hidden and the light as a detector's do. A share of each batch are the renders themselves.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from processing.face_models.face_model import FaceModel
from processing.learning.regressor.face_crop import crop_of_points
from processing.learning.regressor.face_mirror import FaceMirror
from processing.learning.regressor.landmark_network import LandmarkNetwork, five_of_landmarks
from processing.learning.regressor.line_of_sight import line_of_sight
from processing.learning.weights_file import network_tensors
from processing.single_view.fitting.carried_places import places_on
from processing.single_view.fitting.landmark_places import SKIN_POINTS, builtin_places
from processing.training.precision import descend
from processing.training.regressor.detections import Detections
from processing.training.regressor.face_figures import figures, pivot_of
from processing.training.regressor.face_loss import WEIGHTS, PointModel, point_errors
from processing.training.regressor.settings import RegressorError, RegressorSettings

_MOST_OFF_MM = 12.0  # of the mean landmark: beyond, the detector saw something else
_DEVIATIONS = 2.4  # of identity parameters, at most
_AS_SEEN = 0.2  # share of samples that are renders as they are
_OWN_EXPRESSION = 0.5  # of the others, share with the expression of the render whose errors they have
_NOISE_MM = 0.4  # by which landmarks are moved besides, at most (deviation)
_USUAL = 40.0  # of a batch's loss: beyond, it counts as this
_FIRST = 0.5  # of the loss, what the first round is off before the camera
_EPOCHS = 10  # after each of which those held back are looked at
_BEGIN = 2000  # samples by which the network's first layer is scaled


class LandmarkTask:
    """The trainer's task."""

    kind = "regressor"

    def __init__(
        self,
        model: FaceModel,
        settings: RegressorSettings,
        seen: Detections,
        held_back: Detections | None,
        vertices: NDArray[np.int64],
        *,
        device: str,
    ) -> None:
        """Raises RegressorError for a template on which nobody knows the detector's points."""
        places = places_on(model, builtin_places())
        if places is None:
            raise RegressorError(
                f"the detector's points cannot be laid on the template of {model.name}: its face is unlike the "
                "built-in one's. Train on pixels (--set reads=pixels)"
            )
        self.settings, self.device, self.model = settings, device, model
        corners = model.topology.mesh.triangles[places.triangles].astype(np.int64)
        self.places = PointModel(model, corners, places.barycentric).to(device)
        self.points = PointModel(model, vertices).to(device)
        self.mirror = FaceMirror.of(model, vertices)
        self.pivot_mm = pivot_of(model)
        self.pivot = torch.tensor(self.pivot_mm, dtype=torch.float32, device=device)
        made = np.isfinite(seen.scores).all(axis=1)
        self.seen = {key: torch.from_numpy(np.ascontiguousarray(v[made])).to(device) for key, v in vars(seen).items()}
        self._errors()
        self.held = held_back
        self.network = LandmarkNetwork(model.identity_count, len(model.units)).to(device)
        begin = self._drawn(_BEGIN, torch.Generator().manual_seed(0))[0]
        self.network.begin_with(begin, self.places.at_rest() - self.pivot)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=settings.rate, weight_decay=1e-4)
        self.batches_per_epoch = max(1, settings.steps // _EPOCHS)
        self.steps = torch.nn.Module()
        self.steps.register_buffer("made", torch.zeros((), dtype=torch.int64))

    def modules(self) -> Mapping[str, torch.nn.Module]:
        return {"network": self.network, "steps": self.steps}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"adam": self.optimizer}

    def batches(self, _epoch: int, rng: np.random.Generator) -> Iterator[int]:
        """Each batch is its seed."""
        yield from rng.integers(1 << 62, size=self.batches_per_epoch).tolist()

    def step(self, batch: int, _rng: np.random.Generator) -> Mapping[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(int(self.steps.made))
        located, true = self._drawn(self.settings.batch, torch.Generator().manual_seed(batch))
        first, found = self.network.rounds(located)
        points = self.points(found.scores, found.weights)
        begun = point_errors(first, self.points(first.scores, first.weights), true, self.pivot).mean()
        losses = {
            "camera": point_errors(found, points, true, self.pivot).mean(),
            "shape": (points - true["points_mm"]).norm(dim=2).mean(),
            "scores": (found.scores - true["scores"]).square().mean(),
            "weights": (found.weights - true["weights"]).abs().mean(),
            "distance": torch.log(found.distance_mm / true["distance_mm"]).square().mean(),
        }
        total = _FIRST * begun + sum(WEIGHTS[name] * value for name, value in losses.items())
        descend(total * (_USUAL / total.detach().clamp(min=_USUAL)), self.optimizer)  # one far off moves little
        self.steps.made += 1
        return {"total": float(total.detach()), **{name: float(value.detach()) for name, value in losses.items()}}

    def validate(self) -> Mapping[str, float]:
        """mm by which compared points of people held back are off before the camera, by turn and bow."""
        held = self.held
        if held is None or not len(held):
            return {"score": 0.0}
        crops = _crops(held.landmarks_px)
        tensors = {key: torch.from_numpy(np.ascontiguousarray(v)).to(self.device) for key, v in vars(held).items()}
        true = self._true(tensors["points_mm"], tensors, crops)
        located = _located(tensors["landmarks_px"][:, :SKIN_POINTS], crops)
        found = self.network(located)
        points = self.points(found.scores, found.weights)
        errors = point_errors(found, points, true, self.pivot).mean(dim=1).cpu().numpy()
        return figures(errors, true["R"].cpu().numpy())

    def result(self) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]:
        tensors = dict(network_tensors(self.network, half=True))
        tensors |= {"pivot_mm": np.asarray(self.pivot_mm, np.float32), **self.mirror.tensors()}
        return tensors, self.network.architecture()

    def _rate(self, made: int) -> float:
        """Up over the first steps, then down as a cosine to a hundredth (Loshchilov and Hutter 2017)."""
        settings = self.settings
        share = min(1.0, made / max(1, settings.steps))
        return float(settings.rate * min(1.0, (made + 1) / 50) * (0.01 + 0.495 * (1 + np.cos(np.pi * share))))

    def _errors(self) -> None:
        """What the detector was off in each render, px; those in which it saw something else are not drawn from."""
        seen, off = self.seen, []
        for start in range(0, len(seen["scores"]), 500):
            rows = {key: value[start : start + 500] for key, value in seen.items()}
            places = _projected(self.places(rows["scores"], rows["weights"]), rows)
            off.append(rows["landmarks_px"][:, :SKIN_POINTS] - places)
        self.off_px = torch.cat(off)
        depth = (seen["R"] @ self.pivot)[:, 2] + seen["t"][:, 2]
        self.px_per_mm = seen["K"][:, 0, 0] / depth
        mean = self.off_px.norm(dim=2).mean(dim=1) / self.px_per_mm
        self.sound = torch.nonzero(mean < _MOST_OFF_MM)[:, 0]
        if len(self.sound) < 2:
            raise RegressorError("the landmark detector is far off in nearly every render: is the model a face's?")

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _drawn(self, count: int, chance: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, 468, 2) landmarks in their crops' sides, and what is true."""
        seen, sound = self.seen, self.sound
        at = sound[torch.randint(len(sound), (count,), generator=chance)]
        other = sound[torch.randint(len(sound), (count,), generator=chance)]
        as_seen = torch.rand(count, generator=chance) < _AS_SEEN
        scores = torch.randn(count, self.model.identity_count, generator=chance).clamp(-_DEVIATIONS, _DEVIATIONS)
        scores = scores.to(self.device)
        own = (torch.rand(count, generator=chance) < _OWN_EXPRESSION).to(self.device)[:, None]
        weights = torch.where(own, seen["weights"][at], seen["weights"][other])
        scores[as_seen], weights[as_seen] = seen["scores"][at][as_seen], seen["weights"][at][as_seen]
        rows = {key: seen[key][at] for key in ("K", "R", "t")}
        spread = _NOISE_MM * torch.rand(count, 1, 1, generator=chance)
        more = (torch.randn(count, SKIN_POINTS, 2, generator=chance) * spread).to(self.device)
        more[as_seen] = 0
        landmarks = _projected(self.places(scores, weights), rows) + self.off_px[at]
        landmarks = landmarks + more * self.px_per_mm[at][:, None, None]
        crops = _crops(landmarks.cpu().numpy())
        true = self._true(self.points(scores, weights), rows, crops)
        return _located(landmarks, crops), {**true, "scores": scores, "weights": weights}

    def _true(self, points: Tensor, rows: Mapping[str, Tensor], crops: Tensor) -> dict[str, Tensor]:
        """As FaceBatch has it, of points (B, M, 3) before cameras, in crops (B, 2, 3): picture's px to crop's sides."""
        crops = crops.to(points.device)
        pivot = (rows["R"] @ self.pivot) + rows["t"]
        scale = torch.hypot(crops[:, 0, 0], crops[:, 1, 0])
        turn = torch.eye(3, device=points.device).repeat(len(points), 1, 1)
        turn[:, :2, :2] = crops[:, :, :2] / scale[:, None, None]
        sights = np.stack([line_of_sight(one) for one in pivot.cpu().numpy().astype(np.float64)])
        along = torch.from_numpy(sights.astype(np.float32)).to(points.device)
        return {
            "points_mm": points, "seen": _located(_projected(points, rows), crops), "R": turn @ along @ rows["R"],
            "size": scale * rows["K"][:, 0, 0] / pivot[:, 2], "distance_mm": pivot.norm(dim=1),
        }  # fmt: skip


def _projected(points: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
    """(B, M, 3) -> (B, M, 2) px by cameras K, R, t."""
    seen = (points @ rows["R"].transpose(1, 2) + rows["t"][:, None]) @ rows["K"].transpose(1, 2)
    return seen[..., :2] / seen[..., 2:]


def _crops(landmarks_px: NDArray[np.floating]) -> Tensor:
    """(B, 468 or 478, 2) -> (B, 2, 3): picture's px to the sides of each face's crop."""
    # A crop of one pixel's side whose pixel spans 0..1.
    found = [crop_of_points(five_of_landmarks(one), 1).matrix for one in landmarks_px]
    matrices = np.stack(found)
    matrices[:, :, 2] += 0.5
    return torch.from_numpy(matrices.astype(np.float32))


def _located(landmarks_px: Tensor, crops: Tensor) -> Tensor:
    """(B, N, 2) px -> (B, N, 2) in the crops' sides."""
    crops = crops.to(landmarks_px.device)
    return landmarks_px @ crops[:, :, :2].transpose(1, 2) + crops[:, None, :, 2]
