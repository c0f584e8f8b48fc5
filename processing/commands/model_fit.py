"""`mien model fit` and `rig`: a model brought to scans of one person."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, print_json

Model = Annotated[Path, typer.Argument(help="The face model (.npz).")]
Landmarks = Annotated[
    list[Path] | None,
    typer.Option(help="68 landmarks of a scan (JSON or .ljson), one file a scan. Default: found on the scans."),
]
UnknownUnit = Annotated[
    bool, typer.Option("--unknown-unit", help="The scans are in no known unit: their scale is found (needs landmarks).")
]
Symmetric = Annotated[bool, typer.Option("--symmetric", help="Left and right do the same.")]
Neutral = Annotated[bool, typer.Option("--neutral", help="The scans show no expression.")]


def fit(
    model: Model,
    scans: Annotated[
        list[Path],
        typer.Argument(metavar="SCAN...", help="Scans of one person (OBJ or PLY), mm; they share who it is."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for mesh, parameters and picture of each scan.")],
    landmarks: Landmarks = None,
    unknown_unit: UnknownUnit = False,
    symmetric: Symmetric = False,
    neutral: Neutral = False,
    as_json: AsJson = False,
) -> None:
    """Fit a model to scans of one person: who it is, what the face does, where the head is; and how sure that is."""
    from common.terminal.progress_bar import progress_bar
    from processing.face_models.fit_files import FitInputs, fit_files

    given = FitInputs(model, tuple(scans), tuple(landmarks or ()), unknown_unit, symmetric, neutral)
    with progress_bar(quiet=as_json) as progress:
        made = fit_files(given, out, progress=progress)
    if as_json:
        print_json({"fits": [one.as_report() for one in made]})
        return
    for one in made:
        print(one.as_text())


def rig(
    model: Model,
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="SUBJECT|SCAN...",
            help="A subject's folder of registered meshes (models_reg/<k>_<name>.obj), or scans of one person.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for rig.npz and obj/.")],
    landmarks: Landmarks = None,
    unknown_unit: UnknownUnit = False,
    symmetric: Symmetric = False,
    neutral: Neutral = False,
    refine: Annotated[
        bool,
        typer.Option("--refine/--no-refine", help="Of a folder: make the shapes the subject's own by its expressions."),
    ] = True,
    objs: Annotated[bool, typer.Option("--obj/--no-obj", help="Write neutral and 52 shapes as OBJ, too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Rig a person by a model: fit it, and write the neutral face and the 52 shapes that it gives that identity."""
    from common.terminal.progress_bar import progress_bar
    from processing.face_models.fit_files import FitInputs
    from processing.face_models.rig_files import rig_files

    given = FitInputs(model, tuple(source), tuple(landmarks or ()), unknown_unit, symmetric, neutral)
    with progress_bar(quiet=as_json) as progress:
        made = rig_files(given, out, refine=refine, objs=objs, progress=progress)
    if as_json:
        print_json(made.as_report())
        return
    print(made.as_text())
