"""`mien avatar`: a photograph, a face model and learned weights to one file that plays in a browser."""

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from common.array_types import Floats, Floats32, Image
from common.progress import Progress, no_progress, part
from processing.errors import DataError, NoFace
from processing.face_models.face_model import FaceModel
from processing.face_models.low_poly_head import LowPolyHead
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES
from processing.single_view.fitting.choosing import chosen_face
from processing.single_view.photograph import Photograph
from processing.single_view.photograph_files import read_photograph

if TYPE_CHECKING:  # loaded while the photograph is looked at
    from processing.avatars.avatar import Avatar
    from processing.learning.avatar.decoder import AvatarDecoder

_LEAST_PX, _MOST_PX = 256, 4096
_QUALITY = 88  # of the texture's JPEG
_WORDS = (
    "This avatar is of a person and is that person's data: make, keep, show and pass it on only as they agreed, and "
    "delete it when they ask."
)


@dataclass(frozen=True)
class AvatarInputs:
    """What `mien avatar` is given."""

    photograph: Path
    model: Path
    weights: Path | None = None  # of a decoder of heads; None: the shape is the model's fit
    texture_px: int = 1024
    light: Literal["keep", "even"] = "even"
    expression: bool = False  # whether the photograph's expression is in the file, as an animation
    focal_px: float | None = None
    face: str | None = None  # which of several
    detail: Path | None = None  # folder of the detailed face of this photograph: its relief becomes a normal map


@dataclass(frozen=True, eq=False)
class MadeAvatar:
    """An avatar and its file."""

    path: Path
    avatar: "Avatar"
    bytes: int
    seconds: float  # from the call to the file
    shape_by: str  # "decoder", "model"
    completed_by: str  # code of the subject, or what else

    def as_report(self) -> dict[str, Any]:
        head = self.avatar.person.head
        return {
            "avatar": str(self.path),
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "vertices": len(head.vertices),
            "triangles": len(head.triangles),
            "units": len(self.avatar.person.units),
            "shape_by": self.shape_by,
            "completed_by": self.completed_by,
            "verdict": self.avatar.review.verdict,
            "reasons": list(self.avatar.review.reasons),
            "figures": dict(self.avatar.figures),
        }

    def as_text(self) -> str:
        figures, head = self.avatar.figures, self.avatar.person.head
        lines = [
            f"{self.path}: {len(head.vertices)} vertices, {len(self.avatar.person.units)} morph targets, "
            f"{self.bytes / 1e6:.1f} MB, {self.seconds:.1f} s; landmarks within {figures['landmark_percent']:.1f} % of "
            "the eyes' distance",
            f"shape by the {self.shape_by}; {100 * figures['face_completed']:.0f} % of the face and all beside it "
            f"completed by {self.completed_by}",
            f"{self.avatar.review.verdict}:" if self.avatar.review.reasons else self.avatar.review.verdict,
        ]
        return "\n".join([*lines, *(f"  {reason}" for reason in self.avatar.review.reasons), _WORDS])


def make_avatar_file(given: AvatarInputs, out: Path, *, progress: Progress = no_progress) -> MadeAvatar:
    """Write OUT, a .glb. Raises DataError, saying what is wrong with which file and what to do."""
    began = time.monotonic()
    if out.suffix.lower() != ".glb":
        raise DataError(f"{out} must end in .glb: an avatar is one glTF binary file")
    if not _LEAST_PX <= given.texture_px <= _MOST_PX:
        raise DataError(f"a texture of {given.texture_px} px is none: {_LEAST_PX} to {_MOST_PX}")
    progress(0.0, "reading")
    with ThreadPoolExecutor(3) as beside:
        photograph = beside.submit(read_photograph, given.photograph, focal_px=given.focal_px, face=given.face)
        landmarks = beside.submit(_landmarks, photograph)
        # What takes long to load is loaded while the photograph is decoded and the face is found.
        from processing.face_models.model_file import map_model
        from processing.geometry import open3d_core

        open3d_core.load()
        model, check = map_model(given.model)
        checked = beside.submit(check)
        decoder = None if given.weights is None else _decoder(given.weights, model)
        head = _kept_head(model) if decoder is None else decoder.head
        made = _made(given, model, head, decoder, photograph, landmarks, progress=progress)
        checked.result()
        avatar, shape_by, completed_by = made
        size = _write(given, out, model, decoder, avatar, completed_by)
    return MadeAvatar(out, avatar, size, time.monotonic() - began, shape_by, completed_by)


