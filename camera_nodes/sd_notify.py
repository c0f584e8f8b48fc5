"""Telling systemd that the service is up and alive (sd_notify(3)): a datagram to the socket in NOTIFY_SOCKET.

Without systemd every call does nothing.
"""

import logging
import math
import os
import socket
import time

log = logging.getLogger(__name__)


class Service:
    """READY once, WATCHDOG at a third of the unit's WatchdogSec, STOPPING at the end. Calls never block or raise."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")  # ours alone: child processes must not speak for the service
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._every_s = self._watchdog_s() if address else math.inf
        self._next = 0.0

    def _watchdog_s(self) -> float:
        """WATCHDOG_USEC / 3, where it is meant for this process."""
        pid = os.environ.get("WATCHDOG_PID", "")
        try:
            if pid and int(pid) != os.getpid():
                return math.inf
            return int(os.environ["WATCHDOG_USEC"]) / 3e6
        except (KeyError, ValueError):
            return math.inf

    def ready(self, status: str = "") -> None:
        """The service is up. `status` is shown by `systemctl status`."""
        self._say("READY=1" + (f"\nSTATUS={status}" if status else ""))
        self.alive()

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def alive(self) -> None:
        """Called by the loop whose standstill would be the failure; as often as one likes."""
        now = time.monotonic()
        if now >= self._next and self._every_s < math.inf:
            self._next = now + self._every_s
            self._say("WATCHDOG=1")

    def wait_s(self) -> float:
        """Until alive() is due again, seconds; infinite without a watchdog."""
        return self._next - time.monotonic() if self._every_s < math.inf else math.inf

    def _say(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
                end.setblocking(False)
                end.sendto(text.encode(), self._address)
        except OSError as error:
            log.debug("systemd does not hear: %s", error)
