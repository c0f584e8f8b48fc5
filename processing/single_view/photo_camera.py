"""The camera of a photograph, fitted with the face, and its file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common.files.atomic_write import atomic_write
from processing.geometry.cameras import Camera

WEAK_DISTANCE_MM = 1e6  # from which perspective is not to be seen
Projection = Literal["perspective", "weak"]


@dataclass(frozen=True, eq=False)
class PhotoCamera:
    """Where a photograph was taken from; x_cam = R x + t, from the model's frame, mm."""

    camera: Camera  # of weak perspective: the same picture by a camera WEAK_DISTANCE_MM away
    projection: Projection
    focal_known: bool  # given or by EXIF, not fitted

    def as_json(self) -> dict[str, Any]:
        """As `<name>.camera.json` has it: orthographic for weak perspective."""
        camera = self.camera
        R = camera.R.tolist()
        if self.projection == "perspective":
            return {"projection": "perspective", "K": camera.K.tolist(), "R": R, "t": camera.t.tolist()}
        scale = float(camera.K[0, 0] / camera.t[2])
        t = (scale * camera.t[:2] + camera.K[:2, 2]).tolist()
        return {"projection": "orthographic", "scale": scale, "R": R, "t": t}


def write_camera(path: Path, camera: PhotoCamera) -> None:
    """A prediction's camera as benchmarks of single photographs read it: of the mesh's unit, OpenCV's axes."""
    with atomic_write(Path(path)) as temporary:
        temporary.write_text(json.dumps(camera.as_json(), indent=1) + "\n", encoding="utf-8")
