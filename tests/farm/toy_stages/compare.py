"""A stage with a neighbour: the size beside the neutral's."""

import json
from pathlib import Path

from processing.stages.base import TEMPLATE, Inputs, Stage, StageParams


class Compare(Stage):
    name, version = "compare", 1
    needs = {"template": TEMPLATE, "size": "measure", "neutral": "neutral:measure.size"}  # noqa: RUF012
    makes = {"ratio": "json", "text": "txt"}  # noqa: RUF012

    class Params(StageParams):
        expression: str = ""

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        size = json.loads(inputs["size"].read_text())
        neutral = inputs.get("neutral")
        of = size if neutral is None else json.loads(neutral.read_text())
        ratio = {"take": size["take"], "ratio": size["bytes"] / of["bytes"], "expression": params.expression}
        (out / "ratio.json").write_text(json.dumps(ratio))
        (out / "text.txt").write_text(inputs["template"].read_text())
