"""Calibration of a rig from detections of a board, with everything that was not believed named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.array_types import Floats
from common.charuco.calibration_needs import CELLS, FEWEST_POSES, LEAST_COVERED
from common.progress import Progress, no_progress
from processing.calibration.bundle_adjustment import (
    BundleProblem,
    BundleState,
    CornerObservations,
    Solution,
    bundle_adjust,
    project,
)
from processing.calibration.corner_detection import Detection
from processing.calibration.initial_estimate import (
    corners_of,
    initial_board_poses,
    initial_intrinsics,
    initial_state,
    linked_groups,
)
from processing.files.calibration_errors import CalibrationError, NotLinked
from processing.geometry.cameras import Camera
from processing.geometry.rotations import skew_matrix

_VIEW_PX = 1.0  # a view whose middle corner is off by more contradicts the rig
_VIEW_FACTOR = 6.0  # ... or by so many times what is usual
_CORNER_SIGMAS = 4.5
_FEWEST_IN_VIEW = 6


@dataclass(frozen=True, eq=False)
class CameraQuality:
    """How well one camera is known."""

    #: Poses of the board that it saw.
    poses: int
    #: Corners in all of them.
    corners: int
    #: Of a corner's distance from where it should be seen.
    rms_px: float
    #: Share of the picture with corners in it.
    covered: float
    #: (3, 3) in the rig's frame, against all other cameras.
    centre_covariance_mm2: Floats
    #: (3, 3) about the camera's own axes.
    turn_covariance_deg2: Floats
    #: (9,) standard deviations of fx fy cx cy (px) k1 k2 p1 p2 k3.
    lens_sd: Floats

    @property
    def centre_sd_mm(self) -> float:
        """Along the worst direction."""
        return float(np.sqrt(np.linalg.eigvalsh(self.centre_covariance_mm2)[-1].clip(0)))

    @property
    def turn_sd_deg(self) -> float:
        return float(np.sqrt(np.linalg.eigvalsh(self.turn_covariance_deg2)[-1].clip(0)))


@dataclass(frozen=True)
class Rejected:
    """A view that is not used."""

    pose: str
    #: None: the whole pose.
    camera: str | None
    reason: str


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated rig, with everything that was not believed."""

    #: By index, only those that could be placed.
    cameras: Mapping[int, Camera]
    quality: Mapping[int, CameraQuality]
    #: Name -> (R, t), board to world.
    poses: Mapping[str, tuple[Floats, Floats]]
    #: Camera name -> why it is missing.
    unlinked: Mapping[str, str]
    rejected: tuple[Rejected, ...]
    warnings: tuple[str, ...]
    #: Of all corners' distances.
    rms_px: float
    #: Standard deviation of one coordinate of a corner.
    sigma_px: float
    #: Corners used.
    corners: int
    #: Of the last adjustment.
    iterations: int

    def moved(self, R: Floats, t: Floats) -> "Calibration":
        """The same after the world moved: x_new = R x + t."""
        return replace(
            self,
            cameras={c: camera.moved(R, t) for c, camera in self.cameras.items()},
            quality={
                c: replace(q, centre_covariance_mm2=R @ q.centre_covariance_mm2 @ R.T) for c, q in self.quality.items()
            },
            poses={name: (R @ a, R @ b + t) for name, (a, b) in self.poses.items()},
        )


