"""A first word for the bar, of the parts that are looked at here."""

from typing import Any


def plain_bar(
    cameras: dict[str, Any], session: dict[str, Any] | None, take: dict[str, Any] | None, trouble: str, paused: bool
) -> dict[str, str]:
    """The worst of what is known. trouble: why photographs cannot be filed or lights not be lit; "" for none."""
    expected = {name: one for name, one in cameras.items() if one["view"] >= 0 and "aside" not in one}
    missing = [name for name, one in expected.items() if not one["ready"]]
    phase = take["phase"] if take is not None else ""
    if phase in ("armed", "fired"):
        return _bar("HOLD STILL", "", "wait", "bars")
    if missing or trouble:
        text = trouble or (
            missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more are not ready"
        )
        return _bar("CANNOT FIRE", text, "stop", "octagon")
    if session is None:
        return _bar("PAUSED" if paused else "NO SESSION", "", "wait", "bars")
    if take is not None and phase in ("safe", "coming_in"):
        return _bar("COMING IN", f"{take['in']}/{take['cameras']}", "wait", "bars")
    if take is not None and phase == "failed" and take["faults"]:
        name, why = next(iter(take["faults"].items()))
        return _bar("RETAKE", f"{name}: {why}", "stop", "octagon")
    if take is not None and phase in ("in", "checked"):
        look = take["flags"] or any(check["state"] == "advice" for check in take.get("review", {}).get("checks", ()))
        return _bar("LOOK", "", "look", "triangle") if look else _bar("DECIDE", "", "wait", "bars")
    if session["undecided"]:
        return _bar("DECIDE", ", ".join(session["undecided"]), "wait", "bars")
    return _bar("READY", session.get("next_name", ""), "good", "circle")


def _bar(word: str, text: str, tone: str, shape: str) -> dict[str, str]:
    return {"word": word, "text": text, "tone": tone, "shape": shape}
