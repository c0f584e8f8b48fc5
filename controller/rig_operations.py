"""Operations on the rig between takes: look, set cameras aside, recover, preview, measure, check."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from camera_nodes.wire import Drive, Rung
from common.configuration.suggestions import nearest
from controller.cameras.body_recovery import RecoveryProgress
from controller.cameras.camera_maintenance import CameraHistory
from controller.cameras.live_view import LiveViewFrame
from controller.errors import ConfigurationError
from controller.node_links.camera_status import CameraReport, report_cameras, wait_until_ready
from controller.node_links.node_registry import Announced
from controller.preflight.fire_requirements import require_rig
from controller.preflight.preflight import Preflight, StudioCondition, run_preflight
from controller.rig.cameras_aside import aside_text
from controller.rig.roster import Roster
from controller.rig_file import DEFAULT_PROFILE
from controller.rig_jobs import RigJob
from controller.shutter_lag.lag_measurement import LagReport, measure_lags
from controller.shutter_lag.lag_statistics import ShutterLagEstimate
from controller.studio_parts import StudioParts
from db.rigs.cameras_aside import CameraAsideRecord
from db.rigs.sync_measures import LagRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RigStatus:
    """The rig as the operator watches it."""

    cameras: tuple[CameraReport, ...]  # those of the rig file in view order, then the unknown ones
    history: Mapping[str, CameraHistory]  # camera -> what it has shown lately
    late: tuple[str, ...]  # what is told of photographs that came after their take was settled
    refused_messages: int  # that came over the control channel and were none
    ingest_trouble: str  # why photographs cannot be filed; "" when all is well
    lights_trouble: str  # why packets to the lights do not leave; "" when they do
    scene: str | None  # the light scene that is sent; None when the rig file has none
    held_scene: str | None = None  # the light scene that was switched on by hand and is gone back to after each take


class RigOperations(StudioParts):
    """A studio's operations on its rig. Methods may be called from any thread."""

    last_preflight: Preflight | None = None

    @property
    def control_endpoint(self) -> str:
        return self.link.endpoint

    @property
    def bulk_endpoint(self) -> str:
        return self.ingest.endpoint

    def enrol(self, node: str, public_key: str) -> None:
        """Let a node in by its public key (Z85). Raises KeyRefused."""
        self.allowed.add(node, public_key)

    # --- who is there ---

    def roster(self) -> Roster:
        """Who should be here, and is; the cameras that are aside are not expected."""
        return self.link.roster().without(self.asides.current())

    def cameras(self) -> list[CameraReport]:
        """Every camera of the rig in view order, those aside too, then the unknown ones."""
        aside = self._aside_texts()
        return report_cameras(self.rig, self.link.roster().without(aside), self.link.nodes(), aside)

    def status(self) -> RigStatus:
        """The cameras and all that is to be said of the rig as a whole."""
        cameras = tuple(self.cameras())
        return RigStatus(
            cameras=cameras,
            history={report.camera: self.maintenance.history(report.camera) for report in cameras},
            late=tuple(self.late.messages),
            refused_messages=self.link.refused_messages,
            ingest_trouble=self.ingest.trouble,
            lights_trouble=self.lights.trouble,
            scene=self.lights.scene if self.lights.universes else None,
            held_scene=held.name if (held := self.lights.held) is not None else None,
        )

    def announced(self) -> list[Announced]:
        """Every camera that a node announces, in the rig file or not, by name."""
        return self.link.announced()

    def wait_for_cameras(self, timeout_s: float) -> Roster:
        """Until every expected camera is here with a clock good enough to arm; those aside are not waited for.

        Raises RigNotReady, naming each camera that is not.
        """
        wait_until_ready(self.cameras, self.link.changed, timeout_s)
        return self.roster()

    # --- cameras that are aside ---

    def cameras_aside(self) -> dict[str, CameraAsideRecord]:
        """By camera in order of view, who is aside now."""
        return self.asides.current()

    def set_aside(self, cameras: Collection[str], reason: str, until: str) -> None:
        """Set cameras aside; until: "back", "session", "today", or a duration as in "2h".

        Raises AsideRefused, NotFound.
        """
        self.asides.put(cameras, reason, until)

    def bring_back(self, cameras: Collection[str]) -> None:
        """Bring cameras back. Raises NotFound for one that is not aside."""
        self.asides.back(cameras)

    # --- one camera ---

    def recover(self, camera: str, rungs: Sequence[Rung]) -> RecoveryProgress:
        """Begin to recover a camera's body by these rungs. Raises SessionError or RigNotReady."""
        return self.maintenance.recoveries.progress(self.maintenance.recover(camera, rungs))

    def recovery_progress(self, recovery: str, after: int = 0, wait_s: float = 0.0) -> RecoveryProgress:
        """How a recovery stands; waits for a step beyond the first `after` ones, or its end. Raises SessionError."""
        return self.maintenance.recoveries.progress(recovery, after, wait_s)

    def write_off(self, camera: str, reason: str) -> str:
        """Give up the file of the camera's unresolved exposure; the take of it. Raises SessionError or RigNotReady."""
        return self.maintenance.write_off(camera, reason)

    def identify(self, camera: str) -> str:
        """Have a camera give signs by which a person finds it; what is to be heard or seen.

        Raises SessionError for an unknown camera, RigNotReady saying why there is none.
        """
        return self.maintenance.actions.identify(camera)

    def focus(self, camera: str, drive: Drive = "auto", step: int = 1) -> str:
        """Move a camera's lens once, and write it into the audit log; what was done. Raises as identify()."""
        return self.maintenance.focus(camera, drive, step)

    def ask_live_view(self, cameras: Sequence[str], every_ms: int) -> list[LiveViewFrame]:
        """Have live view go on for some seconds, of all cameras by default, and what is seen. Raises SessionError."""
        return self.maintenance.viewer.ask(cameras, every_ms)

    def live_view(self) -> list[LiveViewFrame]:
        """What is to be seen now, without asking the nodes for more."""
        return self.maintenance.viewer.look()

    def end_live_view(self, cameras: Sequence[str]) -> None:
        """End live view at once. Raises SessionError for an unknown camera."""
        self.maintenance.viewer.end(cameras)

    def live_view_jpeg(self, camera: str) -> bytes | None:
        """The camera's newest live view frame, if it is not old. Raises SessionError for an unknown camera."""
        return self.maintenance.viewer.jpeg(camera)

    # --- the rig as a whole ---

    def preflight(self, profile: str = DEFAULT_PROFILE) -> Preflight:
        """Whether a session can begin: every camera is armed and let go again, the lights are lit for a moment."""
        with self.firing.hold("the preflight is running"):
            self.maintenance.require_quiet()
            with self.jobs.run("preflight", f"preflight, profile {profile}", 1):
                found = run_preflight(self.rig, profile, self.link, self.lights, self._condition())
                found = replace(found, checks=(*found.checks, *self.maintenance.checks()))
            self.last_preflight = found
            self.bell.ring("preflight")
            return found

    def hold_scene(self, name: str | None) -> None:
        """Switch a light scene on and hold it, takes aside; None: off. Raises ConfigurationError or LightsFailed."""
        if name is not None and name not in self.rig.scenes:
            known = ", ".join(sorted(self.rig.scenes)) or "none: write one in the rig file"
            near = nearest(name, self.rig.scenes)
            meant = f"; did you mean {near!r}?" if near is not None else ""
            raise ConfigurationError(f"rig {self.rig.name} has no light scene {name!r}{meant} Its scenes: {known}")
        self.lights.hold(self.rig.scenes[name] if name is not None else None)

    def measure_lags(self, shots: int, profile: str = DEFAULT_PROFILE) -> LagReport:
        """Fire shots that belong to no take, and keep each camera's lag under a profile. Raises like fire()."""
        with self.firing.hold("the shutter lags are being measured"):
            try:
                scene = self.rig.scene_of(profile)
                rig = self.rig.without(self._require_rig())
                if scene is not None:
                    self.lights.settle(self.lights.show(scene))
                with self.jobs.run("lag", f"shutter lag, profile {profile}", shots):
                    found = measure_lags(
                        rig, self.link, self.lags, self.lag_store, profile, shots, self.quiet, self._lag_shot
                    )
                    self.jobs.tell("lag", found.outlook.text() if found.outlook is not None else "")
                return found
            finally:
                self.lights.rest()

    def _lag_shot(self, number: int) -> None:
        log.info("lag shot %d", number)
        self.jobs.step("lag", number)

    def jobs_now(self) -> Mapping[str, RigJob]:
        """What takes a while and is under way or was done lately, by name; see RigJobs."""
        return self.jobs.all(self.maintenance.recoveries.newest())

    def kept_lags(self, profile: str) -> Mapping[str, LagRecord]:
        """By camera, the kept lags that a fire with this profile goes by: its own, else the default profile's."""
        return self.lag_store.used(profile)

    def observed_lags(self, profile: str) -> list[ShutterLagEstimate]:
        """What takes with this profile have shown since the studio was started."""
        return self.lags.table(profile)

    # ---

    def _aside_texts(self) -> dict[str, str]:
        return {name: aside_text(aside) for name, aside in self.asides.current().items()}

    def _condition(self) -> StudioCondition:
        aside = self._aside_texts()
        return StudioCondition(
            aside=aside,
            broken=self.asides.broken(aside),
            filing_trouble=self.ingest.trouble,
            calibration=self.records.newest_calibration(),
            disks=[self.settings.records.home, *([self.store.folder] if self.store.folder else [])],
        )

    def _require_rig(self) -> dict[str, str]:
        """Who is aside, and why. Raises RigNotReady when another camera is not there, or when too many are aside."""
        self.maintenance.require_quiet()
        aside = self.asides.reasons()
        require_rig(self.link.roster().without(aside), aside, self.asides.broken(aside))
        return aside
