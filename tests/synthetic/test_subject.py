"""Synthetic subjects: the same from the same seed, true to their truth, and faces to a detector."""

import json

import numpy as np
import pytest

from processing.files.take_folder import read_photos, read_take
from processing.geometry.mesh import Surface
from processing.geometry.noise_field import NoiseField
from processing.geometry.photograph_rendering import Sensor
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.multi_pie_68 import CONTOUR, MEDIAPIPE_TO_68
from processing.landmarks.triangulation import triangulate_landmarks
from processing.synthetic.studio_rig import studio_rig
from processing.synthetic.subject import synthetic_subject
from processing.synthetic.takes import write_take
from processing.template.builtin_template import default_template
from processing.template.template import SKIN

FINE = 80_000


@pytest.fixture(scope="module")
def subject():
    return synthetic_subject(7, vertices=FINE)


@pytest.fixture(scope="module")
def neutral(subject):
    return subject.pose("neutral")


@pytest.fixture(scope="module")
def smile(subject):
    return subject.pose("smile")


def test_everything_follows_from_the_seed(subject, smile):
    again = synthetic_subject(7, vertices=FINE)
    other = synthetic_subject(8, vertices=FINE)
    assert again.identity == subject.identity
    assert again.palette == subject.palette
    assert other.identity != subject.identity
    posed = again.pose("smile")
    assert (posed.mesh.vertices_mm == smile.mesh.vertices_mm).all()
    assert (posed.albedo == smile.albedo).all()
    lens = studio_rig(6, 80, 120)[0]
    shots = [p.scene.photograph(lens, rng=np.random.default_rng(1)) for p in (posed, smile)]
    assert (shots[0] == shots[1]).all()


def test_the_truth_lies_on_the_photographed_surface(subject, neutral, smile):
    template = default_template()
    skin = template.parts == SKIN
    for posed in (neutral, smile):
        assert posed.tu_vertices_mm.shape == template.mesh.vertices_mm.shape
        away = Surface(posed.mesh).closest(posed.tu_vertices_mm[skin]).distance_mm
        assert away.mean() < 0.15
        assert np.quantile(away, 0.99) < 0.6
        assert posed.landmarks_mm == pytest.approx(template.landmark_points(posed.tu_vertices_mm))
    assert 25 <= subject.age <= 90
    assert subject.gender in ("female", "male")


def test_the_head_moves_a_little_between_expressions(neutral, smile):
    template = default_template()
    skull = (template.mesh.vertices_mm[:, 1] > 90) & (template.mesh.vertices_mm[:, 2] < 0)
    moved = np.linalg.norm(smile.tu_vertices_mm - neutral.tu_vertices_mm, axis=1)[skull]
    assert 0.1 < moved.mean() < 12
    still = synthetic_subject(7, vertices=FINE, motion_mm=0.0).pose("smile").tu_vertices_mm
    assert np.linalg.norm(still - neutral.tu_vertices_mm, axis=1)[skull].max() < 1e-6


def test_the_mesh_is_skin_with_relief_and_paint(neutral):
    mesh = neutral.mesh
    assert len(mesh.vertices_mm) == FINE
    assert (np.linalg.norm(mesh.triangle_cross, axis=1) > 0).all()
    assert np.isfinite(neutral.albedo).all()
    assert neutral.albedo.min() >= 0
    assert neutral.albedo.max() <= 1
    fine = neutral.subject.fine
    smooth = fine.refinement(neutral.subject.neutral_mm)
    height = np.linalg.norm(mesh.vertices_mm - smooth, axis=1)
    assert 0.03 < height[fine.parts == SKIN].std() < 0.2
    assert height[fine.parts != SKIN].max() < 1e-9