def _made(
    given: AvatarInputs,
    model: FaceModel,
    head: LowPolyHead,
    decoder: "AvatarDecoder | None",
    photograph: "Future[Photograph]",
    landmarks: "Future[Floats]",
    *,
    progress: Progress,
) -> tuple["Avatar", str, str]:
    """The avatar, what its shape is by, and what completes it."""
    from processing.avatars.avatar import make_avatar
    from processing.avatars.person_head import person_head
    from processing.geometry.uv_rasterization import texels_of

    own = model.subset(head.vertices)
    texels = texels_of(head.mesh(head.take(model.topology.mesh.vertices_mm)), given.texture_px)
    seen = photograph.result()
    points = landmarks.result()
    crop = upright_crop(seen.image, points)
    progress(0.4, "whose head it is")
    _check_upright(crop, seen.name)
    if decoder is None:
        neutral, other, completed_by = own.neutral(_fitted(model, seen, points)), None, "the model's mean"
    else:
        features = _features(crop, seen.name)
        neutral = decoder.predict(features)
        near = decoder.nearest(features)
        other, completed_by = (None, "the model's mean") if near is None else (near.texture, f"subject {near.code}")
    person = person_head(model, head, neutral, own)
    avatar = make_avatar(
        person, seen, points, texels, _mean_texture(model) if other is None else other, light=given.light,
        progress=part(progress, 0.5, 0.95),
    )  # fmt: skip
    return avatar, "model" if decoder is None else "decoder", completed_by


def _landmarks(photograph: "Future[Photograph]") -> Floats:
    """(478, 2) px of the chosen face. Raises NoFace, PhotoFitError, and what reading did not manage."""
    with LandmarkDetector(faces=MOST_FACES) as detector:
        return chosen_face(photograph.result(), detector).landmarks_px


def _decoder(path: Path, model: FaceModel) -> "AvatarDecoder":
    from processing.learning.avatar.decoder import AvatarDecoder
    from processing.learning.weights_file import WeightsError, read_weights

    decoder = AvatarDecoder.open(read_weights(path, "avatar"))
    if decoder.head.full != model.vertex_count:
        raise WeightsError(
            f"{path} decodes heads of a topology of {decoder.head.full} vertices, the model has {model.vertex_count}: "
            "use a model and weights of one study"
        )
    return decoder


def _features(crop: Image, name: str) -> Floats32:
    """(128,) identity features of the face in a part of the photograph, upright, that holds this face alone."""
    from processing.learning.avatar.identity_features import identity_features

    try:
        with _quiet_networks():
            return identity_features(crop)
    except NoFace as error:
        raise NoFace(f"{name}: whose face it is cannot be told: {error}") from None


def _check_upright(crop: Image, name: str) -> None:
    """Raises AvatarError for a head that stands on its head, in which the detector of landmarks sees another face."""
    from processing.avatars.avatar import AvatarError
    from processing.learning.avatar.identity_features import face_features

    with _quiet_networks():
        sure = []
        for image in (crop, np.ascontiguousarray(crop[::-1, ::-1])):
            found = face_features().find(image)
            sure.append(0.0 if found is None else float(found[-1]))
    if sure[1] > sure[0]:
        raise AvatarError(f"{name}: the head stands upside down in the photograph; turn it and try again")


@contextmanager
def _quiet_networks() -> Iterator[None]:
    """OpenCV tells on standard error what each network runs on; not now."""
    told = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(told)


def upright_crop(image: Image, landmarks_px: Floats, size_px: int = 320) -> Image:
    """(S, S, 3) the face turned upright, with as much around it as a detector of faces wants."""
    eyes = landmarks_px[[33, 133]].mean(axis=0), landmarks_px[[362, 263]].mean(axis=0)
    across = eyes[1] - eyes[0]
    low, high = landmarks_px.min(axis=0), landmarks_px.max(axis=0)
    middle, extent = (low + high) / 2, float((high - low).max())
    turn = np.arctan2(across[1], across[0])
    scale = size_px / (2.2 * extent)
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    to = np.array([[c, s, 0.0], [-s, c, 0.0]])
    to[:, 2] = size_px / 2 - to[:, :2] @ middle
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    blurred = cv2.GaussianBlur(image, (0, 0), 0.4 / scale) if scale < 0.6 else image
    return np.asarray(cv2.warpAffine(blurred, to, (size_px, size_px), flags=how, borderMode=cv2.BORDER_REPLICATE))


