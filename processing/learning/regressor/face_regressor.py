"""A photograph to a face of a study's model by one network: found, cropped, looked at, and looked at once more.

The first look's face says where its eyes, nose and mouth are better than a detector does for a turned head, so the
second look is at the crop by those. It is at the crop and at its mirror image; the two are averaged by the model's
symmetry. All of it moves with the picture: whatever its size, and wherever the face is in it, the face is the
same.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from common.array_types import Floats, Floats32, Image
from common.identity_model.face_features import FaceFeatures
from processing.errors import DataError, NoFace, ShapeError
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.face_state import identity_of
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES, find_faces
from processing.learning.regressor.face_crop import FaceCrop, crop_of_box, crop_of_points, five_points
from processing.learning.regressor.face_mirror import FaceMirror, mirrored_rotation
from processing.learning.regressor.face_network import (
    ACROSS_MM,
    FaceNetwork,
    FaceOutput,
    five_inputs,
    fused,
    network_of,
)
from processing.learning.regressor.landmark_network import NAME as READS_LANDMARKS
from processing.learning.regressor.landmark_network import (
    LandmarkNetwork,
    five_of_landmarks,
    landmark_network_of,
)
from processing.learning.weights_file import LearnedWeights, WeightsError, load_network
from processing.single_view.fitting.landmark_places import SKIN_POINTS

_SOUGHT_PX = (320, 640)  # the longer side at which a face is sought; the larger where nothing is found
_LEAST_OVERLAP = 0.3  # of a face found with the box that was given
_CROP_PX = 128  # by which landmarks are told: what is seen does not depend on it
_NO_FACE = (
    "no face was found in the {width} x {height} pixels: give an upright photograph that shows the face, "
    "or a box about it"
)
_SIZE_OFF, _PLACE_OFF = 2.5, 0.75  # of the crop's usual size, and of its middle: a face beyond is none


class RegressionError(DataError):
    """What is said to be a face is none that the network knows."""


@dataclass(frozen=True, eq=False)
class RegressedFace:
    """A face of the model in a photograph. A place x of the model lies at `y = R (x - pivot)` about the pivot, in axes
    along the line of sight to it (OpenCV's), and is seen at `shift + scale y_xy / (1 + y_z / distance)` px.
    """

    scores: Floats  # (n,) identity, deviations from the members' mean
    weights: Floats  # (U,) in 0..1
    R: Floats  # (3, 3)
    scale: float  # px a mm
    shift: Floats  # (2,) px of the pivot
    distance_mm: float  # of the camera
    pivot_mm: Floats  # (3,)
    five_px: Floats  # (5, 2) where a detector saw eyes, nose and mouth; NaN where a box alone was given
    off_percent: float  # of those from the face's own, by the distance of its eyes; NaN likewise

    def seen(self, points_mm: Floats) -> Floats:
        """(N, 3) of the model's frame -> (N, 2) px of the photograph."""
        y = (points_mm - self.pivot_mm) @ self.R.T
        return np.asarray(self.shift + self.scale * y[:, :2] / (1 + y[:, 2:] / self.distance_mm))


@dataclass(frozen=True, eq=False)
class _Look:
    """What came of one crop, both ways averaged; lengths in the crop's sides."""

    scores: Floats
    weights: Floats
    R: Floats
    size: float
    place: Floats
    distance_mm: float


class FaceRegressor:
    """Weights of `mien learn regressor` made ready."""

    def __init__(self, model: FaceModel, weights: LearnedWeights, device: str) -> None:
        """Use `open`."""
        self._model, self._device = model, device
        try:
            self._network = _network_of(dict(weights.card.architecture))
            tensors = weights.tensors
            self.pivot_mm = np.asarray(tensors["pivot_mm"], np.float64)
            self._mirror = FaceMirror.of_tensors(tensors)
        except (KeyError, TypeError, ValueError, ShapeError) as error:
            raise WeightsError(f"these weights of a regressor are not whole ({error}); train again") from None
        sizes = self._network.identities, self._network.units
        if sizes != (model.identity_count, len(model.units)) or not self._mirror.fits(*sizes):
            raise WeightsError(
                f"these weights are of a model with {sizes[0]} identity parameters and {sizes[1]} units; {model.name} "
                f"has {model.identity_count} and {len(model.units)}. Train for this model (mien learn regressor)"
            )
        load_network(self._network, weights)
        self._network.eval().to(device)
        if isinstance(self._network, FaceNetwork):
            self._network = fused(self._network).to(memory_format=torch.channels_last)
        corners = model.topology.mesh.triangles[model.topology.landmark_triangles]
        used, rows = np.unique(corners, return_inverse=True)
        self._shapes, self._rows = model.subset(used), rows.reshape(corners.shape)
        self._finder: FaceFeatures | None = None
        self._detector: LandmarkDetector | None = None

    @staticmethod
    def open(weights: LearnedWeights, model: FaceModel, device: str = "cpu") -> "FaceRegressor":
        """Raises WeightsError for weights of another model, or that are not whole."""
        said = weights.card.model
        if said.get("topology") and said["topology"] != model.topology.topology:
            raise WeightsError(
                f"these weights are of model {str(said.get('name'))[:40]} on another template than {model.name}: give "
                "the model that they were trained with, or train again"
            )
        return FaceRegressor(model, weights, device)

    def __enter__(self) -> "FaceRegressor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the detector, where one was opened."""
        if self._detector is not None:
            self._detector.close()
            self._detector = None

    def predict(
        self, image: Image, face_box: Floats | None = None, *, looks: int = 2, mirrored: bool = True
    ) -> RegressedFace:
        """The face of an upright photograph (H, W, 3) BGR; of several the largest, or that in the box (x, y, w, h).

        Raises NoFace, and RegressionError where what is there is no face that the network knows.
        """
        if isinstance(self._network, LandmarkNetwork):
            return self.predict_of_landmarks(self._landmarks(image, face_box))
        five = self._five(image, face_box)
        size = self._network.input_px
        if five is not None:
            crop = crop_of_points(five, size)
        else:
            assert face_box is not None
            crop = crop_of_box(face_box, size)
        look = self._look(image, crop, five, mirrored and looks == 1)
        for number in range(1, looks):  # what a look is for that is followed by another, half of it does as well
            again = self._five_again(look, crop)
            crop = crop_of_points(again, size)
            look = self._look(image, crop, again, mirrored and number == looks - 1)
        return self._in_picture(look, crop, five)

    def predict_of_landmarks(self, landmarks_px: Floats) -> RegressedFace:
        """The face that has the detector's points (478, 2) there, by a network that reads landmarks.

        Raises CropError, RegressionError as `predict`.
        """
        five = five_of_landmarks(landmarks_px)
        crop = crop_of_points(five, _CROP_PX)
        told = (crop.to_crop(landmarks_px) + 0.5) / crop.size_px
        located = told[None, :SKIN_POINTS].astype(np.float32)
        with torch.inference_mode():
            out = self._network(torch.from_numpy(located).to(self._device))
        return self._in_picture(self._averaged(_numbers(out)), crop, five)

    def _landmarks(self, image: Image, box: Floats | None) -> Floats:
        """(478, 2) px of the largest face, or of that in a box. Raises NoFace."""
        _require_picture(image)
        if self._detector is None:
            self._detector = LandmarkDetector(faces=MOST_FACES)
        faces = self._detector.detect_all(image) if box is None else []
        if len(faces) != 1:  # several, none that is quickly seen, or one that is meant
            faces = [one.landmarks_px for one in find_faces(image, self._detector)]
        if box is not None:
            wanted = np.asarray(box, np.float64)
            faces = [one for one in faces if _overlap(_box_of(one), wanted) >= _LEAST_OVERLAP]
        if not faces:
            raise NoFace(_NO_FACE.format(width=image.shape[1], height=image.shape[0]))
        return max(faces, key=lambda one: float(np.ptp(one, axis=0).prod()))

    def landmarks(self, scores: Floats, weights: Floats) -> Floats:
        """(68, 3) mm, model's frame."""
        points = self._shapes.face(identity_of(self._model, scores), weights)
        return np.asarray(np.einsum("nk,nkd->nd", self._model.topology.landmark_barycentric, points[self._rows]))

    def find(self, image: Image) -> Floats32 | None:
        """YuNet's row (15,) of the largest face, px of the image; None without one."""
        if self._finder is None:
            self._finder = FaceFeatures(problem=RegressionError)
        height, width = image.shape[:2]
        for side in _SOUGHT_PX:
            factor = min(1.0, side / max(height, width))
            small = image
            if factor < 1:
                small = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
            row = self._finder.find(small)
            if row is not None:
                row[:14] = (row[:14].reshape(7, 2) * [width / small.shape[1], height / small.shape[0]]).ravel()
                return row
            if factor == 1:
                break
        return None

    def _five(self, image: Image, box: Floats | None) -> Floats | None:
        _require_picture(image)
        row = self.find(image)
        if row is None and box is None:
            raise NoFace(_NO_FACE.format(width=image.shape[1], height=image.shape[0]))
        if row is None or (box is not None and _overlap(row[:4], np.asarray(box, np.float64)) < _LEAST_OVERLAP):
            return None
        return np.asarray(row[4:14], np.float64).reshape(5, 2)

    def _look(self, image: Image, crop: FaceCrop, five: Floats | None, mirrored: bool) -> _Look:
        taken = crop.take(image)
        both = np.stack([taken, taken[:, ::-1]] if mirrored else [taken])
        told = None if five is None else (crop.to_crop(five) + 0.5) / crop.size_px
        points = np.stack([five_inputs(one) for one in (told, _mirrored(told))[: len(both)]])
        pixels = torch.from_numpy(np.ascontiguousarray(both)).to(self._device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            out = self._network(pixels, torch.from_numpy(points).to(self._device))
        return self._averaged(_numbers(out))

    def _averaged(self, found: dict[str, Floats]) -> _Look:
        """Of a crop and, where there are two, its mirror image."""
        scores, weights, R, size, place = (found[k] for k in ("scores", "weights", "R", "size", "place"))
        distance = np.log(found["distance_mm"])
        if len(scores) == 2:
            scores = np.stack([scores[0], self._mirror.scores(scores[1])])
            weights = np.stack([weights[0], self._mirror.weights(weights[1])])
            R = np.stack([R[0], mirrored_rotation(R[1])])
            place = np.stack([place[0], [1 - place[1, 0], place[1, 1]]])
        u, _, vt = np.linalg.svd(R.mean(axis=0))
        return _Look(
            scores.mean(axis=0), weights.mean(axis=0).clip(0, 1), u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt,
            float(np.exp(np.log(size).mean())), place.mean(axis=0), float(np.exp(distance.mean())),
        )  # fmt: skip

    def _five_again(self, look: _Look, crop: FaceCrop) -> Floats:
        """(5, 2) px of the picture, by the face of a look."""
        face = self._in_picture(look, crop, None)
        return five_points(face.seen(self.landmarks(face.scores, face.weights)))

    def _in_picture(self, look: _Look, crop: FaceCrop, five: Floats | None) -> RegressedFace:
        """The look in the photograph's pixels. Raises RegressionError for what is no face."""
        size_off = max(look.size * ACROSS_MM, 1 / (look.size * ACROSS_MM))
        if size_off > _SIZE_OFF or np.abs(look.place - 0.5).max() > _PLACE_OFF:
            raise RegressionError(
                "what is there is no face that the network knows, or one that is cut off: give a photograph in which "
                "the face is whole, larger or less covered"
            )
        turn = np.eye(3)
        turn[:2, :2] = crop.turn
        shift = crop.to_picture((look.place * crop.size_px - 0.5)[None])[0]
        scale = look.size * crop.size_px / crop.scale
        face = RegressedFace(
            look.scores, look.weights, turn.T @ look.R, float(scale), shift, look.distance_mm, self.pivot_mm,
            np.full((5, 2), np.nan), float("nan"),
        )  # fmt: skip
        if five is None:
            return face
        landmarks = self.landmarks(face.scores, face.weights)
        eyes_px = float(np.linalg.norm(landmarks[36] - landmarks[45])) * scale
        off = 100 * np.linalg.norm(five_points(face.seen(landmarks)) - five, axis=1).mean() / eyes_px
        return RegressedFace(**{**vars(face), "five_px": five, "off_percent": float(off)})


def _network_of(architecture: dict[str, Any]) -> FaceNetwork | LandmarkNetwork:
    """Raises KeyError, TypeError, ValueError."""
    if architecture["network"] == READS_LANDMARKS:
        return landmark_network_of(architecture)
    return network_of(architecture)


def _numbers(out: FaceOutput) -> dict[str, Floats]:
    return {key: value.double().cpu().numpy() for key, value in vars(out).items() if key not in ("located", "maps")}


def _require_picture(image: Image) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ShapeError("image", image.shape, "(H, W, 3) uint8, BGR")


def _box_of(landmarks_px: Floats) -> Floats:
    """(4,) x, y, width, height."""
    low = landmarks_px.min(axis=0)
    return np.asarray(np.r_[low, landmarks_px.max(axis=0) - low])


def _mirrored(five: Floats | None) -> Floats | None:
    """Five points (0..1) as the mirrored crop has them."""
    return None if five is None else np.asarray(five[[1, 0, 2, 4, 3]] * [-1, 1] + [1, 0])


def _overlap(a: Floats | Floats32, b: Floats) -> float:
    """Of two boxes (4,): x, y, width, height; their common part by all of both."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    common = float(np.prod((high - low).clip(0)))
    return common / max(1e-9, float(a[2] * a[3] + b[2] * b[3]) - common)
