"""The same correlation as `stereo_matching`, in torch, for a GPU. On a CPU it gives the same result more slowly."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from common.array_types import Floats, Gray
from processing.errors import DeviceUnavailable
from processing.geometry.cameras import Camera
from processing.reconstruction.image_regions import Pixels, Region, bands
from processing.reconstruction.stereo_matching import NOISE_VARIANCE, DepthSearch, projection

BAND_PIXELS = 1_000_000


class TorchKernels:
    """`sweep` and `refine` on a torch device. Raises DeviceUnavailable for a device that is not there."""

    def __init__(self, device: str) -> None:
        try:
            self.device = torch.device(device)
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise DeviceUnavailable(f"device {device!r} cannot be used: {reason}; use device 'cpu'") from None

    def sweep(
        self,
        image: Gray,
        camera: Camera,
        others: Sequence[tuple[Gray, Camera]],
        depths_mm: Floats,
        window: int,
        best: int,
    ) -> tuple[Gray, Gray]:
        """As `stereo_matching.sweep`."""
        region = Region(0, image.shape[0], 0, image.shape[1])
        correlate = _Correlation(self._up(image), window)
        seen = [(self._up(other), self._terms(camera, lens, region.x, region.y)) for other, lens in others]
        volume = []
        for depth in depths_mm.tolist():
            scores = []
            for other, (q, b) in seen:
                z = (q[2] * depth + b[2]).clamp_min(1e-3)
                scores.append(correlate(_warp(other, (q[0] * depth + b[0]) / z, (q[1] * depth + b[1]) / z)))
            volume.append(_best_mean(torch.stack(scores), best))
        at, score = _peak(torch.stack(volume))
        planes = np.interp(at.cpu().numpy(), np.arange(len(depths_mm)), depths_mm)
        return planes.astype(np.float32), score.cpu().numpy()

    def refine(
        self,
        pixels: Pixels,
        camera: Camera,
        others: Sequence[tuple[Gray, Camera]],
        depth: Gray,
        search: DepthSearch,
    ) -> tuple[Gray, Gray]:
        """As `stereo_matching.refine`."""
        step_mm, reach = search.step_mm, search.reach
        new, score = np.empty_like(depth), np.empty_like(depth)
        on_device = [(self._up(other), lens) for other, lens in others]
        for band in bands(depth.shape, BAND_PIXELS, search.window // 2, 4 * search.window):
            start, part = self._up(depth[band.around]), pixels.band(band.around)
            correlate = _Correlation(self._up(part.grey), search.window)
            scores = [[] for _ in range(2 * reach + 1)]  # type: list[list[torch.Tensor]]
            for other, lens in on_device:
                q, b = self._terms(camera, lens, part.x, part.y)
                z = (q[2] * start + b[2]).clamp_min(1e-3)
                x, y = (q[0] * start + b[0]) / z, (q[1] * start + b[1]) / z
                dx, dy, nearing = (q[0] - x * q[2]) / z, (q[1] - y * q[2]) / z, q[2] / z
                for n in range(2 * reach + 1):
                    offset = (n - reach) * step_mm
                    share = offset / (1 + offset * nearing)
                    scores[n].append(correlate(_warp(other, x + share * dx, y + share * dy)))
            at, top = _peak(torch.stack([_best_mean(torch.stack(s), search.best) for s in scores]))
            moved = start + (at - reach) * step_mm
            new[band.kept] = moved[band.within].cpu().numpy()
            score[band.kept] = top[band.within].cpu().numpy()
        return new, score

    def _up(self, array: Gray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _terms(
        self, reference: Camera, other: Camera, columns: Floats, rows: Floats
    ) -> tuple[list[torch.Tensor], list[float]]:
        M, b = projection(reference, other)
        x, y = torch.from_numpy(columns).to(self.device), torch.from_numpy(rows).to(self.device)
        q = [(m[0] * x + (m[1] * y + m[2])).float() for m in M.tolist()]
        return q, b.tolist()


class _Correlation:
    def __init__(self, reference: torch.Tensor, window: int) -> None:
        self.window = window
        self.reference = reference
        self.mean = self._box(reference)
        variance = (self._box(reference * reference) - self.mean * self.mean).clamp_min(0)
        self.scale = torch.rsqrt(variance + NOISE_VARIANCE)

    def _box(self, image: torch.Tensor) -> torch.Tensor:
        return _box(image, self.window)

    def __call__(self, warped: torch.Tensor) -> torch.Tensor:
        mean = self._box(warped)
        covariance = self._box(warped * self.reference) - mean * self.mean
        variance = (self._box(warped * warped) - mean * mean).clamp_min(0)
        return covariance * torch.rsqrt(variance + NOISE_VARIANCE) * self.scale


def _box(image: torch.Tensor, window: int) -> torch.Tensor:
    half = window // 2
    padded = functional.pad(image[None, None], (half, half, half, half), mode="reflect")
    return functional.avg_pool2d(padded, window, stride=1)[0, 0]


def _warp(image: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    height, width = image.shape
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    return functional.grid_sample(
        image[None, None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False
    )[0, 0]


def _best_mean(scores: torch.Tensor, best: int) -> torch.Tensor:
    return scores.topk(min(best, len(scores)), dim=0).values.mean(dim=0)


def _peak(volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    at = volume.argmax(dim=0)
    inner = at.clamp(1, len(volume) - 2)
    below, middle, above = (volume.gather(0, (inner + k)[None])[0] for k in (-1, 0, 1))
    bend = below - 2 * middle + above
    shift = torch.where(bend < -1e-6, 0.5 * (below - above) / bend.clamp_max(-1e-6), 0.0).clamp(-1, 1)
    top = volume.gather(0, at[None])[0]
    return torch.where(at != inner, at.float(), inner + shift), top
