"""Datasheet of a release (after Gebru et al. 2021), and its histogram of age and gender."""

from collections import Counter
from collections.abc import Mapping, Sequence

from processing.face_models.model_card import ModelCard
from processing.release.formats.assets.displacement_encoding import DisplacementEncoding
from processing.release.formats.metadata.release_description import ReleaseFacts
from processing.release.formats.released_files import (
    CAMERAS,
    CONVENTIONS,
    DISPLACEMENT,
    DISPLACEMENT_EXR,
    FACTS,
    HISTOGRAM,
    INFO_LIST,
    LANDMARK_CHECK,
    LAYOUT,
    MATERIAL,
    MESH,
    MISSING,
    MODEL,
    MOSAICKED_LIST,
    NO_LONGER,
    PHOTOGRAPH,
    PUBLISHABLE_LIST,
    RT_SCALE,
    SCAN,
    SUBJECTS,
    TAKES,
    TEXTURE,
    TOMBSTONES,
    ReleasedFile,
)
from processing.release.formats.tombstones import Tombstone
from processing.release.studio.export.release_lists import is_complete
from processing.release.studio.export.take_export import TakeRecord
from processing.release.studio.selection.selection import SelectedSubject, Selection
from processing.release.studio.selection.selection_rules import Options

GENDERS = ("female", "male", "other", None)
_COLOURS = {"female": "#c8553d", "male": "#2f6690", "other": "#5b8e55", None: "#9a9a9a"}
_WITH_A_LINE = (
    MESH, MATERIAL, TEXTURE, DISPLACEMENT, DISPLACEMENT_EXR, SCAN, PHOTOGRAPH, CAMERAS, FACTS, LANDMARK_CHECK
)  # fmt: skip
_WHO = f"""## Who is in it

Age, gender and occupation were given voluntarily; occupation is not part of the release.

{{table}}

![Age and gender]({HISTOGRAM.path})

"""
_HOW_IT_WAS_MADE = """## How it was made

Each take is one moment: all cameras of a rig fired together; `meta/` says how far apart. A scan was made of the
photographs by multi-view stereo, a template of one topology was registered to it, its texture was projected from the
photographs, and what the registered mesh lost was kept as a displacement map. `meta/` names stage, version, parameters
and key of every step, the figures that it reported, and the hashes of the photographs.

"""
_CONSENT = f"""## Consent

Every subject here signed a consent to release for research that was valid on the day above. Photographs (`img/`) are
here only of subjects who also consented to publication; only these (`{PUBLISHABLE_LIST.path}`) may be shown in
papers and talks. Of subjects in `{MOSAICKED_LIST.path}`, photographs, textures and the colours of scans have the
eyes in coarse blocks. A subject may withdraw, or allow less: the next version then names in `{TOMBSTONES.path}`
what holders of this one delete; `mien release verify --newer` says which files. What is not part of a version any more
for another reason is in `{NO_LONGER.path}`, and may be kept.

"""
_DISPLACEMENT_MAPS = """## The displacement maps

16-bit grey PNG in the UVs of the registered mesh (row 0 is v = 1): signed distance from its surface along its normals
to the scan, outwards positive.

    {formula}        scale_mm = {scale_mm}, midpoint = {midpoint}

Each map says so itself in its PNG text; `valid_mask` there tells which heights were measured and which were filled in.
`mien displace MESH.obj MAP.png --out DETAILED.ply` applies one. The EXR beside it, for renderers and sculpting
programs, has the same heights not rounded: channel `Y` in millimetres, channel `valid` 1 where they were measured.

"""
_RIGS = f"""## Rigs and face models

{{rigs}} subjects have a rig in `rigs/<id>/`: the neutral face and 52 blendshapes, named as ARKit names them, made of
the subject's registered meshes; `weights.json` says with which weights each expression is in it, `rig.glb` plays them.
A rig is here where every take that it was made of is.

A face model (`models/`) is made of the rigs of many subjects, each of whom consented to that (a consent of its own);
some of them may not be in this release otherwise. Its card says how it was made and what it must not be used for. Where
a member leaves, `{TOMBSTONES.path}` of the next version names the model to be deleted and the one that takes its place.

"""
_LENGTHS_AND_USE = """## Lengths

Millimetres, from the rig's calibration; nothing was normalised. Scan, registered mesh and cameras of one take share one
frame: right-handed, y up, z out of the face. `tu_to_template` in `meta/` takes the head's motion out.

## What it is for, and what not

For the study of face shape, expression and appearance under the licence. Not to recognise, trace or judge the people
in it. The subjects are those who came to one studio: see the histogram before generalising to anybody else.
"""


