"""Finding stages: every subclass of Stage in the files of a folder, checked to fit together."""

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType, ModuleType

from processing.stages.base import EACH, MEMBERS, NEUTRAL, OUTSIDE, SHARED, Need, Scope, Stage, StageError

Stages = Mapping[str, Stage]
BUILT_IN = Path(__file__).parent
_NOT_STAGES = {"__init__", "base", "discovery", "parameters"}


def discover(*folders: Path) -> Stages:
    """The stages in these folders (default: Mien's own) by name, makers before users.

    Raises StageError for two stages of one name, a need that nothing makes, and a circle.
    """
    return _discover(tuple(Path(f).resolve() for f in folders) or (BUILT_IN,))


@lru_cache(maxsize=16)
def _discover(folders: tuple[Path, ...]) -> Stages:
    found: dict[str, Stage] = {}
    for folder in folders:
        files = sorted(folder.glob("*.py"))
        if not files:
            raise StageError(f"{folder} holds no stage: a stage is a .py file with a subclass of Stage")
        for file in files:
            if file.stem in _NOT_STAGES:
                continue
            for stage in _stages_of(_module(file)):
                if stage.name in found:
                    raise StageError(f"{file}: there is already a stage '{stage.name}'")
                found[stage.name] = stage
    return MappingProxyType({name: found[name] for name in in_order(found)})


def in_order(stages: Stages) -> Sequence[str]:
    """The stages' names, makers before users. Raises StageError when they do not fit together."""
    graph: dict[str, set[str]] = {}
    for name, stage in stages.items():
        graph[name] = set()
        if stage.urgent and stage.scope is not Scope.TAKE:
            raise StageError(
                f"stage {name} of a {stage.scope} cannot be urgent: nobody waits for it beside the subject"
            )
        for what, need in stage.parsed_needs():
            if need.source:
                _check_source(stage, what, need)
                continue
            if need.stage not in stages or need.output not in stages[need.stage].makes:
                raise StageError(f"stage {name} needs '{what}' of {need.stage}.{need.output}, which nothing makes")
            _check_scope(stage, what, need, stages[need.stage].scope)
            if not (need.of_neutral and need.stage == name):
                graph[name].add(need.stage)
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise StageError(f"stages need each other in a circle: {' <- '.join(error.args[1])}") from None


def _check_source(stage: Stage, what: str, need: Need) -> None:
    """Raises StageError for an outside source that a run of this scope does not have."""
    lacking = {
        Scope.TAKE: (MEMBERS,),
        Scope.SUBJECT: tuple({*OUTSIDE} - {*SHARED}),
        Scope.STUDY: tuple({*OUTSIDE} - {*SHARED, MEMBERS}),
    }
    if need.source in lacking[stage.scope]:
        raise StageError(f"stage {stage.name} needs '{what}' from '{need.source}', which a {stage.scope} does not have")


# Scope of a stage -> scope of what it reads -> how the need may be written.
_FORMS: Mapping[Scope, Mapping[Scope, tuple[str, ...]]] = {
    Scope.TAKE: {Scope.TAKE: ("", NEUTRAL)},
    Scope.SUBJECT: {Scope.TAKE: (EACH, NEUTRAL), Scope.SUBJECT: ("",)},
    Scope.STUDY: {Scope.TAKE: (f"{EACH}{NEUTRAL}",), Scope.SUBJECT: (EACH,), Scope.STUDY: ("",)},
}


def _check_scope(stage: Stage, what: str, need: Need, of: Scope) -> None:
    """Raises StageError for a need that a stage of this scope cannot have, and says how it is written."""
    forms = _FORMS[stage.scope].get(of)
    if forms is None:
        raise StageError(
            f"stage {stage.name} is of a {stage.scope} and needs '{what}' of {need.stage}, which is of a {of}: "
            "what is made of more takes cannot be read by what is made of fewer"
        )
    if f"{EACH if need.each else ''}{NEUTRAL if need.of_neutral else ''}" not in forms:
        ways = " or ".join(f"'{form}{need.stage}.{need.output}'" for form in forms)
        raise StageError(f"stage {stage.name} of a {stage.scope} needs '{what}' as '{need.text}': write {ways}")


def upstream(stages: Stages, *wanted: str) -> Stages:
    """The wanted stages and those whose outputs they need, makers before users."""
    found: dict[str, Stage] = {}
    left = list(wanted)
    while left:
        name = left.pop()
        if name not in found:
            found[name] = stages[name]
            left += [need.stage for _, need in found[name].parsed_needs() if need.stage]
    return MappingProxyType({name: found[name] for name in in_order(found)})


def _module(file: Path) -> ModuleType:
    if file.parent == BUILT_IN:
        return importlib.import_module(f"processing.stages.{file.stem}")
    name = f"_mien_stages_{abs(hash(file.parent))}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise StageError(f"{file} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _stages_of(module: ModuleType) -> list[Stage]:
    kinds = [k for k in vars(module).values() if isinstance(k, type) and issubclass(k, Stage) and k is not Stage]
    return [kind() for kind in kinds if kind.__module__ == module.__name__]
