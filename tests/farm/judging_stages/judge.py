"""A stage that judges its own result: a smile is to be done again."""

import json
from pathlib import Path

from processing.stages.base import Inputs, Stage, StageParams


class Judge(Stage):
    name, version = "judge", 1
    needs = {"size": "measure"}  # noqa: RUF012
    makes = {"review": "json", "quality": "png"}  # noqa: RUF012

    def run(self, inputs: Inputs, params: StageParams, out: Path) -> None:  # noqa: ARG002
        size = json.loads(inputs["size"].read_text())
        bad = size["take"] == "2_smile"
        review = {
            "verdict": "redo" if bad else "accept",
            "reasons": ["it smiles", "camera 3 moved"] if bad else [],
            "figures": {"bytes": size["bytes"]},
        }
        (out / "review.json").write_text(json.dumps(review))
        (out / "quality.png").write_bytes(b"a picture of " + size["take"].encode())