def test_most_frontal_photographs_show_a_face_where_it_is(neutral, smile):
    cameras = [c for c in studio_rig(40, 320, 480) if c.viewing_direction[2] < -0.6][:9]
    assert len(cameras) == 9
    images = [neutral.scene.photograph(c, rng=np.random.default_rng(0)) for c in cameras]
    smiling = [smile.scene.photograph(c, rng=np.random.default_rng(0)) for c in cameras[:4]]
    errors = []
    with LandmarkDetector() as detector:
        for posed, camera, image in [
            *((neutral, c, i) for c, i in zip(cameras, images, strict=True)),
            *((smile, c, i) for c, i in zip(cameras, smiling, strict=False)),
        ]:
            found = detector.detect(image)
            if found is not None:
                off = np.linalg.norm(found[MEDIAPIPE_TO_68] - camera.project(posed.landmarks_mm), axis=1)
                errors.append(np.median(off[~CONTOUR]))
    assert len(errors) >= 0.7 * (len(images) + len(smiling))
    assert np.median(errors) < 6
    joined = triangulate_landmarks(images, cameras)
    off = np.linalg.norm(joined.points_mm - neutral.landmarks_mm, axis=1)[~CONTOUR]
    assert np.nanmedian(off) < 4


def test_a_written_take_reads_back_with_its_truth(tmp_path, neutral, smile):
    cameras = studio_rig(8, 80, 120)
    for number, posed in ((1, neutral), (2, smile)):
        folder = tmp_path / f"{number}_{posed.expression}"
        heard: list[float] = []
        write_take(folder, posed, cameras, progress=lambda done, _, to=heard: to.append(done))
        take, images = read_photos(read_take(folder))
        assert len(images) == 8
        assert heard[-1] == 1.0
        assert not take.skipped
        for view, camera in zip(take.views, cameras, strict=True):
            assert view.camera.P == pytest.approx(camera.P)
            assert view.serial.startswith("SIM")
    truths = [np.load(tmp_path / f"{n}.truth.npz") for n in ("1_neutral", "2_smile")]
    assert (truths[0]["base_triangles"] == truths[1]["base_triangles"]).all()
    assert (truths[0]["base_triangles"] == default_template().mesh.triangles).all()
    for truth, posed in zip(truths, (neutral, smile), strict=True):
        assert truth["base_vertices"] == pytest.approx(posed.tu_vertices_mm, abs=1e-3)
        assert truth["landmarks68"].shape == (68,)
        assert truth["triangles"].max() < len(truth["vertices"])
        assert len(truth["vertices"]) > 0.15 * FINE
        assert Surface(posed.mesh).closest(truth["vertices"].astype(float)).distance_mm.max() < 1e-2
        truth.close()
    assert json.loads((tmp_path / "1_neutral" / "params.json").read_text())["7_ori"] == "7.jpg"
    first = (tmp_path / "1_neutral" / "3.jpg").read_bytes()
    write_take(tmp_path / "1_neutral", neutral, cameras, truth=False, workers=1)
    assert (tmp_path / "1_neutral" / "3.jpg").read_bytes() == first, "the same whatever the number of threads"


def test_cameras_may_be_exposed_differently(tmp_path, neutral):
    cameras = studio_rig(6, 60, 90)
    sensors = [Sensor(exposure=0.5 if i == 2 else 1.0) for i in range(6)]
    write_take(tmp_path / "1_neutral", neutral, cameras, sensors=sensors, truth=False)
    _, images = read_photos(read_take(tmp_path / "1_neutral"))
    assert images[2].mean() < 0.85 * images[1].mean()


def test_noise_is_even_and_smooth():
    noise = NoiseField(3)
    points = np.random.default_rng(0).uniform(-200, 200, (20_000, 3))
    values = noise(points, 5.0)
    assert values.mean() == pytest.approx(0, abs=0.1)
    assert values.std() == pytest.approx(1, abs=0.15)
    assert np.abs(noise(points + 0.01, 5.0) - values).max() < 0.05
    assert (NoiseField(3)(points, 5.0) == values).all()
    assert np.abs(np.corrcoef(noise(points, 5.0, 1), values)[0, 1]) < 0.1
