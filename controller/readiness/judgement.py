"""The judgement: from the studio at one moment to its faults and its bar. Pure, and cheap: ten times a second."""

from collections.abc import Sequence

from controller.readiness.bar import make_bar
from controller.readiness.causes import CAUSES
from controller.readiness.fault import Fault, Readiness, Weight, ranked
from controller.readiness.places import places_of
from controller.readiness.presence import presence_faults
from controller.readiness.rig_faults import rig_faults
from controller.readiness.session_faults import session_faults
from controller.readiness.studio_view import StudioView

_ORDER = tuple(CAUSES)
_FROM_ARMING = ("not_armed", "settings", "focus")


def judge(view: StudioView) -> Readiness:
    """READY is said only when everything holds that a fire needs; what is not known does not hold."""
    places = places_of(view.cameras, view.here)
    found = [*presence_faults(view, places), *rig_faults(view), *session_faults(view, places)]
    faults = ranked(_told_once(found), _ORDER)
    return Readiness(make_bar(view, faults), faults)


def _told_once(faults: Sequence[Fault]) -> list[Fault]:
    """Without what an arming said of cameras of which something worse is told: mostly it is the same."""
    worse = {camera for fault in faults if fault.weight < Weight.READY for camera in fault.cameras}
    return [fault for fault in faults if fault.cause not in _FROM_ARMING or not worse.issuperset(fault.cameras)]
