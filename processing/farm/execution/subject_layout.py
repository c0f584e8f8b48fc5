"""From a subject's finished runs to the release layout: everything is prepared aside, then renamed into place.

    OUT/models_reg/<name>.obj .obj.mtl .jpg     OUT/dpmap/<name>.png .exr     OUT/mesh/<name>.ply     OUT/report.html
    OUT/rigs/<output>: what was made of all takes together, where there are enough

report.html comes last: where it is, the set is whole.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files.atomic_write import write_whole
from common.files.hard_links import link_or_copy
from processing.errors import DataError
from processing.farm.execution.stage_run import Results, made, named_disk_errors
from processing.files.obj import write_obj
from processing.files.stage_files import read_vertices
from processing.stages.outputs import DISPLACEMENT, DISPLACEMENT_EXR, MESH, SCAN, TEXTURE
from processing.template.template import Template

REPORT = "report.html"
RIGS = "rigs"
RECORD = "placed.json"


@dataclass(frozen=True)
class ProcessedSubject:
    """What was made of a subject."""

    out: Path
    quality: Mapping[str, Mapping[str, Any]]  # take name -> the preview's figures
    warnings: Sequence[str]
    runs: int  # how many stage runs it took
    seconds: float


def prepare(folder: Path, template: Template, takes: Mapping[str, Results], subject: Results) -> list[Path]:
    """Write the layout of these takes (name -> results) into a new folder; the files' paths relative to it.

    subject: what was made of all of them together.
    """
    with named_disk_errors(folder):
        for name, results in takes.items():
            mesh = template.mesh.with_vertices(read_vertices(made(results, MESH)))
            write_obj(folder / "models_reg" / f"{name}.obj", mesh, texture=f"{name}.jpg")
            link_or_copy(made(results, TEXTURE), folder / "models_reg" / f"{name}.jpg")
            link_or_copy(made(results, DISPLACEMENT), folder / "dpmap" / f"{name}.png")
            link_or_copy(made(results, DISPLACEMENT_EXR), folder / "dpmap" / f"{name}.exr")
            link_or_copy(made(results, SCAN), folder / "mesh" / f"{name}.ply")
        for output in (output for outputs in subject.values() for output in outputs.values()):
            link_or_copy(output.path, folder / RIGS / output.path.name)
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())


def place(prepared: Path, files: Sequence[Path], out: Path, work: Path) -> None:
    """Rename prepared files (report.html among them) to their places under `out`, and drop those of an earlier call.

    A file in the way that no earlier call placed is never replaced: DataError names it.
    """
    record = work / RECORD
    earlier = _placed(record)
    foreign = [str(f) for f in files if (out / f).exists() and str(f) not in earlier]
    if foreign:
        raise DataError(
            f"{out} already holds {', '.join(foreign[:3])}{' and others' if len(foreign) > 3 else ''}, which this "
            "command did not make. Move them away, or name another --out."
        )
    with named_disk_errors(out):
        (out / REPORT).unlink(missing_ok=True)
        _note(record, {*earlier, *map(str, files)})
        for file in sorted(files, key=lambda f: f.name == REPORT):
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            (prepared / file).replace(out / file)
        for stale in earlier - set(map(str, files)):
            (out / stale).unlink(missing_ok=True)
        _note(record, set(map(str, files)))
    shutil.rmtree(prepared, ignore_errors=True)


def _placed(record: Path) -> set[str]:
    try:
        return set(json.loads(record.read_text()))
    except (OSError, ValueError):
        return set()


def _note(record: Path, files: set[str]) -> None:
    write_whole(record, json.dumps(sorted(files), indent=1), durable=False)