def calibrate(
    views: Mapping[tuple[int, int], Detection],
    names: Sequence[str],
    pose_names: Sequence[str],
    corners_mm: Floats,
    *,
    allow_unlinked: bool = False,
    progress: Progress = no_progress,
) -> Calibration:
    """The rig that saw these boards.

    views: (camera, pose) -> what the camera saw of that pose; views without corners are named as rejected.
    names, pose_names: of the indices.  corners_mm: (K, 3) of the board.  allow_unlinked: go on with the largest part.
    Raises NotLinked with every camera that cannot be placed, CalibrationError where there is nothing to work with.
    """
    rejected = [
        Rejected(pose_names[p], names[c], d.reason) for (c, p), d in sorted(views.items(), key=lambda v: v[0][::-1])
        if d.reason
    ]  # fmt: skip
    used = {key: d for key, d in views.items() if not d.reason}
    if not used:
        raise CalibrationError(
            "The board is in none of the photographs. Check board.toml against the print: squares, sizes, dictionary"
        )
    unlinked, group = _linked(used, names, len(pose_names))
    if len(group) < 2:
        raise NotLinked(_unlinked_message(unlinked, len(names), "No two cameras saw the same pose."))
    used = {key: d for key, d in used.items() if key[0] in set(group)}
    progress(0.05, "a first guess of every lens")
    sizes = [
        next(((d.width, d.height) for (c, _), d in used.items() if c == camera), (1, 1)) for camera in range(len(names))
    ]
    lenses = initial_intrinsics(used, sizes, corners_mm)
    progress(0.25, "a first guess of every place")
    boards = initial_board_poses(used, lenses, corners_mm)
    used = {key: d for key, d in used.items() if key in boards}
    start, loose = initial_state(boards, lenses, group, len(pose_names))
    unlinked |= {names[c]: "its views fit no other camera's" for c in loose}
    used = {key: d for key, d in used.items() if key[0] not in loose}
    prior = _prior(lenses, sizes)
    progress(0.35, "bundle adjustment")
    solution, corners, bad = _adjust_robustly(start, corners_of(used), corners_mm, prior, progress=progress)
    rejected += _rejected_views(bad, corners, names, pose_names)
    left = sorted({(int(c), int(p)) for c, p in zip(corners.camera, corners.pose, strict=True)})
    still, kept = _linked(dict.fromkeys(left, None), names, len(pose_names))
    unlinked |= {name: why for name, why in still.items() if name not in unlinked}
    if unlinked and not allow_unlinked:
        raise NotLinked(_unlinked_message(unlinked, len(names), _rejected_lines(rejected)))
    corners = corners.where(np.isin(corners.camera, kept))
    progress(0.9, "covariance")
    final = BundleProblem(solution.state, corners, corners_mm, prior, max(0.02, solution.sigma_px))
    solution = bundle_adjust(final, with_covariance=True)
    progress(1.0, "calibrated")
    cameras, quality = _measured_cameras(solution, final, kept, [(names[c], *sizes[c]) for c in range(len(names))])
    found = _calibration(solution, final, cameras, quality, pose_names)
    return replace(found, unlinked=unlinked, rejected=tuple(rejected))


def _calibration(
    solution: Solution,
    problem: BundleProblem,
    cameras: Mapping[int, Camera],
    quality: Mapping[int, CameraQuality],
    pose_names: Sequence[str],
) -> Calibration:
    """What the solution says of the rig; nothing yet of what was left out."""
    state, corners = solution.state, problem.corners
    off = _corner_errors(state, corners, problem.board_mm)
    return Calibration(
        cameras=cameras,
        quality=quality,
        poses={pose_names[p]: (state.board_R[p], state.board_t[p]) for p in np.unique(corners.pose)},
        unlinked={},
        rejected=(),
        warnings=tuple(doubt for c, camera in cameras.items() for doubt in _doubts(camera.name, quality[c])),
        rms_px=float(np.sqrt((off**2).mean())),
        sigma_px=solution.sigma_px,
        corners=len(corners),
        iterations=solution.iterations,
    )


def _linked(
    used: Mapping[tuple[int, int], object], names: Sequence[str], poses: int
) -> tuple[dict[str, str], list[int]]:
    """Cameras that cannot be placed, with the reason, and the largest group that can."""
    count = np.bincount([c for c, _ in used], minlength=len(names))
    enough = [key for key in used if count[key[0]] >= FEWEST_POSES]
    group, *others = linked_groups(enough, len(names), poses)
    why = {}
    for other in others:
        for c in other:
            if count[c] == 0:
                reason = "it sees the board in no pose"
            elif count[c] < FEWEST_POSES:
                reason = f"it sees the board in {count[c]} of {poses} poses; {FEWEST_POSES} are needed"
            elif len(other) == 1:
                reason = "it shares no pose with any other camera"
            else:
                near = ", ".join(names[o] for o in other if o != c)
                reason = f"linked to {near} only; no pose is shared with the other {len(group)} cameras"
            why[names[c]] = reason
    if len(group) == 1 and group[0] not in {c for c, _ in enough}:
        why[names[group[0]]] = f"it sees the board in {count[group[0]]} of {poses} poses; {FEWEST_POSES} are needed"
    return why, group


