"""What a model knows of its mesh: contours of the silhouette, symmetry, masks, on several heads."""

from collections.abc import Callable

import numpy as np
import pytest
from small_model import egg_template
from small_template import small_template

from processing.face_models.model_topology import CHIN, jaw_contours, model_topology
from processing.template.builtin_template import default_template
from processing.template.template import Template

TEMPLATES: dict[str, Callable[[], Template]] = {
    "built-in": default_template,
    "small": lambda: small_template()[0],
    "egg": egg_template,
}


@pytest.fixture(params=TEMPLATES)
def template(request: pytest.FixtureRequest) -> Template:
    return TEMPLATES[request.param]()


def test_contours_are_skin_on_their_own_side_and_hold_the_landmark(template: Template) -> None:
    topology = model_topology(template, template.mesh.vertices_mm)
    vertices, jaw = template.mesh.vertices_mm, topology.landmark_vertices[:17]
    for number, (contour, landmark) in enumerate(zip(topology.contours, jaw, strict=True)):
        assert landmark in contour
        assert (np.diff(contour) > 0).all()
        if number != CHIN:
            assert (np.sign(vertices[contour, 0]) == np.sign(number - CHIN)).all()
    assert min(len(c) for c in topology.contours) >= 2


@pytest.mark.parametrize("yaw", [-40, -20, 20, 40])
def test_turned_the_outermost_of_a_contour_is_near_the_silhouette(yaw: float) -> None:
    template = default_template()
    vertices, angle = template.mesh.vertices_mm, np.radians(yaw)
    turned = vertices[:, 0] * np.cos(angle) + vertices[:, 2] * np.sin(angle)
    landmarks = template.landmark_points(vertices)
    contours = jaw_contours(template)
    for number in range(9, 17) if yaw > 0 else range(8):  # the side that turns away: its edge moves forward
        contour, sign = contours[number], np.sign(number - CHIN)
        skin = (template.parts == 0) & (np.abs(vertices[:, 1] - landmarks[number, 1]) < 2)
        skin &= (vertices[:, 2] > 30) & (vertices[:, 0] * sign > 22)  # neither an ear nor the nose
        silhouette = (turned[skin] * sign).max()
        assert (turned[contour] * sign).max() > silhouette - 4


def test_symmetry_is_its_own_inverse_on_a_symmetric_head() -> None:
    topology = model_topology(default_template(), default_template().mesh.vertices_mm)
    assert (topology.symmetry[topology.symmetry] == np.arange(len(topology.symmetry))).mean() > 0.95


def test_masks_are_nested_and_the_mean_is_the_mesh(template: Template) -> None:
    average = template.mesh.vertices_mm * 1.1
    topology = model_topology(template, average)
    assert np.array_equal(topology.mesh.vertices_mm, average)
    assert 0 < topology.face.sum() < len(average)
    assert topology.frontal.sum() > 0
    landmarks = topology.landmark_vertices[17:]
    assert topology.frontal[landmarks].mean() > 0.9
    assert topology.face[landmarks].mean() > 0.8
