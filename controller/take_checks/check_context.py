"""What a check of takes is, and what it looks at."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from controller.rig_file import CheckLimits
from controller.take_checks.photograph_findings import Measure, PhotographFindings
from db.expression_recipes import Recipe
from db.takes.take_reviews import Baseline, CheckResult


@dataclass(frozen=True)
class PersonAnswer:
    """Whether a neutral shows its subject."""

    subject: str  # its code
    same: bool | None  # None: it cannot be said
    why: str = ""  # it cannot


@dataclass(frozen=True)
class CheckContext:
    """What the checks look at, by camera name."""

    seen: Mapping[str, PhotographFindings]  # what was found in each photograph
    baselines: Mapping[str, Baseline]  # what each camera's kept takes show
    frontal: Collection[str]  # the cameras that look at the face (tier "frontal")
    limits: CheckLimits  # of the rig file
    absent: Mapping[str, str] = field(default_factory=dict)  # cameras without a photograph by decision, and the word
    expression: str = ""  # that was asked for
    recipe: Recipe | None = None  # what it asks of the face, where the protocol says so
    scores: Mapping[str, float] = field(default_factory=dict)  # of the face in this take: expression_check.face_scores
    neutral: Mapping[str, float] = field(default_factory=dict)  # of the session's neutral take
    person: PersonAnswer | None = None  # whether a neutral shows its subject, where that is asked

    @property
    def examined(self) -> dict[str, PhotographFindings]:
        return {camera: one for camera, one in self.seen.items() if not one.problem}

    def baseline(self, camera: str) -> Baseline:
        return self.baselines.get(camera, Baseline())


@dataclass(frozen=True)
class TakeCheck:
    """A check of takes: one result for the take, and one more for each camera that deserves a look."""

    names: tuple[str, ...]  # of its results, as operators read them and docs/operators.md explains them
    judge: Callable[[CheckContext], list[CheckResult]]  # pure; advice with its reason, never a verdict
    measure: Measure | None = None  # of each photograph, where the findings do not have what it needs
