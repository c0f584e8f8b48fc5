"""The studio's lights over sACN (ANSI E1.31): one scene at a time, sent to each universe's multicast group.

A scene goes out at once, three times, then every 0.9 s: a fixture takes a source for lost after 2.5 s of silence
(E1.31-2018, sections 6.6.1 and 6.7.1). At the end the lights go dark and the stream says that it ends.

A scene can be held: it is what the lights go back to after a take, in place of the scene between takes.

Fixtures do not answer. What can be known is that the packets left this machine; `trouble` says when they do not.
"""

import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from sacn.messages.data_packet import DataPacket

from controller.errors import LightsFailed
from controller.lighting.light_scenes import LightsEntry, Scene

log = logging.getLogger(__name__)

PORT = 5568
KEEP_ALIVE_S = 0.9
REPEATS = 3
REPEAT_S = 0.022  # 44 packets a second is the most that a DMX line carries
TTL = 8
PATIENCE_S = 2.0
DARK = Scene("dark", {})
CID_SPACE = uuid.UUID("6b0b2bd5-2f4c-5c0e-9c0a-6d69656e0000")


@dataclass(frozen=True)
class LightingRecord:
    """A scene that has left for every universe."""

    scene: Scene  # that was sent
    at: datetime  # UTC, for the records
    at_ns: int  # the same moment by the monotonic clock

    def record(self) -> dict[str, Any]:
        """As it is kept with a take."""
        return {"scene": self.scene.name, "universes": self.scene.record(), "sent_at": self.at.isoformat()}


