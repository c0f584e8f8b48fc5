"""Lists of a release: FaceScape's two, and the same again with names of columns, a line a subject, take, gap.

Formats of FaceScape's lists: its doc_tu_model.md ("Information list", "Publishable list").
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.take_codes import TakeCode, TakeLabel
from processing.release.formats.released_files import (
    DISPLACEMENT,
    FACTS,
    LAYOUT,
    MESH,
    PHOTOGRAPH,
    RIG,
    SCAN,
    TEXTURE,
)
from processing.release.formats.tombstones import WHY_NOT, NoLonger, Tombstone
from processing.release.studio.export.take_export import TakeRecord
from processing.release.studio.export.take_metadata import rig_file
from processing.release.studio.export.topology_files import topology_id
from processing.release.studio.selection.selection import SelectedSubject, Selection
from processing.release.studio.selection.selection_rules import Options

_GENDER = {"female": "f", "male": "m", "other": "o"}


def info_list(subjects: Sequence[SelectedSubject]) -> str:
    """A row a subject: index, gender (m, f, o; - not said), age (or -), valid label.

    The label is FaceScape's [1 + 4] digits: 1 when the subject is complete, then 1 for each of OBJ, material, texture
    and displacement map that some expression lacks. Files of an expression come together or not at all.
    """
    rows = []
    for subject in subjects:
        label = "10000" if is_complete(subject) else "01111"
        gender = _GENDER[subject.gender] if subject.gender else "-"
        rows.append(f"{subject.index} {gender} {subject.age if subject.age is not None else '-'} {label}\n")
    return "".join(rows)


def publishable_list(subjects: Sequence[SelectedSubject]) -> str:
    """Indexes of the subjects that may be shown in publications, one a row."""
    return "".join(f"{subject.index}\n" for subject in subjects if subject.publishable)


def mosaicked_list(subjects: Sequence[SelectedSubject]) -> str:
    """Indexes of the subjects whose eyes are mosaicked in photographs, textures and scan colours, one a row."""
    return "".join(f"{subject.index}\n" for subject in subjects if subject.mosaic)


def subjects_csv(subjects: Sequence[SelectedSubject], options: Options) -> str:
    """One key a subject in every layout: the folder's index and the studio's code. Empty: not said; no rig."""
    rows = [
        (
            *(s.index, s.code, s.gender, s.age, _word(s.publishable), _word(s.mosaic), len(s.takes)),
            RIG.at(s.index) if s.rig and options.rigs else None,
        )
        for s in subjects
    ]
    return _csv(("index", "code", "gender", "age", "publishable", "eyes_mosaicked", "expressions", "rig"), rows)


def takes_csv(selection: Selection, records: Mapping[tuple[int, str], TakeRecord]) -> str:
    """A line a take: its key, its files, its rig, calibration and topology."""
    rows = []
    for subject in selection.subjects:
        for take in subject.takes:
            record = records[subject.index, take.label]
            mesh, texture, displacement, scan, facts = (
                file.at(subject.index, take.label) for file in (MESH, TEXTURE, DISPLACEMENT, SCAN, FACTS)
            )
            photographs = PHOTOGRAPH.place(subject.index, take.label) if record.photographs else None
            rows.append(
                (
                    *(f"{subject.index}/{take.label}", subject.index, take.position, take.named.name, mesh, texture),
                    *(displacement, scan, photographs, record.photographs, facts),
                    *(rig_file(take.capture), topology_id(take.template)),
                )
            )
    columns = ("take", "index", "position", "expression", "mesh", "texture", "displacement", "scan", "photographs")
    return _csv((*columns, "views", "facts", "rig", "topology"), rows)


def missing_csv(selection: Selection, records: Mapping[tuple[int, str], TakeRecord], options: Options) -> str:
    """A line a file that is not here, and why. Subjects that stay are not named."""
    rows: list[tuple[object, ...]] = []
    for subject in selection.subjects:
        why = {
            TakeCode.parse(skipped.take).position: skipped.why
            for skipped in selection.skipped
            if skipped.subject == subject.code and skipped.take
        }
        have = {take.label for take in subject.takes}
        for label in subject.expected:
            if label in have:
                record = records[subject.index, label]
                rows += [(subject.index, label, absent.path, absent.why) for absent in record.absent]
            else:
                reason = why.get(TakeLabel.parse(label).position, "not captured, or not accepted")
                rows += [(subject.index, label, path, reason) for path in LAYOUT.places(subject.index, label)]
        if subject.rig is None or not options.rigs:
            reason = (subject.no_rig or "no rig") if options.rigs else "this release leaves out rigs"
            rows.append((subject.index, "", RIG.root.format(index=subject.index), reason))
    return _csv(("index", "expression", "file", "why"), rows)


def tombstones_csv(tombstones: Iterable[Tombstone]) -> str:
    """What is withdrawn of which earlier versions: whoever holds one of these deletes it, in every copy."""
    rows = (
        (
            *(t.index or "", t.code, t.last_version, t.what, " ".join(t.takes) or "all"),
            *(" ".join(map(str, t.versions)) or f"1-{t.last_version}", " ".join(t.places()), t.next),
        )
        for t in tombstones
    )
    return _csv(("index", "code", "last_version", "withdrawn", "expressions", "versions", "delete", "next"), rows)


def no_longer_csv(gone: Iterable[NoLonger]) -> str:
    """What earlier versions have and this one has not, although the consent stands: holders may keep it."""
    rows = ((g.index, g.code, g.take, g.last_version, g.what, WHY_NOT[g.why]) for g in gone)
    return _csv(("index", "code", "expression", "last_version", "what", "why"), rows)


def rt_scale(records: Mapping[tuple[int, str], TakeRecord]) -> dict[str, dict[str, list[Any]]]:
    """FaceScape's Rt_scale_dict: [id][expression] -> [scale, Rt (3, 4)] that stands a scan upright among all others.

    x_aligned = R (scale x) + t; scale is 1, for scans are metric. It does the same for the mesh in models_reg.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    for (index, label), record in records.items():
        motion = record.tu_to_template
        Rt = [[*row, t] for row, t in zip(motion["R"], motion["t_mm"], strict=True)]
        found.setdefault(str(index), {})[str(TakeLabel.parse(label).position)] = [motion["scale"], Rt]
    return found


def is_complete(subject: SelectedSubject) -> bool:
    """Whether every expression of the subject's protocol is here."""
    return {take.label for take in subject.takes} >= set(subject.expected)


def _word(value: bool) -> str:
    return str(value).lower()


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()
