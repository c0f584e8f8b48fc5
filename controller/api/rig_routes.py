"""Routes of the rig as a whole: its cameras as they are now, and the preflight."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.params import Depends

from controller.accounts.roles import require
from controller.api.aside_routes import aside_data
from controller.api.request_body import Body
from controller.preflight.preflight import Preflight
from controller.readiness.check_remedies import check_remedy
from controller.readiness.watch import watch_of
from controller.rig_file import DEFAULT_PROFILE
from controller.studio import Studio


class PreflightBody(Body):
    """A preflight."""

    profile: str = DEFAULT_PROFILE


class SceneBody(Body):
    """A light scene that is held from now on."""

    scene: str | None  # none: off


def rig_data(studio: Studio) -> dict[str, Any]:
    """The rig as the page and `mien rig status` show it."""
    found = studio.status()
    return watch_of(studio).look().data() | {
        "rig": studio.rig.name,
        "ready": sum(report.ready for report in found.cameras if report.view >= 0),
        "expected": sum(not report.aside for report in found.cameras if report.view >= 0),
        "aside": aside_data(studio)["aside"],
        "late": list(found.late),
        "refused_messages": found.refused_messages,
        "ingest_trouble": found.ingest_trouble,
        "lights_trouble": found.lights_trouble,
        "scene": found.scene,
        "held_scene": found.held_scene,
        "scenes": sorted(studio.rig.scenes),
        "cameras": [asdict(report) | asdict(found.history[report.camera]) for report in found.cameras],
    }


def announced_data(studio: Studio) -> dict[str, Any]:
    """The cameras that nodes announce, in the rig file or not."""
    cameras = [
        {
            "camera": one.present.name,
            "node": one.present.node,
            "serial": one.present.serial,
            "model": one.present.model,
            "url": one.present.url,
            "fault": one.present.fault,
            "battery_percent": one.status.battery_percent if one.status is not None else None,
            "in_rig": one.in_rig,
        }
        for one in studio.announced()
    ]
    return {"rig": studio.rig.name, "setup": studio.settings.setting_up, "cameras": cameras}


def preflight_data(found: Preflight) -> dict[str, Any]:
    """A preflight for programs; each check that is not well with its `remedy`."""
    checks = [
        asdict(check) | ({"remedy": remedy.data()} if (remedy := check_remedy(check, found.profile)) else {})
        for check in found.checks
    ]
    return asdict(found) | {"ready": found.ready, "checks": checks}


def rig_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """/api/rig and /api/preflight; `guard`: what each request must pass."""
    api = APIRouter(prefix="/api", dependencies=guard)

    @api.get("/rig", dependencies=[require("viewer")])
    def rig() -> dict[str, Any]:
        return rig_data(studio)

    @api.get("/rig/announced", dependencies=[require("viewer")])
    def announced() -> dict[str, Any]:
        return announced_data(studio)

    @api.post("/preflight", dependencies=[require("operator")])
    def preflight(body: PreflightBody) -> dict[str, Any]:
        return preflight_data(studio.preflight(body.profile))

    @api.post("/rig/scene", dependencies=[require("operator")])
    def hold_scene(body: SceneBody) -> dict[str, Any]:
        studio.hold_scene(body.scene)
        found = studio.status()
        return {"held_scene": found.held_scene, "scene": found.scene}

    return api