def datasheet(
    facts: ReleaseFacts,
    selection: Selection,
    records: Mapping[tuple[int, str], TakeRecord],
    relief: DisplacementEncoding,
    options: Options,
    tombstones: Sequence[Tombstone],
    cards: Mapping[str, ModelCard],
) -> str:
    """What a person reads first. cards: 'faces-2' -> the card of each face model that is here."""
    parts = (
        _summary(facts, selection, records, options, tombstones),
        _WHO.format(table=histogram_table(selection.subjects)),
        _HOW_IT_WAS_MADE,
        _CONSENT,
        _what_is_where(),
        _derived(selection, options, cards),
        _DISPLACEMENT_MAPS.format(formula=relief.formula, scale_mm=relief.scale_mm, midpoint=relief.midpoint),
        _LENGTHS_AND_USE,
    )
    return "".join(parts)


def _summary(
    facts: ReleaseFacts,
    selection: Selection,
    records: Mapping[tuple[int, str], TakeRecord],
    options: Options,
    tombstones: Sequence[Tombstone],
) -> str:
    """What it is called, and a table of what can be counted."""
    subjects = selection.subjects
    takes = sum(len(subject.takes) for subject in subjects)
    photographs = sum(record.photographs for record in records.values())
    shown = sum(subject.publishable for subject in subjects)
    mosaicked = sum(subject.mosaic for subject in subjects)
    left = len({stone.code for stone in tombstones if not stone.of_model})
    complete = sum(is_complete(subject) for subject in subjects)
    reviewed = f"read and signed by {facts.reviewed_by}" if facts.reviewed_by else "by rules alone; nobody reviewed it"
    how = {"as_taken": "as taken, with their lens distortion", "undistorted": "undistorted", "none": "none"}
    colours = "corrected by the calibration's profiles" if options.colour == "corrected" else "as taken"
    return f"""# {facts.name}, version {facts.version}

{facts.description}

| | |
|---|---|
| Subjects | {len(subjects)} ({complete} with every expression of their protocol) |
| Expressions | {takes} |
| Photographs | {photographs} ({how[options.photographs]}; colours {colours}) |
| Subjects that may be shown in publications | {shown} |
| Subjects with eyes mosaicked | {mosaicked} |
| Subjects of earlier versions who withdrew or narrowed | {left} |
| Selection | {reviewed} |
| Consents valid on | {selection.day.isoformat()} |
| Licence | {facts.licence} |

"""


def _what_is_where() -> str:
    """Every path of a release, for people."""
    return f"""## What is where

| Path | What |
|---|---|
| `<id>/models_reg/<k>_<name>.obj .obj.mtl .jpg` | registered mesh (one topology, one UV map), material, texture |
| `<id>/dpmap/<k>_<name>.png`, `.exr` | displacement along the registered mesh's normals |
| `mesh/<id>/<k>_<name>.ply` | the scan it was registered to |
| `img/<id>/<k>_<name>/<view>.jpg`, `params.json` | photographs and their cameras |
| `meta/<id>/<k>_<name>.json` | frames, scale, rig, calibration, landmarks, fit, origin and files of the take |
| `checks/<id>.png` | the landmarks drawn on a registered mesh of the subject |
{_further_files()}| `topology/` | triangles, UVs, seams and landmarks that all meshes share |
| `calibrations/` | calibrations of the rigs of cameras, with colour profiles |
| `{INFO_LIST.path}` | index, gender (m, f, o), age, valid label; `-`: not said |
| `{SUBJECTS.path}`, `{TAKES.path}` | the same with names of columns; a line a take with its files |
| `{MISSING.path}` | every file that is not here, and why |
| `{RT_SCALE.path}` | from each scan to the upright head, in FaceScape's form |
| `{CONVENTIONS.path}` | units, axes, camera model, frames, encoding, for programs |
| `{TOMBSTONES.path}`, `{NO_LONGER.path}` | of earlier versions: what to delete; what is just not here |
| `manifest.json` | size and SHA-256 of every file |
| `manifest.json.minisig` or `.sig`, `release.pub` | its signature, and the key that made it |

The valid label is 1 for a complete subject, then four digits that are 1 where some OBJ, material, texture or
displacement map is missing.

"""


