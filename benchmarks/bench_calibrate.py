"""How fast and how truly a rig is calibrated.

First 68 cameras and 60 poses of a board at the level of corners with Gaussian noise, then photographs of the board
rendered for a smaller rig and found again; both compared with the true cameras after a rigid alignment of the centres,
not scaled. The peer: OpenCV's calibrateCamera for every camera alone, which gives no places.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping

import cv2
import numpy as np
from rendered_board import Pose, ShotConditions, corners_seen, faces_camera, poses_about, render_board

from common.charuco.charuco_board import Board
from processing.calibration.corner_detection import Detection, detect
from processing.calibration.rig_calibration import Calibration, calibrate
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


def compare(found: Calibration, true: list[Camera]) -> dict[str, float]:
    kept = list(found.cameras)
    centres, truth = np.stack([found.cameras[c].centre for c in kept]), np.stack([true[c].centre for c in kept])
    motion = fit_motion(centres, truth, with_scale=False)
    moved = found.moved(motion.R, motion.t)
    off = np.array([np.linalg.norm(moved.cameras[c].centre - true[c].centre) for c in kept])
    turn = np.array([rotation_angle_deg(moved.cameras[c].R, true[c].R) for c in kept])
    predicted = [np.trace(q.centre_covariance_mm2) for q in found.quality.values()]
    return {
        "cameras": len(kept),
        "corners": found.corners,
        "rms_px": round(found.rms_px, 4),
        "centre_rms_mm": round(float(np.sqrt((off**2).mean())), 4),
        "centre_median_mm": round(float(np.median(off)), 4),
        "centre_max_mm": round(float(off.max()), 4),
        "centre_predicted_rms_mm": round(float(np.sqrt(np.mean(predicted))), 4),
        "angle_rms_deg": round(float(np.sqrt((turn**2).mean())), 5),
        "angle_max_deg": round(float(turn.max()), 5),
    }


def alone(views: Mapping[tuple[int, int], Detection], cameras: list[Camera], board: Board) -> float:
    """Seconds for calibrateCamera on every camera by itself."""
    begun = time.perf_counter()
    for c, camera in enumerate(cameras):
        seen = [d for (k, _), d in views.items() if k == c]
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
    arguments = parser.parse_args()
    rng = np.random.default_rng(4)
    board = Board(square_mm=arguments.square, marker_mm=0.75 * arguments.square)
    cameras = studio_rig(arguments.cameras)
    centres = [camera.centre for camera in cameras]
    poses = poses_about(arguments.poses, rng, reach_mm=arguments.reach, towards=centres[:: max(1, len(centres) // 17)])
    views = corners_seen(board, cameras, poses, arguments.noise, rng)
    print(f"{len(views)} views, {sum(len(d.corner) for d in views.values())} corners", file=sys.stderr)
    begun = time.perf_counter()
    found = calibrate(views, [c.name for c in cameras], [p.name for p in poses], board.corners_mm, allow_unlinked=True)
    result: dict[str, object] = {"seconds": round(time.perf_counter() - begun, 2), "noise_px": arguments.noise}
    result |= {"views": len(views), "poses": len(poses), **compare(found, cameras)}
    if arguments.peer:
        result["calibrate_camera_alone_seconds"] = round(alone(views, cameras, board), 2)
    if arguments.rendered:
        count, shots, width, height = map(int, arguments.rendered.split(","))
        rig = studio_rig(3 * count, width, height)[:count]  # the frontal third
        poses = poses_about(shots, rng, reach_mm=110, towards=[c.centre for c in rig])
        print(f"rendering up to {count * shots} photographs of {width} x {height}", file=sys.stderr)
        photographs, corner_error, seconds = rendered(Board(), rig, poses, rng)
        found = calibrate(
            photographs, [c.name for c in rig], [p.name for p in poses], Board().corners_mm, allow_unlinked=True
        )
        result |= {"rendered_" + key: value for key, value in compare(found, rig).items()}
        result |= {"rendered_photographs": len(photographs), "rendered_corner_error_px": round(corner_error, 4)}
        result["detect_ms"] = round(1000 * seconds / len(photographs), 1)
    if not arguments.json:
        for key, value in result.items():
            print(f"{key:34} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