class SacnSender:
    """A context manager: enters with a thread that sends, leaves with the lights dark. Methods are thread-safe.

    scenes: every scene of the rig file; their universes are the ones that are sent. source: the name that lighting
    desks show; the same source has the same CID for ever.
    """

    def __init__(
        self, entry: LightsEntry, scenes: Mapping[str, Scene], source: str, changed: Callable[[], None] = lambda: None
    ) -> None:
        """changed: told when another scene is wanted, and when there is another trouble; it returns at once."""
        self._tell = changed
        self._entry = entry
        self._between = scenes[entry.between] if entry.between else DARK
        cid = tuple(uuid.uuid5(CID_SPACE, source).bytes)
        name = source.encode()[:63].decode(errors="ignore")
        universes = sorted({universe for scene in scenes.values() for universe in scene.ranges})
        self._packets = {
            universe: DataPacket(cid=cid, sourceName=name, universe=universe, priority=entry.priority)
            for universe in universes
        }
        self._changed = threading.Condition()
        self._held: Scene | None = None
        self._resting = True  # no take, preflight or measurement has the lights
        self._wanted = self._between
        self._order = 0  # counts show(); `_sent` is the order that went out last
        self._sent = -1
        self._lit: LightingRecord | None = None
        self._trouble = ""
        self._running = False
        self._socket: socket.socket | None = None  # None: the lights' network is not there
        self._thread = threading.Thread(target=self._run, name="mien-lights", daemon=True)

    def __enter__(self) -> Self:
        # A studio whose lights' network is down still shows its cameras; it is looked for again and again, and a fire
        # that needs lights is refused meanwhile.
        self._trouble = self._open()
        if self._trouble:
            log.error("lights: %s", self._trouble)
        self._running = True
        try:
            self._thread.start()
        except BaseException:
            self._running = False
            self._close()
            raise
        return self

    def _open(self) -> str:
        """Have a socket on the lights' network; why there is none, or nothing."""
        if self._socket is not None:
            return ""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, TTL)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            if self._entry.interface:
                address = socket.inet_aton(self._entry.interface)
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, address)
        except OSError as error:
            made.close()
            return f"{self._entry.interface} is no address of this machine: {error.strerror}"
        self._socket = made
        return ""

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._running:
            return
        with self._changed:
            self._running = False
            self._changed.notify_all()
        self._thread.join(PATIENCE_S)
        self._close()

    @property
    def universes(self) -> tuple[int, ...]:
        return tuple(self._packets)

    @property
    def scene(self) -> str:
        """The name of the scene that is being sent."""
        with self._changed:
            return self._wanted.name

    @property
    def held(self) -> Scene | None:
        """The scene that somebody switched on by hand and holds."""
        with self._changed:
            return self._held

    @property
    def trouble(self) -> str:
        """Why packets do not leave; empty when they do."""
        with self._changed:
            return self._trouble

    def show(self, scene: Scene) -> LightingRecord:
        """Light the scene and return once its first packets have left. Raises LightsFailed."""
        with self._changed:
            self._resting = False
            return self._light(scene)

    def show_held(self) -> LightingRecord | None:
        """Light the held scene once more, for a take whose profile has none; None when nothing is held.

        Raises LightsFailed.
        """
        with self._changed:
            if self._held is None:
                return None
            self._resting = False
            return self._light(self._held)

    def hold(self, scene: Scene | None) -> None:
        """Hold this scene from now on, or none; during a take it is lit when the take gives the lights back.

        Raises LightsFailed when it cannot be sent; it is held all the same.
        """
        with self._changed:
            self._held = scene
            self._tell()
            if self._resting:
                self._light(scene or self._between)

    def _light(self, scene: Scene) -> LightingRecord:
        """With the lock held: send a scene and wait until its first packets have left. Raises LightsFailed."""
        self._wanted = scene
        self._order += 1
        order = self._order
        self._changed.notify_all()
        self._tell()
        end = time.monotonic() + PATIENCE_S
        while self._sent < order and self._running and (left := end - time.monotonic()) > 0:
            self._changed.wait(left)
        lit = self._lit
        if self._trouble or self._sent < order or lit is None:
            reason = self._trouble or "its thread does not run"
            raise LightsFailed(
                f"The lights cannot be lit ({scene.name}): {reason}. Look at the lights' network and at "
                "'interface' in [lights] of the rig file"
            )
        return lit

    def settle(self, lit: LightingRecord) -> None:
        """Wait until the scene has been up for settle_ms."""
        left_s = self._entry.settle_ms / 1e3 - (time.monotonic_ns() - lit.at_ns) / 1e9
        if left_s > 0:
            time.sleep(left_s)

    def rest(self) -> None:
        """The held scene, or the scene between takes: dark, unless the rig file names one. Never raises."""
        with self._changed:
            self._resting = True
            wanted = self._held or self._between
            if self._wanted is not wanted:
                self._wanted = wanted
                self._order += 1
                self._changed.notify_all()
                self._tell()

    # --- the sending thread ---

    def _run(self) -> None:
        order, repeats = -1, 0
        while True:
            with self._changed:
                if self._running and order == self._order:
                    self._changed.wait(REPEAT_S if repeats > 0 else KEEP_ALIVE_S)
                running, wanted = self._running, self._wanted
                if order != self._order:
                    order, repeats = self._order, REPEATS
            if not running:
                self._send(DARK)
                for _ in range(REPEATS):
                    self._send(DARK, ends=True)
                return
            trouble = self._send(wanted)
            repeats -= 1
            with self._changed:
                if trouble != self._trouble:
                    log.log(logging.ERROR if trouble else logging.INFO, "lights: %s", trouble or "packets leave again")
                    self._tell()
                self._trouble = trouble
                if order > self._sent:
                    self._sent = order
                    self._lit = LightingRecord(wanted, datetime.now(UTC), time.monotonic_ns())
                    self._changed.notify_all()

    def _send(self, scene: Scene, ends: bool = False) -> str:
        """A packet to each universe; why one did not leave, or nothing."""
        trouble = self._open()
        if self._socket is None:
            return trouble
        for universe, packet in self._packets.items():
            packet.dmxData = scene.levels(universe)
            packet.option_StreamTerminated = ends
            try:
                self._socket.sendto(bytes(packet.getBytes()), (packet.calculate_multicast_addr(), PORT))
            except OSError as error:
                trouble = f"universe {universe} cannot be sent: {error.strerror or error}"
            packet.sequence_increase()
        return trouble


def setup_record(profile: str, exposure: Mapping[str, str | None], lit: LightingRecord | None) -> dict[str, Any]:
    """What is kept with a take of what was sent for it: settings profile, camera settings, lights."""
    sent = {name: value for name, value in exposure.items() if value}
    return {"profile": profile, "exposure": sent, "lights": None if lit is None else lit.record()}
