"""What the farm's check of cameras found, in the words of an operator."""

from typing import Any

from controller.side_processes.camera_places import judge_places
from db.models.review import CheckState

CAMERAS = {3: "cam-03", 7: "cam-07", 14: "cam-14"}


def found(*findings: dict[str, Any], judged: int = 2) -> dict[str, Any]:
    return {"cameras": 3, "judged": judged, "findings": findings, "skipped": {}, "refused": None}


def finding(camera: int, kind: str, text: str = "", **figures: float) -> dict[str, Any]:
    return {"camera": str(camera), "kind": kind, "action": "refined", "text": text, "figures": figures}


def said(report: dict[str, Any], **since: str) -> list[tuple[str, str, str]]:
    names = {name.replace("_", "-"): text for name, text in since.items()}
    return [(c.camera, c.state.value, c.reason) for c in judge_places(report, CAMERAS, names)]


def test_all_well() -> None:
    assert said(found(judged=3)) == [("", "ok", "3 of 3 cameras stand where they are calibrated")]


def test_a_turned_camera_says_since_when() -> None:
    report = found(finding(14, "moved", turn_deg=0.104, shift_mm=0.0))
    head = ("", "advice", "1 of 3 cameras do not stand where they are calibrated")
    tail = ": set it back, or calibrate again"
    assert said(report, cam_14="since S012-1-E06-1") == [
        head, ("cam-14", "advice", f"turned 0.10° since S012-1-E06-1{tail}"),
    ]  # fmt: skip
    assert said(report)[1] == ("cam-14", "advice", f"turned 0.10° since the calibration{tail}")
    (_, check) = judge_places(report, CAMERAS, {})
    assert (check.measured, check.bound) == (0.104, 0.05)


def test_one_that_moved_or_did_both_says_so() -> None:
    assert "moved 2.3 mm since" in said(found(finding(3, "moved", turn_deg=0.0, shift_mm=2.31)))[1][2]
    both = said(found(finding(3, "moved", turn_deg=0.2, shift_mm=5.0)))[1][2]
    assert both.startswith("turned 0.20° and moved 5.0 mm since")
    far = judge_places(found(finding(3, "moved", "moved, but only 4 features tell how; left out")), CAMERAS, {})[1]
    assert far.reason.startswith("moved far, or its photograph is another's since")
    assert (far.measured, far.bound) == (None, None)


def test_exchanged_bodies_are_named_by_their_cameras() -> None:
    text = "swapped: its photograph was taken by camera 7; put right"
    report = found(finding(3, "swapped", text, taken_by=1.0), finding(7, "misfit", "its photograph does not fit"))
    assert [line[2] for line in said(report)[1:]] == [
        "its photograph is cam-07's: are two bodies exchanged?",
        "moved far, or its photograph is another's since the calibration: set it back, or calibrate again",
    ]


def test_what_cannot_be_judged_is_neither_well_nor_ill() -> None:
    report = found(finding(7, "not judged", "3 features in common with its neighbours; 12 are needed"))
    assert [(c, state) for c, state, _ in said(report)] == [("", "ok"), ("cam-07", "not_done")]
    assert said(found(finding(7, "dark", "black"), judged=3))[0][1] == "ok"  # another check says that
    assert [c.state for c in judge_places(found(judged=0), CAMERAS, {})] == [CheckState.NOT_DONE]


def test_another_rigs_calibration_is_advice_about_the_whole() -> None:
    why = "5 of 6 cameras do not stand where the calibration has them"
    assert said({"refused": f"{why}\n  camera 3 ..."}) == [("", "advice", f"The calibration does not fit: {why}")]
