"""How fast and how truly a rig is calibrated.

First 68 cameras and 60 poses of a board at the level of corners with Gaussian noise, then photographs of the board
rendered for a smaller rig and found again; both compared with the true cameras after a rigid alignment of the centres,
not scaled. The peers: OpenCV's calibrateCamera for every camera alone, which gives no places (--peer), and COLMAP's
structure from motion with all cameras at once on the same corners (--colmap, where pycolmap is installed).

focal_rms_percent, principal_rms_px: of the lenses. rays_rms_px: how far a pixel of the true camera lands from itself
in the one found, about the same turn, over the whole picture: focal length, principal point and distortion together.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from colmap_rig import colmap_rig, installed
from rendered_board import Pose, ShotConditions, corners_seen, faces_camera, poses_about, render_board
from scipy.spatial.transform import Rotation

from common.array_types import Floats
from common.charuco.charuco_board import Board
from processing.calibration.corner_detection import Detection, detect
from processing.calibration.rig_calibration import calibrate
from processing.geometry.cameras import Camera
from processing.geometry.procrustes import fit_motion
from processing.geometry.rotations import rotation_angle_deg
from processing.synthetic.studio_rig import studio_rig

Views = dict[tuple[int, int], Detection]


def rendered(
    board: Board, cameras: list[Camera], poses: list[Pose], rng: np.random.Generator
) -> tuple[Views, float, float]:
    """The detections, their RMS error a coordinate in px, and the seconds that finding them took."""
    views: Views = {}
    seconds, errors = 0.0, []
    for c, camera in enumerate(cameras):
        for p, pose in enumerate(poses):
            if faces_camera(camera, pose):
                image = render_board(board, camera, pose, ShotConditions(blur_px=rng.uniform(0.5, 1.2)), rng)
                begun = time.perf_counter()
                views[c, p] = found = detect(image, board)
                seconds += time.perf_counter() - begun
                errors.append(found.pixels - camera.project(board.corners_mm[found.corner] @ pose.R.T + pose.t))
    return views, float(np.sqrt((np.concatenate(errors) ** 2).mean())), seconds


def compare(found: Mapping[int, Camera], true: list[Camera]) -> dict[str, float]:
    """The cameras found against the true ones, after the rigid motion that brings centre to centre."""
    kept = list(found)
    centres, truth = np.stack([found[c].centre for c in kept]), np.stack([true[c].centre for c in kept])
    motion = fit_motion(centres, truth, with_scale=False)
    moved = {c: camera.moved(motion.R, motion.t) for c, camera in found.items()}
    off = np.array([np.linalg.norm(moved[c].centre - true[c].centre) for c in kept])
    turn = np.array([rotation_angle_deg(moved[c].R, true[c].R) for c in kept])
    focal = np.array([np.diag(found[c].K)[:2] / np.diag(true[c].K)[:2] - 1 for c in kept])
    principal = np.array([found[c].K[:2, 2] - true[c].K[:2, 2] for c in kept])
    rays = np.array([lens_error_px(found[c], true[c]) for c in kept])
    return {
        "cameras": len(kept),
        "centre_rms_mm": round(rms(off), 4),
        "centre_median_mm": round(float(np.median(off)), 4),
        "centre_max_mm": round(float(off.max()), 4),
        "angle_rms_deg": round(rms(turn), 5),
        "angle_max_deg": round(float(turn.max()), 5),
        "focal_rms_percent": round(100 * rms(focal), 4),
        "principal_rms_px": round(rms(np.linalg.norm(principal, axis=1)), 3),
        "rays_rms_px": round(rms(rays), 4),
    }


def rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def lens_error_px(found: Camera, true: Camera) -> float:
    """RMS over the picture, px: the true camera's rays, seen by the lens found, turned so that they lie best."""
    x, y = np.meshgrid(np.linspace(0, true.width - 1, 12), np.linspace(0, true.height - 1, 12))
    pixels = np.c_[x.ravel(), y.ravel()]
    mine, theirs = (replace(camera, R=np.eye(3), t=np.zeros(3)) for camera in (found, true))
    a, b = mine.rays(pixels), theirs.rays(pixels)
    turn, _ = Rotation.align_vectors(a, b)
    return rms(np.linalg.norm(mine.project(turn.apply(b)) - pixels, axis=1))


