"""Photographs to read the board in: a folder's, or a take's out of the store; and keeping its skew with it."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from common.take_codes import TakeCode
from controller.errors import ConfigurationError
from controller.optical_skew.led_board import LedBoard
from controller.optical_skew.skew_measurement import BoardPhotograph, OpticalSkew
from controller.rig_file import Rig, read_rig
from controller.studio_settings import load_settings
from db import captures
from db.engine import transaction
from db.rigs.sync_measures import record_optical_skew
from db.settings import Settings
from db.store import Store

ENDINGS = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}


def rig_of_home(home: Path | None, rig_file: Path | None) -> Rig | None:
    """The rig file that is named, else the home's; None where there is none. Raises ConfigurationError."""
    if rig_file is not None:
        return read_rig(rig_file)
    settings = Settings.load(home)
    named = settings.sections.get("studio", {}).get("rig")
    if named is None and not (settings.home / "rig.toml").exists():
        return None
    return load_settings(home).rig


def views_of_folder(folder: Path, rig: Rig | None) -> tuple[list[BoardPhotograph], list[str]]:
    """(views, cameras without a photograph). Files are named by view (7.jpg) or by camera (cam-07.jpg).

    Without a rig every photograph in the folder counts. Raises ConfigurationError when there is none.
    """
    files = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS}
    if rig is None:
        views = [BoardPhotograph(name, "", path) for name, path in files.items()]
        missing: list[str] = []
    else:
        found = {camera.name: files.get(camera.name) or files.get(str(camera.view)) for camera in rig.cameras}
        views = [
            BoardPhotograph(camera.name, camera.tier, path, camera.readout_ms)
            for camera in rig.cameras
            if (path := found[camera.name]) is not None
        ]
        missing = [camera for camera, path in found.items() if path is None]
    if not views:
        wanted = "7.jpg or cam-07.jpg" if rig is not None else "any .jpg"
        raise ConfigurationError(f"{folder}: no photograph of the rig ({wanted})")
    return views, missing


def views_of_take(
    photographs: Mapping[str, str], store: Store, rig: Rig, absent: Collection[str] = ()
) -> tuple[list[BoardPhotograph], list[str]]:
    """The same of a take in the records. photographs: hash by camera. absent: cameras without which it is whole.

    Raises MissingObject, RottenObject.
    """
    views = [
        BoardPhotograph(camera.name, camera.tier, store.local_path(photographs[camera.name]), camera.readout_ms)
        for camera in rig.cameras
        if camera.name in photographs
    ]
    missing = [camera.name for camera in rig.cameras if camera.name not in photographs]
    return views, [camera for camera in missing if camera not in absent]


def keep_with_take(
    engine: Engine, take: str, found: OpticalSkew, limit_ms: float, board: LedBoard, replace: bool
) -> str:
    """Store the skew with the take and return what to tell the operator. It is kept only when every camera was read:
    the skew of a part of the rig would flatter the whole. Raises NotFound, StateConflict.
    """
    if found.skew_ms is None or not found.complete:
        return f"Not kept with take {take}: the board was read by {len(found.read)} of {found.cameras} cameras."
    flag = f"exposure skew {found.skew_ms:.2f} ms is over {limit_ms:g} ms" if found.skew_ms > limit_ms else None
    with transaction(engine) as tx:
        record_optical_skew(
            tx, captures.get_take(tx, take), found.skew_ms, _detail(found, board), flag=flag, replace=replace
        )
    again = f" It is flagged: mien session retake {TakeCode.parse(take).expression}" if flag else ""
    return f"Kept with take {take} as its exposure skew (optical).{again}"


def _detail(found: OpticalSkew, board: LedBoard) -> dict[str, Any]:
    return {
        "board": asdict(board),
        "skew_ms": round(found.skew_ms or 0.0, 4),
        "sigma_ms": round(found.sigma_ms or 0.0, 4),
        "moments_ms": {each.camera: round(each.moment_ms or 0.0, 4) for each in found.read},
    }
