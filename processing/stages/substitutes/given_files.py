"""Stages in place of Mien's own where a scan is there already, or a person has placed landmarks.

Discovery does not find them: `mien register` puts them into the graph, in the places of those whose work they take.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from common.progress import Progress
from processing.camera_check.take_check import cameras_used
from processing.errors import NoFace
from processing.files.mesh_files import read_scan
from processing.files.ply import read_ply, write_ply
from processing.files.stage_files import write_json
from processing.landmarks.landmark_files import read_landmarks, write_landmarks
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.landmarks.scan_landmarks import landmarks_of_scan
from processing.reconstruction.multi_view_stereo import usable_views
from processing.stages.base import PLACED_LANDMARKS, SCAN_FILE, TAKE, Inputs, Stage
from processing.stages.landmarks import Landmarks, landmarks_of_take
from processing.stages.reconstruct import Reconstruct
from processing.stages.support.checked_take import check_take


class GivenScan(Stage):
    """In place of Reconstruct: the given scan, and the take's cameras as Reconstruct would put them right.

    scan: as PLY.  cameras: params.json of the views that a scan would be made of; empty without photographs.
    """

    name, version = Reconstruct.name, Reconstruct.version
    needs: ClassVar[Mapping[str, str]] = {"scan": SCAN_FILE, "take": TAKE}
    makes: ClassVar[Mapping[str, str]] = {k: Reconstruct.makes[k] for k in ("scan", "cameras")}
    resources = Reconstruct.resources
    time_share = 3.0

    class Params(Reconstruct.Params):
        """Those of Reconstruct."""

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        write_ply(out / "scan.ply", read_scan(inputs["scan"]))
        cameras: dict[str, object] = {}
        if inputs.get("take") is not None:
            checked = check_take(inputs, params.cameras if params.watch else None)
            unused = usable_views(checked.images, checked.take.cameras).unused
            cameras = cameras_used(checked.without(unused).take)
        write_json(out / "cameras.json", cameras)


class GivenLandmarks(Stage):
    """In place of Landmarks: those that a person placed, and what they leave open as it is found."""

    name, version = Landmarks.name, Landmarks.version
    needs: ClassVar[Mapping[str, str]] = {
        "take": TAKE,
        "scan": f"{Reconstruct.name}.scan",
        "placed": PLACED_LANDMARKS,
    }
    makes: ClassVar[Mapping[str, str]] = Landmarks.makes
    resources = Landmarks.resources
    time_share = Landmarks.time_share

    class Params(Landmarks.Params):
        """Those of Landmarks."""

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        take = inputs.get("take")

        def find(progress: Progress) -> Landmarks3d:
            if take is not None:
                return landmarks_of_take(take, params.max_views, progress)
            return landmarks_of_scan(read_ply(inputs["scan"]), progress=progress)

        write_landmarks(out / "landmarks.json", complete_landmarks(inputs.get("placed"), find, inputs.progress))


def complete_landmarks(
    placed_file: Path | None, find: Callable[[Progress], Landmarks3d], progress: Progress
) -> Landmarks3d:
    """Those of the file, which go before those found; what it leaves open (null) is found.

    Where no face is found, the file's alone serve. Raises DataError, NoFace when there is neither.
    """
    placed = read_landmarks(placed_file) if placed_file is not None else None
    if placed is not None and placed.known.all():
        return placed
    try:
        found = find(progress)
    except NoFace:
        if placed is None:
            raise
        return placed
    return found if placed is None else found.overridden(placed)
