"""Landmarks from several photographs: detections joined over views in three dimensions.

The detector is good on frontal photographs and unreliable elsewhere: it finds faces on the backs of heads and in
upside-down ones. So no single view is believed. Views vote: two of them give 68 points, the others say whether they see
them there, and what disagrees with the largest consensus is dropped, first whole views and then single landmarks.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from common.array_types import Bools, Floats, Image, Ints32
from common.progress import Progress, no_progress
from processing.errors import NoFace, ShapeError
from processing.geometry.cameras import Camera, triangulate
from processing.geometry.lines import meet_lines
from processing.landmarks.detector import ROTATIONS, LandmarkDetector, detect_rotated
from processing.landmarks.lid_contours import LID_POINTS, LidContours, find_lid_contours
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68, Landmarks3d

FEWEST_VIEWS = 3
_RIDGE = 1e-9  # keeps two parallel rays solvable
# A view belongs to the face when this share of its landmarks does; by chance hardly any would.
AGREEING_SHARE = 0.35


def triangulate_landmarks(
    images: Sequence[Image],
    cameras: Sequence[Camera],
    *,
    rng: np.random.Generator | None = None,
    max_views: int = 24,
    tolerance_mm: float = 4.0,
    progress: Progress = no_progress,
) -> Landmarks3d:
    """The 68 landmarks of the photographed face in the head frame, and the edges of its lids.

    images: (H, W, 3) uint8 BGR, distorted, one a camera. The `max_views` most frontal cameras are tried first, as the
    images lie; if no consensus comes of that, turned images and then every view. tolerance_mm: how far apart on the
    face two views may put a landmark. Raises NoFace when no three views agree.
    """
    if len(images) != len(cameras):
        raise ShapeError("images", (len(images),), f"one a camera, ({len(cameras)},)")
    order = sorted(range(len(cameras)), key=lambda i: float(cameras[i].viewing_direction[2]))
    rounds = [(order[:max_views], ROTATIONS[:1]), (order[:max_views], ROTATIONS), (order, ROTATIONS)]
    seen: list[tuple[int, Floats]] = []
    rng = np.random.default_rng(0) if rng is None else rng
    with LandmarkDetector() as detector:
        done: set[tuple[int, int | None]] = set()
        for chosen, rotations in rounds:
            for number, i in enumerate(chosen):
                progress(number / len(chosen), f"landmarks in photograph {number + 1} of {len(chosen)}")
                for rotation in rotations:
                    if (i, rotation) not in done:
                        done.add((i, rotation))
                        found = detect_rotated(images[i], detector, rotation)
                        if found is not None:
                            seen.append((i, found))
            pixels = [found[MEDIAPIPE_TO_68] for _, found in seen]
            good = agreeing_views([cameras[i] for i, _ in seen], pixels, tolerance_mm, rng)
            if good is None:
                continue
            agreeing = [seen[k] for k in good.tolist()]
            views = [cameras[i] for i, _ in agreeing]
            landmarks = _joined(views, [pixels[k] for k in good.tolist()], tolerance_mm, rng)
            if landmarks is not None:
                progress(0.95, "edges of the lids")
                landmarks = landmarks.with_lids(_lids(images, cameras, agreeing, tolerance_mm, rng))
                progress(1.0, f"{int(landmarks.known.sum())} landmarks")
                return landmarks
    raise NoFace(
        f"no face was found: in {len(images)} photographs the detector saw {len(seen)} candidates and no {FEWEST_VIEWS}"
        " views agree on one. Are the photographs of a face, and do the cameras belong to them (millimetres)?"
    )


def join_views(
    cameras: Sequence[Camera],
    pixels: Sequence[Floats],
    tolerance_mm: float = 4.0,
    rng: np.random.Generator | None = None,
) -> Landmarks3d | None:
    """Triangulate landmarks that several detections saw, some of them wrong.

    cameras, pixels: one camera and (68, 2) px a detection; a camera may come more than once (rival detections).
    RANSAC over whole views, then over the views of each landmark (Fischler and Bolles 1981). None without a consensus
    of FEWEST_VIEWS views.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    good = agreeing_views(cameras, pixels, tolerance_mm, rng)
    if good is None:
        return None
    which = good.tolist()
    return _joined([cameras[i] for i in which], [pixels[i] for i in which], tolerance_mm, rng)


def _joined(
    cameras: Sequence[Camera], pixels: Sequence[Floats], tolerance_mm: float, rng: np.random.Generator
) -> Landmarks3d | None:
    """The landmarks of views that agree on a face; None where half of them are unknown."""
    landmarks = Landmarks3d(*_join_points(cameras, np.stack(pixels), tolerance_mm, rng))
    return landmarks if landmarks.known.sum() >= len(landmarks.points_mm) // 2 else None


def _lids(
    images: Sequence[Image],
    cameras: Sequence[Camera],
    seen: Sequence[tuple[int, Floats]],
    tolerance_mm: float,
    rng: np.random.Generator,
) -> LidContours:
    """The lids' edges from views that agree on a face. seen: numbers of their photographs and (478, 2) detections."""
    views = [cameras[i] for i, _ in seen]
    outlines = np.stack([found[LID_POINTS.ravel()] for _, found in seen])
    points, _, _ = _join_points(views, outlines, tolerance_mm, rng)
    return find_lid_contours(points.reshape(*LID_POINTS.shape, 3), [images[i] for i, _ in seen], views)


