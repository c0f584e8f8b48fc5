"""From a subject's takes to the stage runs they ask for. Goal minus what is present = the runs that are missing."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from common.take_codes import NEUTRAL
from processing.errors import TakeError
from processing.farm.scheduling.content_keys import content_key, output_identity
from processing.stages.base import TAKE, TEMPLATE, ParamsError, Stage
from processing.stages.discovery import Stages, in_order


@dataclass(frozen=True)
class TakeInput:
    """A take to process. name: '2_smile'; digest: the identity of its photographs and cameras."""

    name: str
    expression: str
    digest: str


@dataclass(frozen=True)
class ExternalInput:
    """An input that no run makes: a take or a template, with its identity."""

    source: str
    digest: str

    @property
    def identity(self) -> str:
        return self.digest


@dataclass(frozen=True)
class StageOutput:
    """An input that another run makes."""

    key: str
    output: str

    @property
    def identity(self) -> str:
        return output_identity(self.key, self.output)


@dataclass(frozen=True)
class StageRun:
    """One run of a stage on one take; `key` is all that decides its result."""

    key: str
    stage: str
    version: int
    take: str
    params: Mapping[str, Any]
    inputs: Mapping[str, ExternalInput | StageOutput]

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
    """Every run of these takes of one subject, each after those it needs; the neutral's come first.

    params: stage -> parameters that differ from their defaults. Raises ParamsError for a stage or parameter that does
    not exist, and TakeError where a stage needs the neutral and no take is neutral, or two are.
    """
    chosen = _params(stages, params or {})
    neutral = _neutral(takes, stages)
    made: dict[tuple[str, str], StageRun] = {}
    runs: list[StageRun] = []
    for take in sorted(takes, key=lambda t: t is not neutral):
        for name in in_order(stages):
            run = _run(stages[name], take, neutral, template_digest, chosen[name], made)
            made[take.name, name] = run
            runs.append(run)
    return runs


def _params(stages: Stages, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
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


def _run(
    stage: Stage,
    take: TakeInput,
    neutral: TakeInput | None,
    template_digest: str,
    params: Any,
    made: Mapping[tuple[str, str], StageRun],
) -> StageRun:
    values = params.to_mapping()
    if any(f.name == "expression" for f in fields(params)):
        values["expression"] = take.expression
    inputs: dict[str, ExternalInput | StageOutput] = {}
    for name, need in stage.parsed_needs():
        if need.source == TAKE:
            inputs[name] = ExternalInput(TAKE, take.digest)
        elif need.source == TEMPLATE:
            inputs[name] = ExternalInput(TEMPLATE, template_digest)
        elif not need.of_neutral:
            inputs[name] = StageOutput(made[take.name, need.stage].key, need.output)
        elif neutral is not None and take is not neutral:
            inputs[name] = StageOutput(made[neutral.name, need.stage].key, need.output)
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
