"""Checks of photographs: each compares measures, and says in words what it found. Pure; advice, never a verdict.

A check answers once for the take, and once more for each camera that deserves a look.
"""

import statistics

from controller.take_checks.check_context import CheckContext
from db.models.review import CheckState
from db.takes.take_reviews import CheckResult

SHARPNESS, CLIPPING, BRIGHTNESS, FACE = "sharpness", "clipping", "brightness", "face"
EXAMINED, WITHOUT = "examined", "without"
BLACK = 3.0  # mean brightness, of 255
FEWEST_TAKES = 3  # before a camera has a baseline of its own
FEWEST_CAMERAS = 3  # that must agree before one can be the odd one out
USUALLY = 0.8  # of the takes: a camera that usually sees the face


def examined(context: CheckContext) -> list[CheckResult]:
    """Photographs that could not be looked at; nothing when all could."""
    lost = {camera: one for camera, one in context.seen.items() if one.problem}
    checks = [
        CheckResult(EXAMINED, CheckState.ADVICE if one.damaged else CheckState.NOT_DONE, one.problem, camera)
        for camera, one in lost.items()
    ]
    if lost:
        text = f"{len(lost)} of {len(context.seen)} photographs could not be examined"
        checks.insert(0, CheckResult(EXAMINED, CheckState.NOT_DONE, text))
    return checks


def without(context: CheckContext) -> list[CheckResult]:
    """Cameras that the take does without, by decision; nothing when there are none."""
    if not context.absent:
        return []
    told = ", ".join(f"{camera} ({why})" for camera, why in context.absent.items())
    return [CheckResult(WITHOUT, CheckState.OK, f"{len(context.seen)} photographs, and none of {told}")]


def sharpness(context: CheckContext) -> list[CheckResult]:
    """Each camera against its own baseline; one that has none yet, against the others of its kind, twice as loosely."""
    limit = context.limits.min_sharpness
    found, own = [], 0
    tiers: dict[bool, list[float]] = {True: [], False: []}
    for camera, one in context.examined.items():
        if one.sharpness is not None:
            tiers[camera in context.frontal].append(one.sharpness)
    for camera, one in context.examined.items():
        base = context.baseline(camera)
        usual, bound, whose = base.sharpness, limit, "its usual"
        if base.takes < FEWEST_TAKES or not usual:
            alike = tiers[camera in context.frontal]
            if len(alike) < FEWEST_CAMERAS:
                continue
            usual, bound, whose = statistics.median(alike), limit * limit, "the other cameras'"
        else:
            own += 1
        ratio = (one.sharpness or 0.0) / usual if usual else 1.0
        if one.brightness > BLACK and ratio < bound:
            reason = f"{100 * ratio:.0f} % of {whose} sharpness, {100 * bound:.0f} % is wanted: focus, or movement?"
            found.append(CheckResult(SHARPNESS, CheckState.ADVICE, reason, camera, ratio, bound))
    count = len(context.examined)
    told = "as sharp as usual" if own == count else f"sharp; {count - own} have no baseline of their own yet"
    return summary(SHARPNESS, found, count, told, "not as sharp as usual")


def clipping(context: CheckContext) -> list[CheckResult]:
    """Pure white beyond what the camera usually has (a white wall stays white)."""
    limit = context.limits.max_clipped_percent
    found = []
    for camera, one in context.examined.items():
        base = context.baseline(camera)
        usual = base.clipped_percent if base.takes >= FEWEST_TAKES else base.session_clipped_percent
        more = one.clipped_percent - (usual or 0.0)
        if more > limit:
            than = f", usually {usual:.1f} %" if usual is not None else ""
            reason = f"{one.clipped_percent:.1f} % of its pixels are clipped{than}: too much light"
            found.append(CheckResult(CLIPPING, CheckState.ADVICE, reason, camera, more, limit))
    return summary(CLIPPING, found, len(context.examined), "not clipped", "clipped")


