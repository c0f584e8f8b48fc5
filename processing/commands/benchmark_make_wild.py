"""`mien benchmark make wild`: photographs whose faces are of known shape."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.terminal.options import AsJson, print_json

if TYPE_CHECKING:
    from processing.evaluation.wild.make_wild import WildReport, WildSettings


def wild(
    photographs: Annotated[
        Path,
        typer.Argument(
            help="Folder of photographs of faces; beside them people.csv (photograph, age, gender) where that is known."
        ),
    ],
    model: Annotated[Path, typer.Option("--model", help="The face model (.npz) that gives the shapes.")],
    textures: Annotated[
        Path,
        typer.Option(
            "--textures",
            help="A release, or a folder of subjects: <subject>/models_reg/<k>_<name>.jpg, and subjects.csv.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the benchmark; an interrupted one goes on.")],
    per_bin: Annotated[int, typer.Option("--per-bin", min=1, help="Images of each bin of pose, at most.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and folders give the same benchmark.")] = 0,
    perturb: Annotated[
        float, typer.Option(min=0, max=2, help="Deviations by which each face's identity is changed from its fit.")
    ] = 0.0,
    gloss: Annotated[bool, typer.Option("--gloss/--no-gloss", help="Add highlights.")] = True,
    size: Annotated[int, typer.Option(min=32, max=512, help="Side of the images, px.")] = 256,
    as_json: AsJson = False,
) -> None:
    """FS-Wild: each photograph's face replaced by a rendered one of known shape, in four bins of pose.

    The images still show real people's hair, eyes and surroundings: they stay where they are made, as the photographs
    do, and are part of no release.
    """
    from processing.evaluation.wild.make_wild import WildSettings

    settings = WildSettings(size, seed, per_bin, perturb, gloss)
    found, made = _made(photographs, model, textures, out, settings, quiet=as_json)
    if as_json:
        print_json({"benchmark": str(out), "images": len(made.benchmark.images), "photographs": found,
                    "bins": made.bins, "asked_per_bin": per_bin, "lacking": made.lacking(per_bin),
                    "refused": made.refused, "beyond": made.beyond})  # fmt: skip
        return
    print(f"{out}: {len(made.benchmark.images)} images of {found} photographs")
    _print_bins(made, per_bin)


def _made(
    photographs: Path, model: Path, textures: Path, out: Path, settings: "WildSettings", *, quiet: bool
) -> tuple[int, "WildReport"]:
    """How many photographs there were, and what was made of them."""
    from common.terminal.progress_bar import progress_bar
    from processing.evaluation.benchmark_files import BenchmarkHead, BenchmarkWriter
    from processing.evaluation.wild.make_wild import make_wild
    from processing.evaluation.wild.texture_pool import TexturePool
    from processing.evaluation.wild.wild_photographs import wild_photographs
    from processing.face_models.model_file import read_model
    from processing.landmarks.detector import LandmarkDetector
    from processing.landmarks.face_finding import MOST_FACES
    from processing.release.reader import refused_pictures

    refused, of_what = refused_pictures(textures)
    pool = TexturePool.of_folder(textures, sorted(refused))
    found = wild_photographs(photographs)
    with progress_bar(quiet=quiet) as progress:
        progress(0.0, "reading the model")
        face_model = read_model(model)
        recipe = {**settings.as_recipe(), "model": face_model.name, "topology": face_model.topology.topology}
        writer = BenchmarkWriter(
            out, BenchmarkHead("wild", out.resolve().name, settings.size_px, settings.seed, of_what, recipe)
        )
        with LandmarkDetector(faces=MOST_FACES) as detector:
            made = make_wild(found, face_model, pool, writer, settings, detector=detector, progress=progress)
    return len(found), made


def _print_bins(made: "WildReport", per_bin: int) -> None:
    for name, count in made.bins.items():
        lacks = f"; {per_bin - count} more photographs of this pose are wanted" if count < per_bin else ""
        print(f"  {name} degrees: {count} of {per_bin}{lacks}")
    for reason, count in sorted(made.refused.items(), key=lambda pair: -pair[1]):
        print(f"  not used, {count}: {reason}")
    print("photographs and images of real people stay where they are; they are part of no release")
