"""Why cameras failed in a take: their nodes' many words sorted into a few causes, each told in one line a computer.

Pure.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.readiness.fault import Fault, Remedy
from controller.readiness.fault_making import fault, most
from controller.readiness.places import Places, count, names, some


@dataclass(frozen=True)
class _Reason:
    """One kind of failure."""

    cause: str  # of causes.CAUSES
    pattern: re.Pattern[str]  # of the words that nodes and studio use
    short: str  # with the camera or the number of cameras before it, for the bar
    text: str  # likewise, in a line
    remedy: str  # what to do before the retake


def _reason(cause: str, pattern: str, short: str, text: str, remedy: str) -> _Reason:
    return _Reason(cause, re.compile(pattern), short, text, remedy)


_LATE = re.compile(r"(\d+(?:\.\d+)?) ms (?:too )?late")
_NAMED = re.compile(r"\(([^)]+)\)$")
_LINE = re.compile(r"^  (\S+)\s+(.*)$")
_REASONS = (  # the first that fits
    _reason(
        "take_late", r"ms (too )?late", "woke late", "woke too late and did not fire",
        "Look what else that computer does, and whether its nodes run with real-time scheduling",
    ),
    _reason(
        "take_card", r"card .*full|card_full", "card full", "had no room on the card", "Empty or change the card",
    ),
    _reason(
        "take_battery", r"battery", "battery low", "had too little battery", "Change the battery",
    ),
    _reason(
        "take_settings", r"after setting|did not take|settings_refused", "settings refused",
        "did not take the settings", "Set the body's dials as the settings want them",
    ),
    _reason(
        "take_cut", r"stays on its card|photo_damaged|not whole|truncated|ends before", "photograph not whole",
        "gave a photograph that is not whole", "Look at its cable, then at its card",
    ),
    _reason(
        "take_rejected", r"was rejected", "photograph rejected", "gave a photograph that was rejected",
        "Look at its message in the take",
    ),
    _reason(
        "take_no_photograph",
        r"did not come|photo_missing|no photograph|has given no|unresolved|holds no photograph|no file",
        "no photograph", "gave no photograph", "Look at its card and its mode dial",
    ),
    _reason(
        "take_asleep", r"no longer answers|does not answer|not answered|camera_missing|no_camera|not open|asleep",
        "asleep", "did not answer any more: asleep, switched off or unplugged",
        "Wake it, and look at its power and cable",
    ),
    _reason(
        "take_not_heard", r"no reply|node went away|no node announces|node is gone|node was stopped", "not heard",
        "was not heard: its node or computer is gone", "Look at the computer's power and network",
    ),
    _reason("take_busy", r"busy|still being read|not armed for this fire", "busy", "was busy", "Wait a moment"),
)  # fmt: skip
_OTHER = _reason("take_other", "", "failed", "failed", "Look at its message in the take")


_IN_THEIR_WORDS = ("take_settings", "take_cut", "take_rejected")  # causes of which the words say more


def take_faults(faults: Mapping[str, str], places: Places, order: Mapping[str, int], retake: Remedy) -> Iterator[Fault]:
    """One line for each cause and computer. faults: camera -> why it failed. order: of the cameras, by view.

    retake: how the take is fired again, which the remedies end with.
    """
    computers = {camera.name: key for key, cameras in places.computers.items() for camera in cameras}
    sorted_out: dict[tuple[str, str], list[str]] = defaultdict(list)
    for camera in sorted(faults, key=lambda name: order.get(name, len(order))):
        reason = reason_of(faults[camera])
        sorted_out[reason.cause, computers.get(camera, "") if reason.cause == "take_late" else ""].append(camera)
    late = [key for key in sorted_out if key[0] == "take_late"]
    if len(late) > 1:  # several computers at once: it is no single one's fault
        together = [camera for key in late for camera in sorted_out.pop(key)]
        sorted_out["take_late", ""] = sorted(together, key=lambda name: order.get(name, len(order)))
    for (_, computer), cameras in sorted_out.items():
        yield _line({camera: faults[camera] for camera in cameras}, places, computer, retake)


def reason_of(text: str) -> _Reason:
    """The kind of failure that these words tell of."""
    return next((reason for reason in _REASONS if reason.pattern.search(text)), _OTHER)


def told_faults(problem: str) -> dict[str, str]:
    """The cameras and reasons in errors.describe_failure's text, as the records have it."""
    return {found[1]: found[2] for line in problem.splitlines() if (found := _LINE.match(line))}


def short_problem(problem: str) -> str:
    """The first of a take's flags in few words, its worst camera where one is named."""
    first = problem.partition(";")[0]
    named = _NAMED.search(first)
    return named[1] if named and " " in named[1] else first


def _line(faults: Mapping[str, str], places: Places, computer: str, retake: Remedy) -> Fault:
    cameras = tuple(faults)
    reason = reason_of(faults[cameras[0]])
    short = f"{some(cameras)} {reason.short}"
    which = count(len(cameras)) if len(cameras) > 1 else cameras[0]
    text = f"{which} {reason.text}"
    if reason.cause == "take_late":
        text = _late_text(faults, places, computer)
    elif reason is _OTHER:
        text = f"{names(cameras)}: {faults[cameras[0]]}"
    elif len(cameras) > 1:
        text += f": {names(cameras)}"
    elif reason.cause in _IN_THEIR_WORDS:
        text += f" ({faults[cameras[0]]})"
    remedy = Remedy(f"{reason.remedy}; then take it again", retake.action, retake.cameras, retake.command)
    place = places.known_as(computer) if computer else ""
    return fault(reason.cause, text, short, remedy, place=place, cameras=cameras)


def _late_text(faults: Mapping[str, str], places: Places, computer: str) -> str:
    """ "42 cameras woke late: this computer is overloaded; worst cam-07, 23.4 ms" """
    late = {camera: float(found[1]) for camera, text in faults.items() if (found := _LATE.search(text))}
    worst = most(late) if late else next(iter(faults))
    figure = f", {late[worst]:.1f} ms" if late else ""
    where = f"{places.known_as(computer)} is overloaded" if computer else "their computers are overloaded"
    if len(faults) == 1:
        return f"{worst} woke {late[worst]:.1f} ms late: {where}" if late else f"{worst} woke late: {where}"
    return f"{count(len(faults))} woke late: {where}; worst {worst}{figure}"
