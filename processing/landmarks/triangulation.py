"""Facial landmarks: found in photographs by mediapipe's face landmarker, joined over views in three dimensions.

The detector is good on frontal photographs and unreliable elsewhere: it finds faces on the backs of heads and in
upside-down ones. So no single view is believed. Views vote: two of them give 68 points, the others say whether they see
them there, and what disagrees with the largest consensus is dropped, first whole views and then single landmarks.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image, Ints32
from common.bounded.json_toml import read_json
from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress
from processing.errors import DataError, NoFace, ShapeError
from processing.geometry.cameras import Camera, triangulate
from processing.geometry.lines import meet_lines
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68

MODEL_FILE = "face_landmarker_v2.task"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
DETECTION_SIZE_PX = 1024
ROTATIONS = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180)
FEWEST_VIEWS = 3
_RIDGE = 1e-9  # keeps two parallel rays solvable
# A view belongs to the face when this share of its landmarks does; by chance hardly any would.
AGREEING_SHARE = 0.35


class ModelDamaged(DataError):
    """The packaged detector model is missing or is not the one that was released."""


@contextmanager
def _quiet() -> Iterator[None]:
    """mediapipe's C++ logs to the process's standard error whatever one asks; drop that for a moment."""
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


def model_bytes() -> bytes:
    """The face landmarker model, its hash checked. Raises ModelDamaged."""
    path = files("processing.landmarks") / "data" / MODEL_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelDamaged(f"the landmark model {MODEL_FILE} cannot be read ({error}); install Mien again") from None
    if hashlib.sha256(data).hexdigest() != MODEL_SHA256:
        raise ModelDamaged(f"the landmark model {MODEL_FILE} is damaged (its sha256 differs); install Mien again")
    return data


class LandmarkDetector:
    """mediapipe's face landmarker as a context manager; opening it takes some 50 ms, a photograph some 20 ms."""

    def __init__(self, min_confidence: float = 0.3) -> None:
        from mediapipe.tasks.python.core.base_options import BaseOptions
        from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions

        options = FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model_bytes()),
            num_faces=1,
            min_face_detection_confidence=min_confidence,
            min_face_presence_confidence=min_confidence,
        )
        with _quiet():
            self._landmarker: Any = FaceLandmarker.create_from_options(options)

    def __enter__(self) -> "LandmarkDetector":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the model and its threads."""
        if self._landmarker is not None:
            with _quiet():
                self._landmarker.close()
            self._landmarker = None

    def detect(self, image: Image) -> Floats | None:
        """(H, W, 3) uint8 BGR -> (478, 2) px, pixel centres at integers, or None where no face is found."""
        import mediapipe

        if image.ndim != 3 or image.shape[2] != 3:
            raise ShapeError("image", image.shape, "(H, W, 3)")
        height, width = image.shape[:2]
        factor = min(1.0, DETECTION_SIZE_PX / max(height, width))
        small = image if factor == 1 else cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        rgb = np.ascontiguousarray(small[..., ::-1])
        with _quiet():
            found = self._landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb))
        if not found.face_landmarks:
            return None
        unit = np.array([[p.x, p.y] for p in found.face_landmarks[0]])
        return np.asarray(unit * [width, height] - 0.5)


def detect_photo_landmarks(image: Image, *, detector: LandmarkDetector | None = None) -> Floats | None:
    """The 68 Multi-PIE landmarks of the face in an upright photograph.

    image: (H, W, 3) uint8 BGR of any size. Returns (68, 2) px, pixel centres at integers, or None without a face.
    Pass an open detector when there are several photographs.
    """
    if detector is None:
        with LandmarkDetector() as own:
            return detect_photo_landmarks(image, detector=own)
    found = detector.detect(image)
    return None if found is None else found[MEDIAPIPE_TO_68]


def _detect_rotated(image: Image, detector: LandmarkDetector, rotation: int | None) -> Floats | None:
    """detect_photo_landmarks on the image turned by `rotation`, answered in the unturned image's pixels."""
    if rotation is None:
        return detect_photo_landmarks(image, detector=detector)
    found = detect_photo_landmarks(np.asarray(cv2.rotate(image, rotation), dtype=np.uint8), detector=detector)
    if found is None:
        return None
    height, width = image.shape[:2]
    x, y = found[:, 0], found[:, 1]
    if rotation == cv2.ROTATE_90_CLOCKWISE:
        return np.stack([y, height - 1 - x], axis=1)
    if rotation == cv2.ROTATE_90_COUNTERCLOCKWISE:
        return np.stack([width - 1 - y, x], axis=1)
    return np.stack([width - 1 - x, height - 1 - y], axis=1)