def _unlinked_message(unlinked: Mapping[str, str], total: int, more: str) -> str:
    lines = [f"The rig was not calibrated: {len(unlinked)} of {total} cameras cannot be placed beside the others."]
    lines += [f"  {name}  {why}" for name, why in list(unlinked.items())[:30]]
    if len(unlinked) > 30:
        lines.append(f"  and {len(unlinked) - 30} more")
    lines += [more] if more else []
    lines.append("Photograph the board in poses that these and their neighbours see, add them, and run it again;")
    lines.append("or go on without these cameras: --allow-unlinked")
    return "\n".join(lines)


def _rejected_lines(rejected: Sequence[Rejected]) -> str:
    shown = [r for r in rejected if r.reason != "no board found"]
    lines = [f"  {r.pose}{'' if r.camera is None else f', {r.camera}'}: {r.reason}" for r in shown[:15]]
    return (
        "\n".join(["Not used:", *lines, *([f"  and {len(shown) - 15} more"] if len(shown) > 15 else [])])
        if lines
        else ""
    )


def _prior(lenses: Floats, sizes: Sequence[tuple[int, int]]) -> tuple[Floats, Floats]:
    """What is expected of any lens, far weaker than what a well seen board says: (mean, sigma), each (C, 9)."""
    size = np.array(sizes, dtype=np.float64)
    mean = np.zeros_like(lenses)
    mean[:, :2], mean[:, 2:4] = lenses[:, :2], (size - 1) / 2
    sigma = np.empty_like(lenses)
    sigma[:, :2] = lenses[:, :1]
    sigma[:, 2:4] = 0.05 * size.max(1, keepdims=True)
    # Distortion as pixels in the corner of the picture, of which 5 % of its half diagonal are much.
    corner = np.linalg.norm(size, axis=1) / 2 / lenses[:, 0]
    for column, power in ((4, 2), (5, 4), (8, 6)):
        sigma[:, column] = 0.3 / corner**power
    sigma[:, 6:8] = (0.02 / corner)[:, None]
    return mean, sigma


def _adjust_robustly(
    start: BundleState,
    corners: CornerObservations,
    corners_mm: Floats,
    prior: tuple[Floats, Floats],
    progress: Progress,
) -> tuple[Solution, CornerObservations, dict[tuple[int, int], float]]:
    """Adjust, drop what contradicts the rest, adjust again. Also the corners kept, and dropped views' errors, px."""
    bad: dict[tuple[int, int], float] = {}
    solution = Solution(start, np.zeros((0, 0)), 1.0, 0)
    off = _corner_errors(start, corners, corners_mm)
    behind = ~np.isfinite(off)
    if behind.any():
        view = corners.view_of()
        lost = np.isin(view, np.unique(view[behind]))
        bad |= {(int(c), int(p)): float("inf") for c, p in zip(corners.camera[lost], corners.pose[lost], strict=True)}
        corners, off = corners.where(~lost), off[~lost]
    losses = [1.0, 1.0, 0.5]
    if np.median(off) > 3:
        losses = [float(np.median(off)), *losses]
    for turn, loss in enumerate(losses):
        solution = bundle_adjust(BundleProblem(solution.state, corners, corners_mm, prior, loss_px=loss))
        progress(0.35 + 0.5 * (turn + 1) / len(losses), f"bundle adjustment, {solution.iterations} iterations")
        if loss > 1:
            continue
        off = _corner_errors(solution.state, corners, corners_mm)
        view = corners.view_of()
        starts = corners.view_starts()
        middle = np.array([np.median(part) for part in np.split(off, starts[1:])])
        lost = middle > max(_VIEW_PX, _VIEW_FACTOR * float(np.median(off)))
        bad |= {
            (int(corners.camera[starts[v]]), int(corners.pose[starts[v]])): float(middle[v])
            for v in np.flatnonzero(lost)
        }
        keep = ~lost[view]
        if turn > 0:
            keep &= off < _limits(corners, off)
        enough = np.bincount(view[keep], minlength=len(starts))[view] >= _FEWEST_IN_VIEW
        thin = ~enough & ~lost[view]
        bad |= {
            (int(c), int(p)): float(middle[v])
            for c, p, v in zip(corners.camera[thin], corners.pose[thin], view[thin], strict=True)
        }
        corners = corners.where(keep & enough)
        if not len(corners):
            raise CalibrationError(
                "No two cameras agree on where the board was; was it held still, and is board.toml right?"
            )
    return solution, corners, bad


