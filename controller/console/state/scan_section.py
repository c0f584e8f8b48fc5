"""The section of the coarse scan of the take that was whole last."""

from typing import Any

from controller.console.state.known_values import known
from controller.studio import Studio


def scan_section(studio: Studio) -> dict[str, Any] | None:
    """How it stands, and where its mesh is; None without one."""
    scan = studio.preview_scan()
    if scan is None:
        return None
    mesh = None if scan.mesh is None else f"/pictures/scans/{scan.mesh}.glb"
    return known(take=scan.take, state=scan.state.value, mesh=mesh, text=scan.text or None)
