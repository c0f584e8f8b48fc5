"""A stage of a study: the mean of what its subjects' takes weigh."""

import json
from pathlib import Path

from processing.stages.base import MEMBERS, Inputs, Scope, Stage, StageParams


class Summarise(Stage):
    name, version = "summarise", 1
    scope, fewest = Scope.STUDY, 2
    needs = {  # noqa: RUF012
        "members": MEMBERS, "gathered": "each:gather.sizes", "neutrals": "each:neutral:measure.size"
    }  # fmt: skip
    makes = {"model": "json"}  # noqa: RUF012

    class Params(StageParams):
        name: str = "model"
        number: int = 1

    def run(self, inputs: Inputs, params: StageParams, out: Path) -> None:  # noqa: ARG002
        gathered = {code: json.loads(path.read_text()) for code, path in inputs.each("gathered").items()}
        assert list(gathered) == list(inputs.each("neutrals"))
        members = json.loads(inputs["members"].read_text())["members"]
        mean = {code: sum(one["sizes"].values()) / len(one["sizes"]) for code, one in gathered.items()}
        (out / "model.json").write_text(json.dumps({"mean": list(mean.values()), "members": len(members)}))