def _fitted(model: FaceModel, photograph: Photograph, landmarks_px: Floats) -> Floats:
    """(n,) the identity that the model's own fit by landmarks finds."""
    from processing.single_view.photo_fit import fit_photographs
    from processing.single_view.photograph import PhotoFitSettings

    settings = PhotoFitSettings(pixels=False)
    return fit_photographs(model, [photograph], settings=settings, landmarks=lambda: [landmarks_px])[0].identity


def _mean_texture(model: FaceModel) -> Image:
    """(S, S, 3) BGR of the members' mean, whose skin goes on where the model has no colours."""
    if model.albedo is None:
        return np.full((64, 64, 3), (130, 155, 195), np.uint8)
    picture = model.albedo.picture()[..., ::-1].copy()
    picture[~model.albedo.mask] = np.median(picture[model.albedo.mask], axis=0)
    return np.ascontiguousarray(picture)


def _kept_head(model: FaceModel) -> LowPolyHead:
    """The low-poly head of a model's topology, made once for a user: some 20 s for 26,000 vertices."""
    from common.bounded.npz_files import read_npz
    from common.files.atomic_write import atomic_write

    path = _cache() / f"low-poly-1-{model.topology.topology}.npz"
    with suppress(DataError, OSError, ValueError, KeyError):
        head = LowPolyHead.of_arrays(read_npz(path))
        if head.full == model.vertex_count:
            return head
    head = LowPolyHead.of_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **head.arrays())  # type: ignore[arg-type]
    return head


def _cache() -> Path:
    """Where what is made once for a user is kept: MIEN_CACHE or the user's cache folder."""
    from platformdirs import user_cache_path

    folder = os.environ.get("MIEN_CACHE")
    return Path(folder) if folder else user_cache_path("mien")


def _write(
    given: AvatarInputs, out: Path, model: FaceModel, decoder: "AvatarDecoder | None", avatar: "Avatar", by: str
) -> int:
    from processing.avatars.avatar_glb import AvatarParts, write_avatar
    from processing.avatars.mouth_parts import encoded_png, teeth_texture

    encoded = cv2.imencode(".jpg", avatar.texture.image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    out.parent.mkdir(parents=True, exist_ok=True)
    return write_avatar(
        out,
        AvatarParts(
            "avatar", avatar.person.model.topology.mesh.with_vertices(avatar.neutral_mm), avatar.person.units,
            avatar.offsets_mm, bytes(encoded), avatar.teeth, encoded_png(teeth_texture()),
            _facts(given, model, decoder, avatar, by), avatar.weights if given.expression else None,
            None if given.detail is None else _normals(given.detail, avatar, given.texture_px),
        ),
    )  # fmt: skip


def _normals(folder: Path, avatar: "Avatar", size_px: int) -> bytes:
    """A JPEG of the relief of a detailed face at rest. Raises DataError where it is of another topology."""
    from processing.avatars.normal_map import normal_map
    from processing.face_models.detailed_face import read_detailed_face
    from processing.geometry.uv_rasterization import texels_of

    face, head = read_detailed_face(folder), avatar.person.head
    if len(face.mesh.vertices_mm) != head.full:
        raise DataError(
            f"{folder} is a face of {len(face.mesh.vertices_mm)} vertices, the model has {head.full}: "
            "give what `mien face detail` made with the same model"
        )
    height, valid = face.displacement(face.labels[0], size_px)
    mesh = head.mesh(avatar.neutral_mm)
    picture = normal_map(mesh, texels_of(mesh, size_px), height, valid)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])


def _facts(
    given: AvatarInputs, model: FaceModel, decoder: "AvatarDecoder | None", avatar: "Avatar", by: str
) -> Mapping[str, Any]:
    """What the file says of itself. The photograph is named, never held."""
    from processing.face_models.model_card import NOT_FOR

    facts: dict[str, Any] = {
        "kind": "mien avatar",
        "photograph": given.photograph.name,
        "model": {"name": model.name, "version": model.version, "topology": model.topology.topology},
        "completed_by": by,
        "face_completed": round(float(avatar.figures["face_completed"]), 4),
        "light": given.light,
        "review": {"verdict": avatar.review.verdict, "reasons": list(avatar.review.reasons)},
        "terms": _WORDS,
        "not_for": list(NOT_FOR),
    }
    if decoder is not None:
        card = decoder.weights.card
        facts["weights"] = {"kind": card.kind, "release": dict(card.release), "subjects": len(card.subjects)}
    return facts
