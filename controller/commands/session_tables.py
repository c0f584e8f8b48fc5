"""Sessions and preflights for people, in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.terminal.options import print_table
from common.terminal.phrases import grouped, listed
from controller.commands.readiness_table import remedy_text

MARKS = {"ok": "ok", "warning": "look", "fault": "FAULT"}
SOURCES = {"hot_shoe": "shoe", "optical": "optical", "simulated": "sim"}
SHOWN = 8  # cameras by name before the rest is counted


def print_session(answer: Mapping[str, Any]) -> None:
    """Every take with its three numbers; below, what was skipped, flagged or failed, and what to do."""
    title = f"{answer['session']}  subject {answer['subject']}  {answer['state']}  profile {answer['profile']}  (ms)"
    rows, notes = [], []
    without: dict[str, dict[str, str]] = {}
    for line in answer["expressions"]:
        label = f"{line['position']:>2} {line['name']}"
        if line["skipped"] is not None:
            notes.append(f"{line['reference']} was skipped: {line['skipped']}")
        for take in line["takes"] or [{}]:
            rows.append([label, *_take_cells(take, answer["session"], line["skipped"] is not None)])
            label = ""
            for absence in take.get("absent", []):
                came = ", but its photograph came late" if absence["came_at"] else ""
                why = f"{absence['kind']}: {absence['reason']}{came}"
                without.setdefault(take["code"], {})[absence["camera"]] = why
            if take.get("former"):
                notes.append(f"{take['code']} was {', '.join(take['former'])} before it was given to this expression")
            if take.get("state") in ("captured", "accepted") and take["flagged"]:
                notes.append(
                    f"{take['code']} is flagged: {take['problem']}.\n  To take it again:  "
                    f"mien session retake {line['reference']}"
                )
        last = line["takes"][-1] if line["takes"] else None
        if last is not None and last["state"] == "failed":
            notes.append(last["problem"] or f"{last['code']} failed")
    heads = ["expression", "take", "state", "in", "cmd.", "clock", "exp.", "by", "checks"]
    print_table(title, heads, rows)
    for note in notes:
        print(note)
    print_without(without)
    print_standing(answer)
    if answer["state"] == "paused":
        print(f"To go on:  mien session resume {answer['session']}")
    elif answer["state"] == "open":
        if answer["consent"]["standing"] == "withdrawn":
            return
        if answer["undecided"]:
            print(f"to decide: {', '.join(answer['undecided'])}")
        if answer["next"]:
            print(f"next: {answer['next']}")
        elif not answer["undecided"]:
            print(f"nothing is left:  mien session close {answer['session']}")


def decision_text(answer: Mapping[str, Any], session: str) -> str:
    """What an accept or a choice has changed, and what comes next, on one line."""
    flags = f" although {answer['flags']}" if answer["flags"] else ""
    beside = f" (beside it, and kept: {', '.join(answer['beside'])})" if answer["beside"] else ""
    return f"{answer['take']} {answer['state']}{flags}{beside}  {next_step(answer, session)}"


def next_step(answer: Mapping[str, Any], session: str) -> str:
    """What comes next in a session: a fire, a decision, or its close."""
    if answer["next"]:
        return f"next: {answer['next']}"
    if answer["undecided"]:
        return f"to decide: {', '.join(answer['undecided'])}"
    return f"nothing is left:  mien session close {session}"


def print_standing(answer: Mapping[str, Any]) -> None:
    """Consent, what the session began without, and which accepted takes the farm cannot take yet."""
    for name, text in answer["without"].items():
        print(f"begun without {name}: {text}")
    if answer["consent"]["told"]:
        print(answer["consent"]["told"])
    for held in answer["farm"]["held"]:
        count = len(held["takes"])
        print(f"not ready for the farm: {count} accepted {'take' if count == 1 else 'takes'}: {held['why']}")
        print(f"  {held['do']}")


def print_served(served: Sequence[Mapping[str, Any]]) -> None:
    """Which takes have which calibration now."""
    if not served:
        print("No take was without a calibration; nothing is changed.")
    for version, takes in grouped((one["take"], str(one["version"])) for one in served).items():
        print(f"Calibration {version} serves {len(takes)} earlier takes: {listed(takes, SHOWN)}")


def _take_cells(take: Mapping[str, Any], session: str, skipped: bool) -> list[str]:
    if not take:
        return ["-", "skipped" if skipped else "-", *["-"] * 6]
    numbers = [_short(take[key]) for key in ("command_skew_ms", "clock_uncertainty_ms", "exposure_skew_ms")]
    state = take["standing"] + (" !" if take["flagged"] and take["state"] in ("captured", "accepted") else "")
    source = "-" if take["exposure_skew_ms"] is None else SOURCES[take["exposure_source"]]
    looked = {None: "-", 0: "ok"}.get(take["checks"], f"{take['checks']} look")
    return [take["code"].removeprefix(f"{session}-"), state, str(take["frames"]), *numbers, source, looked]


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def print_without(takes: Mapping[str, Mapping[str, str]]) -> None:
    """Cameras without which takes are whole: a line for each camera and reason, with its takes."""
    said = ((take, f"without {camera} ({why})") for take, cameras in takes.items() for camera, why in cameras.items())
    for text, codes in grouped(said).items():
        print(f"  {text}: {listed(codes, SHOWN)}")


def print_warnings(warnings: Mapping[str, str]) -> None:
    """What cameras could not do as asked: a line for each warning, with the cameras that it is about."""
    cameras = grouped(sorted(warnings.items()))
    for text, named in list(cameras.items())[:SHOWN]:
        print(f"  warning: {text} ({listed(named, SHOWN)})")
    if len(cameras) > SHOWN:
        print(f"  and {len(cameras) - SHOWN} more warnings; --json has them all")


def print_faults(faults: Mapping[str, Sequence[str]]) -> None:
    """What nodes have told of lately, the cameras that told last first; a heading when there is anything."""
    lines = sorted(((line, camera) for camera, told in faults.items() for line in told), reverse=True)
    if lines:
        print("Told lately by the nodes:")
    for line, camera in lines[: 2 * SHOWN]:
        print(f"  {camera}  {line}")
    if len(lines) > 2 * SHOWN:
        print(f"  and {len(lines) - 2 * SHOWN} more; --json has them all")


def print_preflight(answer: Mapping[str, Any]) -> None:
    """One line a check, and one for each camera that stands in the way."""
    faults = sum(check["level"] == "fault" for check in answer["checks"])
    verdict = "ready" if answer["ready"] else f"{faults} {'thing stands' if faults == 1 else 'things stand'} in the way"
    print(f"{answer['rig']}, profile {answer['profile']}: {verdict}.")
    width = max(len(check["name"]) for check in answer["checks"])
    for check in answer["checks"]:
        print(f"  {MARKS[check['level']]:<5}  {check['name']:<{width}}  {check['text']}")
        named = sorted(check["cameras"].items())
        for camera, text in named if check["level"] == "fault" else named[:SHOWN]:
            print(f"         {'':<{width}}    {camera}  {text}")
        if check["level"] != "fault" and len(named) > SHOWN:
            print(f"         {'':<{width}}    and {len(named) - SHOWN} more")
        if check["level"] == "fault" and "remedy" in check:
            print(f"         {'':<{width}}  do: {remedy_text(check['remedy'])}")
