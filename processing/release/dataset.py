"""A release as a dataset for PyTorch.

from processing.release.dataset import ReleaseDataset, split_by_subject

faces = ReleaseDataset("faces-1", parts=("vertices", "displacement"), frame="template")
train, test = split_by_subject(faces, test_share=0.1)
for batch in torch.utils.data.DataLoader(train, batch_size=8, shuffle=True): ...
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset, Subset

from common.bounded.limits import MAX_PIXELS
from processing.files.morph_targets.morph_target_model import TopologyArrays
from processing.release.formats.errors import ReleaseError
from processing.release.reader import ReleaseFolder, TakeEntry, read_rgb

PARTS = ("vertices", "texture", "displacement", "views")


class ReleaseDataset(Dataset[dict[str, Any]]):  # type: ignore[misc]
    """One item a take, in order of subject and expression.

    Every item has `index` (the subject), `position` and `expression`, and of `parts`:
      vertices      vertices_mm (V, 3) float32, in the topology's order
      texture       texture (3, S, S) float32, 0 to 1, RGB
      displacement  displacement_mm (1, S, S) float32, measured (1, S, S) bool
      views         photographs (N, 3, H, W) uint8, K (N, 3, 3), Rt (N, 3, 4), distortion (N, 5), valid (N,)
    frame: 'rig' as captured, 'template' with the head's motion taken out (vertices, and Rt of the views with them).
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        parts: Sequence[str] = ("vertices",),
        subjects: Sequence[int] | None = None,
        expressions: Sequence[str] | None = None,
        frame: Literal["rig", "template"] = "rig",
        texture_px: int | None = None,
    ) -> None:
        unknown = sorted(set(parts) - set(PARTS))
        if unknown:
            raise ReleaseError(f"there is no part '{unknown[0]}'; there are: {', '.join(PARTS)}")
        self.release = ReleaseFolder(folder)
        self.parts, self.frame, self.texture_px = tuple(parts), frame, texture_px
        self.takes: tuple[TakeEntry, ...] = tuple(
            take
            for take in self.release.takes
            if (subjects is None or take.index in subjects) and (expressions is None or take.expression in expressions)
        )
        if not self.takes:
            raise ReleaseError(f"{folder} has no take of the subjects and expressions asked for")

    def __len__(self) -> int:
        return len(self.takes)

    def __getitem__(self, number: int) -> dict[str, Any]:
        take, release = self.takes[number], self.release
        item: dict[str, Any] = {"index": take.index, "position": take.position, "expression": take.expression}
        motion = release.to_template(take) if self.frame == "template" else None
        if "vertices" in self.parts:
            vertices = release.vertices(take)
            item["vertices_mm"] = torch.from_numpy(vertices @ motion[0].T + motion[1] if motion else vertices)
        if "texture" in self.parts:
            picture = torch.from_numpy(release.texture(take, self.texture_px)).permute(2, 0, 1)
            item["texture"] = picture.to(torch.float32) / 255
        if "displacement" in self.parts:
            height, measured = release.displacement(take)
            item["displacement_mm"] = torch.from_numpy(height)[None]
            item["measured"] = torch.from_numpy(measured)[None]
        if "views" in self.parts:
            item |= self._views(take, motion)
        return item

    @cached_property
    def topology(self) -> TopologyArrays:
        """Triangles and UVs of all items."""
        return self.release.topology(self.takes[0])

    def _views(self, take: TakeEntry, motion: Any) -> dict[str, Any]:
        views = self.release.views(take)
        if not views:
            raise ReleaseError(f"{take.index} {take.label} has no photographs here; leave 'views' out for this subject")
        Rt = np.stack([view.Rt for view in views])
        if motion is not None:  # x_rig = R^T (x_template - t)
            R, t = motion
            R_new = Rt[:, :, :3] @ R.T
            Rt = np.concatenate([R_new, Rt[:, :, 3:] - (R_new @ t)[:, :, None]], axis=2)
        pictures = []
        for view in views:
            pictures.append(read_rgb(view.photograph, most_pixels=MAX_PIXELS))
        return {
            "photographs": torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2),
            "K": torch.from_numpy(np.stack([view.K for view in views])),
            "Rt": torch.from_numpy(np.ascontiguousarray(Rt)),
            "distortion": torch.from_numpy(np.stack([view.distortion for view in views])),
            "valid": torch.tensor([view.valid for view in views]),
        }


def split_by_subject(
    dataset: ReleaseDataset, *, test_share: float = 0.1, seed: str = "mien"
) -> tuple[Subset[dict[str, Any]], Subset[dict[str, Any]]]:
    """(train, test) without a subject in both. Drawn by hash: subjects of a later version fall as they did before."""
    if not 0 <= test_share <= 1:
        raise ReleaseError(f"test_share is {test_share}; it lies between 0 and 1")
    train: list[int] = []
    test: list[int] = []
    for number, take in enumerate(dataset.takes):
        draw = int.from_bytes(hashlib.sha256(f"{seed}:{take.index}".encode()).digest()[:8], "big") / 2**64
        (test if draw < test_share else train).append(number)
    return Subset(dataset, train), Subset(dataset, test)
