"""Heads, their photographs' identity features: made once under RUN/data in files of some heads, and not made again.

File `number` of a seed follows from both alone, so a preparation that was stopped goes on. Photographs are not kept.
Features are biometric, those of members' own heads above all: the folder is to be guarded as the release itself, and
can be deleted once the training has ended.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from common.array_types import Floats, Floats32, Image, Ints64
from common.bounded.npz_files import read_npz
from common.files.atomic_write import atomic_write
from common.identity_model.face_features import FEATURES
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.learning.avatar.identity_features import find_face
from processing.synthetic.face_photographs import FacePhotography
from processing.synthetic.training_photographs import Spoiling, draw_photograph, spoil
from processing.training.avatar.members import Members, nearest_members
from processing.training.avatar.settings import AvatarSettings, AvatarTrainingError
from processing.training.study_faces import StudyFaces

#: Photographs as people take them of themselves: nothing before the face.
SPOILING = Spoiling(
    occluder=0, glasses=0.05, fringe=0.1, light=0.7, grey=0.02, blur=0.3, coarse=0.1, noise=0.5, jpeg=0.5
)
_HELD = 2  # of a seed's streams of chance: sampled heads, members' own, those held back
_TRIES = 2  # of a photograph in which no face is found


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """H heads and F photographs of them."""

    heads_mm: Floats32  # (H, L, 3)
    features: Floats32  # (F, 128)
    head: Ints64  # (F,) whose


def photograph_features(
    rng: np.random.Generator, head_mm: Floats, texture: Image, members: Members, settings: AvatarSettings, count: int
) -> Floats32:
    """(<= count, 128) of photographs of a head in a texture (BGR); those in which no face was found are left out."""
    face = FacePhotography(members.head.mesh(head_mm), texture, occlusion_rays=settings.occlusion_rays)
    found = []
    for _ in range(count):
        for _ in range(_TRIES):
            seen = find_face(spoil(rng, draw_photograph(rng, face, settings.limits).image, how=SPOILING))
            if seen is not None:
                found.append(seen.features)
                break
    return np.array(found, np.float32).reshape(len(found), FEATURES)


def make_file(rng: np.random.Generator, members: Members, settings: AvatarSettings) -> FeatureFile:
    """`settings.shard` heads, each photographed `settings.photographs` times in the skin of one near to it."""
    heads, features, which = [], [], []
    for number in range(settings.shard):
        head = members.pool.sample(rng, settings.sampling, settings.members, settings.radius)
        near = nearest_members(head, members, settings.textures_near)
        texture = members.textures[int(rng.choice(near))]
        seen = photograph_features(rng, head, texture, members, settings, settings.photographs)
        heads.append(head)
        features.append(seen)
        which.append(np.full(len(seen), number))
    return _file(heads, features, which)


def make_own_file(
    rng: np.random.Generator, members: Members, settings: AvatarSettings, some: Sequence[int]
) -> FeatureFile:
    """Members by their numbers into `textures`, their own heads in their own skins."""
    heads, features, which = [], [], []
    for place, number in enumerate(some):
        head = members.pool.heads_mm[members.pictured[number]]
        seen = photograph_features(rng, head, members.textures[number], members, settings, settings.of_members)
        heads.append(head)
        features.append(seen)
        which.append(np.full(len(seen), place))
    return _file(heads, features, which)


def make_held_file(
    path: Path, faces: StudyFaces, held_back: Sequence[str], members: Members, settings: AvatarSettings, seed: int
) -> FeatureFile:
    """People who are not learned from, moved onto the members' mean, in their own skins or, where these may not be
    shown, in the nearest member's; read where `path` has them.
    """
    if path.exists():
        return read_features(path)
    heads, features, which = [], [], []
    for number, code in enumerate(held_back):
        neutral = faces.neutral(code)
        head = members.pool.upright(members.head.take(faces.vertices(code, neutral)))
        if code in faces.pictured:
            texture = np.ascontiguousarray(faces.texture(code, neutral, settings.texture_px)[..., ::-1])
        else:
            texture = members.textures[int(nearest_members(head, members, 1)[0])]
        rng = np.random.default_rng([seed, _HELD, number])
        seen = photograph_features(rng, head, texture, members, settings, settings.of_members)
        heads.append(head)
        features.append(seen)
        which.append(np.full(len(seen), number))
    made = _file(heads, features, which)
    _write(path, made)
    return made


def prepare_features(
    folder: Path, members: Members, settings: AvatarSettings, *, seed: int, progress: Progress = no_progress
) -> tuple[list[Path], list[Path]]:
    """Files of sampled heads, and of members' own, under `folder`; those not there yet made by several processes.

    Raises AvatarTrainingError where a process fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sampled = [folder / f"heads-{number:05d}.npz" for number in range(-(-settings.heads // settings.shard))]
    own = [folder / f"members-{number:05d}.npz" for number in range(-(-len(members.pictured) // settings.shard))]
    jobs = [(path, number, kind) for kind, paths in enumerate((sampled, own)) for number, path in enumerate(paths)]
    missing = [job for job in jobs if not job[0].exists()]
    done = 0

    def say() -> None:
        progress(done / max(len(missing), 1), f"{done} of {len(missing)} files of photographs' features")

    if settings.processes == 1 or len(missing) < 2:
        _begin(members, settings, seed)
        for job in missing:
            _make(*job)
            done += 1
            say()
        return sampled, own
    workers = min(settings.processes, len(missing))
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (members, settings, seed)) as pool:
        for future in as_completed([pool.submit(_make, *job) for job in missing]):
            try:
                future.result()
            except DataError:
                raise
            except Exception as error:
                raise AvatarTrainingError(f"photographs could not be made: {error}") from error
            done += 1
            say()
    return sampled, own


def read_features(path: Path) -> FeatureFile:
    """What a preparation wrote. Raises AvatarTrainingError."""
    names = tuple(one.name for one in fields(FeatureFile))
    try:
        arrays = read_npz(path, names)
        return FeatureFile(**{name: arrays[name] for name in names})
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise AvatarTrainingError(f"{path} holds no features ({error}); delete it, and it is made again") from None


_given: tuple[Members, AvatarSettings, int] | None = None


def _begin(members: Members, settings: AvatarSettings, seed: int) -> None:
    global _given
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    _given = members, settings, seed


def _make(path: Path, number: int, kind: int) -> None:
    assert _given is not None
    members, settings, seed = _given
    rng = np.random.default_rng([seed, kind, number])
    if kind == 0:
        made = make_file(rng, members, settings)
    else:
        first = number * settings.shard
        made = make_own_file(rng, members, settings, range(first, min(first + settings.shard, len(members.pictured))))
    _write(path, made)


def _file(heads: Sequence[Floats], features: Sequence[Floats32], which: Sequence[Ints64]) -> FeatureFile:
    return FeatureFile(
        np.asarray(heads, np.float32),
        np.concatenate(features).astype(np.float32),
        np.concatenate(which).astype(np.int64),
    )


def _write(path: Path, made: FeatureFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, heads_mm=made.heads_mm, features=made.features, head=made.head)
