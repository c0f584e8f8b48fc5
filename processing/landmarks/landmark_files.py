"""Landmark files: JSON of a take's 68 landmarks, plain lists of points, and menpo's .ljson."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from common.bounded.json_toml import read_json
from common.files.atomic_write import atomic_write
from processing.errors import DataError
from processing.landmarks.lid_contours import LidContours
from processing.landmarks.multi_pie_68 import Landmarks3d


def write_landmarks(path: Path, landmarks: Landmarks3d) -> None:
    """JSON: points_mm, error_px (null where unknown) and views; lids_mm and lid_views where edges of lids are known."""

    def plain(value: float) -> float | None:
        return round(value, 5) if np.isfinite(value) else None

    content: dict[str, Any] = {
        "scheme": "multi-pie-68",
        "unit": "mm",
        "points_mm": [[plain(x) for x in row] for row in landmarks.points_mm.tolist()],
        "error_px": [plain(x) for x in landmarks.error_px.tolist()],
        "views": landmarks.views.tolist(),
    }
    if landmarks.lids is not None and landmarks.lids.known.any():
        content["lids_mm"] = [
            [[[plain(x) for x in row] for row in lid] for lid in eye] for eye in landmarks.lids.points_mm.tolist()
        ]
        content["lid_views"] = landmarks.lids.views.tolist()
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
        views = np.array(content.get("views", [0] * 68), dtype=np.int32)
        return Landmarks3d(points, error_px, views, _lids(content))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no 68 landmarks ({error!r}); wanted a list of 68 points in mm") from None


def _lids(content: dict[str, Any]) -> LidContours | None:
    """Edges of lids, where a file has them."""
    if "lids_mm" not in content:
        return None
    points = np.array(content["lids_mm"], dtype=np.float64)  # null becomes NaN
    return LidContours(points, np.array(content.get("lid_views", [0, 0]), dtype=np.int32))


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
