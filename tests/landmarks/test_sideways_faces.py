from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.array_types import Floats, Image
from processing.landmarks import sideways_faces
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES, find_faces
from processing.landmarks.found_face import FoundFace, carried_back, turned
from processing.landmarks.sideways_faces import find_sideways
from tests.support.seen_face import SeenFaces

WIDTHS = (0.55, 1.0)  # of a face to its height


def a_face(x: float = 200, y: float = 190, size: float = 150, seed: int = 0) -> Floats:
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (478, 2)) * size * WIDTHS
    points[10], points[152] = (0, -0.5 * size), (0, 0.5 * size)
    points[33], points[263] = (-0.1 * size, -0.2 * size), (0.1 * size, -0.2 * size)
    return np.asarray(points + np.array([x, y]))


@dataclass
class NarrowMissed(SeenFaces):
    """Sees a face only in a picture that is widened, and then not in each."""

    share: float = 1.0
    looked: int = 0
    jitter: float = 0.0  # of the face's size

    def detect_all(self, image: Image) -> list[Floats]:
        self.looked += 1
        found = [8 * one for one in super().detect_all(image[::8, ::8])]
        rng = np.random.default_rng(self.looked)
        faces = [one for one in found if _wide(one) > 0.62 and rng.random() < self.share]
        return [one + rng.normal(0, self.jitter * np.ptp(one[:, 1]), 2) for one in faces]


def _wide(points: Floats) -> float:
    """Width to height of the points, in their own axes."""
    down = points[152] - points[10]
    down = down / np.linalg.norm(down)
    along, across = points @ down, points @ [-down[1], down[0]]
    return float(np.ptp(across) / np.ptp(along))


def one_picture(seen: SeenFaces, *faces: Floats) -> Image:
    return seen.photograph(*faces)


def test_a_face_too_narrow_for_the_detector_is_found_widened_and_told_in_the_photographs_pixels() -> None:
    seen, face = NarrowMissed(), a_face()
    found = find_faces(one_picture(seen, face), seen)  # type: ignore[arg-type]
    assert len(found) == 1
    np.testing.assert_allclose(found[0].landmarks_px, face, atol=1.5)
    assert found[0].unsteady < 0.02


def test_half_of_the_looks_are_enough_and_several_faces_stay_several() -> None:
    seen = NarrowMissed()
    faces = a_face(110, 200, 120), a_face(290, 200, 120, seed=1)
    image = one_picture(seen, *faces)
    assert len(find_sideways(image, [FoundFace(one) for one in faces], seen)) == 2  # type: ignore[arg-type]
    seen.share = 0.6
    found = find_sideways(image, [FoundFace(one) for one in faces], seen)  # type: ignore[arg-type]
    assert [round(one.centre[0] / 10) for one in found] == [11, 29]


@pytest.mark.parametrize("start", [0, 1])
def test_what_is_seen_now_here_and_now_there_is_no_face(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sideways_faces, "_ROOMS", ())  # nothing else is looked for
    seen = NarrowMissed(looked=start, jitter=0.25)
    assert find_sideways(one_picture(seen, a_face()), [FoundFace(a_face())], seen) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("start", [0, 1])
def test_what_is_seen_in_few_looks_is_no_face(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sideways_faces, "_ROOMS", ())  # nothing else is looked for
    seen = NarrowMissed(looked=start, share=0.1)
    assert find_sideways(one_picture(seen, a_face()), [FoundFace(a_face())], seen) == []  # type: ignore[arg-type]


@given(st.floats(0.3, 3), st.floats(-180, 180), st.floats(1, 2), st.floats(1, 1.8))
@settings(max_examples=20, deadline=None)
def test_points_are_carried_back_exactly(factor: float, roll: float, room: float, wider: float) -> None:
    matrix, picture = turned(np.zeros((30, 40, 3), np.uint8), factor, roll, room, wider)
    points = np.array([[0, 0], [39, 29], [19.5, 14.5]])
    there = points @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(carried_back(there, matrix), points, atol=1e-9)
    np.testing.assert_allclose(there[2], (np.array(picture.shape[1::-1]) - 1) / 2, atol=1e-9)  # the middle stays


@pytest.mark.slow
def test_noise_shows_no_face() -> None:
    rng = np.random.default_rng(3)
    with LandmarkDetector(faces=MOST_FACES) as detector:
        for _ in range(3):
            assert find_faces(rng.integers(0, 256, (160, 160, 3)).astype(np.uint8), detector) == []
