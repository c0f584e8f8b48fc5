"""What a stage is: a name, a version, what it needs and makes, its parameters, and `run` over files."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, dataclass_transform

from common.configuration.loader import Wording, values_by_type
from common.progress import Progress, no_progress
from processing.errors import DataError

# Outside sources: files that no stage makes.
TAKE = "take"  # the folder of photographs and params.json
TEMPLATE = "template"  # the template's file
FACE_UNITS = "face units"  # the template's generic expression units, a file beside it
MEMBERS = "members"  # JSON of a study's subjects: code, age group, gender
SCAN_FILE = "scan file"  # a scan that is there already
PLACED_LANDMARKS = "placed landmarks"  # landmarks that a person placed
OUTSIDE = (TAKE, TEMPLATE, FACE_UNITS, MEMBERS, SCAN_FILE, PLACED_LANDMARKS)
SHARED = (TEMPLATE, FACE_UNITS)  # those that all takes of a study have in common
NEUTRAL = "neutral:"  # before a need: of the subject's neutral take, not of this one
EACH = "each:"  # before a need: of every accepted take of the subject, or of every subject of the selection


_WORDING = Wording(
    unknown="there is no '{key}'", known="it has: {known}", value="'{key}' is {value!r}; wanted {wanted}"
)


class StageError(DataError):
    """A stage cannot run, or did not make what it promises."""


class ParamsError(StageError):
    """A parameter that no stage has, or of a wrong type."""

    exit_code: ClassVar[int] = 2


class Scope(StrEnum):
    """What one run of a stage is of: a take, a subject (its accepted takes), a study (the subjects of a selection)."""

    TAKE = "take"
    SUBJECT = "subject"
    STUDY = "study"


@dataclass(frozen=True)
class FlatName:
    """Where the parameter of one name is kept."""

    field: str  # of the parameters
    type: Any  # of its value
    attribute: str = ""  # of the group in that field; empty where the field is the parameter itself
    index: int | None = None  # within a pair
    default: Any = None  # the group where nothing is given


def group(*, default: Any, names: Sequence[str] = (), pairs: Sequence[str] = ()) -> Any:
    """A field of stage parameters that holds a dataclass, some of whose fields are parameters. They are encoded flat.

    names: those that are parameters under their own name.  pairs: those of the form (review, redo), which are the
    parameters review_<name> and redo_<name>.
    """
    flat: dict[str, tuple[str, int | None]] = {name: (name, None) for name in names}
    for name in pairs:
        flat |= {f"review_{name}": (name, 0), f"redo_{name}": (name, 1)}
    return field(default=default, metadata={"flat": flat})


@dataclass_transform(frozen_default=True, field_specifiers=(group,))
class StageParams:
    """Base of a stage's parameters. Each subclass becomes a frozen dataclass; all that it encodes is part of the key.

    A field named `expression` is set by the graph to the take's expression.
    """

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)

    @classmethod
    @cache
    def flat_names(cls) -> dict[str, FlatName]:
        """The parameters' names, as people write them and keys hold them."""
        hints = typing.get_type_hints(cls)
        flat: dict[str, FlatName] = {}
        for f in dataclasses.fields(cls):  # type: ignore[arg-type]
            if "flat" not in f.metadata:
                flat[f.name] = FlatName(f.name, hints[f.name])
                continue
            inner = typing.get_type_hints(type(f.default))
            for name, (attribute, index) in f.metadata["flat"].items():
                hint = inner[attribute] if index is None else typing.get_args(inner[attribute])[index]
                flat[name] = FlatName(f.name, hint, attribute, index, f.default)
        return flat

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "parameters") -> Self:
        """Parameters from names and values. Raises ParamsError for a misspelling or a value of a wrong type."""
        flat = cls.flat_names()
        types = {name: at.type for name, at in flat.items()}
        made: dict[str, Any] = {}
        changed: dict[str, dict[str, Any]] = {}
        for name, value in values_by_type(types, values, where, ParamsError, wording=_WORDING).items():
            at = flat[name]
            if not at.attribute:
                made[at.field] = value
                continue
            inner = changed.setdefault(at.field, {})
            if at.index is not None:
                pair = list(inner.get(at.attribute, getattr(at.default, at.attribute)))
                pair[at.index] = value
                value = tuple(pair)
            inner[at.attribute] = value
        defaults = {at.field: at.default for at in flat.values()}
        made |= {name: dataclasses.replace(defaults[name], **new) for name, new in changed.items()}
        return cls(**made)

    def to_mapping(self) -> dict[str, Any]:
        """The parameters as JSON has them, flat: what keys are made of."""
        found: dict[str, Any] = {}
        for name, at in self.flat_names().items():
            value = getattr(self, at.field)
            value = getattr(value, at.attribute) if at.attribute else value
            found[name] = value if at.index is None else value[at.index]
        return found


