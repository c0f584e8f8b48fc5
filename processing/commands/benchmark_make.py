"""`mien benchmark make`: benchmarks made of faces whose shape is known."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, print_json

app = typer.Typer(no_args_is_help=True, help="Make a benchmark of faces whose shape is known.")


@app.callback()
def make() -> None:
    """Make a benchmark of faces whose shape is known."""


@app.command()
def lab(
    source: Annotated[
        Path,
        typer.Argument(
            help="A release, or a folder of subjects as mien process leaves them: <subject>/models_reg/<k>_<name>.obj "
            "and .jpg, dpmap/<k>_<name>.png. None of them in the models that are to be measured."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the benchmark; an interrupted one goes on.")],
    subjects: Annotated[int, typer.Option(min=1, max=100, help="How many, drawn by the seed.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and source give the same benchmark.")] = 0,
    expressions: Annotated[
        str, typer.Option(help="'all', or names to draw each subject's one from: neutral,smile.")
    ] = "all",
    size: Annotated[int, typer.Option(min=32, max=4096, help="Side of the images, px.")] = 256,
    template: Annotated[
        Path | None, typer.Option(help="Template of the meshes (.npz); default: Mien's own.", exists=True)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """FS-Lab: 11 cameras at 3 focal lengths about each subject's detailed face, 33 images with exact cameras."""
    from common.terminal.progress_bar import progress_bar
    from processing.evaluation.benchmark_files import BenchmarkHead, BenchmarkWriter
    from processing.evaluation.lab.folder_source import choose, lab_folders
    from processing.evaluation.lab.lab_subject import LabTemplate
    from processing.evaluation.lab.make_lab import LabSettings, make_lab
    from processing.release.reader import refused_pictures
    from processing.template.builtin_template import default_template
    from processing.template.template_file import read_template

    wanted = () if expressions == "all" else tuple(name.strip() for name in expressions.split(",") if name.strip())
    refused, of_what = refused_pictures(source)
    choices = choose(lab_folders(source), subjects, seed, expressions=wanted, refused=refused)
    kind = LabTemplate(default_template() if template is None else read_template(template))
    settings = LabSettings(size_px=size, seed=seed)
    faces = [f"{choice.code}/{choice.label}" for choice in choices]
    recipe = {**settings.as_recipe(), "topology": kind.topology, "faces": faces}
    head = BenchmarkHead("lab", out.resolve().name, size, seed, of_what, recipe)
    with progress_bar(quiet=as_json) as progress:
        made = make_lab(choices, kind, BenchmarkWriter(out, head), settings, progress=progress)
    if as_json:
        print_json({"benchmark": str(out), "images": len(made.images), "subjects": len(choices), "faces": faces,
                    "left_out": sorted(refused), "made_from": of_what})  # fmt: skip
        return
    print(f"{out}: {len(made.images)} images of {len(choices)} subjects")
    if refused:
        print(f"{len(refused)} subjects of the source may not be shown, and are not")
