"""A model fitted to photographs: what made the landmarks is found, people share what they share, refusals are told."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from seen_face import SeenFaces, camera_at, seen_landmarks
from small_model import small_model

from common.array_types import Floats
from processing.errors import DataError, NoFace, ShapeError
from processing.geometry.procrustes import fit_motion
from processing.single_view.photo_camera import WEAK_DISTANCE_MM
from processing.single_view.photo_fit import (
    PhotoFit,
    PhotoFitError,
    PhotoFitSettings,
    Photograph,
    fit_photographs,
)
from processing.template.face_units import ARKIT_UNITS

MODEL = small_model(albedo=False)
BY_68 = PhotoFitSettings(landmarks="68")


def person(seed: int, **weights: float) -> tuple[Floats, Floats]:
    """Identity parameters and weights."""
    w = np.zeros(52)
    for name, value in weights.items():
        w[ARKIT_UNITS.index(name)] = value
    return MODEL.sample_identity(np.random.default_rng(seed), within=1.5), w


def fitted(
    vertices: list[Floats], yaws: list[float], noise_px: float = 0.0, known: bool = True, **more: Any
) -> list[PhotoFit]:
    """The fit to photographs of heads turned so far."""
    detector, rng = SeenFaces(), np.random.default_rng(8)
    photographs = []
    for number, (here, yaw) in enumerate(zip(vertices, yaws, strict=True)):
        camera = camera_at(yaw)
        seen = seen_landmarks(MODEL, here, camera) + rng.normal(0, noise_px, (478, 2))
        focal = camera.K[0, 0] if known else None
        photographs.append(Photograph(detector.photograph(seen), f"p{number}", focal))
    return fit_photographs(MODEL, photographs, settings=more.pop("settings", BY_68), detector=detector)  # type: ignore[arg-type]


def off_mm(found: Floats, truth: Floats) -> float:
    """Mean distance of corresponding points of the face after a similarity."""
    face = MODEL.topology.face
    here = fit_motion(found[face], truth[face])(found[face])
    return float(np.linalg.norm(here - truth[face], axis=1).mean())


@pytest.mark.parametrize("yaw", [0.0, 25.0, -40.0])
def test_a_face_is_found_again_from_its_landmarks(yaw: float) -> None:
    identity, weights = person(1, jawOpen=0.7)
    truth = MODEL.face(identity, weights)
    fit = fitted([truth], [yaw])[0]
    mean = off_mm(MODEL.topology.mesh.vertices_mm, truth)
    assert off_mm(fit.vertices_mm, truth) < 0.75 * mean
    assert fit.figures["landmark_percent"] < 1.5
    assert abs(fit.figures["yaw_deg"] - yaw) < 6
    seen = fit.camera.camera.project(fit.vertices_mm)
    true = camera_at(yaw).project(truth)
    face = MODEL.topology.face
    assert np.linalg.norm(seen - true, axis=1)[face].mean() < 3, "px"
    assert fit.review.verdict == "accept"


def test_photographs_of_one_person_share_the_identity_and_tell_more() -> None:
    alone, together = [], []
    for seed in range(3):
        identity, smile = person(seed, mouthSmileLeft=0.8, mouthSmileRight=0.8)
        truth = [MODEL.face(identity, smile), *(MODEL.face(identity, np.zeros(52)) for _ in range(3))]
        yaws = [0.0, 40.0, -40.0, 20.0]
        one, all_four = fitted(truth[:1], yaws[:1], 1.0)[0], fitted(truth, yaws, 1.0)
        assert all((fit.identity == all_four[0].identity).all() for fit in all_four)
        alone.append(off_mm(one.vertices_mm, truth[0]))
        together.append(off_mm(all_four[0].vertices_mm, truth[0]))
        assert all_four[0].score_deviation.mean() < one.score_deviation.mean()
    assert np.mean(together) < np.mean(alone)


def test_a_focal_length_that_is_not_known_is_told_apart_from_one_that_is() -> None:
    identity, weights = person(2)
    truth = MODEL.face(identity, weights)
    known, unknown = fitted([truth], [10.0])[0], fitted([truth], [10.0], known=False)[0]
    assert known.camera.focal_known
    assert known.figures["focal_px"] == pytest.approx(900)
    assert known.figures["focal_share"] == 0
    assert not unknown.camera.focal_known
    assert 0.05 < unknown.figures["focal_share"] < 1
    assert abs(np.log(unknown.figures["focal_px"] / 900)) < 3 * unknown.figures["focal_share"]


def test_weak_perspective_is_a_camera_far_away() -> None:
    identity, weights = person(3)
    settings = replace(BY_68, projection="weak")
    fit = fitted([MODEL.face(identity, weights)], [0.0], settings=settings)[0]
    assert fit.camera.camera.t[2] == pytest.approx(WEAK_DISTANCE_MM, rel=0.01)
    said = fit.camera.as_json()
    assert said["projection"] == "orthographic"
    points = fit.vertices_mm[MODEL.topology.face]
    flat = said["scale"] * (points @ np.array(said["R"]).T)[:, :2] + said["t"]
    assert np.abs(flat - fit.camera.camera.project(points)).max() < 0.05


def test_a_detector_point_that_is_far_off_is_not_believed() -> None:
    identity, weights = person(4)
    truth = MODEL.face(identity, weights)
    detector, camera = SeenFaces(), camera_at(0.0)
    seen = seen_landmarks(MODEL, truth, camera)
    wrong = seen.copy()
    wrong[[33, 61]] += 60
    fits = [
        fit_photographs(MODEL, [Photograph(detector.photograph(one), "p", 900.0)], settings=BY_68, detector=detector)[0]  # type: ignore[arg-type]
        for one in (seen, wrong)
    ]
    apart = np.linalg.norm(fits[0].vertices_mm - fits[1].vertices_mm, axis=1)[MODEL.topology.face]
    assert apart.mean() < 1.5


class TestRefusals:
    def test_no_face(self) -> None:
        with pytest.raises(NoFace, match="grey: no face was found in the 90 x 60 pixels"):
            fit_photographs(MODEL, [Photograph(np.zeros((60, 90, 3), np.uint8), "grey")], detector=SeenFaces())  # type: ignore[arg-type]

    def two(self) -> tuple[SeenFaces, Photograph]:
        detector = SeenFaces()
        seen = seen_landmarks(MODEL, MODEL.topology.mesh.vertices_mm, camera_at(0.0))
        small = (seen - seen.mean(axis=0)) * 0.4
        image = detector.photograph(
            *(small * size + np.array(at) for size, at in ((1, (100, 200)), (1.1, (200, 190)), (1, (300, 200))))
        )
        return detector, Photograph(image, "group", 900.0)

    def test_several_faces_are_named_by_position(self) -> None:
        detector, photograph = self.two()
        with pytest.raises(PhotoFitError, match=r"group: 3 faces: left \(at 1\d\d, .*middle.*right.*--face 'left'"):
            fit_photographs(MODEL, [photograph], detector=detector)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("which", "x"), [("left", 100), ("middle", 200), ("3", 300), (1, 100), ("RIGHT ", 300)])
    def test_one_of_them_is_chosen(self, which: str | int, x: float) -> None:
        detector, photograph = self.two()
        fit = fit_photographs(MODEL, [replace(photograph, face=which)], settings=BY_68, detector=detector)[0]  # type: ignore[arg-type]
        assert abs(fit.landmarks_px[:, 0].mean() - x) < 15

    def test_one_that_is_not_there(self) -> None:
        detector, photograph = self.two()
        with pytest.raises(PhotoFitError, match=r"no face is called 'top'. There are: left"):
            fit_photographs(MODEL, [replace(photograph, face="top")], detector=detector)  # type: ignore[arg-type]

    def test_a_face_too_small(self) -> None:
        detector = SeenFaces()
        seen = seen_landmarks(MODEL, MODEL.topology.mesh.vertices_mm, camera_at(0.0))
        image = detector.photograph((seen - seen.mean(axis=0)) * 0.15 + 200)
        with pytest.raises(PhotoFitError, match=r"the face is \d\d pixels high; 60 are needed"):
            fit_photographs(MODEL, [Photograph(image, "far")], detector=detector)  # type: ignore[arg-type]

    def test_landmarks_that_are_no_faces(self) -> None:
        detector = SeenFaces()
        rng = np.random.default_rng(1)
        image = detector.photograph(rng.uniform(100, 300, (478, 2)))
        with pytest.raises(DataError, match="p: "):
            fit_photographs(MODEL, [Photograph(image, "p")], settings=BY_68, detector=detector)  # type: ignore[arg-type]

    def test_what_is_no_photograph(self) -> None:
        with pytest.raises(ShapeError, match="uint8, BGR"):
            Photograph(np.zeros((4, 4), np.uint8), "flat")
        with pytest.raises(PhotoFitError, match="focal length of -3 px is none"):
            Photograph(np.zeros((4, 4, 3), np.uint8), "p", -3)
        with pytest.raises(DataError, match="no photograph was given"):
            fit_photographs(MODEL, [])
