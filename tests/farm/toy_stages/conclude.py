"""A last stage, behind the others."""

import json
import os
from pathlib import Path

from processing.stages.base import Inputs, Stage, StageParams


class Conclude(Stage):
    name, version = "conclude", int(os.environ.get("MIEN_TOY_VERSION", "2"))  # a worker of an older version has 1
    needs = {"ratio": "compare"}  # noqa: RUF012
    makes = {"word": "txt"}  # noqa: RUF012

    def run(self, inputs: Inputs, params: StageParams, out: Path) -> None:  # noqa: ARG002
        ratio = json.loads(inputs["ratio"].read_text())
        (out / "word.txt").write_text("larger" if ratio["ratio"] > 1 else "not larger")
