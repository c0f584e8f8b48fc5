"""A phase of a fire, ARM or FIRE, as the control channel waits for it: who has answered what, and until when."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from camera_nodes import wire
from common.guarding.safe_text import plain
from controller.firing.fire_timing import (
    NS_PER_MS,
    ArmReport,
    FireOrder,
    StampReport,
    measure,
    near_limit,
    stamp_faults,
)

Send = Callable[[str, wire.Message], bool]  # to a camera's node; False when its connection is gone


@dataclass(frozen=True)
class CameraArming:
    """What came of a camera's last arming, for a fire, a lag shot or a preflight."""

    at_ns: int  # monotonic, when it was asked
    exposure: wire.Exposure  # the settings that were asked for
    armed: wire.Armed | None  # it took them, and they read back; None: it did not arm
    refused: str = ""  # why it did not
    taken: tuple[tuple[wire.Exposure, int], ...] = ()  # settings that it took, this time or before, and when it did


SETTINGS_KNOWN = 8  # of a camera: one for each profile that is in use


def after(before: CameraArming | None, now: CameraArming) -> CameraArming:
    """An arming with what is known of those before: settings that were refused now are no longer known to be taken."""
    kept = [(exposure, at) for exposure, at in (before.taken if before else ()) if exposure != now.exposure]
    taken = [*kept, (now.exposure, now.at_ns)] if now.armed is not None else kept
    return replace(now, taken=tuple(taken[-SETTINGS_KNOWN:]))


class FirePhase(ABC):
    """One phase under way. It is created by the thread that waits on `done`; all else runs in the control thread."""

    def __init__(self, order: FireOrder) -> None:
        self.order = order
        self.waiting = set(order.cameras)  # those that have not answered
        self.faults: dict[str, str] = {}  # camera -> why it takes no part
        self.began_ns = 0  # monotonic, as every time here
        self.deadline_ns = 0
        self.done: Future[None] = Future()

    @abstractmethod
    def answer(self, camera: str, message: wire.Message) -> None:
        """A camera's node has answered to this fire."""

    def fail(self, camera: str, reason: str) -> None:
        """A camera takes no part, and why."""
        self.faults[camera] = reason
        self.settle(camera)

    def settle(self, camera: str) -> None:
        """A camera is no longer waited for; the phase is done with the last one."""
        self.waiting.discard(camera)
        if not self.waiting and not self.done.done():
            self.done.set_result(None)

    def over(self) -> bool:
        """Whether nobody is waited for any more, or time is up."""
        return self.done.done() or time.monotonic_ns() >= self.deadline_ns


class ArmPhase(FirePhase):
    """Phase one: every camera is armed, or says why it is not."""

    def __init__(self, order: FireOrder) -> None:
        super().__init__(order)
        self.armed: dict[str, wire.Armed] = {}
        self.unsure: set[str] = set()  # cameras whose clock is at or near its limit

    def begin(self, allow_ram: bool) -> wire.Arm:
        """Time runs from now; what is said to every node."""
        order = self.order
        self.began_ns = time.monotonic_ns()
        self.deadline_ns = self.began_ns + round(order.limits.arm_timeout_ms * NS_PER_MS)
        return wire.Arm(
            fire_id=order.fire_id,
            take_id=order.take_id,
            exposure=order.exposure,
            max_clock_uncertainty_ns=round(order.limits.max_clock_uncertainty_ms * NS_PER_MS),
            allow_ram=allow_ram,
        )

    def answer(self, camera: str, message: wire.Message) -> None:
        if isinstance(message, wire.Armed):
            self.armed[camera] = message
            if near_limit(message.clock_uncertainty_ns, self.order.limits):
                self.unsure.add(camera)
            self.settle(camera)
        elif isinstance(message, wire.Arming):
            latest_ns = self.began_ns + round(self.order.limits.arm_patience_s * 1e9)
            self.deadline_ns = max(self.deadline_ns, min(time.monotonic_ns() + message.patience_ns, latest_ns))
        elif isinstance(message, wire.ArmRefused):
            if len(message.reasons) == 1 and near_limit(message.clock_uncertainty_ns, self.order.limits):
                self.unsure.add(camera)
            self.fail(camera, plain("; ".join(message.reasons)) or "refused without a reason")

    def report(self) -> ArmReport:
        """What came of it; cameras that are still waited for did not answer in time."""
        for camera in self.waiting:
            self.faults[camera] = f"no reply in {(self.deadline_ns - self.began_ns) / NS_PER_MS:.0f} ms"
        return ArmReport(self.armed, self.faults, frozenset(self.unsure))

    def armings(self) -> dict[str, CameraArming]:
        """The same by camera, once it is over."""
        order = self.order
        return {
            camera: CameraArming(self.began_ns, order.exposure, self.armed.get(camera), self.faults.get(camera, ""))
            for camera in order.cameras
        }


class StampPhase(FirePhase):
    """Phase two: the moment is named to every node, and each sends the stamps of what its camera did."""

    def __init__(self, order: FireOrder) -> None:
        super().__init__(order)
        self.stamps: dict[str, wire.Stamps] = {}
        self.at_ns = 0  # the moment of the fire

    def begin(self, lead_ns: int, send: Send) -> None:
        """Name a moment that lies `lead_ns` ahead."""
        order = self.order
        self.began_ns = time.monotonic_ns()
        self.at_ns = self.began_ns + lead_ns
        for camera, lag in order.lags_ns.items():
            message = wire.Fire(fire_id=order.fire_id, take_id=order.take_id, at_ns=self.at_ns, lag_ns=lag)
            if not send(camera, message):
                self.fail(camera, "its node went away between ARM and FIRE")
        wait_ms = order.limits.window_ms + order.limits.stamps_timeout_ms
        self.deadline_ns = self.at_ns + round(wait_ms * NS_PER_MS)

    def answer(self, camera: str, message: wire.Message) -> None:
        if isinstance(message, wire.Stamps):
            self.stamps[camera] = message
            self.settle(camera)

    def report(self) -> StampReport:
        """What came of it; cameras that did not answer are among the faults."""
        limits = self.order.limits
        faults = stamp_faults(self.order.cameras, self.stamps, limits.stamps_timeout_ms) | self.faults
        return StampReport(self.at_ns, self.stamps, faults, measure(self.stamps.values()))