@dataclass(frozen=True, eq=False)
class Landmarks3d:
    """The 68 Multi-PIE landmarks of one take.

    points_mm: (68, 3) head frame, NaN where unknown.  error_px: (68,) root mean square reprojection error, NaN where
    unknown.  views: (68,) how many photographs agree on each.
    """

    points_mm: Floats
    error_px: Floats
    views: Ints32

    def __post_init__(self) -> None:
        if self.points_mm.shape != (68, 3):
            raise ShapeError("landmarks", self.points_mm.shape, "(68, 3)")

    @property
    def known(self) -> NDArray[np.bool_]:
        """(68,) which landmarks have a position."""
        return np.asarray(np.isfinite(self.points_mm).all(axis=1))

    @classmethod
    def of_points(cls, points_mm: Floats) -> "Landmarks3d":
        """Landmarks that did not come from photographs."""
        points = np.asarray(points_mm, dtype=np.float64)
        return cls(points, np.full(len(points), np.nan), np.zeros(len(points), np.int32))

    def overridden(self, placed: "Landmarks3d") -> "Landmarks3d":
        """These landmarks, with `placed` where it has a position: those that somebody placed by hand."""
        known = placed.known
        return Landmarks3d(
            np.where(known[:, None], placed.points_mm, self.points_mm),
            np.where(known, placed.error_px, self.error_px),
            np.where(known, placed.views, self.views).astype(np.int32),
        )


