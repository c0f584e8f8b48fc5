"""`mien learn show`, `check`, `record` and `list`: cards of weights, and whom they were trained on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.guarding.safe_text import shown
from common.terminal.options import AsJson, Database, Home, print_json, print_table

if TYPE_CHECKING:
    from db.learned.weights_records import WeightsRecord
    from db.studio import StudioRecords
    from processing.learning.weights_file import LearnedCard
    from processing.training.study_faces import StudyFaces

Weights = Annotated[Path, typer.Argument(metavar="RUN|WEIGHTS", help="A run's folder, or a file of weights.")]
_NAMED = 12  # subjects that a table names


def show(weights: Weights, home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Show the card of a run or of weights: data, people, figures, time, hardware; and whether they may be used."""
    path = weights_path(weights)
    card = _card(path)
    standing = _standing(path, home, database)
    if as_json:
        print_json({"weights": str(path), "standing": standing, "card": card.as_json()})
        return
    say_card(card, str(path), standing)


def check(
    weights: Annotated[
        list[Path], typer.Argument(metavar="RUN|WEIGHTS...", help="Runs' folders, or files of weights.")
    ],
    release: Annotated[
        Path, typer.Option("--release", help="A newer version of the release: it names those who have withdrawn.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say which weights were trained on somebody who has withdrawn since: these are to be deleted. Ends with 4 then."""
    from processing.training.withdrawn import withdrawn_from

    found = [(weights_path(one), withdrawn_from(weights_path(one), release)) for one in weights]
    if as_json:
        print_json([{"weights": str(path), **vars(said)} for path, said in found])
    else:
        rows = [
            (str(path), said.kind, ", ".join(map(str, said.withdrawn)) or None, said.in_words) for path, said in found
        ]
        print_table("Weights and those who withdrew", ("weights", "kind", "withdrew", "what to do"), rows)
    if any(said.withdrawn for _, said in found):
        raise typer.Exit(4)


def record(weights: Weights, home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Record weights in this studio's database, of whose release they are: withdrawals mark them from then on.

    A training on the studio's own machine does it by itself; this is for weights that were trained elsewhere, as on a
    GPU farm. Everybody they were trained on must consent to be part of a statistical model.
    """
    from db.studio import open_studio

    path = weights_path(weights)
    with open_studio(home, database) as studio:
        made = _record(studio, path, _card(path))
    if as_json:
        print_json(_plain(made))
        return
    print(f"{made.name} is recorded: trained on {len(made.subjects)} subjects of {made.release}")


def list_weights(home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """All weights that the studio has recorded: whether they may be used, and who of those in them left."""
    from db.engine import reading
    from db.learned.weights_records import weights_records
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        found = weights_records(tx)
    if as_json:
        print_json([_plain(one) for one in found])
        return
    if not found:
        print("No weights are recorded; mien learn makes some, mien learn record notes those made elsewhere.")
        return
    rows = [
        (r.name, f"{r.created_at:%Y-%m-%d}", r.release, r.model, len(r.subjects), _stands(r),
         ", ".join(f"{s.code} ({s.why}) on {s.left_at:%Y-%m-%d}" for s in r.left) or None)
        for r in found
    ]  # fmt: skip
    print_table("Learned weights", ("weights", "recorded", "release", "model", "people", "standing", "left"), rows)
    if any(not record.stands for record in found):
        print("Of those not to be used: train again on the next version of the release, and delete the files.")


def gate(home: Path | None, database: str | None) -> "Callable[[StudyFaces, Sequence[str], Mapping[str, Any]], None]":
    """Asks the studio's records whether a release may be trained on, where this machine has them and they know it."""

    def allowed(faces: "StudyFaces", subjects: Sequence[str], model: Mapping[str, Any]) -> None:
        if faces.lineage["layout"] != "release":
            return
        with _studio(home, database) as studio:
            if studio is None:
                return
            from db.engine import reading
            from db.errors import NotFound
            from db.learned.weights_records import release_of_manifest, require_trainable

            with reading(studio.engine) as tx:
                said = faces.lineage
                try:
                    release = release_of_manifest(tx, said["name"], said["version"], said["sha256"])
                except NotFound:
                    return
                require_trainable(tx, release, _codes(subjects), model.get("sha256"))

    return allowed


def record_run(run: Path, home: Path | None, database: str | None) -> str | None:
    """How the run's weights are called in the records; None where no studio here knows their release."""
    path = weights_path(run)
    card = _card(path)
    if card.release.get("layout") != "release":
        return None
    with _studio(home, database) as studio:
        if studio is None:
            return None
        from db.errors import AlreadyThere, NotFound
        from db.learned.weights_records import weights_name

        try:
            return _record(studio, path, card).name
        except AlreadyThere:
            return weights_name(card.kind, _sha256(path))
        except NotFound:
            return None


def require_standing(path: Path, home: Path | None = None, database: str | None = None) -> None:
    """Raises ConsentError for weights, or a face model, that this machine's studio knows as marked. Else nothing."""
    with _studio(home, database) as studio:
        if studio is not None:
            from db.engine import reading
            from db.learned.weights_records import require_standing as require

            with reading(studio.engine) as tx:
                require(tx, _sha256(path))


def weights_path(path: Path) -> Path:
    """The weights of a run's folder, or the file itself. Raises TrainingError for a run that has not ended."""
    from processing.training.run_files import WEIGHTS
    from processing.training.train_settings import TrainingError

    if not path.is_dir():
        return path
    if not (path / WEIGHTS).is_file():
        raise TrainingError(
            f"{path} has no {WEIGHTS}: the run has not ended; the same `mien learn` call goes on with it"
        )
    return path / WEIGHTS


def say_card(card: "LearnedCard", path: str, standing: str | None) -> None:
    """A card for people."""
    from processing.training.card_table import card_rows

    print_table(f"{card.kind}: {path}", ("", ""), card_rows(card, standing, named=_NAMED))


def _card(path: Path) -> "LearnedCard":
    from processing.learning.weights_file import read_learned_card

    return read_learned_card(path)


def _standing(path: Path, home: Path | None, database: str | None) -> str | None:
    """How weights stand in this machine's records; None where these do not know them."""
    with _studio(home, database) as studio:
        if studio is None:
            return None
        from db.engine import reading
        from db.learned.weights_records import find_weights

        with reading(studio.engine) as tx:
            found = find_weights(tx, _sha256(path))
        return None if found is None else f"{found.name}: {_stands(found)}"


def _record(studio: "StudioRecords", path: Path, card: "LearnedCard") -> "WeightsRecord":
    from db.engine import transaction
    from db.errors import NotFound
    from db.learned.weights_records import record_weights, release_of_manifest
    from processing.training.withdrawn import pictured_in

    said = card.release
    if said.get("layout") != "release":
        raise NotFound(f"{path} was trained on a folder, not on a release of this studio: there is nobody to ask")
    with transaction(studio.engine) as tx:
        release = release_of_manifest(tx, str(said["name"]), int(said["version"]), str(said["sha256"]))
        pictured = _codes(pictured_in(card))
        return record_weights(tx, _sha256(path), card.as_json(), release, _codes(card.subjects), pictured)


def _codes(subjects: Sequence[str]) -> list[str]:
    """A release's folders as the studio calls its subjects."""
    from common.take_codes import SubjectCode

    return [str(SubjectCode(int(subject))) for subject in subjects]


def _sha256(path: Path) -> str:
    from common.files.hashes import file_sha256

    return file_sha256(path)


@contextmanager
def _studio(home: Path | None, database: str | None) -> "Iterator[StudioRecords | None]":
    """This machine's studio; None where it has none. One that is named must be there."""
    try:
        from db.errors import NoStudio, SchemaOutdated
        from db.settings import Settings
        from db.studio import open_studio
    except ModuleNotFoundError:  # installed without the records
        yield None
        return
    named = home is not None or database is not None
    settings = Settings.load(home, database)
    if not named and settings.database.startswith("sqlite:///") and not settings.home.exists():
        yield None
        return
    try:
        studio = open_studio(home, database)
    except (NoStudio, SchemaOutdated):
        if named:
            raise
        yield None
        return
    with studio:
        yield studio


def _stands(record: "WeightsRecord") -> str:
    if record.marked_at is None:
        return "stands"
    return f"not to be used since {record.marked_at:%Y-%m-%d}"


def _plain(record: "WeightsRecord") -> dict[str, Any]:
    return {
        "name": record.name, "kind": record.kind, "sha256": record.sha256, "release": record.release,
        "model": record.model, "recorded_at": record.created_at, "stands": record.stands,
        "marked_at": record.marked_at, "subjects": [s.code for s in record.subjects],
        "left": [{"code": shown(s.code), "at": s.left_at, "why": s.why} for s in record.left],
    }  # fmt: skip
