"""What the parts that work with a camera need of the agent that serves the sockets and the clock."""

from typing import Protocol

from camera_nodes import wire
from camera_nodes.clock_sync.clock import Estimate


class AgentServices(Protocol):
    """The agent (agent.Agent), as its parts see it.  Called in the agent's loop alone."""

    @property
    def clock_source(self) -> wire.ClockSource:
        """What the estimate comes from."""
        ...

    @property
    def clock_problem(self) -> str:
        """The clock is good, but not from where the studio wants it; empty: it is."""
        ...

    def send(self, message: wire.Message) -> bool:
        """Send on the control socket now, or not at all."""
        ...

    def send_surely(self, message: wire.Message) -> None:
        """Send on the control socket now, or after the next Welcome."""
        ...

    def estimate(self, at_ns: int | None = None) -> Estimate | None:
        """The clocks at a moment of the node's, or now; None before the first ping came back."""
        ...

    def state_changed(self, *, camera_changed: bool) -> None:
        """The state to report is new; a camera that came or went is announced by a new Hello."""
        ...