def _further_files() -> str:
    """Files of the layout for which the table has no line of its own."""
    lines = [file for file in LAYOUT.files if file not in _WITH_A_LINE and file.description]
    return "".join(f"| `{_shown_path(file)}` | {file.description} |\n" for file in lines)


def _shown_path(file: ReleasedFile) -> str:
    return file.at("<id>", "<k>_<name>", "<view>", model="<name>-<n>")


def _derived(selection: Selection, options: Options, cards: Mapping[str, ModelCard]) -> str:
    """Rigs and face models, and who is in these. Empty where there is neither."""
    rigs = sum(subject.rig is not None for subject in selection.subjects) if options.rigs else 0
    if not rigs and not cards:
        return ""
    return _RIGS.format(rigs=rigs) + "".join(_card_in_words(name, card) for name, card in cards.items())


def _card_in_words(name: str, card: ModelCard) -> str:
    """Members by age and gender, as the card counts them: it puts small groups together."""
    genders = sorted({gender for counts in card.groups.values() for gender in counts})
    head = f"| Age | {' | '.join(genders)} |\n|---|{'---|' * len(genders)}\n"
    rows = "".join(
        f"| {group} | {' | '.join(str(counts.get(gender, 0)) for gender in genders)} |\n"
        for group, counts in card.groups.items()
    )
    return f"Face model `{MODEL.root.format(model=name)}`, {card.members} people:\n\n{head}{rows}\n"


def histogram_table(subjects: Sequence[SelectedSubject]) -> str:
    """Age by decades and gender, as a table of Markdown."""
    counts = _counts(subjects)
    decades = _decades(counts)
    rows = ["| Age | female | male | other | not said | all |", "|---|---|---|---|---|---|"]
    for decade in decades:
        numbers = [counts[decade, gender] for gender in GENDERS]
        rows.append(f"| {_label(decade)} | {' | '.join(map(str, numbers))} | {sum(numbers)} |")
    totals = [sum(counts[decade, gender] for decade in decades) for gender in GENDERS]
    rows.append(f"| all | {' | '.join(map(str, totals))} | {sum(totals)} |")
    return "\n".join(rows)


def histogram_svg(subjects: Sequence[SelectedSubject]) -> str:
    """The same as a picture: a bar a decade, stacked by gender."""
    counts = _counts(subjects)
    decades = _decades(counts)
    most = max([sum(counts[d, g] for g in GENDERS) for d in decades], default=1)
    width, height, left, base, step = 80 + 70 * max(len(decades), 5), 300, 50, 240, 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        'font-size="12" fill="#333">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{left}" y="20" font-size="14">Age and gender of {len(subjects)} subjects</text>',
        f'<line x1="{left}" y1="{base}" x2="{width - 20}" y2="{base}" stroke="#333"/>',
    ]
    for number, decade in enumerate(decades):
        x, top = left + 12 + number * step, float(base)
        for gender in GENDERS:
            tall = 180 * counts[decade, gender] / most
            top -= tall
            if tall:
                parts.append(f'<rect x="{x}" y="{top:.2f}" width="46" height="{tall:.2f}" fill="{_COLOURS[gender]}"/>')
        total = sum(counts[decade, gender] for gender in GENDERS)
        parts.append(f'<text x="{x + 23}" y="{top - 5:.2f}" text-anchor="middle">{total}</text>')
        parts.append(f'<text x="{x + 23}" y="{base + 17}" text-anchor="middle">{_label(decade)}</text>')
    for number, gender in enumerate(GENDERS):
        x = left + 12 + number * 90
        parts.append(f'<rect x="{x}" y="{base + 34}" width="12" height="12" fill="{_COLOURS[gender]}"/>')
        parts.append(f'<text x="{x + 17}" y="{base + 44}">{gender or "not said"}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _counts(subjects: Sequence[SelectedSubject]) -> Counter[tuple[int | None, str | None]]:
    return Counter((_decade(subject.age), subject.gender) for subject in subjects)


def _decades(counts: Counter[tuple[int | None, str | None]]) -> list[int | None]:
    return sorted({decade for decade, _ in counts}, key=lambda d: (d is None, d or 0))


def _label(decade: int | None) -> str:
    return "not said" if decade is None else f"{decade}-{decade + 9}"


def _decade(age: int | None) -> int | None:
    return None if age is None else age // 10 * 10
