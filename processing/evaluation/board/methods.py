"""What a method is: a command that makes meshes of photographs, or a folder of meshes; all of it in a TOML file."""

import ast
import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from common.configuration.loader import from_table, read_toml
from common.files.hashes import file_sha256
from processing.errors import DataError

Positive = Annotated[float, Meta(gt=0)]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_.-]{0,63}$", description="lower-case letters, digits, - _ and .")]
_PLACE = re.compile(r"\{([a-z_]+)\}")
_GIVEN = ("images", "out", "model", "here", "python")


class MethodError(DataError):
    """A method's file, or what it names, cannot be used."""


@dataclass(frozen=True)
class Method:
    """A single-view method as its TOML file describes it."""

    name: Name
    command: tuple[str, ...]  # words; {images}, {out}, {model}, {here}, {python} and those of [values] stand for others
    description: str = ""
    reference: str = ""  # where it is published
    projection: str = ""  # what camera it assumes, and how its meshes come into the benchmark's
    sees_focal: bool = False  # the list of photographs tells it the focal length
    batch: Annotated[int, Meta(ge=1)] = 40  # photographs that one run of the command gets
    seconds_an_image: Positive = 120.0  # without a new mesh for longer, it hangs
    seconds_to_start: Positive = 180.0  # more, before the first mesh
    values: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    #: An exit code by which a command says that it cannot run on this machine: what it needs is not installed.
    UNAVAILABLE: ClassVar[int] = 77


@dataclass(frozen=True)
class MethodFile:
    """A method, and the folder that its command runs in."""

    method: Method
    path: Path

    @property
    def here(self) -> Path:
        return self.path.resolve().parent

    @property
    def needs_model(self) -> bool:
        return any("{model}" in word for word in self.method.command)

    def words(self, images: Path, out: Path, model: Path | None) -> list[str]:
        """The command line for a list of photographs. MethodError where it asks for a model not given."""
        if model is None and self.needs_model:
            raise MethodError(f"{self.path}: its command asks for {{model}}; give --model")
        given = {
            "images": str(images), "out": str(out), "model": str(model), "here": str(self.here),
            "python": sys.executable,
        } | {key: _spelt(value) for key, value in self.method.values.items()}  # fmt: skip
        return [_PLACE.sub(lambda found: given[found[1]], word) for word in self.method.command]

    def key(self, model: Path | None) -> str:
        """64 hexadecimal digits: what makes a mesh, but for the photograph. The command, its values, its programs
        beside the TOML file, and the model."""
        told: dict[str, Any] = {
            "command": list(self.method.command), "values": dict(self.method.values),
            "sees_focal": self.method.sees_focal,
            "model": file_sha256(model) if model is not None and self.needs_model else "",
        }  # fmt: skip
        for program in self._programs():
            told[f"file {program.name}"] = file_sha256(program)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def _programs(self) -> list[Path]:
        """Files beside the TOML file that the command names, and the Python modules beside them that they import."""
        named = [self.here / word.replace("{here}/", "") for word in self.method.command if word != "{here}"]
        found: list[Path] = []
        waiting = [path for path in named if not _PLACE.search(path.name) and path.is_file()]
        while waiting:
            path = waiting.pop()
            if path not in found:
                found.append(path)
                waiting += [module for name in _imported(path) if (module := path.parent / f"{name}.py").is_file()]
        return sorted(found)


def read_method(path: Path) -> MethodFile:
    """A method's TOML file. Raises MethodError with what is wrong in it."""
    method = from_table(Method, read_toml(path, MethodError), str(path), MethodError)
    if not method.command:
        raise MethodError(f"{path}: 'command' is empty; of meshes that are there already: mien benchmark evaluate")
    taken = sorted(set(method.values) & set(_GIVEN))
    if taken:
        raise MethodError(f"{path}: [values] has {taken[0]!r}, which every command is given; call it otherwise")
    if any("\0" in str(word) for word in (*method.command, *method.values.values())):
        raise MethodError(f"{path}: 'command' or [values] holds a NUL character, which no program can be given")
    known = (*_GIVEN, *method.values)
    for word in method.command:
        unknown = [name for name in _PLACE.findall(word) if name not in known]
        if unknown:
            raise MethodError(f"{path}: its command asks for {{{unknown[0]}}}; there are {', '.join(known)}")
    if not any("{images}" in word for word in method.command) or not any("{out}" in word for word in method.command):
        raise MethodError(f"{path}: its command takes no {{images}}, or no {{out}}: what is it to make, and where?")
    return MethodFile(method, path)


def _imported(path: Path) -> list[str]:
    """The modules that a Python program imports by their first names; none of another file."""
    if path.suffix != ".py":
        return []
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module.partition(".")[0])
    return names


def _spelt(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