def _limits(corners: CornerObservations, off: Floats) -> Floats:
    """(N,) how far off a corner may be: by the noise of its own camera, as blur and size differ."""
    limits = np.empty(len(off))
    for c in np.unique(corners.camera):
        rows = corners.camera == c
        sigma = float(np.median(off[rows])) / 1.1774  # of one coordinate, from the median of the distance
        limits[rows] = max(0.15, _CORNER_SIGMAS * sigma)
    return limits


def _rejected_views(
    bad: Mapping[tuple[int, int], float], corners: CornerObservations, names: Sequence[str], pose_names: Sequence[str]
) -> list[Rejected]:
    """Dropped views in words: a pose of which most views contradict each other is named once."""
    left = {(int(c), int(p)) for c, p in zip(corners.camera, corners.pose, strict=True)}
    told = []
    for p, pose in enumerate(pose_names):
        views = {c: px for (c, q), px in sorted(bad.items()) if q == p}
        kept = sum(1 for _, q in left if q == p)
        if len(views) > 1 and len(views) >= kept:
            told.append(Rejected(pose, None, f"{len(views)} of {len(views) + kept} cameras contradict each other:"
                                 " the board moved while it was photographed"))  # fmt: skip
        for c, px in views.items():
            how = f"by {px:.1f} px" if np.isfinite(px) else "altogether"
            told.append(Rejected(pose, names[c], f"the board is not where the other cameras saw it, off {how}"))
    return told


def _corner_errors(state: BundleState, corners: CornerObservations, corners_mm: Floats) -> Floats:
    """(N,) distance of each corner from where the state has it, px; NaN behind a camera."""
    return np.asarray(np.linalg.norm(project(state, corners, corners_mm) - corners.pixels, axis=1))


def _measured_cameras(
    solution: Solution, problem: BundleProblem, kept: Sequence[int], makes: Sequence[tuple[str, int, int]]
) -> tuple[dict[int, Camera], dict[int, CameraQuality]]:
    """The kept cameras and how well each is known. makes: name, width and height (px) of each camera."""
    state, corners = solution.state, problem.corners
    off = _corner_errors(state, corners, problem.board_mm)
    cameras, quality = {}, {}
    for c in kept:
        rows = corners.camera == c
        fx, fy, cx, cy, *lens = state.lens[c]
        name, width, height = makes[c]
        R, t = state.R[c], state.t[c]
        cameras[c] = Camera(
            K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), R=R, t=t, width=width, height=height,
            distortion=np.array(lens), name=name,
        )  # fmt: skip
        block = solution.covariance[c * 15 : c * 15 + 15, c * 15 : c * 15 + 15]
        to_centre = np.c_[-R.T @ skew_matrix(t), -R.T]
        cells = np.floor(corners.pixels[rows] / [width, height] * CELLS).clip(0, CELLS - 1)
        quality[c] = CameraQuality(
            poses=len(np.unique(corners.pose[rows])),
            corners=int(rows.sum()),
            rms_px=float(np.sqrt((off[rows] ** 2).mean())),
            covered=len(np.unique(cells, axis=0)) / CELLS**2,
            centre_covariance_mm2=to_centre @ block[9:, 9:] @ to_centre.T,
            turn_covariance_deg2=block[9:12, 9:12] * np.degrees(1) ** 2,
            lens_sd=np.sqrt(np.diag(block)[:9].clip(0)),
        )
    return cameras, quality


def _doubts(name: str, q: CameraQuality) -> list[str]:
    doubts = []
    if q.centre_sd_mm > 0.5 or q.turn_sd_deg > 0.05:
        doubts.append(
            f"{name}: placed to {q.centre_sd_mm:.2f} mm and {q.turn_sd_deg:.3f} degrees only, from {q.poses} poses;"
            " photograph more poses that it sees, tilted, near and far"
        )
    if q.covered < LEAST_COVERED:
        doubts.append(f"{name}: corners in {100 * q.covered:.0f} % of its picture; its lens is unknown in the rest")
    if q.rms_px > 0.5:
        doubts.append(f"{name}: {q.rms_px:.2f} px RMS; is it out of focus, or did it move?")
    return doubts
