"""Arming, a fire's first phase: a clock that is near its limit gets some more pings before the rig is given up."""

import time
from dataclasses import replace

from controller.firing.fire_timing import ArmReport, FireOrder, new_fire_id
from controller.node_links.control_channel import ControlLink

CLOCK_PAUSE_S = 0.75


def arm_patiently(link: ControlLink, order: FireOrder) -> tuple[FireOrder, ArmReport]:
    """Arm until nothing but a clock stands in the way no longer, at most clock_patience_s.

    Returns the order that was last armed, since each arming has a fire id of its own, and what came of it.
    """
    patience = time.monotonic() + order.limits.clock_patience_s
    while True:
        report = link.arm(order)
        if not report.worth_another_try or time.monotonic() > patience:
            return order, report
        link.disarm(order, "a clock needs some more pings")
        time.sleep(CLOCK_PAUSE_S)
        order = replace(order, fire_id=new_fire_id(order.take_id))
