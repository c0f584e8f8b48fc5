"""Whatever a remedy asks for, the page has a button for it."""

import ast
import re
from pathlib import Path

import controller.console
import controller.readiness


def test_every_action_of_a_remedy_has_a_button() -> None:
    page = Path(controller.console.__file__).parent / "static" / "faults.js"
    buttons = set(re.findall(r"^  (\w+): \[\"", page.read_text(encoding="utf-8"), re.M))
    named = set()
    for path in Path(controller.readiness.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Remedy":
                given = [*call.args[1:2], *(one.value for one in call.keywords if one.arg == "action")]
                named |= {one.value for one in given if isinstance(one, ast.Constant) and one.value}
    assert {"aside", "preflight", "retake"} <= named
    assert named <= buttons
