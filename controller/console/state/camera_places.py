"""Where each camera stands and looks, by the rig's newest calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

from controller.studio import Studio
from db.engine import reading
from db.rigs import rig_records

Matrix = Sequence[Sequence[float]]


def place_of(calibration: Mapping[str, Any], view: int) -> dict[str, list[float]] | None:
    """Centre (mm) and viewing direction (unit length) of a view in the head frame; None where it has no place.

    calibration: FaceScape's params.json keys. `x_cam = R x + t`: the centre is -R't, the direction R's last row.
    """
    if calibration.get(f"{view}_valid") is False or f"{view}_Rt" not in calibration:
        return None
    rows: Matrix = calibration[f"{view}_Rt"]
    try:
        centre = [-sum(rows[row][axis] * rows[row][3] for row in range(3)) for axis in range(3)]
        direction = [rows[2][axis] for axis in range(3)]
    except (IndexError, TypeError):
        return None
    return {"position": [round(x, 1) for x in centre], "direction": [round(x, 4) for x in direction]}


class CameraPlaces:
    """The places by the newest calibration, read again only when there is another one."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._version: int | None = None
        self._places: Mapping[str, dict[str, list[float]]] = {}

    def read(self, version: int | None) -> None:
        """version: of the rig's newest calibration; None: there is none."""
        if version == self._version:
            return
        with reading(self._studio.engine) as tx:
            found = rig_records.newest_calibration(tx, rig_records.get_rig(tx, self._studio.rig.name))
            data = dict(found.data) if found is not None else {}
        places = {camera.name: place_of(data, camera.view) for camera in self._studio.rig.cameras}
        self._places = {name: place for name, place in places.items() if place is not None}
        self._version = version

    def of(self, camera: str) -> dict[str, list[float]]:
        """The camera's position and direction; empty where they are not known."""
        return self._places.get(camera, {})