def write_landmarks(path: Path, landmarks: Landmarks3d) -> None:
    """JSON: points_mm, error_px (null where unknown) and views."""

    def plain(value: float) -> float | None:
        return round(value, 5) if np.isfinite(value) else None

    content = {
        "scheme": "multi-pie-68",
        "unit": "mm",
        "points_mm": [[plain(x) for x in row] for row in landmarks.points_mm.tolist()],
        "error_px": [plain(x) for x in landmarks.error_px.tolist()],
        "views": landmarks.views.tolist(),
    }
    with atomic_write(Path(path)) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_landmarks(path: Path) -> Landmarks3d:
    """What write_landmarks wrote, a plain JSON list of 68 points, or menpo's .ljson. Raises DataError."""
    path = Path(path)
    try:
        content = read_json(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from None
    try:
        if isinstance(content, dict) and "points_mm" not in content:
            content = _ljson_points(content)
        rows = content["points_mm"] if isinstance(content, dict) else content
        points = np.array([[np.nan if x is None else float(x) for x in row] for row in rows], dtype=np.float64)
        if points.shape != (68, 3):
            raise DataError(f"{path} has landmarks of shape {points.shape}; wanted 68 points of three coordinates (mm)")
        if not isinstance(content, dict):
            return Landmarks3d.of_points(points)
        error_px = np.array([np.nan if x is None else float(x) for x in content.get("error_px", [None] * 68)])
        return Landmarks3d(points, error_px, np.array(content.get("views", [0] * 68), dtype=np.int32))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no 68 landmarks ({error!r}); wanted a list of 68 points in mm") from None


def _ljson_points(content: dict[str, Any]) -> list[Any]:
    """The first group's points in menpo's nested layout (versions 1 to 3), by its labels where it has them."""
    for value in content.values():
        if isinstance(value, dict):
            if isinstance(value.get("points"), list):
                return list(value["points"])
            inside = _ljson_points(value)
            if inside:
                return _in_order(inside, value.get("labels"))
    return []


# Where each part of the face begins among the 68, by words of its label. Eyes and brows: the one by landmark 0 first.
_PARTS: tuple[tuple[tuple[str, ...], int, tuple[int, ...]], ...] = (
    (("brow",), 5, (17, 22)),
    (("eye",), 6, (36, 42)),
    (("chin", "jaw", "contour"), 17, (0,)),
    (("nose",), 9, (27,)),
    (("mouth", "lip"), 20, (48,)),
)


def _in_order(points: list[Any], labels: Any) -> list[Any]:
    """68 labelled points by the names of their groups; as they are where the labels do not say it all.

    Left and right are told by the points: some name the subject's side, some the beholder's.
    """
    if not isinstance(labels, list) or len(points) != 68:
        return points
    groups: dict[int, list[list[int]]] = {k: [] for k in range(len(_PARTS))}
    for label in labels:
        name, mask = str(label.get("label", "")).lower(), list(label.get("mask", []))
        part = next((k for k, (words, _, _) in enumerate(_PARTS) if any(word in name for word in words)), None)
        if part is not None and len(mask) == _PARTS[part][1]:
            groups[part].append(mask)
    if any(len(groups[k]) != len(starts) for k, (_, _, starts) in enumerate(_PARTS)):
        return points
    at = np.array([[np.nan if x is None else float(x) for x in row] for row in points], dtype=np.float64)
    first = at[groups[2][0][0]]
    order = np.zeros(68, dtype=np.int64)
    for k, (_, size, starts) in enumerate(_PARTS):
        near_first = sorted(groups[k], key=lambda mask: float(np.linalg.norm(np.nanmean(at[mask], axis=0) - first)))
        for start, mask in zip(starts, near_first, strict=True):
            order[start : start + size] = mask
    return [points[i] for i in order]


def triangulate_landmarks(
    images: Sequence[Image],
    cameras: Sequence[Camera],
    *,
    rng: np.random.Generator | None = None,
    max_views: int = 24,
    tolerance_mm: float = 4.0,
    progress: Progress = no_progress,
) -> Landmarks3d:
    """The 68 landmarks of the photographed face in the head frame.

    images: (H, W, 3) uint8 BGR, distorted, one a camera. The `max_views` most frontal cameras are tried first, as the
    images lie; if no consensus comes of that, turned images and then every view. tolerance_mm: how far apart on the
    face two views may put a landmark. Raises NoFace when no three views agree.
    """
    if len(images) != len(cameras):
        raise ShapeError("images", (len(images),), f"one a camera, ({len(cameras)},)")
    order = sorted(range(len(cameras)), key=lambda i: float(cameras[i].viewing_direction[2]))
    rounds = [(order[:max_views], ROTATIONS[:1]), (order[:max_views], ROTATIONS), (order, ROTATIONS)]
    seen: list[tuple[int, Floats]] = []
    with LandmarkDetector() as detector:
        done: set[tuple[int, int | None]] = set()
        for chosen, rotations in rounds:
            for number, i in enumerate(chosen):
                progress(number / len(chosen), f"landmarks in photograph {number + 1} of {len(chosen)}")
                for rotation in rotations:
                    if (i, rotation) not in done:
                        done.add((i, rotation))
                        found = _detect_rotated(images[i], detector, rotation)
                        if found is not None:
                            seen.append((i, found))
            landmarks = join_views([cameras[i] for i, _ in seen], [p for _, p in seen], tolerance_mm, rng)
            if landmarks is not None:
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
    if len(cameras) < FEWEST_VIEWS:
        return None
    rays = np.stack([c.rays(p) for c, p in zip(cameras, pixels, strict=True)])
    centres = np.stack([c.centre for c in cameras])
    good = _consensus_of_views(cameras, pixels, rays, centres, tolerance_mm, rng)
    if good is None:
        return None
    cameras = [cameras[i] for i in good]
    observed = np.stack([pixels[i] for i in good])
    rays, centres = rays[good], centres[good]
    count = observed.shape[1]
    points, errors = np.full((count, 3), np.nan), np.full(count, np.nan)
    views = np.zeros(count, np.int32)
    inliers = _consensus_by_landmark(cameras, observed, rays, centres, tolerance_mm, rng)
    for k in range(count):
        best = inliers[:, k]
        if best.sum() < FEWEST_VIEWS:
            continue
        for _ in range(2):
            which = np.flatnonzero(best)
            point = triangulate([cameras[i] for i in which], observed[which, k])
            off = _miss_mm(cameras, point[None], observed[:, k : k + 1])[:, 0]
            again = off < tolerance_mm
            if again.sum() < FEWEST_VIEWS or (again == best).all():
                break
            best = again
        which = np.flatnonzero(best)
        residual = [cameras[i].project(point[None])[0] - observed[i, k] for i in which]
        points[k], views[k] = point, len(which)
        errors[k] = float(np.sqrt((np.square(residual).sum(axis=1)).mean()))
    landmarks = Landmarks3d(points, errors, views)
    return landmarks if landmarks.known.sum() >= count // 2 else None


def _consensus_by_landmark(
    cameras: Sequence[Camera],
    observed: Floats,
    rays: Floats,
    centres: Floats,
    tolerance_mm: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
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


def _consensus_of_views(
    cameras: Sequence[Camera],
    pixels: Sequence[Floats],
    rays: Floats,
    centres: Floats,
    tolerance_mm: float,
    rng: np.random.Generator,
) -> Ints32 | None:
    """Indices of the largest set of detections whose landmarks mostly agree, one a camera at most."""
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
