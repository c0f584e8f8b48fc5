"""`mien camera qualify` and `mien camera models`: what a body does, and what is known of its model."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.files.atomic_write import write_whole
from common.terminal.options import print_json

if TYPE_CHECKING:
    from camera_nodes.qualification.qualify import QualifyOptions
    from camera_nodes.qualification.report import QualificationReport

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ModelsOption = Annotated[
    Path | None, typer.Option("--models", help="Your own file of camera models, over Mien's table.", dir_okay=False)
]


def qualify(
    address: Annotated[str, typer.Argument(help="The camera: gphoto2:port:1-1.4, gphoto2:, sim:lag_ms=58 ...")],
    shots: Annotated[int, typer.Option(help="Exposures to make.", min=1, max=10_000)] = 100,
    release: Annotated[str, typer.Option(help="What releases the shutter, as in node.toml; else the camera.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the report there, for `mien camera keep`.")] = None,
    extend: Annotated[
        Path | None, typer.Option(help="Write what was measured into this file of camera models.")
    ] = None,
    models: ModelsOption = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="Ask to pull the cable and put it back.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the photographs on the card.")] = False,
    no_clock: Annotated[bool, typer.Option("--no-clock", help="Leave the body's clock alone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What this body really does: times, faults, habits, recovery; and whether the rig can rely on it.

    No node may hold the camera meanwhile. Ctrl-C ends it with a report of what was measured. Exit code 3: unfit.
    """
    from camera_nodes.qualification.qualify import QualifyOptions
    from camera_nodes.qualification.report import encode
    from camera_nodes.qualification.report_text import table

    options = QualifyOptions(shots, keep, not no_clock, interactive)
    report = _run(address, release, models, options)
    if out is not None:
        write_whole(out, encode(report), durable=False)
    typer.echo(encode(report).decode() if as_json else table(report), nl=not as_json)
    if extend is not None:
        from camera_nodes.qualification.model_proposal import extend as extend_file

        entry = extend_file(extend, report)
        typer.echo(f"\nWritten into {extend}; node.toml names it as models:\n\n{entry}", err=as_json)
    if out is not None:
        where = "Keep it" if os.environ.get("MIEN_HOME") else "The report is written. At the studio"
        typer.echo(f"{where}: mien camera keep {out} --camera NAME", err=True)
    if not report.finished or report.verdict == "unfit":
        raise SystemExit(3 if report.finished else 130)


def _run(address: str, release: str, models: Path | None, options: "QualifyOptions") -> "QualificationReport":
    """The report of one qualification, told of on stderr while it goes on."""

    from camera_nodes.backends import load_model_overrides, make_camera
    from camera_nodes.camera_models.models import load
    from camera_nodes.qualification.call_recording import recording
    from camera_nodes.qualification.qualify import qualify as run

    def ask(text: str) -> None:
        typer.prompt(text, default="", show_default=False, err=True)

    with recording() as record:
        camera = make_camera(address, release)
        camera.max_late_ns = 100_000_000  # no rig waits for it
        load_model_overrides(camera, models)
        report, _ = run(
            camera,
            address,
            load(models),
            options,
            record=record,
            release=release,
            say=lambda text: typer.echo(text, err=True),
            ask=ask,
        )
    return report


def models(
    model: Annotated[str, typer.Argument(help="A model as the camera names itself, as in 'D850'.")] = "",
    models_file: ModelsOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The whole table as a page.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What is known of a camera model, with sources; without a model the entries of the table."""
    from camera_nodes.camera_models.markdown_page import page
    from camera_nodes.camera_models.models import load

    table = load(models_file)
    if markdown:
        typer.echo(page(table), nl=False)
        return
    if not model:
        if as_json:
            print_json([asdict(entry) for entry in table.entries])
            return
        for entry in table.entries:
            typer.echo(f"{entry.name:<30} {', '.join(entry.match)}")
        return
    found = table.find(model)
    if as_json:
        print_json(asdict(found))
        return
    for key, value in asdict(found).items():
        if key not in ("notes", "sources", "clock_settings"):
            typer.echo(f"{key:<16} {', '.join(value) if isinstance(value, tuple) else value}")
    typer.echo(f"{'clock_settings':<16} {', '.join(f'{s.name} ({s.keeps})' for s in found.clock_settings)}")
    for text in found.notes.splitlines():
        typer.echo(f"\n{text}")
    for source in found.sources:
        typer.echo(f"\n{source.says}\n  {source.url}")
