"""Causes of faults, worst first, and what each stands in the way of."""

from collections.abc import Mapping
from typing import Final

from controller.readiness.fault import Weight

CAUSES: Final[Mapping[str, Weight]] = {
    "consent": Weight.FIRE,  # withdrawn, or none that counts today
    "stopped": Weight.FIRE,  # a part of the studio ended: nobody is heard, whoever is there
    "filing": Weight.FIRE,  # photographs cannot be filed
    "computer_off": Weight.FIRE,  # no camera of a computer is heard
    "hub_gone": Weight.FIRE,  # no body of a USB hub answers
    "node_gone": Weight.FIRE,  # some cameras' nodes are not heard
    "never_seen": Weight.FIRE,  # no node has announced them since the studio was started
    "asleep": Weight.FIRE,  # bodies that answered and do not any more
    "no_body": Weight.FIRE,  # nodes without a body
    "swapped": Weight.FIRE,
    "unknown_body": Weight.FIRE,
    "duplicate": Weight.FIRE,
    "profile": Weight.FIRE,  # the session's is not in the rig file
    "lights": Weight.FIRE,  # packets do not leave, and the profile has a scene
    "aside_rules": Weight.FIRE,  # too many, or the wrong ones
    "battery_empty": Weight.FIRE,
    "card_full": Weight.FIRE,
    "node_disk_full": Weight.FIRE,
    "clock": Weight.FIRE,  # not known, or not well enough
    "recovering": Weight.FIRE,
    "busy": Weight.FIRE,  # a preflight, a measurement
    "reading": Weight.FIRE,  # the last photograph is still being read from the body
    "take_not_heard": Weight.TAKE,
    "take_late": Weight.TAKE,  # nodes woke late
    "take_asleep": Weight.TAKE,
    "take_card": Weight.TAKE,
    "take_battery": Weight.TAKE,
    "take_settings": Weight.TAKE,
    "take_cut": Weight.TAKE,  # photographs that are not whole
    "take_no_photograph": Weight.TAKE,
    "take_rejected": Weight.TAKE,
    "take_busy": Weight.TAKE,
    "take_other": Weight.TAKE,
    "flagged": Weight.NOTE,  # whole, and a figure is over its limit; the bar says LOOK by itself
    "checks": Weight.NOTE,  # whole, and the checks say to look; likewise
    "unresolved": Weight.READY,  # an exposure without its photograph
    "consent_later": Weight.READY,
    "battery": Weight.READY,  # below the limit
    "card": Weight.READY,
    "node_disk": Weight.READY,
    "studio_disk": Weight.READY,
    "calibration": Weight.READY,
    "lags": Weight.READY,
    "not_armed": Weight.READY,  # the last arming was refused
    "focus": Weight.READY,
    "settings": Weight.READY,  # not confirmed since
    "preflight": Weight.READY,  # none, too old, or of another profile
    "undecided": Weight.NOTE,
    "aside": Weight.NOTE,
    "begun_without": Weight.NOTE,
    "late_photographs": Weight.NOTE,
    "strays": Weight.NOTE,
    "recovered": Weight.NOTE,
    "stranger": Weight.NOTE,
    "lights_unused": Weight.NOTE,
}
