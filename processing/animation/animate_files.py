"""A recording played on a face, written as files: glTF, displacement maps, a clip.

    OUT/face.glb                  morph targets and their keyframes, the head's turns
    OUT/dpmap/frame_<n>.png       displacement of every n-th frame, the release's encoding
    OUT/clip.mp4                  the face with its detail
    OUT/animation.json            what was asked and done; whole: false until all of it is there

What is there of the same request is kept: an interrupted run goes on.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Bools, Floats, Image
from common.files.atomic_write import atomic_write
from common.files.hashes import file_sha256
from common.files.json_object import read_json_object
from common.progress import Progress, no_progress, part
from processing.animation.clip_file import write_clip
from processing.animation.detail_shading import DetailRenderer
from processing.animation.dynamic_detail import DynamicDetail
from processing.animation.face_folder import AnimatedFace, read_animated_face
from processing.animation.keyframes import rotation_of, thinned, turns_to_quaternions
from processing.animation.live_link_face import TURNS, FacialAnimation, read_live_link_face
from processing.errors import DataError
from processing.face_models.exports.rig_targets import rig_targets
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.files.image_files import read_image, write_image
from processing.files.morph_targets.gltf import write_glb
from processing.files.morph_targets.morph_target_model import MorphAnimation
from processing.geometry.cameras import Camera
from processing.geometry.rendering import bounds, portrait_camera

FORMAT = 1
_TURN_TOLERANCE = 0.0005  # of a quaternion's parts: a twentieth of a degree


class AnimateError(DataError):
    """An animation cannot be written as it was asked."""


@dataclass(frozen=True)
class AnimateSettings:
    """What is written of a recording, and how."""

    gltf: bool = True
    maps: bool = True
    clip: bool = True
    fps: float = 30.0  # of maps and clip
    every: int = 1  # of these frames, a map
    size_px: int = 1024  # side of the maps, and of the heights in the clip
    height_px: int = 720  # of the clip
    tolerance: float = 0.002  # of a weight, between keyframes
    plain: bool = False  # by the equations alone
    clay: bool = False  # the clip without texture
    flip: tuple[str, ...] = ()  # turns that go the other way
    rate: float | None = None  # of the recording, where its timecodes do not say it
    degrees: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (("fps", 1, 240), ("every", 1, 100_000), ("size_px", 16, 4096), ("height_px", 16, 4320)):
            if not low <= getattr(self, name) <= high:
                raise AnimateError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it is {low} to {high}")
        if not 0 <= self.tolerance <= 1:
            raise AnimateError(f"--tolerance is {self.tolerance}, a weight; it is 0 to 1")
        if wrong := [name for name in self.flip if name not in TURNS]:
            raise AnimateError(f"--flip {', '.join(wrong)}: turns are {', '.join(TURNS)}")
        if not (self.gltf or self.maps or self.clip):
            raise AnimateError("nothing is left to be written: leave one of --no-gltf, --no-maps, --no-clip out")


@dataclass(frozen=True)
class Animated:
    """What was written."""

    out: Path
    seconds: float
    frames: int  # of maps and clip
    keyframes: int | None
    maps: int
    codec: str | None
    lacking: tuple[str, ...]  # units that move in the recording and that the rig has not
    notes: tuple[str, ...] = field(default=())

    def as_text(self) -> str:
        lines = [f"{self.out}: {self.seconds:.1f} s, {self.frames} frames"]
        if self.keyframes is not None:
            lines.append(f"  face.glb: {self.keyframes} keyframes, {_megabytes(self.out / 'face.glb')}")
        if self.maps:
            lines.append(f"  dpmap/: {self.maps} displacement maps")
        if self.codec:
            lines.append(f"  clip.mp4: {self.codec}, {_megabytes(self.out / 'clip.mp4')}")
        if self.lacking:
            lines.append(f"  the rig lacks units that move: {', '.join(self.lacking)}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def animate_files(
    recording: Path,
    face: Path,
    out: Path,
    settings: AnimateSettings | None = None,
    *,
    template: Path | None = None,
    progress: Progress = no_progress,
) -> Animated:
    """Play a recording (CSV) on a face, into the folder `out`. Raises DataError, saying what to do."""
    settings = settings or AnimateSettings()
    played = read_live_link_face(recording, rate=settings.rate, degrees=settings.degrees)
    who = read_animated_face(face, template)
    if settings.maps and who.detailed is None:
        raise AnimateError(f"{face} is a rig and has no displacement maps: --no-maps, or give a detailed face's folder")
    _begin(out, {"face": who.fingerprint(), "recording": file_sha256(recording), "settings": asdict(settings)})
    weights, lacking = played.for_units(who.rig.names)
    turns = played.head * [-1 if turn in settings.flip else 1 for turn in TURNS]
    keyframes = None
    if settings.gltf:
        keyframes = _write_gltf(out / "face.glb", who, played, weights, turns, settings)
    frames = _Frames.of(played, weights, turns, settings.fps)
    maps, codec = 0, None
    if settings.maps or settings.clip:
        detail = None
        if who.detailed is not None:
            detail = DynamicDetail.of(who.detailed, settings.size_px, progress=part(progress, 0.02, 0.15))
        if settings.maps and detail is not None and who.detailed is not None:
            known = _known(who, settings.size_px)
            maps = _write_maps(out / "dpmap", detail, frames, known, settings, part(progress, 0.15, 0.5))
        if settings.clip:
            codec = _write_clip(out, who, detail, frames, settings, part(progress, 0.5, 1.0))
    made = Animated(
        out, round(float(played.times_s[-1]), 3), len(frames.weights), keyframes, maps, codec, lacking, played.notes
    )
    _end(out, made)
    return made


@dataclass(frozen=True, eq=False)
class _Frames:
    """A recording at even times."""

    weights: Floats  # (F, U)
    turns: Floats  # (F, 3)

    @staticmethod
    def of(played: FacialAnimation, weights: Floats, turns: Floats, fps: float) -> "_Frames":
        count = int(np.floor(played.times_s[-1] * fps + 1e-6)) + 1
        at = np.arange(count) / fps
        resampled = [
            np.stack([np.interp(at, played.times_s, column) for column in table.T], axis=1)
            for table in (weights, turns)
        ]
        return _Frames(np.clip(resampled[0], 0, 1), resampled[1])


def _write_gltf(
    path: Path, who: AnimatedFace, played: FacialAnimation, weights: Floats, turns: Floats, settings: AnimateSettings
) -> int:
    """The number of its keyframes."""
    kept = thinned(played.times_s, weights, settings.tolerance)
    turn_times = quaternions = None
    if turns.any():
        every = turns_to_quaternions(turns)
        turning = thinned(played.times_s, every, _TURN_TOLERANCE)
        turn_times, quaternions = played.times_s[turning].astype(np.float32), every[turning].astype(np.float32)
    x, y, z = who.mesh.vertices_mm.mean(axis=0)
    recorded = MorphAnimation(
        "recording", played.times_s[kept].astype(np.float32), weights[kept].astype(np.float32), turn_times, quaternions,
        (float(x), float(y), float(z)),
    )  # fmt: skip
    model = rig_targets(who.rig, who.mesh, "face", texture=who.jpeg, facts=who.facts, plays=False)
    write_glb(path, model, recorded)
    return len(kept)


def _known(who: AnimatedFace, size_px: int) -> Bools:
    """(S, S) texels that every key map knows."""
    assert who.detailed is not None
    known = np.ones((size_px, size_px), np.bool_)
    for label in who.detailed.labels:
        known &= who.detailed.displacement(label, size_px)[1]
    return known


def _write_maps(
    folder: Path, detail: DynamicDetail, frames: _Frames, known: Bools, settings: AnimateSettings, progress: Progress
) -> int:
    wanted = range(0, len(frames.weights), settings.every)
    for number in wanted:
        path = folder / f"frame_{number:06d}.png"
        if not path.is_file():
            height = detail.displacement(frames.weights[number], plain=settings.plain)
            write_displacement_png(path, DisplacementMap(height.astype(np.float32), known))
        progress((number + 1) / len(frames.weights), "displacement maps")
    return len(wanted)


def _write_clip(
    out: Path,
    who: AnimatedFace,
    detail: DynamicDetail | None,
    frames: _Frames,
    settings: AnimateSettings,
    progress: Progress,
) -> str:
    """The codec. Frames lie in OUT/.clip until the film is whole."""
    if (out / "clip.mp4").is_file():
        return str(read_json_object(out / "animation.json", AnimateError).get("codec") or "as it was")
    camera = _camera(who, settings.height_px)
    renderer = DetailRenderer.of(who.mesh, camera, None if settings.clay else who.texture)
    pivot = who.mesh.vertices_mm.mean(axis=0)
    aside = out / ".clip"
    aside.mkdir(exist_ok=True)
    for number, (weights, turns) in enumerate(zip(frames.weights, frames.turns, strict=True)):
        path = aside / f"{number:06d}.png"
        if not path.is_file():
            height = None if detail is None else detail.displacement(weights, plain=settings.plain)
            vertices = (who.rig.face(weights) - pivot) @ rotation_of(turns).T + pivot
            write_image(path, renderer.draw(vertices, height), png_compression=1)
        progress(0.9 * (number + 1) / len(frames.weights), "frames of the clip")
    codec = write_clip(
        out / "clip.mp4",
        _read_frames(aside, len(frames.weights), progress),
        (camera.width, camera.height),
        settings.fps,
    )
    shutil.rmtree(aside)
    return codec


def _read_frames(folder: Path, count: int, progress: Progress) -> Iterator[Image]:
    for number in range(count):
        yield read_image(folder / f"{number:06d}.png")
        progress(0.9 + 0.1 * (number + 1) / count, "clip")


def _camera(who: AnimatedFace, height_px: int) -> Camera:
    """From the front, with room for a head that turns; sides of even numbers, as films have them."""
    low, high = bounds(who.mesh)
    room = 0.06 * (high - low)
    camera = portrait_camera(np.stack([low - room, high + room]), height_px=height_px - height_px % 2)
    return Camera(camera.K, camera.R, camera.t, camera.width + camera.width % 2, camera.height, name=camera.name)


def _begin(out: Path, request: Mapping[str, Any]) -> None:
    """Make the folder, or see that it holds the same request. Raises AnimateError."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    path = out / "animation.json"
    if path.is_file():
        there = read_json_object(path, AnimateError)
        if there.get("request") == digest:
            return
        raise AnimateError(f"{out} holds another animation, or one of other settings: name a folder that is not there")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AnimateError(f"{out} is there and is no animation: name a folder that is not there")
    out.mkdir(parents=True, exist_ok=True)
    _write_json(path, {"format": FORMAT, "request": digest, "whole": False, **request})


def _end(out: Path, made: Animated) -> None:
    there = read_json_object(out / "animation.json", AnimateError)
    told = {key: value for key, value in asdict(made).items() if key != "out"}
    _write_json(out / "animation.json", {**there, "whole": True, **told})


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
