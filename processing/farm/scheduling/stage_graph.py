"""From a subject's takes to the stage runs they ask for. Goal minus what is present = the runs that are missing."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.take_codes import NEUTRAL
from processing.errors import TakeError
from processing.farm.scheduling.content_keys import content_key, output_identity
from processing.stages.base import TAKE, TEMPLATE, Need, ParamsError, Stage, StageParams
from processing.stages.discovery import Stages, in_order


@dataclass(frozen=True)
class TakeInput:
    """A take to process."""

    name: str  # 2_smile
    expression: str  # smile
    digest: str  # the identity of its photographs and cameras


@dataclass(frozen=True)
class ExternalInput:
    """An input that no run of these takes makes: a file or a folder from outside, with its identity."""

    source: str  # the need that it meets, as Need.text has it: 'take', 'template', 'neutral:register.mesh'
    digest: str

    @property
    def identity(self) -> str:
        return self.digest


@dataclass(frozen=True)
class StageOutput:
    """An input that another run makes."""

    key: str  # of that run
    output: str  # its name there

    @property
    def identity(self) -> str:
        return output_identity(self.key, self.output)


@dataclass(frozen=True)
class StageRun:
    """One run of a stage on one take."""

    key: str  # of all that decides its result
    stage: str
    version: int
    take: str  # its name
    params: Mapping[str, Any]  # as the key has them
    inputs: Mapping[str, ExternalInput | StageOutput]  # by the names of the stage's needs

    @property
    def parents(self) -> frozenset[str]:
        return frozenset(i.key for i in self.inputs.values() if isinstance(i, StageOutput))

    def __hash__(self) -> int:
        return hash((self.key, self.take))


def plan(
    takes: Sequence[TakeInput],
    template_digest: str,
    stages: Stages,
    params: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[StageRun]:
    """Every run of these takes of one subject but urgent ones, each after those it needs; the neutral's come first.

    params: stage -> parameters that differ from their defaults. Raises ParamsError for a stage or parameter that does
    not exist, and TakeError where a stage needs the neutral and no take is neutral, or two are.
    """
    chosen = _params(stages, params or {})
    neutral = _neutral(takes, stages)
    made: dict[tuple[str, str], StageRun] = {}
    runs: list[StageRun] = []
    for take in sorted(takes, key=lambda t: t is not neutral):
        outside = {TAKE: take.digest, TEMPLATE: template_digest}
        for name in in_order(stages):
            if stages[name].urgent:
                continue
            run = _run(stages[name], take, chosen[name], outside, _Made(made, neutral))
            made[take.name, name] = run
            runs.append(run)
    return runs


def plan_urgent(
    takes: Sequence[TakeInput], stages: Stages, params: Mapping[str, Mapping[str, Any]] | None = None
) -> list[StageRun]:
    """The runs of urgent stages alone, which need the photographs and nothing else. Raises ParamsError."""
    urgent = {name: stage for name, stage in stages.items() if stage.urgent}
    chosen = {name: given for name, given in (params or {}).items() if name in urgent}
    return [run for take in takes for run in plan_given(take, {TAKE: take.digest}, urgent, chosen)]


def plan_given(
    take: TakeInput, given: Mapping[str, str], stages: Stages, params: Mapping[str, Mapping[str, Any]]
) -> list[StageRun]:
    """The runs of one take by itself, whose inputs from outside are these; others are left out.

    given: need (as Need.text has it) -> identity of what meets it, of the neutral's results too. Stages run without an
    input from outside that is not there. Raises ParamsError.
    """
    chosen = _params(stages, params)
    made: dict[tuple[str, str], StageRun] = {}
    for name in in_order(stages):
        made[take.name, name] = _run(stages[name], take, chosen[name], given, _Made(made, None))
    return list(made.values())


def _params(stages: Stages, given: Mapping[str, Mapping[str, Any]]) -> dict[str, StageParams]:
    for name in given:
        if name not in stages:
            raise ParamsError(f"there is no stage '{name}'; there are {', '.join(stages)}")
    return {name: stage.Params.from_mapping(given.get(name, {}), f"stage {name}") for name, stage in stages.items()}


def _neutral(takes: Sequence[TakeInput], stages: Stages) -> TakeInput | None:
    found = [t for t in takes if t.expression == NEUTRAL]
    if len(found) > 1:
        raise TakeError(f"{' and '.join(t.name for t in found)} are both neutral; keep one of them")
    asking = [s.name for s in stages.values() if any(n.of_neutral for _, n in s.parsed_needs())]
    if not found and asking:
        raise TakeError(
            f"No take is neutral among {', '.join(t.name for t in takes) or 'none'}. Every expression is registered "
            "from the neutral face of the same subject: add its folder, named like 1_neutral."
        )
    return found[0] if found else None


@dataclass(frozen=True)
class _Made:
    """Runs that are planned already, by take and stage, and which take is the neutral one."""

    runs: Mapping[tuple[str, str], StageRun]
    neutral: TakeInput | None

    def output(self, take: TakeInput, need: Need) -> StageOutput | None:
        """None where the neutral's is asked for and this is it, or there is none."""
        if need.source or (need.of_neutral and self.neutral in (None, take)):
            return None
        owner = self.neutral if need.of_neutral and self.neutral is not None else take
        return StageOutput(self.runs[owner.name, need.stage].key, need.output)


def _run(stage: Stage, take: TakeInput, params: StageParams, outside: Mapping[str, str], made: _Made) -> StageRun:
    values = params.to_mapping()
    if "expression" in values:
        values["expression"] = take.expression
    inputs: dict[str, ExternalInput | StageOutput] = {}
    for name, need in stage.parsed_needs():
        if need.text in outside:
            inputs[name] = ExternalInput(need.text, outside[need.text])
        elif (output := made.output(take, need)) is not None:
            inputs[name] = output
    key = content_key(stage.name, stage.version, values, {n: i.identity for n, i in inputs.items()})
    return StageRun(key, stage.name, stage.version, take.name, values, inputs)


def missing(runs: Iterable[StageRun], present: Collection[str]) -> list[StageRun]:
    """The runs whose results are not there, each key once, in order."""
    seen = set(present)
    todo: list[StageRun] = []
    for run in runs:
        if run.key not in seen:
            seen.add(run.key)
            todo.append(run)
    return todo


def descendants(runs: Sequence[StageRun], key: str) -> set[str]:
    """The keys of all runs that need this one's result, near or far."""
    found = {key}
    for run in runs:  # in order: parents come first
        if run.parents & found:
            found.add(run.key)
    return found - {key}
