"""The texts of a release: FaceScape's lists, the datasheet, and what the numbers mean.

Formats of the lists: FaceScape's doc_tu_model.md ("Information list", "Publishable list").
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from processing.release.select import SelectedSubject, Selection

INFO_LIST = "info_list.txt"
PUBLISHABLE_LIST = "publishable_list.txt"
SUBJECTS = "subjects.csv"
MISSING = "missing.csv"
DATASHEET = "datasheet.md"
CONVENTIONS = "conventions.json"
_GENDER = {"female": "f", "male": "m", "other": "o"}


@dataclass(frozen=True)
class ReleaseFacts:
    """What every text of a release says of it."""

    name: str
    version: int
    licence: str
    description: str


@dataclass(frozen=True)
class ReliefEncoding:
    """How displacement maps keep heights in 16 bits."""

    scale_mm: float
    midpoint: int
    formula: str


def info_list(subjects: Sequence[SelectedSubject]) -> str:
    """A row a subject: index, gender (m, f, o; - not said), age (or -), valid label.

    The label is FaceScape's [1 + 4] digits: 1 when the subject is complete, then 1 for each of OBJ, material, texture
    and displacement map that some expression lacks. Files of an expression come together or not at all.
    """
    rows = []
    for subject in subjects:
        label = "10000" if _is_complete(subject) else "01111"
        gender = _GENDER[subject.gender] if subject.gender else "-"
        rows.append(f"{subject.index} {gender} {subject.age if subject.age is not None else '-'} {label}\n")
    return "".join(rows)


def publishable_list(subjects: Sequence[SelectedSubject]) -> str:
    """Indexes of the subjects that may be shown in publications, one a row."""
    return "".join(f"{subject.index}\n" for subject in subjects if subject.publishable)


def subjects_csv(subjects: Sequence[SelectedSubject]) -> str:
    """One key a subject in every layout: the folder's index and the studio's code. Empty: not said."""
    rows = ["index,code,gender,age,publishable,expressions\n"]
    for s in subjects:
        age = "" if s.age is None else s.age
        rows.append(f"{s.index},{s.code},{s.gender or ''},{age},{str(s.publishable).lower()},{len(s.takes)}\n")
    return "".join(rows)


def missing_csv(selection: Selection) -> str:
    """Expressions that released subjects lack, and why. Subjects that stay are not named."""
    rows = ["index,expression,why\n"]
    for subject in selection.subjects:
        why = {}
        for skipped in selection.skipped:
            if skipped.subject == subject.code and skipped.take:
                why[skipped.take.rsplit("-E", 1)[-1][:2]] = skipped.why
        have = {take.label for take in subject.takes}
        for label in subject.expected:
            if label not in have:
                position = f"{int(label.partition('_')[0]):02d}"
                reason = why.get(position, "not captured, or not accepted").replace('"', "'")
                rows.append(f'{subject.index},{label},"{reason}"\n')
    return "".join(rows)


def conventions(relief: ReliefEncoding, templates: Sequence[str]) -> dict[str, Any]:
    """What the numbers mean, for programs."""
    return {
        "length_unit": "millimetre",
        "head_frame": {"handedness": "right", "x": "to the subject's left", "y": "up", "z": "out of the face"},
        "camera_model": {
            "convention": "OpenCV",
            "axes": "x right, y down, z forward",
            "equation": "x_camera = R x_head + t, with Rt = [R | t]",
            "distortion": "k1 k2 p1 p2 k3",
            "pixel_centres": "integers",
        },
        "uv_origin": "bottom left, as in OBJ",
        "frames": "models_reg, mesh and the cameras of one take share the head frame; nothing was normalised",
        "displacement": {
            "format": "16-bit grey PNG; row 0 is v = 1",
            "scale_mm": relief.scale_mm,
            "midpoint": relief.midpoint,
            "formula": relief.formula,
            "reference": "the mesh in models_reg, along its vertex normals, outwards positive",
            "valid_mask": "PNG text 'valid_mask': base64 of zlib of one bit a texel, 1 where the height was measured",
        },
        "templates_sha256": list(templates),
    }


def datasheet(facts: ReleaseFacts, selection: Selection, relief: ReliefEncoding) -> str:
    """The datasheet, with the age and gender histogram of the released subjects."""
    subjects = selection.subjects
    takes = sum(len(subject.takes) for subject in subjects)
    photographs = sum(len(take.photographs) for subject in subjects for take in subject.takes)
    shown = sum(subject.publishable for subject in subjects)
    complete = sum(_is_complete(subject) for subject in subjects)
    return f"""# {facts.name}, version {facts.version}