def _join_points(
    cameras: Sequence[Camera], observed: Floats, tolerance_mm: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Ints32]:
    """(C, L, 2) px -> points (L, 3) mm, errors (L,) px, how many views agree (L,); NaN where too few do."""
    rays = np.stack([c.rays(p) for c, p in zip(cameras, observed, strict=True)])
    centres = np.stack([c.centre for c in cameras])
    count = observed.shape[1]
    points, errors = np.full((count, 3), np.nan), np.full(count, np.nan)
    views = np.zeros(count, np.int32)
    inliers = _consensus_by_landmark(cameras, observed, rays, centres, tolerance_mm, rng)
    for k in range(count):
        best = inliers[:, k]
        if best.sum() < FEWEST_VIEWS:
            continue
        for _ in range(2):
            which = np.flatnonzero(best).tolist()
            point = triangulate([cameras[i] for i in which], observed[which, k])
            off = _miss_mm(cameras, point[None], observed[:, k : k + 1])[:, 0]
            again = off < tolerance_mm
            if again.sum() < FEWEST_VIEWS or (again == best).all():
                break
            best = again
        which = np.flatnonzero(best).tolist()
        residual = [cameras[i].project(point[None])[0] - observed[i, k] for i in which]
        points[k], views[k] = point, len(which)
        errors[k] = float(np.sqrt((np.square(residual).sum(axis=1)).mean()))
    return points, errors, views


def _consensus_by_landmark(
    cameras: Sequence[Camera],
    observed: Floats,
    rays: Floats,
    centres: Floats,
    tolerance_mm: float,
    rng: np.random.Generator,
) -> Bools:
    """(C, L) the views that agree on each landmark: the largest set found, the tightest among equals."""
    count = observed.shape[1]
    inliers = np.zeros((len(cameras), count), dtype=np.bool_)
    score = np.full(count, -np.inf)
    for a, b in _pairs(len(cameras), 60, rng):
        off = _miss_mm(cameras, meet_lines(centres[[a, b]], rays[[a, b]].swapaxes(0, 1), ridge=_RIDGE), observed)
        inlier = off < tolerance_mm
        tightness = np.where(inlier, off, 0).sum(axis=0) / (tolerance_mm * len(cameras))
        mine = inlier.sum(axis=0) - 0.999 * tightness
        better = mine > score
        score[better] = mine[better]
        inliers[:, better] = inlier[:, better]
    return inliers


def _pairs(count: int, most: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    pairs = list(combinations(range(count), 2))
    if len(pairs) <= most:
        return pairs
    return [pairs[i] for i in rng.choice(len(pairs), most, replace=False)]


def _miss_mm(cameras: Sequence[Camera], points: Floats, pixels: Sequence[Floats] | Floats) -> Floats:
    """(C, L) reprojection errors brought to millimetres at the points' depth; inf behind a camera."""
    out = np.full((len(cameras), len(points)), np.inf)
    for i, camera in enumerate(cameras):
        depth = camera.depth(points)
        off = np.linalg.norm(camera.project(points) - pixels[i], axis=1)
        focal = (camera.K[0, 0] + camera.K[1, 1]) / 2
        front = (depth > 0) & np.isfinite(off)
        out[i, front] = off[front] * depth[front] / focal
    return out


def agreeing_views(
    cameras: Sequence[Camera], pixels: Sequence[Floats], tolerance_mm: float, rng: np.random.Generator
) -> Ints32 | None:
    """Indices of the largest set of detections (68, 2) whose landmarks mostly agree, one a camera at most."""
    if len(cameras) < FEWEST_VIEWS:
        return None
    rays = np.stack([c.rays(p) for c, p in zip(cameras, pixels, strict=True)])
    centres = np.stack([c.centre for c in cameras])
    best: tuple[int, float, Ints32] | None = None
    for a, b in _pairs(len(cameras), 400, rng):
        apart = np.degrees(np.arccos(np.clip(rays[a, 30] @ rays[b, 30], -1, 1)))
        if cameras[a] is cameras[b] or apart < 3:
            continue
        points = meet_lines(centres[[a, b]], rays[[a, b]].swapaxes(0, 1), ridge=_RIDGE)
        off = np.quantile(_miss_mm(cameras, points, pixels), AGREEING_SHARE, axis=1)
        nearest: dict[int, int] = {}
        for i in np.flatnonzero(off < tolerance_mm).tolist():
            rival = nearest.get(id(cameras[i]))
            if rival is None or off[i] < off[rival]:
                nearest[id(cameras[i])] = i
        which = np.array(sorted(nearest.values()), dtype=np.int32)
        mine = (len(which), float(off[which].sum()), which)
        if best is None or mine[0] > best[0] or (mine[0] == best[0] and mine[1] < best[1]):
            best = mine
    return None if best is None or best[0] < FEWEST_VIEWS else best[2]
