"""How far a regressed face is from the true one, in millimetres of its points."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from common.array_types import Floats, Ints64
from processing.face_models.face_model import FaceModel
from processing.learning.regressor.face_network import FaceOutput
from processing.training.regressor.samples import FaceBatch

#: Millimetres of points before the camera; of points in the face's own frame; squared deviations of identity; weights;
#: the logarithm of the distance, squared; millimetres of the points that the network sees; and the cross-entropy of
#: their maps, without which these take ten times as long to show anything.
WEIGHTS: Mapping[str, float] = {
    "camera": 1.0, "shape": 0.5, "scores": 0.15, "weights": 3.0, "distance": 0.3,
    "located": 1.0, "maps": 4.0,
}  # fmt: skip


class PointModel(nn.Module):  # type: ignore[misc]
    """Points of a model by scores and weights, differentiable: (B, n), (B, U) -> (B, M, 3) mm."""

    def __init__(self, model: FaceModel, vertices: Ints64, barycentric: Floats | None = None) -> None:
        """vertices: (M,), each once; or (M, 3) of triangles, on which the points lie by `barycentric` (M, 3)."""
        super().__init__()
        if barycentric is None:
            core = model.subset(vertices).dense().astype(np.float64)  # (1 + U, M, 3, n)
        else:
            used, rows = np.unique(vertices, return_inverse=True)
            corners = model.subset(used).dense().astype(np.float64)[:, rows.reshape(vertices.shape)]
            core = np.einsum("mk,umkdn->umdn", barycentric, corners)
        core = core.reshape(len(core), -1, core.shape[3])
        mean, change = core @ model.identity_mean, core * model.identity_deviation
        self.points = len(vertices)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)  # (1 + U, 3 M)
        flat = change.transpose(2, 0, 1).reshape(change.shape[2], -1)
        self.register_buffer("change", torch.tensor(flat, dtype=torch.float32), persistent=False)  # (n, (1 + U) 3 M)

    def at_rest(self) -> Tensor:
        """(M, 3) mm, of the mean face, neutral."""
        return self.mean[0].view(self.points, 3)

    def forward(self, scores: Tensor, weights: Tensor) -> Tensor:
        slices = (scores @ self.change).view(len(scores), *self.mean.shape) + self.mean
        shares = torch.cat([torch.ones_like(weights[:, :1]), weights], dim=1)
        return torch.einsum("bu,bum->bm", shares, slices).view(len(scores), self.points, 3)


def batch_tensors(batch: FaceBatch, device: str) -> dict[str, Tensor]:
    """A batch on a device, its pictures (B, 3, S, S)."""
    found = {key: torch.from_numpy(np.ascontiguousarray(value)).to(device) for key, value in vars(batch).items()}
    found["images"] = found["images"].permute(0, 3, 1, 2)
    return found


def point_errors(found: FaceOutput, points: Tensor, true: Mapping[str, Tensor], pivot_mm: Tensor) -> Tensor:
    """(B, M) mm before the camera: across as the crop shows it, along the depth but for one shift.

    So an error of the pose counts by what it moves, and one size for another, which no photograph tells, does not.
    """
    seen, depth = found.seen(points, pivot_mm)
    across = (seen - true["seen"]) / true["size"][:, None, None]
    true_depth = ((true["points_mm"] - pivot_mm) @ true["R"].transpose(1, 2))[..., 2]
    along = depth * (found.size / true["size"])[:, None] - true_depth
    along = along - along.mean(dim=1, keepdim=True)
    return torch.sqrt(torch.square(across).sum(dim=2) + torch.square(along) + 1e-6)


def face_losses(
    found: FaceOutput, model: PointModel, true: Mapping[str, Tensor], pivot_mm: Tensor, rows: Tensor
) -> dict[str, Tensor]:
    """Each of WEIGHTS, a scalar. rows: (K,) compared points that the network sees."""
    points = model(found.scores, found.weights)
    errors = point_errors(found, points, true, pivot_mm)
    shape = torch.sqrt(torch.square(points - true["points_mm"]).sum(dim=2) + 1e-6)
    known = true["known"]
    count = known.sum().clamp(min=1)
    scores = (torch.square(found.scores - true["scores"]).mean(dim=1) * known).sum() / count
    weights = ((found.weights - true["weights"]).abs().mean(dim=1) * known).sum() / count
    off = (found.located - true["seen"][:, rows]) / true["size"][:, None, None]
    located = torch.sqrt(torch.square(off).sum(dim=2) + 1e-6)
    distance = torch.square(torch.log(found.distance_mm / true["distance_mm"]))
    return {
        "camera": errors.mean(), "shape": shape.mean(), "scores": scores, "weights": weights,
        "distance": distance.mean(), "located": located.mean(),
        "maps": map_loss(found.maps, true["seen"][:, rows]),
    }  # fmt: skip


def map_loss(maps: Tensor, seen: Tensor) -> Tensor:
    """Cross-entropy of maps (B, K, h, w) with hills of one cell's deviation about points (B, K, 2), 0..1 over the crop;
    points beyond its edge are at the edge.
    """
    height, width = maps.shape[2:]
    if height * width == 1:
        return maps.sum() * 0
    hills = []
    for size, at in ((width, seen[..., 0]), (height, seen[..., 1])):
        cells = torch.arange(size, device=maps.device)
        away = cells - (at.clamp(0, 1) * size - 0.5)[..., None]
        hills.append(torch.softmax(-0.5 * torch.square(away), dim=2))
    wanted = hills[1][..., :, None] * hills[0][..., None, :]
    return -(wanted * torch.log_softmax(maps.flatten(2), dim=2).view_as(maps)).sum(dim=(2, 3)).mean()
