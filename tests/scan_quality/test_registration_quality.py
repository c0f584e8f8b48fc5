"""Faults put into a registration are named; a sound one is accepted."""

from dataclasses import replace

import numpy as np
import pytest

from processing.geometry.mesh import Mesh, submesh
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.registration.correspondence import TargetSurface
from processing.scan_quality.apertures import measure_apertures
from processing.scan_quality.registration_picture import registration_picture
from processing.scan_quality.registration_quality import (
    RegistrationLimits,
    RegistrationLimitsError,
    RegistrationMeasures,
    judge_registration,
    measure_registration,
)
from processing.template.builtin_template import default_template
from processing.template.face_regions import REGIONS, face_regions
from processing.template.template import SKIN, Template
from processing.texture.flow_refinement import AppearanceReport


@pytest.fixture(scope="module")
def template() -> Template:
    return default_template()


def skin_of(template: Template, vertices: np.ndarray, keep: np.ndarray | None = None) -> TargetSurface:
    of_skin = (template.parts == SKIN)[template.mesh.triangles].all(axis=1)
    return TargetSurface(
        submesh(Mesh(vertices, template.mesh.triangles), of_skin if keep is None else of_skin & keep)[0]
    )


def measured(
    template: Template, vertices: np.ndarray, seen: np.ndarray, scan: np.ndarray | None = None
) -> RegistrationMeasures:
    """vertices: registered.  seen: the vertices whose landmarks the photographs show.  scan: default the vertices."""
    landmarks = Landmarks3d.of_points(template.landmark_points(seen))
    return measure_registration(template, vertices, skin_of(template, vertices if scan is None else scan), landmarks)


@pytest.fixture(scope="module")
def sound(template: Template) -> RegistrationMeasures:
    rest = template.mesh.vertices_mm
    return measured(template, rest, rest)


def test_regions_are_where_their_names_say(template: Template) -> None:
    regions = face_regions(template)
    assert tuple(regions) == REGIONS
    vertices = template.mesh.vertices_mm
    middle = {name: vertices[mask].mean(axis=0) for name, mask in regions.items()}
    heights = [middle[name][1] for name in ("brow", "eye", "nose", "mouth", "chin")]
    assert heights == sorted(heights, reverse=True)
    assert all(mask.sum() > 100 for mask in regions.values())
    assert middle["nose"][2] > middle["cheek"][2] > middle["ear"][2]
    for name, mask in regions.items():
        assert abs(middle[name][0]) < 3, name
        assert (mask & (template.parts != SKIN)).sum() == 0
    assert np.sum(list(regions.values()), axis=0).max() == 1


def test_a_sound_registration_is_accepted(sound: RegistrationMeasures) -> None:
    review = judge_registration(sound)
    assert (review.verdict, review.reasons) == ("accept", ())
    assert review.figures["surface_mm"] < 0.01
    assert review.figures["triangles"] == {"flipped": 0, "crossing": 0, "stretched": 0}
    assert all(abs(one["off_mm"]) < 1e-6 for one in review.figures["apertures"].values())


@pytest.mark.parametrize(
    ("mesh", "photographs", "named"),
    [
        ("mouth_stretch", "neutral", "the lips are"),  # registered open, photographed closed
        ("neutral", "mouth_stretch", "the lips are"),
        ("neutral", "eye_closed", "the left eye's lids are"),
        ("eye_closed", "neutral", "the right eye's lids are"),
    ],
)
def test_openings_that_differ_from_the_photographs_are_held(
    template: Template, mesh: str, photographs: str, named: str
) -> None:
    review = judge_registration(measured(template, template.expressions[mesh], template.expressions[photographs]))
    assert review.verdict != "accept"
    assert any(named in reason for reason in review.reasons)


def test_the_region_that_lies_off_is_named(template: Template) -> None:
    rest = template.mesh.vertices_mm
    dented = rest.copy()
    nose = face_regions(template)["nose"]
    dented[nose, 2] -= 4
    review = judge_registration(measured(template, dented, rest, rest))
    assert review.verdict != "accept"
    assert any("the nose lies" in reason for reason in review.reasons)
    assert review.figures["regions"]["ear"]["mean_mm"] < 0.01


def test_a_missing_piece_of_scan_is_told(template: Template) -> None:
    rest = template.mesh.vertices_mm
    left = rest[template.mesh.triangles].mean(axis=1)[:, 0] < 15
    landmarks = Landmarks3d.of_points(template.landmark_points(rest))
    found = measure_registration(template, rest, skin_of(template, rest, left), landmarks)
    review = judge_registration(found)
    assert review.verdict != "accept"
    assert any("has no scan" in reason for reason in review.reasons)


def test_a_turned_over_triangle_is_told(template: Template) -> None:
    rest = template.mesh.vertices_mm
    folded = rest.copy()
    cheek = np.flatnonzero(face_regions(template)["cheek"])[40]
    beyond = template.mesh.edges[template.mesh.edges[:, 0] == cheek][0, 1]
    folded[cheek] += 3 * (rest[beyond] - rest[cheek])
    review = judge_registration(measured(template, folded, rest, rest))
    assert any("turned over" in reason for reason in review.reasons)


def test_skin_that_still_slips_is_told(sound: RegistrationMeasures) -> None:
    before = AppearanceReport((2.0, 1.9), (6.0, 5.0), 0.9, 1, (0.02, 0.02))
    figures = dict(sound.figures)
    figures |= {"slip_mm": [2.0, 1.9], "slip_p95_mm": [before.slip_p95_mm[0], before.slip_p95_mm[-1]], "compared": 0.3}
    review = judge_registration(replace(sound, figures=figures))
    assert review.verdict == "review"
    assert len(review.reasons) == 2


def test_unknown_landmarks_hold_nothing(template: Template) -> None:
    unknown = np.full((68, 3), np.nan)
    found = measure_apertures(unknown, template.landmark_points(template.mesh.vertices_mm))
    assert all(one.photographs_mm is None and one.off_mm is None for one in found.values())


def test_thresholds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(RegistrationLimitsError, match="lips_mm"):
        RegistrationLimits(lips_mm=(5.0, 2.0))


def test_the_picture_shows_the_verdict(template: Template, sound: RegistrationMeasures) -> None:
    review = judge_registration(sound)
    picture = registration_picture(template, template.mesh, sound, review, height_px=120)
    assert picture.dtype == np.uint8
    assert picture.shape[1] > 300
    green, red = picture[5, 5, 1], picture[5, 5, 2]
    assert green > red


def test_the_picture_shows_the_flow_before_and_after(template: Template, sound: RegistrationMeasures) -> None:
    count = len(template.mesh.vertices_mm)
    slips = np.full(count, 3.0), np.zeros(count)
    compared = {"slip_mm": [3.0, 0.0], "slip_p95_mm": [3.0, 0.0], "compared": 1.0}
    both = replace(sound, drift_mm=slips, figures={**sound.figures, **compared})
    review = judge_registration(both)
    plain, picture = (registration_picture(template, template.mesh, m, review, height_px=120) for m in (sound, both))
    assert picture.shape[0] >= plain.shape[0] + 120
    row = picture[len(picture) - len(plain) + 60 : len(picture) - len(plain) + 180].astype(int)
    reddish = (row[..., 2] - row[..., 1] > 60).any(axis=0)
    before, after = np.array_split(reddish[: picture.shape[1] - 100], 2)
    assert before.mean() > 0.3
    assert after.mean() < 0.05
