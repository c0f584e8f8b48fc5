"""A rig file checked as a whole: all that is wrong at once, each with its line.

controller.rig_file judges; here is found where it stands. A file is refused by `read_rig` exactly when there is an
error here.
"""

from dataclasses import dataclass
from pathlib import Path

from common.bounded.files import read_bytes
from common.bounded.json_toml import parse_toml
from common.bounded.limits import MAX_TOML_BYTES, OutOfBounds
from common.configuration.loader import Refusal
from common.configuration.toml_lines import BrokenLine, TomlLines, read_toml_lines
from controller.errors import ConfigurationError
from controller.rig_file import Rig, judge_rig


@dataclass(frozen=True, order=True)
class RigError:
    """One thing that is wrong in a rig file."""

    line: int  # from 1
    key: str  # camera[3].view, or empty where the line is no TOML
    text: str  # what is wrong, and what is wanted


@dataclass(frozen=True)
class RigCheck:
    """What a check found: the rig, or errors."""

    rig: Rig | None
    errors: tuple[RigError, ...]  # by line


def check_rig(path: Path) -> RigCheck:
    """Raises ConfigurationError for a file that cannot be opened."""
    try:
        data = read_bytes(path, MAX_TOML_BYTES)
    except OutOfBounds as error:
        return _one(1, str(error))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _one(data.count(b"\n", 0, error.start) + 1, f"it is no UTF-8: the byte {data[error.start]:#04x}")
    try:
        lines = read_toml_lines(text)
    except OutOfBounds as error:
        return _one(1, str(error))
    try:
        document, broken = parse_toml(text), list[BrokenLine]()
    except ValueError:
        document, broken = lines.document, lines.broken
    rig, faults = judge_rig(document)
    errors = [RigError(one.line, "", f"not valid TOML: {one.text}") for one in broken]
    errors += [
        RigError(lines.line_of(fault.at), _key(fault.at), fault.text)
        for fault in faults
        if not (broken and _unsure(fault, lines))
    ]
    return RigCheck(rig if not errors else None, tuple(sorted(errors)))


def _unsure(fault: Refusal, lines: TomlLines) -> bool:
    """Whether it may be there, in a line that is no TOML."""
    return fault.absent and (lines.headless or lines.incomplete(fault.at))


def _key(at: tuple[str | int, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at)
    return text.removeprefix(".")


def _one(line: int, text: str) -> RigCheck:
    return RigCheck(None, (RigError(line, "", text),))
