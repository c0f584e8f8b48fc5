"""What a terminal of 80 columns shows of a session: every expression on a line of its own."""

from typing import Any

import pytest

from controller.commands.session_tables import print_session
from db.protocols import EXPRESSIONS


def take(code: str, **changes: Any) -> dict[str, Any]:
    return {
        "code": code, "state": "captured", "flagged": False, "problem": None, "frames": 68, "command_skew_ms": 0.48,
        "clock_uncertainty_ms": 0.14, "exposure_skew_ms": 2.18, "exposure_source": "hot_shoe", "checks": 0,
    } | changes | {"standing": changes.get("state", "captured")}  # fmt: skip


def test_every_take_stands_on_one_line_of_eighty_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    expressions: list[dict[str, Any]] = [
        {"position": n, "name": name, "reference": f"S001-1-E{n:02d}", "skipped": None, "takes": []}
        for n, name in enumerate(EXPRESSIONS, 1)
    ]
    expressions[0]["takes"] = [
        take("S001-1-E01-1", state="superseded", exposure_skew_ms=None, exposure_source="not_measured", checks=None),
        take(
            "S001-1-E01-2", flagged=True, problem="exposure skew 7.2 ms is over 5 ms", exposure_skew_ms=17.2, checks=12
        ),
    ]
    expressions[4]["skipped"] = "pain in the jaw"
    print_session(
        {"session": "S001-1", "subject": "S001", "state": "open", "profile": "default", "next": "smile",
         "undecided": ["S001-1-E01-2"], "without": {}, "consent": {"standing": "given", "later": None, "told": ""},
         "farm": {"ready": [], "held": []}, "expressions": expressions}
    )  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (line,) = [line for line in lines if line.split()[:1] == ["E01-2"]]
    assert line.split() == ["E01-2", "captured", "!", "68", "0.48", "0.14", "17.20", "shoe", "12", "look"]
    (line,) = [line for line in lines if "E01-1 " in line]
    assert line.split() == ["1", "neutral", "E01-1", "superseded", "68", "0.48", "0.14", "-", "-", "-"]
    assert len([line for line in lines if any(f" {e['name']} " in line for e in expressions)]) == 20
    assert "mien session retake S001-1-E01" in "\n".join(lines)
