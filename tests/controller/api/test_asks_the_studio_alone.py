"""The API asks the studio itself: no route reaches through it to one of its parts."""

import ast
from pathlib import Path

import controller.api
from controller.studio import Studio

DESKS = {"accounts", "rig_shots", "study"}  # with operations of their own
VALUES = {"rig", "settings", "public_key"} | DESKS  # what a studio has beside its operations


def test_no_route_reaches_through_the_studio() -> None:
    reached = {
        f"{path.name}: studio.{node.attr}"
        for path in Path(controller.api.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "studio"
        and not hasattr(Studio, node.attr)
        and node.attr not in VALUES
    }
    assert reached == set()