def ours(views: Views, names: list[str], poses: list[Pose], board: Board, true: list[Camera]) -> dict[str, float]:
    begun, cpu = time.perf_counter(), time.process_time()
    found = calibrate(views, names, [p.name for p in poses], board.corners_mm, allow_unlinked=True)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    predicted = [np.trace(q.centre_covariance_mm2) for q in found.quality.values()]
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "corners": found.corners,
        "rms_px": round(found.rms_px, 4),
        **compare(found.cameras, true),
        "centre_predicted_rms_mm": round(float(np.sqrt(np.mean(predicted))), 4),
    }


def colmap(views: Views, board: Board, true: list[Camera]) -> dict[str, float | str]:
    """colmap_mapped_*: as COLMAP's mapper leaves the cameras; colmap_*: with the principal points refined."""
    with tempfile.TemporaryDirectory() as scratch:
        found = colmap_rig(views, board.corners_mm, Path(scratch))
    return {
        "colmap_version": found.version,
        "colmap_seconds": found.seconds,
        "colmap_cpu_seconds": found.cpu_seconds,
        "colmap_points": found.points,
        "colmap_reprojection_px": found.reprojection_px,
        **{f"colmap_mapped_{key}": value for key, value in compare(found.mapped, true).items()},
        **{f"colmap_{key}": value for key, value in compare(found.cameras, true).items()},
    }


def alone(views: Mapping[tuple[int, int], Detection], cameras: list[Camera], board: Board) -> float:
    """Seconds for calibrateCamera on every camera by itself, from the views whose corners do not lie on a line."""
    usable = {
        key: d
        for key, d in views.items()
        if cv2.findHomography(board.corners_mm[d.corner, :2], d.pixels)[0] is not None
    }
    begun = time.perf_counter()
    for c, camera in enumerate(cameras):
        seen = [d for (k, _), d in usable.items() if k == c]
        if len(seen) >= 3:
            cv2.calibrateCamera(
                [board.corners_mm[d.corner].astype(np.float32) for d in seen],
                [d.pixels.astype(np.float32) for d in seen], (camera.width, camera.height), None, None,
            )  # fmt: skip
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--cameras", type=int, default=68)
    parser.add_argument("--poses", type=int, default=60)
    parser.add_argument("--noise", type=float, default=0.15, help="px, standard deviation of a coordinate")
    parser.add_argument("--reach", type=float, default=150.0, help="mm, of the boards from the middle of the rig")
    parser.add_argument("--square", type=float, default=20.0, help="mm, of the simulated board of 9 x 13 squares")
    parser.add_argument("--rendered", default="10,24,600,900", help="cameras, poses, width, height; empty: leave out")
    parser.add_argument("--peer", action="store_true", help="also time calibrateCamera for every camera alone")
    parser.add_argument("--colmap", action="store_true", help="also COLMAP's cameras from the same corners")
    arguments = parser.parse_args()
    rng = np.random.default_rng(4)
    board = Board(square_mm=arguments.square, marker_mm=0.75 * arguments.square)
    cameras = studio_rig(arguments.cameras)
    centres = [camera.centre for camera in cameras]
    poses = poses_about(arguments.poses, rng, reach_mm=arguments.reach, towards=centres[:: max(1, len(centres) // 17)])
    views = corners_seen(board, cameras, poses, arguments.noise, rng)
    print(f"{len(views)} views, {sum(len(d.corner) for d in views.values())} corners", file=sys.stderr)
    result: dict[str, object] = {**ours(views, [c.name for c in cameras], poses, board, cameras)}
    result |= {"views": len(views), "poses": len(poses), "noise_px": arguments.noise}
    with_colmap = arguments.colmap and installed()
    if with_colmap:
        result |= colmap(views, board, cameras)
    if arguments.peer:
        result["calibrate_camera_alone_seconds"] = round(alone(views, cameras, board), 2)
    if arguments.rendered:
        count, shots, width, height = map(int, arguments.rendered.split(","))
        rig = studio_rig(3 * count, width, height)[:count]  # the frontal third
        poses = poses_about(shots, rng, reach_mm=110, towards=[c.centre for c in rig])
        print(f"rendering up to {count * shots} photographs of {width} x {height}", file=sys.stderr)
        photographs, corner_error, seconds = rendered(Board(), rig, poses, rng)
        figures: dict[str, object] = {**ours(photographs, [c.name for c in rig], poses, Board(), rig)}
        if with_colmap:
            figures |= colmap(photographs, Board(), rig)
        result |= {"rendered_" + key: value for key, value in figures.items()}
        result |= {"rendered_photographs": len(photographs), "rendered_corner_error_px": round(corner_error, 4)}
        result["detect_ms"] = round(1000 * seconds / len(photographs), 1)
    if not arguments.json:
        for key, value in result.items():
            print(f"{key:34} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
