"""What the subject's screen is told: its code, the expression, the countdown, its own neutral, and no name."""

from collections.abc import Mapping
from typing import Any

from common.take_codes import NEUTRAL

PHASES = {"armed": "hold", "fired": "hold", "safe": "relax", "coming_in": "relax", "in": "relax", "checked": "relax"}


def screen_view(state: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the page's state that a subject may see."""
    session, paused = state.get("session"), state.get("paused", [])
    if session is not None and session["consent"]["standing"] == "withdrawn":
        return {"session": "ended"}
    if session is None or session["state"] != "open":
        return {"session": "paused" if paused else "none"}
    position = _position(state, session)
    line = session["expressions"][str(position)]
    camera = frontal_camera(state)
    found = {
        "session": "open",
        "code": session["code"],
        "subject": session["subject"],
        "of": len(session["order"]),
        "position": position,
        "name": line["name"],
        "instruction": line["instruction"],
        "phase": _phase(state, position),
    }
    if camera is not None:
        found["camera"] = camera
        neutral = state.get("neutral", {}).get(camera)
        if neutral is not None and line["name"] != NEUTRAL:
            found["neutral"] = neutral["photograph"]
    if "countdown" in state:
        found["countdown"] = {key: state["countdown"][key] for key in ("id", "seconds", "ends_in_ms")}
    if session.get("next") is None and not session["undecided"]:
        found["phase"] = "done"
    return found


def frontal_camera(state: Mapping[str, Any]) -> str | None:
    """The camera that looks most straight at the face; by its place where there is a calibration."""
    frontal = [name for name in state.get("rig", {}).get("frontal", []) if name in state.get("cameras", {})]
    if not frontal:
        return None
    known = [name for name in frontal if "direction" in state["cameras"][name]]
    if not known:
        return str(frontal[len(frontal) // 2])
    return str(min(known, key=lambda name: state["cameras"][name]["direction"][2]))


def _position(state: Mapping[str, Any], session: Mapping[str, Any]) -> int:
    """As the operator's page chooses it: what is counted down, under way or waits to be decided; else what is next."""
    take = state.get("take")
    if "countdown" in state:
        return int(state["countdown"]["position"])
    if take is not None and take["code"] in {*session["undecided"], *_under_way(session)}:
        return int(take["position"])
    if session["undecided"]:
        return int(session["takes"][session["undecided"][0]]["position"])
    return int(session.get("next") or session["order"][-1])


def _phase(state: Mapping[str, Any], position: int) -> str:
    """countdown, hold, relax or idle."""
    if "countdown" in state:
        return "countdown"
    take = state.get("take")
    return PHASES.get(take["phase"], "idle") if take is not None and take["position"] == position else "idle"


def _under_way(session: Mapping[str, Any]) -> list[str]:
    return [code for code, take in session["takes"].items() if take["state"] in ("planned", "fired")]
