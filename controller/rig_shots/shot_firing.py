"""One rig shot is fired: like a take through ARM and FIRE, in the same light and quiet, but for no subject.

Cameras that cannot be armed do not hold up the others: they are waited for as long as a body needs to write its last
photograph, once, and then the shot is fired without them and says so.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from controller.errors import RigNotReady
from controller.firing.fire_timing import FireOrder, StampReport, new_fire_id, order_fire
from controller.lighting.sacn_sender import SacnSender
from controller.node_links.control_channel import ControlLink
from controller.rig_file import Rig
from controller.shutter_lag.lag_measurement import ShutterLagStore

BETWEEN_S, FREE_S = 0.3, 20.0


@dataclass(frozen=True)
class ShotOutcome:
    """What became of a shot."""

    fired: tuple[str, ...]  # cameras whose shutters opened
    lacking: Mapping[str, str]  # camera -> why its did not


class ShotFiring:
    """Fires the rig for shots; the caller holds the studio's FiringLock."""

    def __init__(
        self,
        rig: Rig,
        link: ControlLink,
        lights: SacnSender,
        lag_store: ShutterLagStore,
        quiet: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._rig = rig
        self._link = link
        self._lights = lights
        self._lag_store = lag_store
        self._quiet = quiet
        self._known: dict[str, str] = {}  # camera -> why it could not be armed for the shot before

    def fire(self, name: str, cameras: Collection[str], profile: str) -> ShotOutcome:
        """Fire these cameras once under the settings and the light scene of a profile. name: as nodes are told.

        Raises RigNotReady when none of them could be armed, LightsFailed.
        """
        try:
            scene = self._rig.scene_of(profile)
            lit = self._lights.show(scene) if scene is not None else self._lights.show_held()
            if lit is not None:
                self._lights.settle(lit)
            return self._fire(name, set(cameras), profile)
        finally:
            self._lights.rest()

    def _fire(self, name: str, cameras: set[str], profile: str) -> ShotOutcome:
        lacking: dict[str, str] = {}
        end = time.monotonic() + FREE_S
        while True:
            order = self._order(name, cameras - lacking.keys(), profile)
            found, report = self._try(order)
            if report is not None:
                self._known = lacking
                fired = tuple(camera for camera in order.cameras if camera not in report.faults)
                if not fired:
                    raise RigNotReady(_nobody(lacking | dict(report.faults)))
                return ShotOutcome(fired, lacking | dict(report.faults))
            if time.monotonic() > end or all(self._known.get(camera) == why for camera, why in found.items()):
                lacking |= found
                if cameras <= lacking.keys():
                    self._known = {}
                    raise RigNotReady(_nobody(lacking))
            time.sleep(BETWEEN_S)

    def _try(self, order: FireOrder) -> tuple[Mapping[str, str], StampReport | None]:
        """Why cameras could not be armed; or, when all could, what the fire did."""
        with self._quiet():
            armed = self._link.arm(order)
            if not armed.faults:
                return {}, self._link.release(order)
            self._link.disarm(order, "not every camera could be armed")
            return armed.faults, None

    def _order(self, name: str, cameras: Collection[str], profile: str) -> FireOrder:
        others = [camera.name for camera in self._rig.cameras if camera.name not in cameras]
        reported = {camera: state.hello.lag_ns for camera, state in self._link.nodes().items()}
        order = self._lag_store.applied(order_fire(name, self._rig.without(others), reported, profile), profile)
        return replace(order, fire_id=new_fire_id(name))


def _nobody(lacking: Mapping[str, str]) -> str:
    width = max(map(len, lacking))
    lines = [f"  {camera:<{width}}  {why}" for camera, why in lacking.items()]
    return "\n".join(["Nothing was photographed: no camera could be fired.", *lines])
