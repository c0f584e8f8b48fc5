"""`mien model build`, `rebuild`, `list` and `status`: the models of a study, and who is in them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.terminal.options import AsJson, Database, Home, print_json, print_table
from common.terminal.progress_bar import progress_bar

if TYPE_CHECKING:
    from db.face_models.model_records import ModelRecord
    from processing.farm.study_model import BuiltModel

Name = Annotated[str, typer.Argument(help="The model's name, as in faces; its version is the next free number.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="STAGE.NAME=VALUE", help="A stage's parameter.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Where the model goes (.npz); its card and picture go beside it under the same name."),
]
TemplateFile = Annotated[str | None, typer.Option(help="A template file (.npz); default: the studio's, or Mien's own.")]


def build(
    name: Name,
    selection: Annotated[
        Path | None, typer.Option(help="A selection file of mien release select: its published subjects and takes.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Without records: a release, or a folder of subjects as mien process leaves them."),
    ] = None,
    out: Out = None,
    template: TemplateFile = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda where there is one.")] = "cpu",
    set_: Set = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make a model of faces: a rig of every subject, then what they have in common. Interrupted, it goes on.

    From the records every member must consent to be part of a statistical model, and the version is recorded.
    """
    from processing.farm.model_names import ModelRefused
    from processing.stages.parameters import parse_params

    params = parse_params(set_ or [])
    if (selection is None) == (source is None):
        raise ModelRefused("say of whom: --selection FILE of the records, or --from DIR without records")
    if source is not None:
        _build_from(name, source, out, template, device, params, as_json)
        return
    from processing.farm.study_model import ModelSelection, build_model

    assert selection is not None
    takes, sha256 = selected(selection)
    with _Records(home, database, template, device) as records:
        built = build_model(
            *records.studio, name, ModelSelection(takes, sha256, params), records.stage, records.display
        )
        records.copy(built, out)
    _say_built(built, out, as_json)


def rebuild(
    name: Name,
    out: Out = None,
    template: TemplateFile = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda where there is one.")] = "cpu",
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make the next version without those who left it, and with the rigs of the others as they are now."""
    from processing.farm.study_model import rebuild_model

    with _Records(home, database, template, device) as records:
        built = rebuild_model(*records.studio, name, records.stage, records.display)
        records.copy(built, out)
    _say_built(built, out, as_json)


def list_models(home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Every version of every model: whether it stands, and who left it."""
    _show(None, home, database, as_json)


def status(name: Name, home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """The versions of one model: members, who left when and why, and what to do."""
    _show(name, home, database, as_json)


class _Records:
    """A studio opened for building, with a farm's display on the error stream. A context manager."""

    def __init__(self, home: Path | None, database: str | None, template: str | None, device: str) -> None:
        from contextlib import ExitStack

        from db.studio import open_studio
        from processing.farm.display.farm_progress import FarmProgressDisplay
        from processing.farm.settings import FarmSettings
        from processing.stages.discovery import discover
        from processing.stages.outputs import MODEL

        self._opened = ExitStack()
        records = self._opened.enter_context(open_studio(home, database))
        settings = FarmSettings.load(records.settings, template=template, device=device)
        self.studio = records, settings
        self.stage = MODEL.stage
        self._stages = discover(*settings.stage_folders)
        self.display = FarmProgressDisplay()

    def __enter__(self) -> "_Records":
        self._opened.enter_context(self.display)
        return self

    def __exit__(self, *gone: Any) -> None:
        self._opened.close()

    def copy(self, built: "BuiltModel", out: Path | None) -> None:
        """The version's files to where the user wants them."""
        from processing.farm.study_model import copy_out

        if out is not None:
            copy_out(self.studio[0], built.files, out, self._stages[self.stage])


def _build_from(
    name: str,
    source: Path,
    out: Path | None,
    template: str | None,
    device: str,
    params: dict[str, dict[str, Any]],
    as_json: bool,
) -> None:
    from processing.farm.folder_model import FolderModel, build_from_folder, place_outputs, read_subjects
    from processing.farm.model_names import ModelRefused
    from processing.stages.discovery import discover
    from processing.stages.outputs import MODEL

    if out is None or out.suffix != ".npz" or out.is_dir():
        raise ModelRefused("with --from, --out names the model's file, ending in .npz")
    subjects, stages = read_subjects(source), discover()
    model = FolderModel(name, MODEL.stage, template, params, device)
    with progress_bar(quiet=as_json) as told:
        made = build_from_folder(subjects, out.with_suffix(".work"), model, stages, told)
    files = place_outputs(made, out, stages[MODEL.stage])
    if as_json:
        print_json({"name": name, "members": made.members, "rigs_made": made.rigs, "files": [str(f) for f in files]})
        return
    print(f"{name}: {made.members} subjects, {made.rigs} rigs made now")
    print(*(f"  {file}" for file in files), sep="\n")
    print(f"Rigs are kept in {out.with_suffix('.work')}; remove it when the model is as you want it.")


def selected(path: Path) -> tuple[dict[str, tuple[str, ...]], str]:
    """Subjects that are to be published with the takes that the file names; the file's hash."""
    from processing.release.studio.selection.selection_file import read_selection

    reviewed = read_selection(path)
    published = [line for line in reviewed.file.subject if line.decision == "publish"]
    return {line.code: tuple(line.takes) for line in published}, reviewed.sha256


def _say_built(built: "BuiltModel", out: Path | None, as_json: bool) -> None:
    record = built.record
    if as_json:
        print_json(
            _plain(record) | {"runs": built.runs, "files": built.files, "out": None if out is None else str(out)}
        )
        return
    print(f"{record.name} {record.version}: {len(record.members)} subjects, {built.runs} stage runs made now")
    if out is not None:
        print(f"  {out}")


def _show(name: str | None, home: Path | None, database: str | None, as_json: bool) -> None:
    from db.engine import reading
    from db.errors import NotFound
    from db.face_models.model_records import model_records
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        found = model_records(tx, name)
    if name is not None and not found:
        raise NotFound(f"No face model {name}; see: mien model list")
    if as_json:
        print_json([_plain(record) for record in found])
        return
    if not found:
        print("There is no face model; mien model build makes one.")
        return
    rows = [
        (f"{r.name} {r.version}", f"{r.created_at:%Y-%m-%d}", len(r.members), _standing(r), _left(r)) for r in found
    ]
    print_table("Face models", ("model", "made", "members", "standing", "left it"), rows)
    for again in dict.fromkeys(r.name for r in found if r.left and r.superseded_by is None):
        print(f"Make the next version without them:  mien model rebuild {again}")


def _standing(record: "ModelRecord") -> str:
    if record.job_id is None:
        return "erased"
    if record.marked_at is not None:
        return f"not to be used since {record.marked_at:%Y-%m-%d}"
    return "stands" if record.superseded_by is None else f"superseded by {record.superseded_by}"


def _left(record: "ModelRecord") -> str | None:
    said = [f"{m.code} ({m.why}) on {m.left_at:%Y-%m-%d}" for m in record.left]
    return ", ".join(said) or None


def _plain(record: "ModelRecord") -> dict[str, Any]:
    return {
        "name": record.name, "version": record.version, "key": record.key, "created_at": record.created_at,
        "stands": record.stands, "marked_at": record.marked_at, "superseded_by": record.superseded_by,
        "selection_sha256": record.selection_sha256, "members": [m.code for m in record.members],
        "left": [{"code": m.code, "at": m.left_at, "why": m.why} for m in record.left],
    }  # fmt: skip
