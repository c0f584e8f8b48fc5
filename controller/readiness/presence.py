"""Who is not here: a computer that is off, a hub that is gone, nodes, bodies; one line a place.

Pure. A camera is told of in one line only: the widest place that explains it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from controller.readiness import remedies
from controller.readiness.fault import Fault, Remedy
from controller.readiness.fault_making import fault
from controller.readiness.places import Places, count, names, some
from controller.readiness.studio_view import CameraView, StudioView

_KINDS = {"swapped": "swapped", "unknown": "unknown_body", "duplicate": "duplicate"}
_AT_ONCE = 2  # cameras from which on it is the place that is told of


def presence_faults(view: StudioView, places: Places) -> Iterator[Fault]:
    """Every expected camera that is not here, or is not the one that belongs here."""
    if view.stopped:
        return  # who is there is not known
    differing = [camera for camera in view.cameras if camera.discrepancy is not None and not camera.aside]
    wrong = [camera for camera in differing if camera.discrepancy and camera.discrepancy.kind in _KINDS]
    absent = [camera for camera in differing if camera.discrepancy and camera.discrepancy.kind not in _KINDS]
    yield from _unheard([camera for camera in absent if not camera.heard], places)
    yield from _bodiless([camera for camera in absent if camera.heard], places)
    yield from _misplaced(wrong)
    for name, told in view.strangers.items():
        remedy = Remedy("Write it into rig.toml, or take its node.toml away", "", (), "mien rig status")
        yield fault("stranger", f"{name} is {told}", f"{name} unknown", remedy, place=name)


def _unheard(cameras: list[CameraView], places: Places) -> Iterator[Fault]:
    by_computer = _by_computer(cameras)
    for computer, found in by_computer.items():
        gone = tuple(camera.name for camera in found)
        if not computer:
            them = "it" if len(gone) == 1 else "them"
            text = f"{names(gone)}: no node has announced {them} since the studio started"
            yield fault("never_seen", text, f"{some(gone)} not here", remedies.never_seen(gone), cameras=gone)
            continue
        name = places.name(computer)
        alone = len(places.computers[computer]) < _AT_ONCE  # then nobody can tell which of the two it is
        if alone or any(camera.heard for camera in places.computers[computer]):
            verb = "is" if len(gone) == 1 else "are"
            or_computer = f", or {name} is off" if alone else ""
            text = f"{names(gone)} at {name} {verb} not heard: the node does not run{or_computer}"
            remedy = remedies.node_gone(name, gone)
            yield fault("node_gone", text, f"{some(gone)} not heard", remedy, place=name, cameras=gone)
            continue
        listing = f"{count(len(gone))} ({names(gone)})"
        text = f"{name} is off, or off the network: {listing}"
        remedy = remedies.computer_off(name, gone)
        yield fault("computer_off", text, f"{name} off ({count(len(gone))})", remedy, place=name, cameras=gone)


def _bodiless(cameras: list[CameraView], places: Places) -> Iterator[Fault]:
    """Nodes that are heard and have no body."""
    left = list(cameras)
    for (computer, hub), all_of_hub in places.hubs.items():
        expected = {camera.name for camera in all_of_hub if not camera.aside}
        which = tuple(camera.name for camera in left if camera.name in expected)
        if len(which) >= _AT_ONCE and len(which) == len(expected):
            left = [camera for camera in left if camera.name not in expected]
            name = places.name(computer)
            text = f"hub {hub} of {name} is gone: {count(len(which))} ({names(which)})"
            short = f"hub {hub} of {name} gone ({count(len(which))})"
            yield fault(
                "hub_gone", text, short, remedies.hub_gone(hub, name, which), place=f"{name} {hub}", cameras=which
            )
    for computer, found in _by_computer(left).items():
        name = places.name(computer)
        for kind in ("sleeping", "missing"):
            same = [camera for camera in found if camera.discrepancy and camera.discrepancy.kind == kind]
            if same:
                yield _no_body(kind, tuple(camera.name for camera in same), name)


def _no_body(kind: str, gone: tuple[str, ...], name: str) -> Fault:
    where = f" at {name}" if len(gone) > 1 else ""
    if kind == "sleeping":
        verb = "is" if len(gone) == 1 else "are"
        text = f"{names(gone)}{where} answered before and {verb} gone: asleep, switched off or unplugged"
        remedy = remedies.recover("Wake it at its shutter button, look at its power and cable, or recover it", gone)
        return fault("asleep", text, f"{some(gone)} asleep", remedy, place=name, cameras=gone)
    told = "does not answer its node" if len(gone) == 1 else "do not answer their nodes"
    text = f"{names(gone)}{where} {told}: no body there, or no power"
    remedy = remedies.recover("Look at its power, cable and USB mode, or recover it", gone)
    return fault("no_body", text, f"{some(gone)} not there", remedy, place=name, cameras=gone)


def _misplaced(cameras: list[CameraView]) -> Iterator[Fault]:
    """Bodies that stand where others belong: each has its own story."""
    for kind, cause in _KINDS.items():
        found = [camera for camera in cameras if camera.discrepancy and camera.discrepancy.kind == kind]
        if not found:
            continue
        which = tuple(camera.name for camera in found)
        told = "; ".join(f"{c.name}: {c.discrepancy.text}" for c in found[:3] if c.discrepancy)
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        word = {"swapped": "swapped", "unknown_body": "other body", "duplicate": "twice there"}[cause]
        remedy = remedies.body("Put each body where rig.toml has it, or write the new serial there", which)
        yield fault(cause, f"{told}{more}", f"{some(which)} {word}", remedy, cameras=which)


def _by_computer(cameras: Iterable[CameraView]) -> dict[str, list[CameraView]]:
    found: dict[str, list[CameraView]] = defaultdict(list)
    for camera in cameras:
        found[camera.computer].append(camera)
    return found
