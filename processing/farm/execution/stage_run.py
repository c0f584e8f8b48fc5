"""One run of one stage in a folder of its own: temporary folder, run, check, hash. Both ways to run a graph use it."""

import errno
import mimetypes
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files.durable import fsync_file
from common.files.hashes import file_sha256
from processing.errors import DataError
from processing.stages.base import Inputs, Stage, StageError
from processing.stages.outputs import OutputName

MEDIA = {"ply": "model/ply", "npz": "application/x-npz", "json": "application/json", "obj": "model/obj"}
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFull(DataError):
    """No room for a result."""


@dataclass(frozen=True)
class Output:
    """A file that a run made."""

    path: Path
    sha256: str
    bytes: int
    media: str  # its media type


# What the runs of one take made: stage -> output -> file.
Results = Mapping[str, Mapping[str, Output]]


def made(results: Results, name: OutputName) -> Path:
    """The file of an output."""
    return results[name.stage][name.output].path


@contextmanager
def named_disk_errors(where: Path) -> Iterator[None]:
    """Turn 'no space left' into a DiskFull that names the disk."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise DiskFull(disk_full(where)) from error
        raise


def disk_full(where: Path) -> str:
    """The message for a disk without room."""
    existing = next((p for p in (where, *where.parents) if p.exists()), Path("/"))
    free = shutil.disk_usage(existing).free / 1e6
    return (
        f"No room is left to write under {where} ({free:.1f} MB free). Free some space, or name another folder; "
        "then run the same command again: finished work is kept."
    )


def run_stage(
    stage: Stage, params: Mapping[str, Any], inputs: Inputs, folder: Path, *, durable: bool = True
) -> dict[str, Output]:
    """Run a stage into `folder` (created; must not exist) and hash what it made.

    durable: outputs are flushed to the disk; needless where a store takes a durable copy anyway. Raises StageError when
    an output is missing or empty, DiskFull, and what the stage itself raises. On any error the folder is removed.
    """
    checked = stage.Params.from_mapping(params, f"stage {stage.name}")
    try:
        with named_disk_errors(folder):
            folder.mkdir(parents=True)
            stage.run(inputs, checked, folder)
            return {name: _output(stage, folder, name, durable) for name in stage.makes}
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _output(stage: Stage, folder: Path, name: str, durable: bool) -> Output:
    path = folder / stage.file_name(name)
    if not path.is_file() or path.stat().st_size == 0:
        raise StageError(f"stage {stage.name} ended without its output '{name}' ({path.name})")
    if durable:
        fsync_file(path)
    return Output(path, file_sha256(path), path.stat().st_size, media_type(path))


def media_type(path: Path) -> str:
    return MEDIA.get(path.suffix[1:]) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
