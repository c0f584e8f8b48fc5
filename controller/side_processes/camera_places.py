"""Bumped cameras: what the farm's check of a take's cameras found, as the take's check `place`."""

import json
import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from common.take_codes import TakeCode
from controller.side_processes.side_command import SideResult
from db.engine import reading, transaction
from db.errors import RecordError
from db.models.review import CheckState
from db.takes.side_inputs import SideInputs, last_well
from db.takes.take_reviews import CheckResult, add_checks

log = logging.getLogger(__name__)

PLACE = "place"
REFUSED = 4  # the exit code of data that cannot be used
TURN_DEG, SHIFT_MM = 0.05, 0.5  # from which on the farm's check counts a camera as moved
_TAKEN_BY = re.compile(r"taken by camera (\d+)")


class CameraPlaces:
    """The side task. Results are written for the take that is reviewed already."""

    name = PLACE

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begun(self, take: str) -> None:
        """Nobody waits for it."""

    def words(self, inputs: SideInputs, folder: Path) -> list[str]:
        del inputs
        return ["cameras", "check", str(folder), "--json"]

    def views(self, inputs: SideInputs) -> Collection[int]:
        return inputs.cameras.keys()

    def ended(self, inputs: SideInputs, folder: Path, result: SideResult) -> None:
        del folder
        try:
            found = json.loads(result.printed) if result.code in (0, REFUSED) and result.printed else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.not_done(inputs.take, result.trouble.splitlines()[-1] if result.trouble else "it said nothing")
            return
        with reading(self._engine) as tx:
            since = last_well(tx, inputs.take, PLACE)
        checks = judge_places(found, inputs.cameras, {c: _since(inputs.take, code) for c, code in since.items()})
        self._write(inputs.take, checks)
        for check in checks:
            if check.state is CheckState.ADVICE:
                about = {"take": inputs.take, "camera": check.camera}
                log.info("%s: %s %s", inputs.take, check.camera or "the rig", check.reason, extra=about)

    def not_done(self, take: str, why: str) -> None:
        if why:
            self._write(
                take, [CheckResult(PLACE, CheckState.NOT_DONE, f"The cameras' places were not looked at: {why}")]
            )

    def _write(self, take: str, checks: list[CheckResult]) -> None:
        try:
            with transaction(self._engine) as tx:
                add_checks(tx, take, PLACE, checks)
        except RecordError as error:
            log.warning("%s: where its cameras stood is not kept: %s", take, error, extra={"take": take})


def judge_places(found: Mapping[str, Any], cameras: Mapping[int, str], since: Mapping[str, str]) -> list[CheckResult]:
    """What `mien cameras check --json` found, in words.

    cameras: view -> name.  since: camera -> "since ..." of those that stood well before.
    """
    if found.get("refused"):
        first = str(found["refused"]).splitlines()[0]
        return [CheckResult(PLACE, CheckState.ADVICE, f"The calibration does not fit: {first}"[:500])]
    bad, silent = [], []
    for one in found.get("findings", ()):
        camera = cameras.get(int(one["camera"]), str(one["camera"]))
        if one["kind"] == "not judged":
            silent.append(CheckResult(PLACE, CheckState.NOT_DONE, str(one["text"]), camera))
        elif one["kind"] in ("moved", "swapped", "misfit"):
            bad.append(_moved(one, camera, cameras, since.get(camera, "since the calibration")))
    count, judged = int(found["cameras"]), int(found["judged"])
    if not judged and not bad:
        return [CheckResult(PLACE, CheckState.NOT_DONE, "The photographs share too few features to tell the places")]
    if bad:
        text = f"{len(bad)} of {count} cameras do not stand where they are calibrated"
        return [CheckResult(PLACE, CheckState.ADVICE, text), *bad, *silent]
    return [CheckResult(PLACE, CheckState.OK, f"{judged} of {count} cameras stand where they are calibrated"), *silent]


def _moved(one: Mapping[str, Any], camera: str, cameras: Mapping[int, str], since: str) -> CheckResult:
    figures: Mapping[str, float] = one.get("figures") or {}
    turn, shift = figures.get("turn_deg", 0.0), figures.get("shift_mm", 0.0)
    if one["kind"] == "swapped" and (by := _TAKEN_BY.search(str(one["text"]))):
        other = cameras.get(int(by[1]), by[1])
        return CheckResult(PLACE, CheckState.ADVICE, f"its photograph is {other}'s: are two bodies exchanged?", camera)
    said = [
        f"turned {turn:.2f}°" if turn >= TURN_DEG / 10 else "",
        f"moved {shift:.1f} mm" if shift >= SHIFT_MM / 10 else "",
    ]
    what = " and ".join(filter(None, said)) or "moved far, or its photograph is another's"
    text = f"{what} {since}: set it back, or calibrate again"
    by_turn = turn >= TURN_DEG / 10
    figure, bound = (turn, TURN_DEG) if by_turn else (shift, SHIFT_MM)
    return CheckResult(PLACE, CheckState.ADVICE, text, camera, figure or None, bound if figure else None)


def _since(take: str, well: str) -> str:
    """Another session's take is another subject's, perhaps: it is not named."""
    this, before = TakeCode.parse(take), TakeCode.parse(well)
    return f"since {well}" if this.session == before.session else "since an earlier session"
