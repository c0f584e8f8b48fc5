"""From a subject's takes to the stage runs they ask for: of takes, of the subject, of a study.

Goal minus what is present = the runs that are missing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.take_codes import NEUTRAL, TakeLabel
from processing.errors import TakeError
from processing.farm.scheduling.content_keys import content_key, each_identity, output_identity
from processing.stages.base import TAKE, Need, ParamsError, Scope, Stage, StageParams
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
class EachInput:
    """An input that is of many: takes of a subject, subjects of a study."""

    items: tuple[tuple[str, ExternalInput | StageOutput], ...]  # by label, in the order in which the stage has them

    @property
    def identity(self) -> str:
        return each_identity((label, item.identity) for label, item in self.items)


RunInput = ExternalInput | StageOutput | EachInput


@dataclass(frozen=True)
class StageRun:
    """One run of a stage on one take, one subject or one study."""

    key: str  # of all that decides its result
    stage: str
    version: int
    take: str  # its name; empty where the run is of a subject or a study
    params: Mapping[str, Any]  # as the key has them
    inputs: Mapping[str, RunInput]  # by the names of the stage's needs
    scope: Scope = Scope.TAKE

    @property
    def parents(self) -> frozenset[str]:
        return frozenset(source.key for _, _, source in self.sources() if isinstance(source, StageOutput))

    @property
    def label(self) -> str:
        """What it is of, for people."""
        return self.take or str(self.scope)

    def sources(self) -> Iterator[tuple[str, str, ExternalInput | StageOutput]]:
        """Name of the need, label within it (empty where it is of one), where it comes from: in order."""
        for name, source in self.inputs.items():
            if isinstance(source, EachInput):
                yield from ((name, label, item) for label, item in source.items)
            else:
                yield name, "", source

    def __hash__(self) -> int:
        return hash((self.key, self.take))


def plan(
    takes: Sequence[TakeInput],
    shared: Mapping[str, str],
    stages: Stages,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    of_subject: bool = True,
) -> list[StageRun]:
    """Every run of these takes of one subject but urgent ones, each after those it needs; the neutral's come first.

    The subject's own runs come last, unless `of_subject` is false: a subject whose takes are not all there yet.
    shared: outside source -> identity of the file that all takes have in common (base.SHARED).
    params: stage -> parameters that differ from their defaults. Raises ParamsError for a stage or parameter that does
    not exist, and TakeError where a stage needs the neutral and no take is neutral, or two are.
    """
    chosen = checked_params(stages, params or {})
    neutral = _neutral(takes, stages)
    made: dict[tuple[str, str], StageRun] = {}
    runs: list[StageRun] = []
    for take in sorted(takes, key=lambda t: t is not neutral):
        outside = {**shared, TAKE: take.digest}
        for name in in_order(stages):
            if stages[name].urgent or stages[name].scope is not Scope.TAKE:
                continue
            run = _run(stages[name], take, chosen[name], outside, _Made(made, neutral))
            made[take.name, name] = run
            runs.append(run)
    if not of_subject:
        return runs
    ordered = _in_protocol_order(takes)
    takes_of = Parts([t.name for t in ordered], _outputs_of_takes(made), neutral.name if neutral else None)
    return runs + plan_over(Scope.SUBJECT, takes_of, shared, stages, params)


def _outputs_of_takes(made: Mapping[tuple[str, str], StageRun]) -> "PartOutput":
    return lambda take, need: StageOutput(made[take, need.stage].key, need.output)


PartOutput = Callable[[str, Need], ExternalInput | StageOutput | None]


@dataclass(frozen=True)
class Parts:
    """What a run of more than one take reads from: a subject's takes, or a study's subjects."""

    labels: Sequence[str]  # in the order in which stages have them
    output: PartOutput  # of the part with this label, what a need asks for; None where it has none
    neutral: str | None = None  # the label of a subject's neutral take


def plan_over(
    scope: Scope,
    parts: Parts,
    shared: Mapping[str, str],
    stages: Stages,
    params: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[StageRun]:
    """The runs of one subject or one study, makers before users; none of stages that need more parts than there are.

    shared: outside source -> identity of its file. A need that no part has an output for is left out of a run, as are
    sources that are not there. Raises ParamsError.
    """
    own = {name: stage for name, stage in stages.items() if stage.scope is scope}
    chosen = checked_params(own, {name: given for name, given in (params or {}).items() if name in own})
    made: dict[str, StageRun] = {}
    for name in (name for name in in_order(stages) if name in own):
        if _enough(own[name], len(parts.labels), made):
            inputs = {
                what: source
                for what, need in own[name].parsed_needs()
                if (source := _source(need, parts, shared, made))
            }
            made[name] = run_of(own[name], chosen[name].to_mapping(), inputs)
    return list(made.values())


def _source(need: Need, parts: Parts, shared: Mapping[str, str], made: Mapping[str, StageRun]) -> "RunInput | None":
    if need.source:
        return ExternalInput(need.text, shared[need.text]) if need.text in shared else None
    if need.each:
        found = ((label, parts.output(label, need)) for label in parts.labels)
        items = tuple((label, output) for label, output in found if output is not None)
        return EachInput(items) if items else None
    if need.of_neutral:
        return None if parts.neutral is None else parts.output(parts.neutral, need)
    return StageOutput(made[need.stage].key, need.output)


def _in_protocol_order(takes: Sequence[TakeInput]) -> list[TakeInput]:
    def place(take: TakeInput) -> tuple[int, str]:
        label = TakeLabel.find(take.name)
        return (0 if label is None else label.position), take.name

    return sorted(takes, key=place)


def _enough(stage: Stage, number: int, made: Mapping[str, StageRun]) -> bool:
    """Whether so many takes, or subjects, suffice for a run, and what it reads of its own scope is planned."""
    needs = [need for _, need in stage.parsed_needs()]
    if any(need.each for need in needs) and number < stage.fewest:
        return False
    return all(need.source or need.each or need.of_neutral or need.stage in made for need in needs)


def run_of(stage: Stage, values: Mapping[str, Any], inputs: Mapping[str, RunInput], take: str = "") -> StageRun:
    """A run with its key. values: its parameters, as keys have them."""
    key = content_key(stage.name, stage.version, values, {name: source.identity for name, source in inputs.items()})
    return StageRun(key, stage.name, stage.version, take, values, inputs, stage.scope)


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
    chosen = checked_params(stages, params)
    made: dict[tuple[str, str], StageRun] = {}
    for name in in_order(stages):
        if stages[name].scope is not Scope.TAKE:
            continue
        made[take.name, name] = _run(stages[name], take, chosen[name], given, _Made(made, None))
    return list(made.values())


def checked_params(stages: Stages, given: Mapping[str, Mapping[str, Any]]) -> dict[str, StageParams]:
    """Every stage's parameters. Raises ParamsError for one of no such stage, or that it does not have."""
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
    inputs: dict[str, RunInput] = {}
    for name, need in stage.parsed_needs():
        if need.text in outside:
            inputs[name] = ExternalInput(need.text, outside[need.text])
        elif (output := made.output(take, need)) is not None:
            inputs[name] = output
    return run_of(stage, values, inputs, take.name)


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
