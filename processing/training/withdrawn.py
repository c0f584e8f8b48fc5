"""What a newer version of a release says of weights: whether somebody they were trained on has withdrawn since."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from processing.learning.weights_file import LearnedCard, read_learned_card
from processing.release.formats.manifest import read_manifest
from processing.release.formats.released_files import model_folder
from processing.release.formats.tombstones import Tombstone
from processing.training.study_faces import StudyError


@dataclass(frozen=True)
class WithdrawnFrom:
    """Of one file of weights."""

    kind: str
    withdrawn: tuple[str, ...]  # whom, and the face model that is no more, with what of them was withdrawn
    in_words: str  # what to do


def withdrawn_from(weights: Path, newer: Path) -> WithdrawnFrom:
    """Those whom weights were trained on and of whom the release `newer` says that they have withdrawn.

    What somebody took back of pictures alone counts where the weights hold a picture of them. Raises WeightsError,
    ManifestError, and StudyError where the release is another one, or older.
    """
    card = read_learned_card(weights)
    manifest, digest = read_manifest(newer)
    said = card.release
    if said.get("layout") != "release":
        raise StudyError(f"{weights} was trained on a folder, not on a release: whoever owns it knows who withdrew")
    version = int(said["version"])
    if manifest.name != said["name"]:
        raise StudyError(f"{weights} was trained on {said['name']}, and {newer} is {manifest.name}: name its release")
    if manifest.version < version or (manifest.version == version and digest != said["sha256"]):
        raise StudyError(
            f"{newer} is version {manifest.version}, and {weights} was trained on {version}: name a newer one"
        )
    trained, pictured = set(card.subjects), set(pictured_in(card))
    found = [
        f"{stone.code}: {stone.in_words()}"
        for stone in manifest.tombstones
        if stone.concerns(version)
        and not stone.of_model
        and str(stone.index) in (pictured if stone.what in ("photographs", "eyes") else trained)
    ]
    found += _models(card, manifest.tombstones)
    do = "delete it in every copy, train again on the newer version" if found else "nothing: everybody is still in it"
    return WithdrawnFrom(card.kind, tuple(found), do)


def pictured_in(card: LearnedCard) -> tuple[str, ...]:
    """Subjects of whom the weights hold a picture: a texture that completes what a photograph does not show."""
    said = card.architecture.get("completion", ())
    return tuple(str(subject) for subject in said) if isinstance(said, list | tuple) else ()


def _models(card: LearnedCard, stones: Sequence[Tombstone]) -> list[str]:
    """The face model that weights were made with, where a member has left it."""
    if not card.model:
        return []
    mine = model_folder(str(card.model["name"]), int(card.model["version"]))
    return [f"{stone.code}: {stone.in_words()}" for stone in stones if stone.of_model and stone.code == mine]
