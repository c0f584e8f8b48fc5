"""Release inputs: what the records know of the takes of a subject that may leave, one query a kind."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from db.models import Artefact
from db.release_records.releases import ReleasedCapture, ReleasedRun, captures_of, runs_of
from db.stage_runs.artefacts import artefact_histories, input_hashes, parents_of
from db.stage_runs.ready_takes import take_photographs
from db.store import Store
from db.takes.missing_photographs import absent_views, made_before_arrival
from processing.release.formats.released_files import DISPLACEMENT, LAYOUT, MESH, SCAN, TEXTURE, ReleasedFile
from processing.release.formats.tombstones import WhyNot

MadeFile = Sequence[tuple[str, Artefact]]  # stage, file


class NotReleasable(Exception):
    """Why a take stays. kind: for those who hold an earlier version that has it."""

    def __init__(self, why: str, kind: WhyNot = "not_available") -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True)
class TakeLineage:
    """Files of a take that belong together by lineage.

    The newest displacement map, the mesh and scan it was baked from, the newest texture of that mesh, and the newest of
    each other stage with a file in releases that was made from these or that these were made from.
    """

    #: Name in released_files.LAYOUT -> the first file of each stage.
    files: Mapping[str, Artefact]

    @property
    def mesh(self) -> Artefact:
        """The registration's."""
        return self.files[MESH.name]

    @property
    def scan(self) -> Artefact:
        """The reconstruction's."""
        return self.files[SCAN.name]


@dataclass(frozen=True)
class ReleaseInputs:
    """What the records know of the takes of a subject."""

    #: Take -> its files, or why it stays.
    families: Mapping[int, TakeLineage | NotReleasable]
    #: Job of a mesh -> SHA-256 of the template that it used.
    templates: Mapping[int, str]
    #: Mesh -> what it was made from.
    used: Mapping[int, MadeFile]
    #: Job -> the stage run.
    runs: Mapping[int, ReleasedRun]
    #: Take -> how it was photographed.
    captures: Mapping[int, ReleasedCapture]
    #: Take -> view -> (SHA-256, camera serial).
    photographs: Mapping[int, Mapping[int, tuple[str, str | None]]]
    #: Take -> view -> why the take is whole without it, "aside" or "decided".
    absent: Mapping[int, Mapping[int, str]] = field(default_factory=dict)

    def family(self, take_id: int) -> TakeLineage:
        """A take's files. Raises NotReleasable."""
        found = self.families[take_id]
        if isinstance(found, NotReleasable):
            raise found
        return found


def find_release_inputs(tx: Session, take_ids: Collection[int], *, photographs: bool) -> ReleaseInputs:
    """What is known of these takes; of their photographs only where asked."""
    histories = artefact_histories(tx, take_ids)
    traced = {_made_by(file) for file in LAYOUT.lead_files if file is not SCAN}
    made = [a.id for history in histories.values() for stage, a in history if (stage, a.output) in traced]
    parents = parents_of(tx, made)
    families: dict[int, TakeLineage | NotReleasable] = {
        take: _family(history, parents) for take, history in histories.items()
    }
    scans = {take: family.scan.id for take, family in families.items() if isinstance(family, TakeLineage)}
    for take, cameras in made_before_arrival(tx, scans).items():
        families[take] = NotReleasable(
            f"the photograph of {', '.join(cameras)} came after its scan was made; see: mien farm graph",
            "unprocessed",
        )
    whole = [family for family in families.values() if isinstance(family, TakeLineage)]
    return ReleaseInputs(
        families,
        templates=input_hashes(tx, {family.mesh.job_id for family in whole}, "template"),
        used={family.mesh.id: parents[family.mesh.id] for family in whole},
        runs=runs_of(tx, {artefact.job_id for family in whole for artefact in family.files.values()}),
        captures=captures_of(tx, take_ids),
        photographs=take_photographs(tx, take_ids) if photographs else {},
        absent={
            take: {view: str(kind) for view, kind in views.items()}
            for take, views in absent_views(tx, take_ids).items()
        },
    )


def _made_by(file: ReleasedFile) -> tuple[str, str]:
    return file.stage, file.output


def _family(history: MadeFile, parents: Mapping[int, MadeFile]) -> TakeLineage | NotReleasable:
    try:
        displacement = _last(history, DISPLACEMENT)
        above = {(stage, artefact.output): artefact for stage, artefact in parents[displacement.id]}
        if _made_by(MESH) not in above or _made_by(SCAN) not in above:
            return NotReleasable("its displacement does not say which mesh and scan it was baked from")
        mesh = above[_made_by(MESH)]
        of_mesh = [(s, a) for s, a in history if mesh.id in {p.id for _, p in parents.get(a.id, ())}]
        files = {
            SCAN.name: above[_made_by(SCAN)],
            MESH.name: mesh,
            TEXTURE.name: _last(of_mesh, TEXTURE),
            DISPLACEMENT.name: displacement,
        }
        near = _related(history, parents, {artefact.id for artefact in files.values()})
        for file in LAYOUT.lead_files:
            if file.name not in files and (file.required or _newest(near, file)):
                files[file.name] = _last(near, file)
        return TakeLineage(files)
    except NotReleasable as why:
        return why


def _related(history: MadeFile, parents: Mapping[int, MadeFile], ids: set[int]) -> MadeFile:
    """What was made directly from these files, and what these were made from."""
    above = {artefact.id for each in ids for _, artefact in parents.get(each, ())}
    return [(s, a) for s, a in history if a.id in above or ids & {p.id for _, p in parents.get(a.id, ())}]


def _newest(history: MadeFile, wanted: ReleasedFile) -> Artefact | None:
    found = [artefact for stage, artefact in history if (stage, artefact.output) == _made_by(wanted)]
    return found[-1] if found else None


def _last(history: MadeFile, wanted: ReleasedFile) -> Artefact:
    found = _newest(history, wanted)
    if found is None:
        raise NotReleasable(f"no {wanted.output} yet; see: mien farm graph", "unprocessed")
    return found


class StoredFiles:
    """Which files are in a store. A remote one is listed part by part, each once: it would be asked a million times."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listed: dict[str, set[str]] = {}

    def __contains__(self, sha256: str) -> bool:
        if self._store.is_local:
            return self._store.exists(sha256)
        part = sha256[:2]
        if part not in self._listed:
            self._listed[part] = {filed.sha256 for filed in self._store.shard(part)[0]}
        return sha256 in self._listed[part]
