"""COLMAP's structure from motion (https://colmap.github.io, Schoenberger and Frahm 2016) as a peer of calibration.

It gets what our calibration gets, the board's corners as detected, as features of one photograph a camera: each corner
of each pose is a point of a scene that does not move, and its number tells what matches what. It does not know that
the corners of a pose lie as on the board, but for the scale, which it cannot know: that comes from the board at last.

pycolmap is no dependency of ours: `pip install pycolmap` (4.2 here).
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats
from processing.calibration.corner_detection import Detection
from processing.files.colmap import read_colmap
from processing.geometry.cameras import Camera
from processing.geometry.procrustes import Degenerate, fit_motion

FEWEST_MATCHES = 15  # COLMAP's min_num_matches


@dataclass(frozen=True, eq=False)
class ColmapRig:
    """What COLMAP made of the corners."""

    #: By index, those that it placed; mm. As the mapper leaves them, principal points in the middle of the pictures.
    mapped: Mapping[int, Camera]
    #: The same after a bundle adjustment that refines the principal points too.
    cameras: Mapping[int, Camera]
    version: str
    seconds: float
    #: Of all its threads.
    cpu_seconds: float
    #: Points of the largest model.
    points: int
    #: Mean distance of a corner from where it should be seen.
    reprojection_px: float


def installed() -> bool:
    """Whether pycolmap is there; says so on stderr if not."""
    try:
        import pycolmap  # noqa: F401
    except ImportError:
        print("pycolmap is not installed (pip install pycolmap): COLMAP is left out", file=sys.stderr)
        return False
    return True


def colmap_rig(
    views: Mapping[tuple[int, int], Detection], corners_mm: Floats, folder: Path, *, threads: int = -1
) -> ColmapRig:
    """The rig by COLMAP: features, verified pairs, incremental mapping as it comes, then one bundle adjustment that
    refines the principal points too.

    views: (camera, pose) -> corners; corners_mm: (K, 3) of the board; folder: scratch, where its model stays.
    Cameras are of its model OPENCV, each with its own lens, its focal length first guessed as COLMAP does it.
    """
    import pycolmap

    folder.mkdir(parents=True, exist_ok=True)
    numbers, pixels, sizes = _features(views, len(corners_mm))
    begun, cpu = time.perf_counter(), time.process_time()
    pycolmap.set_random_seed(0)
    _write_database(folder / "database.db", numbers, pixels, sizes)
    pycolmap.geometric_verification(
        folder / "database.db", verifier_options=pycolmap.GeometricVerifierOptions(num_threads=threads)
    )
    options = pycolmap.IncrementalPipelineOptions(
        extract_colors=False, num_threads=threads, random_seed=0, min_num_matches=FEWEST_MATCHES
    )
    models = pycolmap.incremental_mapping(folder / "database.db", folder, folder, options)
    if not models:
        raise RuntimeError(f"COLMAP placed no camera of {len(numbers)}; its database is {folder / 'database.db'}")
    model = max(models.values(), key=lambda m: m.num_reg_images())
    mapped = _cameras(model, folder / "mapped", numbers, corners_mm)
    adjust = pycolmap.BundleAdjustmentOptions(refine_principal_point=True, print_summary=False)
    pycolmap.bundle_adjustment(model, adjust)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    model.update_point_3d_errors()
    return ColmapRig(
        mapped=mapped,
        cameras=_cameras(model, folder / "adjusted", numbers, corners_mm),
        version=pycolmap.__version__,
        seconds=round(seconds, 2),
        cpu_seconds=round(cpu, 2),
        points=model.num_points3D(),
        reprojection_px=round(float(model.compute_mean_reprojection_error()), 4),
    )


def _features(
    views: Mapping[tuple[int, int], Detection], corners: int
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], dict[int, tuple[int, int]]]:
    """Camera -> (N,) numbers of its points (pose times corners plus corner, ascending), (N, 2) px, width and height."""
    numbers: dict[int, np.ndarray] = {}
    pixels: dict[int, np.ndarray] = {}
    sizes: dict[int, tuple[int, int]] = {}
    for camera in sorted({c for c, _ in views}):
        seen = [(p, d) for (c, p), d in views.items() if c == camera and len(d.corner)]
        if not seen:
            continue
        number = np.concatenate([p * corners + d.corner for p, d in seen])
        order = np.argsort(number)
        numbers[camera] = number[order]
        pixels[camera] = np.concatenate([d.pixels for _, d in seen])[order]
        sizes[camera] = seen[0][1].width, seen[0][1].height
    return numbers, pixels, sizes


def _write_database(
    path: Path, numbers: dict[int, np.ndarray], pixels: dict[int, np.ndarray], sizes: dict[int, tuple[int, int]]
) -> None:
    """Camera c is image c + 1, named c.jpg. COLMAP puts the first pixel's centre at (0.5, 0.5)."""
    import pycolmap

    path.unlink(missing_ok=True)
    database = pycolmap.Database.open(path)
    for camera, (width, height) in sizes.items():
        one = camera + 1
        lens = pycolmap.Camera.create_from_model_name(one, "OPENCV", 1.2 * max(width, height), width, height)
        database.write_camera(lens, use_camera_id=True)
        rig = pycolmap.Rig(rig_id=one)
        rig.add_ref_sensor(lens.sensor_id)
        database.write_rig(rig, use_rig_id=True)
        image = pycolmap.Image(name=f"{camera}.jpg", camera_id=one, image_id=one)
        image.frame_id = one
        frame = pycolmap.Frame(frame_id=one, rig_id=one)
        frame.add_data_id(image.data_id)
        database.write_frame(frame, use_frame_id=True)
        database.write_image(image, use_image_id=True)
        database.write_keypoints(one, (pixels[camera] + 0.5).astype(np.float32))
    cameras = list(sizes)
    for i, a in enumerate(cameras):
        for b in cameras[i + 1 :]:
            _, first, second = np.intersect1d(numbers[a], numbers[b], assume_unique=True, return_indices=True)
            if len(first) >= FEWEST_MATCHES:
                database.write_matches(a + 1, b + 1, np.stack([first, second], axis=1).astype(np.uint32))
    database.close()


def _cameras(model: Any, folder: Path, numbers: dict[int, np.ndarray], corners_mm: Floats) -> dict[int, Camera]:
    """The model's cameras, by way of its files, which stay in the folder."""
    folder.mkdir(exist_ok=True)
    model.write(folder)
    return read_colmap(folder, scale=_scale(model, numbers, corners_mm))[0]


def _scale(model: Any, numbers: dict[int, np.ndarray], corners_mm: Floats) -> float:
    """Millimetres a unit of the model: the median over the poses, each board laid onto its points."""
    found: dict[int, Floats] = {}
    for point in model.points3D.values():
        seen = point.track.elements[0]
        found[int(numbers[seen.image_id - 1][seen.point2D_idx])] = np.asarray(point.xyz)
    scales = []
    for pose in {number // len(corners_mm) for number in found}:
        mine = [n for n in found if n // len(corners_mm) == pose]
        try:
            board = corners_mm[[n % len(corners_mm) for n in mine]]
            scales.append(fit_motion(np.stack([found[n] for n in mine]), board).scale)
        except Degenerate:
            continue
    return float(np.median(scales))
