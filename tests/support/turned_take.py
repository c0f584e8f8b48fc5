"""A small photographed take of which one camera was turned after its calibration."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from processing.files.camera_models import camera_from_params, params_from_cameras
from processing.files.take_folder import read_photos, read_take

SUBJECT = Path(__file__).resolve().parents[3] / "shared" / "data" / "subject-11"
FACTOR, VIEWS, MOVED, DEGREES = 0.36, 12, 5, 0.4


def write_turned_take(folder: Path, degrees: float = DEGREES, factor: float = FACTOR) -> Path:
    """The VIEWS most frontal views of a neutral face, small, as take folder; camera MOVED is turned by `degrees`."""
    whole, images = read_photos(read_take(SUBJECT / "1_neutral"))
    order = np.argsort([view.camera.viewing_direction[2] for view in whole.views])[:VIEWS]
    folder.mkdir(parents=True)
    cameras = [whole.views[k].camera.scaled(factor) for k in order]
    for v, (k, camera) in enumerate(zip(order, cameras, strict=True)):
        small = cv2.resize(images[int(k)], (camera.width, camera.height), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{v}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 97])
    params = params_from_cameras(cameras)
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, 0.8, 0.0])).as_matrix()
    params[f"{MOVED}_Rt"] = (turn @ np.array(params[f"{MOVED}_Rt"])).tolist()
    (folder / "params.json").write_text(json.dumps(params))
    return folder


def turned(jpeg: bytes, view: int, calibration: dict[str, Any], degrees: float) -> bytes:
    """The photograph as the camera would have taken it, had it been turned about its lens."""
    camera = camera_from_params(calibration, view)
    axis = np.radians(degrees) * np.array([0.6, 0.8, 0.0])
    home = camera.K @ cv2.Rodrigues(axis)[0] @ np.linalg.inv(camera.K)
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    moved = cv2.warpPerspective(image, home, (camera.width, camera.height), borderMode=cv2.BORDER_REPLICATE)
    return bytes(cv2.imencode(".jpg", moved, [cv2.IMWRITE_JPEG_QUALITY, 97])[1].tobytes())
