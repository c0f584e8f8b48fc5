"""Where an eye meets its lids in one photograph: the eye told from the skin by colour, along lines across the lids.

Skin around an eye and what shows between its lids (white, iris, pupil) have their own colours in each photograph,
whoever it is and whatever the lights: two histograms, learnt on both sides of a rough outline, give each colour its
odds (region competition, Zhu and Yuille 1996). Along a line across a lid the edge is the split that leaves most odds on
their own side; along a lid the splits are found together, by dynamic programming (Amini, Weymouth and Jain 1990).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Image
from processing.geometry.cameras import Camera
from processing.geometry.image_sampling import sample_image

BINS = 12
CLIP = 3.0  # log odds beyond which a colour is no surer
FEWEST_EXAMPLES = 40
SKIN_TO_EYE = 2.0  # there is more skin than eye near an edge: a colour that says nothing is skin's
BEND_COST = 2.0  # log odds a squared step of the split from one line to the next
FINEST_PX_PER_MM = 4.0
_MARGIN_PX = 6


class EyeView:
    """One eye in one photograph: a piece of it, in log brightness and two ratios of colours."""

    def __init__(self, image: Image, camera: Camera, points_mm: Floats) -> None:
        """points_mm: (N, 3) what the piece must hold."""
        self.camera = camera
        pixels = camera.project(points_mm)
        low = np.floor(pixels.min(axis=0)).astype(int) - _MARGIN_PX
        high = np.ceil(pixels.max(axis=0)).astype(int) + _MARGIN_PX
        self._origin = np.clip(low, 0, [camera.width - 2, camera.height - 2])
        x1, y1 = np.clip(high, self._origin + 2, [camera.width, camera.height])
        piece = image[self._origin[1] : y1, self._origin[0] : x1]
        px_per_mm = camera.K[0, 0] / float(np.median(camera.depth(points_mm)))
        self._factor = min(1.0, FINEST_PX_PER_MM / px_per_mm)
        if self._factor < 1:
            piece = cv2.resize(piece, None, fx=self._factor, fy=self._factor, interpolation=cv2.INTER_AREA)
        linear = np.power(cv2.GaussianBlur(piece, (3, 3), 0.6).astype(np.float32) / 255, 2.2) + 0.01
        blue, green, red = np.moveaxis(np.log(linear), 2, 0)
        self._features = np.stack([0.25 * (red + green + blue), red - green, green - blue], axis=2)

    def colours(self, points_mm: Floats) -> Floats:
        """(..., 3) points in space -> (..., 3) their colours here."""
        pixels = self.camera.project(points_mm.reshape(-1, 3))
        inside = (pixels - self._origin + 0.5) * self._factor - 0.5
        return np.asarray(sample_image(self._features, inside), dtype=np.float64).reshape(points_mm.shape)


@dataclass(frozen=True, eq=False)
class EyeColours:
    """Log odds of the colours around one eye in one photograph: positive for what lies between the lids."""

    low: Floats  # (3,) where the histogram begins
    step: Floats  # (3,) of a bin
    odds: Floats  # (BINS, BINS, BINS)
    contrast: float  # mean log odds of the eye's examples less that of the skin's

    @classmethod
    def learn(cls, colours: Floats, eye: Bools, skin: Bools) -> "EyeColours | None":
        """colours: (..., 3).  eye, skin: (...) examples of each. None with too few of them."""
        if min(eye.sum(), skin.sum()) < FEWEST_EXAMPLES:
            return None
        low, high = np.percentile(colours[eye | skin], [1, 99], axis=0)
        step = ((high - low) / (BINS - 1)).clip(1 / 60)
        place = np.clip((colours - low) / step + 0.5, 0, BINS - 1).astype(np.int64)
        number = (place[..., 0] * BINS + place[..., 1]) * BINS + place[..., 2]
        from scipy.ndimage import gaussian_filter  # here: who only wants the points' names need not wait for it

        smooth = [
            gaussian_filter(np.bincount(number[of], minlength=BINS**3).reshape((BINS,) * 3) / of.sum(), 1.0)
            for of in (eye, skin)
        ]
        odds = np.clip(np.log((smooth[0] + 1e-4) / (smooth[1] + 1e-4)), -CLIP, CLIP)
        at = odds.ravel()[number]
        return cls(low, step, odds, float(at[eye].mean() - at[skin].mean()))

    def __call__(self, colours: Floats) -> Floats:
        """(..., 3) colours -> (...) log odds of eye against skin."""
        place = np.clip((colours - self.low) / self.step, 0, BINS - 1.001)
        low = place.astype(np.int64)
        share = place - low
        found = np.zeros(colours.shape[:-1])
        for corner in np.ndindex(2, 2, 2):
            at = low + corner
            found += np.prod(np.where(corner, share, 1 - share), axis=-1) * self.odds[tuple(np.moveaxis(at, -1, 0))]
        return np.asarray(found - np.log(SKIN_TO_EYE))


def split_scores(odds: Floats, inside: Bools) -> Floats:
    """(K, A) log odds along K lines out of the eye -> (K, A) what a split before each place leaves on its own side.

    inside: (K, A) places that may be the eye's: farther in lies the other lid.
    """
    eye = np.where(inside, odds, 0.0)
    return np.asarray(eye.cumsum(axis=1) - eye - odds[:, ::-1].cumsum(axis=1)[:, ::-1])


def smoothest_split(scores: Floats, allowed: Bools) -> Floats:
    """(K,) the place of the split on each of K lines, with fractions: most score, least change between neighbours.

    scores, allowed: (K, A).
    """
    count, places = scores.shape
    gain = np.where(allowed, scores, -1e6)
    cost = BEND_COST * np.square(np.arange(places)[:, None] - np.arange(places)[None])
    total, came = gain[0], np.zeros((count, places), dtype=np.int64)
    for k in range(1, count):
        reach = total[None] - cost
        came[k] = reach.argmax(axis=1)
        total = gain[k] + reach.max(axis=1)
    path = np.zeros(count, dtype=np.int64)
    path[-1] = total.argmax()
    for k in range(count - 1, 0, -1):
        path[k - 1] = came[k, path[k]]
    inner = np.flatnonzero((path > 0) & (path < places - 1))
    before, here, after = (gain[inner, path[inner] + k] for k in (-1, 0, 1))
    bend = before + after - 2 * here
    curved = (bend < -1e-9) & (np.minimum(before, after) > -1e5)
    out = path.astype(np.float64)
    out[inner] += np.where(curved, 0.5 * (before - after) / np.where(curved, bend, 1.0), 0.0).clip(-0.5, 0.5)
    return out
