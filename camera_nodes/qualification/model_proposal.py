"""What a qualification proposes for the table of models, and writing it into the operator's own file.

Only what was measured is proposed, with room above it: twice the longest time, and never less than any body gets.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camera_nodes.camera_models.models import BodyModel, parse
from camera_nodes.errors import BadSettings
from camera_nodes.qualification.report import QualificationReport
from common.files.atomic_write import write_whole

_ROOM = 2.0
_ANY = BodyModel()


def proposed(report: QualificationReport) -> dict[str, Any]:
    """The keys of an entry for the report's model, as far as the report differs from what holds for any body."""
    found: dict[str, Any] = {}
    longest = {
        "file_s": report.times.file_ms.most / 1e3 if report.times.file_ms else 0.0,
        "settle_s": max((s.most / 1e3 for t in report.settles for s in (t.near_ms, t.far_ms) if s), default=0.0),
        "busy_s": report.busy_longest_s,
        "init_s": report.times.open_s.most if report.times.open_s else 0.0,
        "quiet_s": report.times.poll_ms.p99 / 1e3 if report.times.poll_ms else 0.0,
    }
    for key, seconds in longest.items():
        wanted = math.ceil(seconds * _ROOM * 100) / 100
        if wanted > getattr(_ANY, key):
            found[key] = min(wanted, {"quiet_s": 10.0, "settle_s": 120.0, "file_s": 7200.0}.get(key, 300.0))
    if report.exposures.order in ("raw_first", "jpeg_first"):
        found["order"] = report.exposures.order
    if report.exposures.unmatched_raw:
        found["same_stem"] = False
    target = report.target
    if target.set_to and target.after_reopening == target.set_to:
        found["card_target"] = [target.set_to]
    if report.deletion.tried:
        found["deletes"] = report.deletion.deleted > 0 and not report.deletion.still_there
    return found


def extend(path: Path, report: QualificationReport) -> str:
    """Put the proposed entry into the operator's file, in place of an earlier one of this model; gives its text.

    The rest of the file stays as it is.  Raises BadSettings when the file is no table of models.
    """
    text = ""
    if path.exists():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadSettings(f"the file of camera models {path} cannot be read: {error}") from None
        parse(text, str(path), layer=1)
    entry = _toml(report)
    kept = [block for block in re.split(r"(?m)^(?=\[\[body\]\])", text) if _name(block) != report.model]
    body = "".join(kept).rstrip()
    written = f"{body}\n\n{entry}" if body else entry
    parse(written, str(path), layer=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, written)
    return entry


def _name(block: str) -> str | None:
    found = parse(block, "entry") if block.startswith("[[body]]") else ()
    return found[0].name if found else None


def _toml(report: QualificationReport) -> str:
    firmware = f", firmware {report.firmware}" if report.firmware else ""
    shots = f"{report.exposures.made} exposures"
    values: Mapping[str, Any] = {
        "name": report.model,
        "match": [re.sub(r"([*?[])", r"[\1]", report.model)],
        **proposed(report),
        "notes": f"Measured here on {report.made_at[:10]}{firmware}, {shots}: {report.verdict.replace('_', ' ')}.",
    }
    return "[[body]]\n" + "".join(f"{key} = {_text(value)}\n" for key, value in values.items())


def _text(value: object) -> str:
    """A TOML value; JSON's texts, numbers, switches and lists are TOML's too."""
    return json.dumps(value, ensure_ascii=False)