@dataclass(frozen=True)
class Resources:
    """What one run takes from the machine."""

    ram_gb: float = 0.5
    gpu: bool = False


@dataclass(frozen=True)
class Inputs:
    """The files of one run by the names in `needs`, and what it may use, which does not enter the result's key."""

    paths: Mapping[str, Path]
    device: str = "cpu"  # or a torch device
    threads: int | None = None  # processors that this run may keep busy; None: all that the process may use
    memory_gb: float | None = None  # photographs and maps held in memory, the rest lie in files; None: the stage's own
    progress: Progress = field(default=no_progress, compare=False)
    many: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)  # those of needs with `each:`, see `each`

    def __getitem__(self, name: str) -> Path:
        return self.paths[name]

    def get(self, name: str) -> Path | None:
        """An input that not every run has: of the neutral, or from outside."""
        return self.paths.get(name)

    def each(self, name: str) -> Mapping[str, Path]:
        """The files of a need with `each:`, in the order of the protocol, or of the selection.

        By label: a subject's takes as in '1_neutral', a study's subjects by code. Empty where nothing was given.
        """
        return self.many.get(name, {})


@dataclass(frozen=True)
class Need:
    """Where an input comes from: an outside source (`stage` empty), or the output of a stage."""

    source: str  # one of OUTSIDE; empty for a stage's output
    stage: str = ""
    output: str = ""
    of_neutral: bool = False  # the output is that of the subject's neutral take
    each: bool = False  # it is that of every take of the subject, or of every subject of the study

    @property
    def text(self) -> str:
        """The need as `parse` reads it, in full."""
        before = f"{EACH if self.each else ''}{NEUTRAL if self.of_neutral else ''}"
        return self.source or f"{before}{self.stage}.{self.output}"

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """An outside source, `stage` (its output called like the input) or `stage.output`.

        Before a stage may stand `each:`, `neutral:`, or both in this order.
        """
        if text in OUTSIDE:
            return cls(text)
        each = text.startswith(EACH)
        text = text.removeprefix(EACH)
        of_neutral = text.startswith(NEUTRAL)
        stage, _, output = text.removeprefix(NEUTRAL).partition(".")
        return cls("", stage, output or name, of_neutral, each)


class Stage:
    """One step from files to files. Subclass it in a file of its own; discovery finds it.

    name, version: part of the key; raise the version when the same inputs and parameters would give another result.
    scope: what one run is of. A subject's reads outputs of its takes (`each:`, `neutral:`) and of the subject's other
    stages; a study's those of each subject (`each:`), of each one's neutral take (`each:neutral:`) and of the study.
    fewest: with fewer takes, or subjects, there is no run of a stage whose needs have an `each:`.
    needs: input name -> where from (see Need.parse).
    makes: output name -> file suffix; `run` writes `out/<name>.<suffix>`.
    time_share: about how long a run takes beside the other stages' of a take; progress bars move evenly with it.
    urgent: whether a person waits for it beside the subject: its runs go before all else, and no dataset needs them.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[Mapping[str, str]]
    makes: ClassVar[Mapping[str, str]]
    scope: ClassVar[Scope] = Scope.TAKE
    fewest: ClassVar[int] = 1
    resources: ClassVar[Resources] = Resources()
    time_share: ClassVar[float] = 1.0
    urgent: ClassVar[bool] = False

    class Params(StageParams):
        """No parameters."""

    def run(self, inputs: Inputs, params: Any, out: Path) -> None:
        """Read the inputs, write every output into the folder `out`. Raises DataError for inputs it cannot use."""
        raise NotImplementedError

    @classmethod
    def parsed_needs(cls) -> Iterator[tuple[str, Need]]:
        for name, text in cls.needs.items():
            yield name, Need.parse(name, text)

    @classmethod
    def file_name(cls, output: str) -> str:
        return f"{output}.{cls.makes[output]}"
