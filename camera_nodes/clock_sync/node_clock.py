"""A node's view of the controller's clock: when it asks (pings), what it makes of the answers, and what is wrong.

The estimate comes from the pings, or, where the rig file trusts a daemon with the machines' system time, from that
while the pings do not contradict it (system_time.py).
"""

import random
import time
from collections import OrderedDict
from collections.abc import Callable

from camera_nodes import wire
from camera_nodes.clock_sync.clock import UNPROVEN_NS, Clock, ClockEstimator, Estimate
from camera_nodes.clock_sync.system_time import STALE_S, ClockDaemonMonitor, SystemTimeSample, choose_offset
from camera_nodes.errors import ClockUnknown

_FAST_HZ, _FAST_PINGS = 10.0, 25  # a new clock is known within three seconds
_PING_HZ = 4.0
_UNSURE_NS = UNPROVEN_NS  # above this a node pings fast: more pings, a better envelope
_UNANSWERED = 32  # pings that are remembered


class NodeClock:
    """The mapping between this node's clock and the controller's.  near_fire: then no daemon is asked anything."""

    def __init__(self, clock: Clock, near_fire: Callable[[], bool]) -> None:
        self.source: wire.ClockSource = "pings"  # of the last estimate
        self.problem = ""  # why it is not from where the studio asks for; empty: it is
        self.next_ping = 0.0  # when the next is due, monotonic s
        self._clock = clock
        self._near_fire = near_fire
        self._estimator = ClockEstimator()
        self._clock_id = ""  # the controller's clock
        self._pings: OrderedDict[int, int] = OrderedDict()  # seq -> t1
        self._seq = 0
        self._unsure = True
        self._told_problem = ""
        self._system_time: ClockDaemonMonitor | None = None
        self._mark: SystemTimeSample | None = None  # what the controller's system time was, and when
        self._marked_at = 0.0

    @property
    def settling(self) -> bool:
        """Too few pings are back for the clock to be known well."""
        return len(self._estimator) < _FAST_PINGS

    def follow(self, clock_id: str) -> None:
        """Which clock of the controller's it is: a new one makes everything known of the old one worthless."""
        if clock_id != self._clock_id:
            self._clock_id = clock_id
            self._estimator.clear()

    def connected(self, now: float) -> None:
        """A connection is new: what was asked over the old one is never answered."""
        self._pings.clear()
        self.next_ping = now + random.random() / _FAST_HZ  # 68 nodes need not ping as one

    def left_window(self, now: float) -> None:
        """The window is over, for all nodes at the same moment."""
        self.next_ping = now + random.random() / _PING_HZ

    def ping(self, now: float, send: Callable[[wire.Ping], bool]) -> None:
        """Ask what time it is there."""
        hz = _FAST_HZ if self._unsure or self.settling else _PING_HZ
        self.next_ping = now + (0.75 + 0.5 * random.random()) / hz  # or the nodes' pings would stay in step
        self._seq += 1
        t1_ns = self._clock.now_ns()
        if send(wire.Ping(seq=self._seq, t1_ns=t1_ns)):
            self._pings[self._seq] = t1_ns
            while len(self._pings) > _UNANSWERED:
                self._pings.popitem(last=False)

    def pong(self, message: wire.Pong) -> None:
        """Take in the answer, just received."""
        t4_ns = self._clock.now_ns()
        if self._pings.pop(message.seq, None) != message.t1_ns:  # answers no question, or once more
            return
        self._estimator.add(message.t1_ns, message.t2_ns, message.t3_ns, t4_ns)
        if message.real_source is None or message.real_ns is None or message.real_error_ns is None:
            return
        self._mark = SystemTimeSample(message.t3_ns, message.real_ns, message.real_error_ns, message.real_source)
        if self._system_time is None:
            self._system_time = ClockDaemonMonitor(message.real_source, self._near_fire)
        self._marked_at = time.monotonic()

    def estimate(self, at_ns: int | None = None) -> Estimate | None:
        """The clocks at a moment of the node's, or now; None before the first ping came back."""
        try:
            pings = self._estimator.estimate(self._clock.now_ns() if at_ns is None else at_ns)
        except ClockUnknown:
            return None
        if self._system_time is None:
            return pings
        reading = choose_offset(pings, self._clock, self._mark, self._system_time)
        self.source, self.problem = reading.source, reading.problem
        return reading.estimate

    def judge(self) -> Estimate | None:
        """The clocks now, and how often to ask from now on."""
        if self._mark is not None and time.monotonic() - self._marked_at > STALE_S:
            self._mark = None  # the studio's system time is not synchronised any more, or it no longer wants it
        found = self.estimate()
        self._unsure = found is None or found.uncertainty_ns > _UNSURE_NS
        return found

    def utc_ns(self, estimate: Estimate) -> int:
        """This machine's UTC minus the controller's clock."""
        return time.time_ns() - estimate.to_controller(self._clock.now_ns())

    def news(self) -> str | None:
        """The problem when it has become another one, "" when it has gone; None while there is nothing new."""
        kind = self.problem.partition(" by ")[0]  # figures change all the time, the trouble does not
        if kind == self._told_problem:
            return None
        self._told_problem = kind
        return self.problem

    def stop(self) -> None:
        """End the thread that asks this machine's daemon."""
        if self._system_time is not None:
            self._system_time.stop()
