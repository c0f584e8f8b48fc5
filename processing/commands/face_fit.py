"""`mien face fit`: a model brought to photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from common.terminal.options import AsJson, print_json
from processing.commands.photograph_options import FocalPx, WhichFace

if TYPE_CHECKING:
    from processing.single_view.photo_fit_files import FittedPhoto, NotFitted, PhotoFitInputs


def fit(
    photographs: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO...", help="Photographs of one person (JPEG, PNG, TIFF); they share who it is."),
    ],
    model: Annotated[Path, typer.Option("--model", help="The face model (.npz).")],
    out: Annotated[Path, typer.Option("--out", help="Folder for mesh, camera, parameters and picture of each.")],
    each: Annotated[
        bool, typer.Option("--each", help="Every photograph is another person; one that fails is told.")
    ] = False,
    focal_px: FocalPx = None,
    weak: Annotated[bool, typer.Option("--weak", help="Weak perspective: the camera is far away.")] = False,
    face: WhichFace = None,
    landmarks: Annotated[
        Literal["dense", "68"], typer.Option(help="Which landmarks: all that the detector has, or Multi-PIE's 68.")
    ] = "dense",
    corrective: Annotated[
        bool, typer.Option("--corrective", help="The face may leave the model a little where the photographs say so.")
    ] = False,
    pixels: Annotated[
        bool, typer.Option("--pixels/--no-pixels", help="Fit colours too, by a model that has an albedo.")
    ] = True,
    learned: Annotated[
        Path | None, typer.Option("--learned", help="Weights of mien learn regressor: one look instead of a fit.")
    ] = None,
    refine: Annotated[
        bool, typer.Option("--refine", help="With --learned: the fit goes on from the learned face.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fit a model to photographs of a person: who it is, what the face does, where the camera stood."""
    from processing.single_view.photo_fit_files import FittedPhoto, NotFitted, PhotoFitInputs
    from processing.single_view.photograph import PhotoFitSettings

    settings = PhotoFitSettings(
        landmarks=landmarks,
        projection="weak" if weak else "perspective",
        pixels=pixels,
        corrective=corrective,
    )
    given = PhotoFitInputs(model, tuple(photographs), each, focal_px, face, settings)
    made = _made(given, out, learned, refine=refine, quiet=as_json)
    failed = [one for one in made if isinstance(one, NotFitted)]
    fitted = [one for one in made if isinstance(one, FittedPhoto)]
    if as_json:
        print_json({"fits": [one.as_report() for one in fitted], "failed": [vars(one) for one in failed]})
    else:
        for one in fitted:
            print(one.as_text())
        for missing in failed:
            print(f"not fitted: {missing.reason}")
    if failed:
        raise typer.Exit(4)


def _made(
    given: "PhotoFitInputs", out: Path, learned: Path | None, *, refine: bool, quiet: bool
) -> "list[FittedPhoto | NotFitted]":
    """The optimised fit, or the learned one."""
    from common.terminal.progress_bar import progress_bar

    if refine and learned is None:
        raise typer.BadParameter("give the weights by --learned: --refine goes on from what they say")
    with progress_bar(quiet=quiet) as progress:
        if learned is None:
            from processing.single_view.photo_fit_files import fit_photo_files

            return fit_photo_files(given, out, progress=progress)
        from processing.commands.learn_records import require_standing
        from processing.learning.regressor.learned_fit_files import fit_learned_files

        require_standing(learned)

        return fit_learned_files(given, learned, out, refine=refine, progress=progress)
