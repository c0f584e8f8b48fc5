"""Where a run stands: what a checkpoint has beside networks and optimisers."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class Standing:
    """Counts from the first start of a run on; it changes with every step."""

    step: int = 0  # done
    epoch: int = 0  # at hand
    batch: int = 0  # of this epoch that are done
    seconds: float = 0.0  # of training
    starts: int = 0
    best_score: float = math.inf
    best_step: int = -1
    best_figures: dict[str, float] = field(default_factory=dict)
    untrained: dict[str, float] = field(default_factory=dict)  # figures before the first step
    stale: int = 0  # times looked without a better score
    validated_at: int = -1  # step; below 0: never
    stopped_by: str = ""
    scaler: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)  # of progress.csv
    sums: dict[str, float] = field(default_factory=dict)  # of the losses since the last row
    count: int = 0

    def note(self, losses: Mapping[str, float]) -> None:
        """Losses of one step."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.count += 1

    def row(self, figures: Mapping[str, float] | None = None) -> None:
        """A row of progress: the mean of the losses since the last one, and figures where there are any."""
        means = {name: value / self.count for name, value in self.sums.items()} if self.count else {}
        said = {f"held_back_{name}": value for name, value in (figures or {}).items()}
        self.rows.append({"step": self.step, "epoch": self.epoch, "seconds": round(self.seconds, 1), **means, **said})
        self.sums, self.count = {}, 0

    def validated(self, figures: Mapping[str, float]) -> bool:
        """Figures of those held back are known; whether they are the best."""
        first = self.validated_at < 0
        self.validated_at = self.step
        self.row(figures)
        if first:
            self.untrained = dict(figures)
        if figures["score"] < self.best_score:
            self.best_score, self.best_step, self.best_figures, self.stale = (
                figures["score"], self.step, dict(figures), 0,
            )  # fmt: skip
            return True
        self.stale += 1
        return False

    def figures(self) -> dict[str, Any]:
        """For the card: of the networks with the best score, and what untrained ones score."""
        return {**self.best_figures, "score_untrained": self.untrained.get("score")}

    def in_words(self, batches: int, epochs: int) -> str:
        """For the progress bar."""
        last = self.rows[-1] if self.rows and not self.count else None
        losses = {k: v / self.count for k, v in self.sums.items()} if last is None else _losses(last)
        said = ", ".join(f"{name} {value:.4g}" for name, value in list(losses.items())[:4])
        best = f"; best score {self.best_score:.4g}" if math.isfinite(self.best_score) else ""
        return f"epoch {self.epoch + 1} of {epochs}, batch {self.batch} of {batches}: {said}{best}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(said: Mapping[str, Any]) -> "Standing":
        """Raises KeyError for what `as_json` did not make."""
        return Standing(**{one.name: said[one.name] for one in fields(Standing)})


def _losses(row: Mapping[str, float]) -> dict[str, float]:
    return {k: v for k, v in row.items() if k not in ("step", "epoch", "seconds") and not k.startswith("held_back_")}
