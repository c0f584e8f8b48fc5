"""Status of every camera for the operator: what state it is in and what stands in its way."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.errors import RigNotReady
from controller.node_links.node_registry import NodeState
from controller.rig.roster import Roster
from controller.rig_file import Rig

NOT_REALTIME = "its node fires without real-time scheduling"


def unresolved_text(camera: str, take: str) -> str:
    """What the operator reads of an exposure whose file has not come; empty when there is none."""
    if not take:
        return ""
    return (
        f"the photograph of {take} has not come: until it does, or the body shows at the next arming that it has none,"
        f" the camera is not armed.  mien rig recover {camera}  fetches it; to give it up:  mien rig write-off {camera}"
    )


def strays_text(count: int) -> str:
    """What the operator reads of files in a node's tray."""
    files = "1 file belongs" if count == 1 else f"{count} files belong"
    return f"{files} to no take: look into strays/ in its spool"


@dataclass(frozen=True)
class CameraReport:
    """One camera for the operator; None is not known."""

    camera: str  # its name
    view: int  # of the rig file; -1 for a camera that is not in it
    node: str  # that announces it; "" when none does
    state: str  # as its node reports it; "connected" before the first report, "absent" without a node
    ready: bool  # whether nothing stands in its way
    problems: tuple[str, ...]  # stand in its way
    warnings: tuple[str, ...]  # do not
    clock_uncertainty_ms: float | None  # of its node
    clock_source: str  # what its node's clock is kept by (pings, chrony, ptp); "" while it is not known
    clock_offset_ms: float | None  # studio minus node
    clock_drift_ppm: float | None  # how fast that grows
    round_trip_ms: float | None  # of its node's pings, the best of the last minute
    battery_percent: int | None  # as its node reported last
    photos_left: int | None  # that fit on the card, as its node reported last
    spooled: int  # photographs on its node's disk
    unresolved: str = ""  # take of the exposure whose file has not come
    strays: int = 0  # files that belong to no take
    settings: Mapping[str, str] = field(default_factory=dict)  # of the body, as read back at its latest arming
    aside: str = ""  # why and for how long nothing is asked of it; "" when it takes part


def report_cameras(
    rig: Rig,
    roster: Roster,
    nodes: Mapping[str, NodeState],
    aside: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> list[CameraReport]:
    """Every camera of the rig in view order, then the unknown ones. aside: camera -> why and for how long.

    only: these cameras, all by default.
    """
    problems: dict[str, list[str]] = {}
    for item in roster.discrepancies:
        problems.setdefault(item.camera, []).append(item.text)
    aside = aside or {}
    known = {camera.name for camera in rig.cameras}
    unknown = [name for name in problems if name not in known and (only is None or name in only)]
    limit_ms = rig.sync.max_clock_uncertainty_ms
    reports = [
        report_camera(camera.name, camera.view, nodes.get(camera.name), problems.get(camera.name, []), limit_ms)
        for camera in rig.cameras
        if only is None or camera.name in only
    ]
    reports = [
        replace(report, ready=False, problems=(), warnings=(), aside=aside[report.camera])
        if report.camera in aside
        else report
        for report in reports
    ]
    return reports + [report_camera(name, -1, nodes.get(name), problems[name], limit_ms) for name in unknown]


def wait_until_ready(look: Callable[[], list[CameraReport]], changed: threading.Condition, timeout_s: float) -> None:
    """Until every expected camera is ready to arm; those aside are not waited for.

    look: the reports as they are now. changed: notified when they may be others. Raises RigNotReady, naming each
    camera that is not.
    """
    end = time.monotonic() + timeout_s
    while True:
        reports = [report for report in look() if report.view >= 0 and not report.aside]
        waiting = [report for report in reports if not report.ready]
        if not waiting:
            return
        left = end - time.monotonic()
        if left <= 0:
            width = max(len(report.camera) for report in waiting)
            lines = [f"  {report.camera:<{width}}  {'; '.join(report.problems)}" for report in waiting]
            head = f"{len(waiting)} of {len(reports)} cameras are not ready after {timeout_s:g} s."
            raise RigNotReady("\n".join([head, *lines]))
        with changed:
            changed.wait(min(left, 0.25))


def without_realtime(nodes: Mapping[str, NodeState]) -> list[str]:
    """Cameras whose nodes have said that they fire at ordinary priority."""
    return sorted(camera for camera, state in nodes.items() if "realtime" not in state.hello.capabilities)


def report_camera(
    name: str, view: int, state: NodeState | None, problems: Sequence[str], limit_ms: float
) -> CameraReport:
    """One camera. problems: what the roster says of it. limit_ms: the most that its clock may be uncertain by."""
    status = state.status if state is not None else None
    uncertainty = status.clock_uncertainty_ns if status is not None else None
    drift_ppb = status.clock_drift_ppb if status is not None else None
    unresolved = status.unresolved if status is not None else ""
    found = [*problems]
    if state is not None and not problems:
        if uncertainty is None:
            found.append("its clock is not known yet: some seconds after connecting")
        elif uncertainty / 1e6 > limit_ms:
            found.append(f"clock uncertainty {uncertainty / 1e6:.2f} ms is over {limit_ms:g} ms")
    strays = status.strays if status is not None else 0
    warnings = [NOT_REALTIME] if state is not None and without_realtime({name: state}) else []
    warnings += [strays_text(strays)] if strays else []
    return CameraReport(
        camera=name,
        view=view,
        node=state.node if state is not None else "",
        state=status.state if status is not None else ("connected" if state is not None else "absent"),
        ready=not found,
        problems=tuple(found),
        warnings=tuple(warnings),
        clock_uncertainty_ms=None if uncertainty is None else uncertainty / 1e6,
        clock_source="" if status is None or uncertainty is None else status.clock_source,
        clock_offset_ms=None if status is None or status.clock_offset_ns is None else status.clock_offset_ns / 1e6,
        clock_drift_ppm=None if drift_ppb is None else drift_ppb / 1e3,
        round_trip_ms=None if status is None or status.round_trip_ns is None else status.round_trip_ns / 1e6,
        battery_percent=None if status is None else status.battery_percent,
        photos_left=None if status is None else status.photos_left,
        spooled=0 if status is None else status.spooled,
        unresolved=unresolved,
        strays=strays,
        settings=dict(state.settings) if state is not None else {},
    )
