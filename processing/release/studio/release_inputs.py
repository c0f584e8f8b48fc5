"""What the records know of the takes of a subject that may leave: one query a kind, however many takes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from db.models import Artefact
from db.release_records.releases import ReleasedCapture, ReleasedRun, captures_of, runs_of
from db.stage_runs.artefacts import artefact_histories, input_hashes, parents_of
from db.stage_runs.ready_takes import take_photographs
from db.store import Store
from db.takes.missing_photographs import absent_views, made_before_arrival
from processing.release.formats.tombstones import WhyNot

# Which stage's output becomes which file of the release.
SCAN = ("reconstruct", "scan")
MESH = ("register", "mesh")
TEXTURE = ("texture", "texture")
DISPLACEMENT = ("bake", "displacement")
LANDMARKS = ("landmarks", "landmarks")

MadeFile = Sequence[tuple[str, Artefact]]  # stage, file


class NotReleasable(Exception):
    """Why a take stays. kind: for those who hold an earlier version that has it."""

    def __init__(self, why: str, kind: WhyNot = "not_available") -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True)
class TakeLineage:
    """The newest relief with the mesh and scan it was baked from, and the newest texture of that mesh."""

    scan: Artefact
    mesh: Artefact
    texture: Artefact
    displacement: Artefact

    def files(self) -> dict[str, Artefact]:
        return {"scan": self.scan, "mesh": self.mesh, "texture": self.texture, "displacement": self.displacement}


@dataclass(frozen=True)
class ReleaseInputs:
    """families: take -> its files, or why it stays.  templates: job of a mesh -> SHA-256 of the template that it used.
    used: mesh -> what it was made from.  photographs: take -> view -> (SHA-256, camera serial).
    absent: take -> view -> why the take is whole without it, "aside" or "decided".
    """

    families: Mapping[int, TakeLineage | NotReleasable]
    templates: Mapping[int, str]
    used: Mapping[int, MadeFile]
    runs: Mapping[int, ReleasedRun]
    captures: Mapping[int, ReleasedCapture]
    photographs: Mapping[int, Mapping[int, tuple[str, str | None]]]
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
    made = [
        artefact.id
        for history in histories.values()
        for stage, artefact in history
        if (stage, artefact.output) in (DISPLACEMENT, TEXTURE)
    ]
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
        used=parents_of(tx, {family.mesh.id for family in whole}),
        runs=runs_of(tx, {artefact.job_id for family in whole for artefact in family.files().values()}),
        captures=captures_of(tx, take_ids),
        photographs=take_photographs(tx, take_ids) if photographs else {},
        absent={
            take: {view: str(kind) for view, kind in views.items()}
            for take, views in absent_views(tx, take_ids).items()
        },
    )


def _family(history: MadeFile, parents: Mapping[int, MadeFile]) -> TakeLineage | NotReleasable:
    try:
        displacement = _last(history, DISPLACEMENT)
        above = {(stage, artefact.output): artefact for stage, artefact in parents[displacement.id]}
        if MESH not in above or SCAN not in above:
            return NotReleasable("its displacement does not say which mesh and scan it was baked from")
        mesh = above[MESH]
        of_mesh = [(s, a) for s, a in history if mesh.id in {p.id for _, p in parents.get(a.id, ())}]
        return TakeLineage(above[SCAN], mesh, _last(of_mesh, TEXTURE), displacement)
    except NotReleasable as why:
        return why


def _last(history: MadeFile, wanted: tuple[str, str]) -> Artefact:
    found = [artefact for stage, artefact in history if (stage, artefact.output) == wanted]
    if not found:
        raise NotReleasable(f"no {wanted[1]} yet; see: mien farm graph", "unprocessed")
    return found[-1]


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