def brightness(context: CheckContext) -> list[CheckResult]:
    """The odd one out: a camera whose brightness changed by another factor than the rig's median.

    Cameras see different things, so each is compared with itself: with this session's takes (the same person), or with
    all its kept takes, or, without any, with the other cameras; the last two by the square of the factor.
    """
    factor, seen = context.limits.brightness_outlier_factor, context.examined
    found = [
        CheckResult(
            BRIGHTNESS,
            CheckState.ADVICE,
            "black: lens cap, or a strobe that did not fire?",
            camera,
            one.brightness,
            BLACK,
        )
        for camera, one in seen.items()
        if one.brightness <= BLACK
    ]
    lit = {camera: one for camera, one in seen.items() if one.brightness > BLACK}
    here = {
        c: one.brightness / b for c, one in lit.items() if (b := context.baseline(c).session_brightness or 0) > BLACK
    }
    ever = {
        c: one.brightness / b
        for c, one in lit.items()
        if context.baseline(c).takes >= FEWEST_TAKES and (b := context.baseline(c).brightness or 0) > BLACK
    }
    if len(here) >= FEWEST_CAMERAS:
        changes, bound, whose = here, factor, "in this session"
    elif len(ever) >= FEWEST_CAMERAS:
        changes, bound, whose = ever, factor**2, "in earlier takes"
    else:
        changes, bound, whose = {camera: one.brightness for camera, one in lit.items()}, factor**4, "beside the others"
    if len(changes) >= FEWEST_CAMERAS:
        usual = statistics.median(changes.values())
        for camera, change in changes.items():
            ratio = change / usual
            if not 1 / bound <= ratio <= bound:
                word = "brighter" if ratio > 1 else "darker"
                cause = "a reflection, or its exposure?" if ratio > 1 else "a strobe that did not fire?"
                text = f"{max(ratio, 1 / ratio):.1f} times {word} than expected from it {whose}: {cause}"
                found.append(CheckResult(BRIGHTNESS, CheckState.ADVICE, text, camera, ratio, bound))
    checks = summary(BRIGHTNESS, found, len(seen), "as bright as expected", "not as bright as expected")
    if changes is not here and changes is not ever:
        return checks
    usual, most = statistics.median(changes.values()), context.limits.rig_brightness_factor
    if not 1 / most <= usual <= most:
        word = "brighter" if usual > 1 else "darker"
        text = f"The whole rig is {max(usual, 1 / usual):.1f} times {word} than {whose}: the lights, or the exposure?"
        checks[0] = CheckResult(BRIGHTNESS, CheckState.ADVICE, text, "", usual, most)
    return checks


def faces(context: CheckContext) -> list[CheckResult]:
    """A face in the frontal views; and cameras that usually see it and now do not."""
    looked = {camera: one for camera, one in context.examined.items() if one.face is not None}
    if not looked:
        return [CheckResult(FACE, CheckState.NOT_DONE, 'No camera of the rig file has tier = "frontal"')]
    count = sum(bool(one.face) for one in looked.values())
    share, least = count / len(looked), context.limits.min_face_share
    if share < least:
        text = f"A face is seen in {count} of {len(looked)} frontal views: is the subject in place, the face free?"
        return [CheckResult(FACE, CheckState.ADVICE, text, "", share, least)]
    found = [
        CheckResult(
            FACE, CheckState.ADVICE, "it usually sees the face, now it does not: turned away, or covered?", camera
        )
        for camera, one in looked.items()
        if not one.face
        and context.baseline(camera).takes >= FEWEST_TAKES
        and (context.baseline(camera).face_share or 0) >= USUALLY
    ]
    text = f"A face is seen in {count} of {len(looked)} frontal views"
    state = CheckState.ADVICE if found else CheckState.OK
    return [CheckResult(FACE, state, text, "", share, least), *found]


def summary(name: str, found: list[CheckResult], count: int, well: str, ill: str) -> list[CheckResult]:
    """What is said of the take, before what was `found` in single cameras. count: of the photographs judged."""
    if not count:
        return [CheckResult(name, CheckState.NOT_DONE, "No photograph could be examined")]
    if not found:
        return [CheckResult(name, CheckState.OK, f"{count} of {count} photographs are {well}")]
    return [CheckResult(name, CheckState.ADVICE, f"{len(found)} of {count} photographs are {ill}"), *found]
