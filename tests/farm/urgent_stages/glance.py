"""An urgent stage: how many photographs there are."""

import json
from pathlib import Path

from processing.stages.base import TAKE, Inputs, Stage, StageParams


class Glance(Stage):
    name, version, urgent = "glance", 1, True
    needs = {"take": TAKE}  # noqa: RUF012
    makes = {"count": "json"}  # noqa: RUF012

    def run(self, inputs: Inputs, params: StageParams, out: Path) -> None:  # noqa: ARG002
        (out / "count.json").write_text(json.dumps(len(sorted(inputs["take"].glob("*.jpg")))))
