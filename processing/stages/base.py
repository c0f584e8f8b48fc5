"""What a stage is: a name, a version, what it needs and makes, its parameters, and `run` over files."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, dataclass_transform

from common.configuration.loader import Wording, from_table
from common.progress import Progress, no_progress
from processing.errors import DataError

TAKE = "take"  # the folder of photographs and params.json
TEMPLATE = "template"  # the template's file
NEUTRAL = "neutral:"  # before a need: of the subject's neutral take, not of this one


_WORDING = Wording(
    unknown="there is no '{key}'", known="it has: {known}", value="'{key}' is {value!r}; wanted {wanted}"
)


class StageError(DataError):
    """A stage cannot run, or did not make what it promises."""


class ParamsError(StageError):
    """A parameter that no stage has, or of a wrong type."""

    exit_code: ClassVar[int] = 2


@dataclass_transform(frozen_default=True)
class StageParams:
    """Base of a stage's parameters. Each subclass becomes a frozen dataclass; all of its fields are part of the key.

    A field named `expression` is set by the graph to the take's expression.
    """

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "parameters") -> Self:
        """Parameters from names and values. Raises ParamsError for a misspelling or a value of a wrong type."""
        return from_table(cls, values, where, ParamsError, wording=_WORDING)

    def to_mapping(self) -> dict[str, Any]:
        """The parameters as JSON has them."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class Resources:
    """What one run takes from the machine."""

    ram_gb: float = 0.5
    gpu: bool = False


@dataclass(frozen=True)
class Inputs:
    """The files of one run by the names in `needs`, and what it may use. None of the latter changes the result's key.

    threads: how many processors this run may keep busy (None: all that the process may use).
    """

    paths: Mapping[str, Path]
    device: str = "cpu"
    threads: int | None = None
    progress: Progress = field(default=no_progress, compare=False)

    def __getitem__(self, name: str) -> Path:
        return self.paths[name]

    def get(self, name: str) -> Path | None:
        """An input that the neutral take does without."""
        return self.paths.get(name)


@dataclass(frozen=True)
class Need:
    """Where an input comes from: an outside source (`stage` empty), or a stage's output of this or the neutral take."""

    source: str
    stage: str = ""
    output: str = ""
    of_neutral: bool = False

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """`take`, `template`, `stage` (its output called like the input), `stage.output`, `neutral:stage.output`."""
        if text in (TAKE, TEMPLATE):
            return cls(text)
        of_neutral = text.startswith(NEUTRAL)
        stage, _, output = text.removeprefix(NEUTRAL).partition(".")
        return cls("", stage, output or name, of_neutral)


class Stage:
    """One step from files to files. Subclass it in a file of its own; discovery finds it.

    name, version: part of the key; raise the version when the same inputs and parameters would give another result.
    needs: input name -> where from (see Need.parse).
    makes: output name -> file suffix; `run` writes `out/<name>.<suffix>`.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[Mapping[str, str]]
    makes: ClassVar[Mapping[str, str]]
    resources: ClassVar[Resources] = Resources()

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
