"""Camera check: each camera of a take held against what the others saw."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from common.array_types import Floats, Image
from common.processors import usable_cpus
from common.progress import Progress, no_progress
from common.view_counts import FEWEST_VIEWS
from processing.camera_check.feature_matching import find_features, match_anywhere, working_camera
from processing.camera_check.feature_network import FeatureNetwork, SparsePoints
from processing.camera_check.local_triangulation import LocalTriangulation
from processing.camera_check.photograph_check import judge_photographs
from processing.camera_check.place_recognition import Recognition, recognise
from processing.camera_check.pose_refinement import PoseFit, fit_pose, simplest_motion
from processing.camera_check.report import CameraCheckReport, CameraFinding
from processing.camera_check.settings import CameraCheckSettings, CameraCheckSettingsError
from processing.errors import ReconstructionError, ShapeError
from processing.geometry.cameras import Camera
from processing.geometry.opencv_threads import single_threaded_opencv
from processing.geometry.rotations import rotation_angle_deg
from processing.geometry.working_volume import working_volume

_COMPARED = 3000  # points at which photographs are compared
_UNMATCHED = 0.25  # a view with less than this share of its neighbours' points has lost its place
_EXPECTED = 24  # where the neighbours share so many points at least
_AGREEING = 2.0  # tolerances within which a view's features lie of where one motion of its camera puts them
_VOTES = 12  # features that must lie where another camera would see them
_VOTE_PX = 6.0  # so near
_VOTE_SHARE = 0.2  # of all that are recognised; among many, some lie so by chance
_JUDGED_LEAST = 6
_RESECTED_DEG, _RESECTED_MM = 15.0, 400.0


@dataclass(frozen=True, eq=False)
class CheckedCameras:
    """The cameras of a take after the check, and what it found."""

    #: One a photograph, put right where it could be; None where the photograph is left out.
    cameras: tuple[Camera | None, ...]
    report: CameraCheckReport
    #: (P, 3) head frame, mm: places of the subject that three views or more agree on.
    points_mm: Floats = field(default_factory=lambda: np.zeros((0, 3)))


def check_cameras(
    images: Sequence[Image],
    cameras: Sequence[Camera],
    *,
    settings: CameraCheckSettings | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> CheckedCameras:
    """Hold every camera against the points that its neighbours triangulate, and every photograph against theirs.

    images: (H, W, 3) uint8 BGR as taken, one a camera.  cameras: as calibrated, head frame, mm.  workers: threads.
    A motion of the whole rig shows in no photograph and is not found. Raises CameraCheckSettingsError where so many
    cameras do not fit that the calibration must be another rig's, and ShapeError.
    """
    settings = settings or CameraCheckSettings()
    if len(images) != len(cameras):
        raise ShapeError("images", (len(images),), f"({len(cameras)},), one a camera")
    for image, camera in zip(images, cameras, strict=True):
        if image.shape != (camera.height, camera.width, 3):
            raise ShapeError(
                f"camera {camera.name or '?'}: image", image.shape, f"({camera.height}, {camera.width}, 3)"
            )
    names = [camera.name or str(i) for i, camera in enumerate(cameras)]
    try:
        volume = working_volume(cameras)[0]
    except ReconstructionError:  # the reconstruction says it better
        silence = tuple(CameraFinding(name, "not judged", "kept", "the cameras have no common point") for name in names)
        return CheckedCameras(tuple(cameras), CameraCheckReport(len(cameras), 0, silence, 0, None))
    with single_threaded_opencv(), ThreadPoolExecutor(workers or usable_cpus()) as pool:
        begun = time.monotonic()
        progress(0.0, "features of the photographs")
        features = list(
            pool.map(
                lambda i: find_features(images[i], cameras[i], settings.megapixels, settings.features),
                range(len(cameras)),
            )
        )
        found = time.monotonic()
        progress(0.5, "cameras against each other")
        network = FeatureNetwork(features, volume, settings, pool, set(range(len(cameras))))
        network.link()
        matched = time.monotonic()
        work = _CameraCheck(images, cameras, names, network)
        work.run()
    seconds = {
        "features": round(found - begun, 2),
        "matches": round(matched - found, 2),
        "cameras": round(time.monotonic() - matched, 2),
    }
    progress(1.0, "cameras judged")
    return CheckedCameras(tuple(work.cameras), replace(work.report(), seconds=seconds), work.points())


class _CameraCheck:
    """The state of one check: which views may still vouch for others, and what was found."""

    def __init__(
        self, images: Sequence[Image], cameras: Sequence[Camera], names: Sequence[str], network: FeatureNetwork
    ) -> None:
        self.images, self.calibrated, self.names, self.net = images, list(cameras), names, network
        self.settings = network.settings
        self.working = [working_camera(c, self.settings.megapixels) for c in cameras]
        self.taken_by = list(range(len(cameras)))  # which calibrated camera took each photograph
        self.cameras: list[Camera | None] = list(cameras)
        self.findings: dict[int, list[CameraFinding]] = {}
        self.triangulations: dict[int, LocalTriangulation] = {}
        self.fits: dict[int, PoseFit] = {}
        self.withheld: dict[int, CameraFinding] = {}  # of photographs that may turn out to be another camera's
        self.resected: list[int] = []  # moved so far that they were sought by their photographs alone

    def run(self) -> None:
        net = self.net
        self.triangulations = net.triangulate_all(range(len(self.calibrated)))
        self._judge_photographs()
        self._find_exchanged()
        moved = self._find_moved()
        for view in moved:
            self._refine_pose(view)
        self._refuse_another_rig()

    def _record(self, view: int, finding: CameraFinding) -> None:
        self.findings.setdefault(view, []).append(finding)
        if finding.action == "excluded":
            self.cameras[view] = None
            self.net.active.discard(view)

    def _judge_photographs(self) -> None:
        sparse = self.net.sparse_points(self.triangulations, _COMPARED)
        working = [f.camera for f in self.net.features]
        lost = set(self._unmatched_views())
        # A photograph that is out of place cannot be asked for places.
        sparse = SparsePoints(
            sparse.points_mm, sparse.seen & ~np.isin(np.arange(len(working)), list(lost)), sparse.descriptors
        )
        bad = judge_photographs(self.images, self.calibrated, working, self.names, sparse, self.settings, self.net.pool)
        for view, finding in bad.items():
            if view not in lost:
                self._record(view, finding)
            elif finding.action == "excluded":
                self.withheld[view] = finding  # unless it turns out to be another camera's
        self._triangulate_around(view for view in bad if view not in self.net.active)

    def _triangulate_around(self, changed: Iterable[int]) -> None:
        """Judge again what the neighbours of changed views say."""
        near = {j for i in changed for j in self.net.near[i]}
        self.triangulations |= self.net.triangulate_all(sorted(near))

    def _unmatched_views(self) -> list[int]:
        """Views that share far fewer points with their neighbours than these do among themselves."""
        out = []
        for view in sorted(self.net.active):
            others = [len(self.triangulations[j].feature) for j in self.net.near[view] if j in self.net.active]
            expected = float(np.median(others)) if len(others) >= 2 else 0.0
            if expected >= _EXPECTED and len(self.triangulations[view].feature) < _UNMATCHED * expected:
                out.append(view)
        return out

    def _fit(self, view: int) -> PoseFit | None:
        """None where too few features tell, or what they tell does not agree: chance matches, as of noise and hair."""
        found = self.triangulations[view]
        if len(found.feature) < self.settings.tracks:
            return None
        fit = fit_pose(self.net.features[view].camera, found.points_mm, found.observed)
        return fit if fit.rest_px < _AGREEING * self.settings.tolerance_px else None

    def _find_exchanged(self) -> None:
        """Photographs that lie far from where their cameras should see things: whose are they?"""
        suspects = set(self._unmatched_views()) | set(self.withheld)
        for view in sorted(self.net.active - suspects):
            fit = self._fit(view)
            many = len(self.triangulations[view].feature) >= self.settings.tracks
            if many and (fit is None or fit.before_px > self.settings.band_px / 2):
                suspects.add(view)
        if not suspects:
            return
        active = self.net.active - suspects
        triangulations = {v: s for v, s in self.triangulations.items() if v in active}
        self.net.active = active
        triangulations = self.net.triangulate_all(sorted(triangulations))
        sparse = self.net.sparse_points(triangulations, 30_000)
        belongs = {view: self._camera_of(view, sparse) for view in sorted(suspects)}
        taken = {self.taken_by[v] for v in active}
        for view, owner in belongs.items():
            if owner in (view, None) and view in self.withheld:
                self._record(view, self.withheld[view])
            elif owner is None:
                self._judge_unowned(view, sparse)
            else:
                self.net.active.add(view)
                self._assign_camera(view, owner, taken, belongs)
        self.net.link()
        self._triangulate_around(suspects)
        self.triangulations |= self.net.triangulate_all(sorted(suspects))

    def _judge_unowned(self, view: int, sparse: SparsePoints) -> None:
        """A photograph that no camera's view was recognised in: it is left out where it should show more of its own."""
        seen = self._recognise(view, sparse)
        if seen.holds():
            self.net.active.add(view)  # judged with the others
        elif not self._resect(view, sparse):
            name, figures = self.names[view], {"asked": float(seen.asked), "found": float(seen.found)}
            near = [self._recognise(j, sparse).share for j in self.net.near[view] if j in self.net.active]
            if seen.fails(float(np.median(near or [0.0]))):
                text = (
                    "its photograph does not fit its place nor any other camera's: of "
                    f"{seen.asked} points that it should see, it shows {seen.found}; left out"
                )
                self._record(view, CameraFinding(name, "misfit", "excluded", text, figures))
            else:
                text = f"only {seen.asked} points that others know are in its view, of which it shows {seen.found}"
                self._record(view, CameraFinding(name, "not judged", "kept", text, figures))

    def _recognise(self, view: int, sparse: SparsePoints) -> Recognition:
        return recognise(view, self.net.features, sparse, self.net.near[view], self.settings.widest_deg)

    def _camera_of(self, view: int, sparse: SparsePoints) -> int | None:
        """The camera where most of a photograph's features lie where that camera would see them; None: nobody's."""
        features = self.net.features[view]
        matches = match_anywhere(features.descriptors, sparse.descriptors)
        if len(matches) < _VOTES:
            return None
        points, raw = sparse.points_mm[matches[:, 1]], features.raw[matches[:, 0]]
        size = (self.working[view].width, self.working[view].height)
        votes = np.zeros(len(self.working), int)
        for j, lens in enumerate(self.working):
            if (lens.width, lens.height) == size:
                off = np.linalg.norm(lens.project(points) - raw, axis=1)
                votes[j] = int((off < _VOTE_PX).sum())
        best = int(votes.argmax())
        runner_up = int(np.sort(votes)[-2]) if len(votes) > 1 else 0
        if votes[best] < max(_VOTES, 2 * runner_up, _VOTE_SHARE * len(matches)):
            return None
        return best

    def _resect(self, view: int, sparse: SparsePoints) -> bool:
        """Resection: where a camera stands that moved by more than features are sought, by its photograph alone.

        Against the sparse points. Returns whether it was found.
        """
        features = self.net.features[view]
        matches = match_anywhere(features.descriptors, sparse.descriptors)
        if len(matches) < _VOTES:
            return False
        points, pixels = sparse.points_mm[matches[:, 1]], features.pixels[matches[:, 0]]
        cv2.setRNGSeed(0)
        done, turn, t, good = cv2.solvePnPRansac(
            points, pixels, features.camera.K, None, iterationsCount=2000, reprojectionError=3.0, confidence=0.9999
        )
        if not done or good is None or len(good) < _VOTES:
            return False
        lens = self.working[view]
        posed = replace(lens, R=Rotation.from_rotvec(turn.ravel()).as_matrix(), t=t.ravel())
        if (
            rotation_angle_deg(lens.R, posed.R) > _RESECTED_DEG
            or np.linalg.norm(lens.centre - posed.centre) > _RESECTED_MM
        ):
            return False
        self.net.assign_camera(view, posed)
        self.resected.append(view)
        return True

    def _assign_camera(self, view: int, owner: int, taken: set[int], belongs: dict[int, int | None]) -> None:
        name = self.names[view]
        if owner == view:
            return  # few features, but at their place; or it moved by little: judged with the others
        if owner in taken or list(belongs.values()).count(owner) > 1:
            text = f"its photograph was taken by camera {self.names[owner]}, which has its own; left out"
            self._record(view, CameraFinding(name, "swapped", "excluded", text, {"taken_by": float(owner)}))
        else:
            text = f"swapped: its photograph was taken by camera {self.names[owner]}; put right"
            self.taken_by[view] = owner
            self.cameras[view] = replace(self.calibrated[owner], name=name)
            self.net.assign_camera(view, self.working[owner])
            self._record(view, CameraFinding(name, "swapped", "exchanged", text, {"taken_by": float(owner)}))

    def _strength(self, view: int, fit: PoseFit) -> float:
        """How many times over the limit a motion is; 0 where it is not significant."""
        s, across = self.settings, self._limit_px(view)
        if fit.view_px < s.least_px:
            return 0.0
        parts = [
            (fit.view_px / across, fit.view_px > s.significance * fit.view_sd),
            (abs(fit.roll_deg) / s.turn_deg, abs(fit.roll_deg) > s.significance * fit.roll_sd),
            (abs(fit.along_mm) / s.shift_mm / 1.5, abs(fit.along_mm) > s.significance * fit.along_sd),
        ]
        return max(size if certain else 0.0 for size, certain in parts)

    def _limit_px(self, view: int) -> float:
        """What the least turn or shift that counts would move in the working picture."""
        camera = self.net.features[view].camera
        depth = float(camera.depth(self.net.volume.centre_mm[None])[0])
        focal = float(camera.K[0, 0])
        return focal * min(float(np.tan(np.radians(self.settings.turn_deg))), self.settings.shift_mm / max(depth, 1.0))

    def _find_moved(self) -> list[int]:
        """The worst goes first and no longer vouches for the others; until all fit."""
        moved = list(self.resected)
        todo = sorted(self.net.active)
        fits: dict[int, PoseFit | None] = {}
        while True:
            fits |= dict(zip(todo, self.net.pool.map(self._fit, todo), strict=True))
            strength = {v: self._strength(v, f) for v, f in fits.items() if f is not None and v not in moved}
            worst = max(strength, key=lambda v: strength[v], default=None)
            if worst is None or strength[worst] < 1 or len(moved) > len(self.calibrated) // 2:
                break
            moved.append(worst)
            self.net.active.discard(worst)
            todo = [j for j in self.net.near[worst] if j in self.net.active]
            self.triangulations |= self.net.triangulate_all(todo)
        self.fits = {v: f for v, f in fits.items() if f is not None and v not in moved}
        for view in sorted(self.net.active - set(self.fits)):
            count = len(self.triangulations[view].feature)
            text = f"{count} features in common with its neighbours; {self.settings.tracks} that agree are needed"
            self._record(view, CameraFinding(self.names[view], "not judged", "kept", text, {"tracks": float(count)}))
        return moved

    def _refine_pose(self, view: int) -> None:
        """What a moved camera did, from the views that fit alone; and its pose adjusted, or the view left out."""
        found = self.net.triangulate(view)
        name, s = self.names[view], self.settings
        camera = self.working[self.taken_by[view]].pinhole()
        calibrated = self.calibrated[self.taken_by[view]]
        if len(found.feature) < s.tracks:
            text = f"moved, but only {len(found.feature)} features tell how; left out"
            self._record(view, CameraFinding(name, "moved", "excluded", text))
            return
        # A view's placing changes where its lens stands, not the lens: what was seen holds for the calibrated one too.
        fit, other = simplest_motion(camera, found.points_mm, found.observed)
        larger = calibrated.width / camera.width
        figures = {
            "turn_deg": fit.turn_deg,
            "shift_mm": fit.shift_mm,
            "view_px": fit.view_px * larger,
            "rest_px": fit.rest_px * larger,
            "tracks": float(fit.tracks),
        }
        what = _motion(fit) + (f" (or {_motion(other)})" if other is not None else "")
        seen = f"{what}: its picture lies {figures['view_px']:.1f} px off, told by {fit.tracks} features"
        within = fit.turn_deg <= s.refine_turn_deg and fit.shift_mm <= s.refine_shift_mm
        if s.refine and within and fit.rest_px <= s.refine_rest_px and fit.tracks >= s.tracks:
            text = f"{seen}; put right for this scan, {figures['rest_px']:.1f} px remain"
            self.cameras[view] = replace(calibrated, R=fit.camera.R, t=fit.camera.t)
            self._record(view, CameraFinding(name, "moved", "refined", text, figures))
            return
        why = "too far to be put right" if not within else f"{figures['rest_px']:.1f} px remain, too much"
        self._record(
            view, CameraFinding(name, "moved", "excluded", f"{seen}; {why if s.refine else 'left out'}", figures)
        )

    def points(self) -> Floats:
        """(P, 3) mm what the views that fit agree on."""
        return self.net.sparse_points({v: self.triangulations[v] for v in self.net.active}, 100_000).points_mm

    def _refuse_another_rig(self) -> None:
        wrong = [v for v, fs in self.findings.items() if any(f.kind in ("moved", "swapped", "misfit") for f in fs)]
        judged = len(self.fits) + len(wrong)
        if judged < _JUDGED_LEAST or len(wrong) <= self.settings.misfit_share * judged:
            return
        lines = [
            f"{len(wrong)} of {judged} cameras do not stand where the calibration has them, so it does not belong to "
            "these photographs: were they taken before it, or with another rig? Calibrate anew. The first ones:"
        ]
        lines += [f"  camera {self.names[v]}  {self.findings[v][0].text}" for v in sorted(wrong)[:10]]
        raise CameraCheckSettingsError("\n".join(lines))

    def report(self) -> CameraCheckReport:
        if sum(c is not None for c in self.cameras) < FEWEST_VIEWS:
            lines = [f"fewer than {FEWEST_VIEWS} views are left:"]
            lines += [f"  camera {f.camera}  {f.text}" for fs in self.findings.values() for f in fs]
            raise CameraCheckSettingsError("\n".join(lines))
        findings = tuple(f for v in sorted(self.findings) for f in self.findings[v])
        rest = [f.before_px for f in self.fits.values()]
        tracks = sum(len(s.feature) for s in self.triangulations.values())
        residual = float(np.median(rest)) if rest else None
        return CameraCheckReport(len(self.calibrated), len(self.fits), findings, tracks, residual)


def _motion(fit: PoseFit) -> str:
    return {
        "turn": f"turned by {fit.turn_deg:.2f}°",
        "shift": f"shifted by {fit.shift_mm:.1f} mm",
        "both": f"turned by {fit.turn_deg:.2f}° and shifted by {fit.shift_mm:.1f} mm",
    }[fit.model]
