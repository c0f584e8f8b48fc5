"""A stage of a subject: what its takes weigh, one beside the other."""

import json
from pathlib import Path

from processing.stages.base import Inputs, Scope, Stage, StageParams


class Gather(Stage):
    name, version = "gather", 1
    scope, fewest = Scope.SUBJECT, 2
    needs = {"sizes": "each:measure.size", "rest": "neutral:measure.size"}  # noqa: RUF012
    makes = {"sizes": "json", "review": "json"}  # noqa: RUF012

    def run(self, inputs: Inputs, params: StageParams, out: Path) -> None:  # noqa: ARG002
        sizes = {label: json.loads(path.read_text())["bytes"] for label, path in inputs.each("sizes").items()}
        rest = json.loads(inputs["rest"].read_text())["bytes"]
        (out / "sizes.json").write_text(json.dumps({"rest": rest, "sizes": sizes}))
        review = {"verdict": "review", "reasons": ["small"], "figures": {"takes": len(sizes)}}
        (out / "review.json").write_text(json.dumps(review))