{facts.description}

| | |
|---|---|
| Subjects | {len(subjects)} ({complete} with every expression of their protocol) |
| Expressions | {takes} |
| Photographs | {photographs} |
| Subjects that may be shown in publications | {shown} |
| Consents valid on | {selection.day.isoformat()} |
| Licence | {facts.licence} |

## Who is in it

Age, gender and occupation were given voluntarily; occupation is not part of the release.

{_histogram(subjects)}

## Consent

Every subject here signed a consent to release for research that was valid on the day above. Photographs (`img/`) are
here only of subjects who also consented to publication; only these (`{PUBLISHABLE_LIST}`) may be shown in papers and
talks. A subject may withdraw: the next version then lacks it, and holders of this one are asked to delete its folders.

## What is where

| Path | What |
|---|---|
| `<id>/models_reg/<k>_<name>.obj .obj.mtl .jpg` | registered mesh (one topology, one UV map), material, texture |
| `<id>/dpmap/<k>_<name>.png` | displacement along the registered mesh's normals |
| `mesh/<id>/<k>_<name>.ply` | the scan it was registered to |
| `img/<id>/<k>_<name>/<view>.jpg`, `params.json` | photographs and their cameras |
| `{INFO_LIST}` | index, gender (m, f, o), age, valid label; `-`: not said |
| `{SUBJECTS}` | the same with names of columns, and the studio's code |
| `{MISSING}` | which expressions are not here, and why |
| `{CONVENTIONS}` | units, axes, camera model, encoding, for programs |
| `manifest.json` | size and SHA-256 of every file |

The valid label is 1 for a complete subject, then four digits that are 1 where some OBJ, material, texture or
displacement map is missing.

## The displacement maps

16-bit grey PNG in the UVs of the registered mesh (row 0 is v = 1): signed distance from its surface along its normals
to the scan, outwards positive.

    {relief.formula}        scale_mm = {relief.scale_mm}, midpoint = {relief.midpoint}

Each map says so itself in its PNG text; `valid_mask` there tells which heights were measured and which were filled in.

## Lengths

Millimetres, from the rig's calibration; nothing was normalised. Scan, registered mesh and cameras of one take share one
frame: right-handed, y up, z out of the face.
"""


def _is_complete(subject: SelectedSubject) -> bool:
    return {take.label for take in subject.takes} >= set(subject.expected)


def _histogram(subjects: Sequence[SelectedSubject]) -> str:
    genders = ("female", "male", "other", None)
    counts = Counter((_decade(subject.age), subject.gender) for subject in subjects)
    decades = sorted({decade for decade, _ in counts}, key=lambda d: (d is None, d or 0))
    rows = ["| Age | female | male | other | not said | all |", "|---|---|---|---|---|---|"]
    for decade in decades:
        numbers = [counts[decade, gender] for gender in genders]
        label = "not said" if decade is None else f"{decade}-{decade + 9}"
        rows.append(f"| {label} | {' | '.join(map(str, numbers))} | {sum(numbers)} |")
    totals = [sum(counts[decade, gender] for decade in decades) for gender in genders]
    rows.append(f"| all | {' | '.join(map(str, totals))} | {sum(totals)} |")
    return "\n".join(rows)


def _decade(age: int | None) -> int | None:
    return None if age is None else age // 10 * 10
