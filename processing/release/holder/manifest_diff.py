"""Difference of two releases, by their manifests."""

from dataclasses import dataclass

from processing.release.formats.manifest import Manifest
from processing.release.formats.tombstones import WHY_NOT


@dataclass(frozen=True)
class Difference:
    """What changed from one release to another."""

    before: Manifest
    after: Manifest
    #: Codes.
    subjects_added: tuple[str, ...]
    #: Codes.
    subjects_removed: tuple[str, ...]
    #: Codes of who withdrew something that `before` holds, and models in it that a member left.
    withdrawn: tuple[str, ...]
    #: Paths.
    added: tuple[str, ...]
    #: Paths.
    removed: tuple[str, ...]
    #: Paths of another content.
    changed: tuple[str, ...]
    #: (old path, new path) of equal content.
    moved: tuple[tuple[str, str], ...]
    #: Files of `before` that are withdrawn.
    delete: tuple[str, ...] = ()
    #: What `after` says is not part any more, though it may be kept.
    no_longer: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        return not (self.added or self.removed or self.changed or self.moved)


def compare(before: Manifest, after: Manifest) -> Difference:
    """Files and subjects that came, went, changed or were renamed."""
    old, new = before.by_path, after.by_path
    gone = {path: old[path].sha256 for path in old.keys() - new.keys()}
    came = {path: new[path].sha256 for path in new.keys() - old.keys()}
    where: dict[str, list[str]] = {}
    for path in sorted(gone, reverse=True):
        where.setdefault(gone[path], []).append(path)
    moved = []
    for path in sorted(came):
        if where.get(came[path]):
            moved.append((where[came[path]].pop(), path))
    tombstones = [
        stone
        for stone in after.tombstones
        if (stone.of_model or stone.code in before.subjects) and stone.concerns(before.version)
    ]
    left, arrived = {a for a, _ in moved}, {b for _, b in moved}
    return Difference(
        before=before,
        after=after,
        subjects_added=tuple(sorted(set(after.subjects) - set(before.subjects))),
        subjects_removed=tuple(sorted(set(before.subjects) - set(after.subjects))),
        withdrawn=tuple(sorted({tombstone.code for tombstone in tombstones})),
        delete=tuple(sorted(path for path in old if any(tombstone.holds(path) for tombstone in tombstones))),
        no_longer=tuple(
            f"{gone.code} {gone.take}{' photographs' if gone.what == 'photographs' else ''}: {WHY_NOT[gone.why]}"
            for gone in after.no_longer
            if gone.code in before.subjects and gone.last_version >= before.version
        ),
        added=tuple(sorted(came.keys() - arrived)),
        removed=tuple(sorted(gone.keys() - left)),
        changed=tuple(sorted(p for p in old.keys() & new.keys() if old[p].sha256 != new[p].sha256)),
        moved=tuple(moved),
    )
