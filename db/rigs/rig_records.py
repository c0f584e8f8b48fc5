"""Rigs, their cameras, and the calibrations that say where these stand."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from db.engine import utc_now
from db.errors import AlreadyThere, NotFound
from db.models import Calibration, Camera, CameraTier, Rig


@dataclass(frozen=True)
class CameraPlace:
    """A camera of a rig file."""

    view_index: int  # the view that it gives, from 0
    name: str  # as operators say it: cam-07
    url: str  # which backend it has, and where it is
    tier: CameraTier
    serial: str | None = None  # of the body that belongs there; None where the rig file says none


def ensure_rig(tx: Session, name: str, cameras: Sequence[CameraPlace]) -> Rig:
    """The rig of this name with these cameras; added when absent, serials, URLs and tiers brought up to date.

    Raises AlreadyThere when the rig exists with other views or camera names: photographs refer to them.
    """
    rig = tx.scalar(select(Rig).where(Rig.name == name))
    if rig is None:
        rig = Rig(name=name, cameras=[Camera(**asdict(place)) for place in cameras])
        tx.add(rig)
        tx.flush()
        return rig
    known = {camera.view_index: camera for camera in rig.cameras}
    if {(place.view_index, place.name) for place in cameras} != {(view, camera.name) for view, camera in known.items()}:
        raise AlreadyThere(
            f"Rig {name} exists with {len(known)} cameras of other views or names; give the changed rig another name"
        )
    for place in cameras:
        camera = known[place.view_index]
        camera.serial, camera.url, camera.tier = place.serial, place.url, place.tier
    tx.flush()
    return rig


def get_rig(tx: Session, name: str) -> Rig:
    """A rig with its cameras in order of view. Raises NotFound."""
    rig = tx.scalar(select(Rig).where(Rig.name == name).options(joinedload(Rig.cameras)))
    if rig is None:
        raise _no_rig(name)
    return rig


def _no_rig(name: str) -> NotFound:
    return NotFound(f"No rig {name} in the database; it is entered when the studio is first served with its rig file")


def rig_row(tx: Session, name: str) -> Rig:
    """A rig without its cameras, which are read when somebody asks for them. Raises NotFound."""
    rig = tx.scalar(select(Rig).where(Rig.name == name))
    if rig is None:
        raise _no_rig(name)
    return rig


def add_calibration(tx: Session, rig: Rig, method: str, data: Mapping[str, Any]) -> Calibration:
    """The next version of the rig's calibration; the newest one when it is the same already.

    data: FaceScape's params.json keys for every view, millimetres.
    """
    newest = newest_calibration(tx, rig)
    if newest is not None and newest.method == method and newest.data == data:
        return newest
    version = 1 if newest is None else newest.version + 1
    calibration = Calibration(rig_id=rig.id, version=version, method=method, data=dict(data), made_at=utc_now())
    tx.add(calibration)
    tx.flush()
    return calibration


def newest_calibration(tx: Session, rig: Rig) -> Calibration | None:
    """The rig's newest calibration."""
    query = select(Calibration).where(Calibration.rig_id == rig.id).order_by(Calibration.version.desc()).limit(1)
    return tx.scalar(query)


def newest_calibration_time(tx: Session, rig: Rig) -> tuple[int | None, datetime | None]:
    """Version and time of the rig's newest calibration, without its data; nothing when there is none."""
    query = select(Calibration.version, Calibration.made_at).where(Calibration.rig_id == rig.id)
    found = tx.execute(query.order_by(Calibration.version.desc()).limit(1)).first()
    return (None, None) if found is None else (found.version, found.made_at)


def get_calibration(tx: Session, rig: Rig, version: int) -> Calibration:
    """A version of the rig's calibration. Raises NotFound, naming the versions that there are."""
    query = select(Calibration).where(Calibration.rig_id == rig.id)
    found = tx.scalar(query.where(Calibration.version == version))
    if found is None:
        versions = tx.scalars(select(Calibration.version).where(Calibration.rig_id == rig.id).order_by(Calibration.id))
        known = ", ".join(map(str, versions)) or "none"
        raise NotFound(f"Rig {rig.name} has no calibration {version}; it has {known}")
    return found
