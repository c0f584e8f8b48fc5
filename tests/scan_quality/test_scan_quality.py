"""A scan's figures follow what is wrong with it, and the verdict follows the figures."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from common.array_types import Image
from processing.geometry import rendering
from processing.geometry.cameras import Camera
from processing.geometry.mesh import MEASURED, Mesh, Surface
from processing.scan_quality.head_regions import REGIONS, region_numbers
from processing.scan_quality.scan_measures import measure_scan, roughness_mm
from processing.scan_quality.scan_picture import quality_picture
from processing.scan_quality.scan_verdict import QualitySettings, QualitySettingsError, judge
from processing.synthetic.studio_rig import studio_rig


def ball(step: int = 120) -> Mesh:
    """A painted, slightly bumpy ball of 70 mm radius."""
    theta, phi = np.linspace(0, np.pi, step + 1), np.linspace(0, 2 * np.pi, 2 * step + 1)[:-1]
    t, p = np.meshgrid(theta, phi, indexing="ij")
    unit = np.stack([np.sin(t) * np.sin(p), np.cos(t), np.sin(t) * np.cos(p)], axis=-1).reshape(-1, 3)
    vertices = unit * (70 + 1.5 * np.sin(6 * unit[:, :1]) * np.sin(7 * unit[:, 1:2]))
    i, j = np.meshgrid(np.arange(step), np.arange(2 * step), indexing="ij")
    a, b = i * 2 * step + j, i * 2 * step + (j + 1) % (2 * step)
    down = 2 * step
    triangles = np.concatenate(
        [np.stack([a, a + down, b], -1).reshape(-1, 3), np.stack([b, a + down, b + down], -1).reshape(-1, 3)]
    )
    rng = np.random.default_rng(0)
    waves = rng.normal(0, 0.35, (60, 3))
    tone = np.sin(vertices @ waves.T + rng.uniform(0, 6, 60)).sum(axis=1)
    colors = np.clip(np.array([170, 130, 110]) + 7.0 * tone[:, None], 0, 255).astype(np.uint8)
    return Mesh(vertices, triangles.astype(np.int32), colors=colors)


@pytest.fixture(scope="module")
def scene() -> tuple[Mesh, list[Camera], list[Image]]:
    mesh = ball()
    cameras = [replace(c.pinhole(), name=str(v)) for v, c in enumerate(studio_rig(12, 300, 450))]
    assert mesh.colors is not None
    bgr = mesh.colors[:, ::-1]
    images = [rendering.render(mesh, c, vertex_colors=bgr, shaded=False, supersample=1) for c in cameras]
    return mesh, cameras, images


Scene = tuple[Mesh, list[Camera], list[Image]]
NO_PLACES = np.zeros((0, 3))


def test_a_true_scan_is_accepted(scene: Scene) -> None:
    mesh, cameras, images = scene
    quality = measure_scan(mesh, images, cameras, mesh.vertices_mm[::40], workers=2)
    assert quality.coverage == 1.0
    assert quality.holes < 0.01
    assert quality.offset_mm is not None
    assert quality.offset_mm < 0.1 * quality.footprint_mm
    review = judge(quality, taken=12)
    assert (review.verdict, review.reasons) == ("accept", ())


def test_the_camera_that_is_off_is_named_with_how_much(scene: Scene) -> None:
    mesh, cameras, images = scene
    R = Rotation.from_rotvec(np.radians([0.0, 0.3, 0.0])).as_matrix()
    wrong = [replace(c, R=R @ c.R, t=R @ c.t) if c.name == "2" else c for c in cameras]
    quality = measure_scan(mesh, images, wrong, NO_PLACES, workers=2)
    off = {c.camera: c.offset_mm or 0.0 for c in quality.cameras}
    expected = np.radians(0.3) * float(cameras[2].depth(np.zeros((1, 3)))[0])
    assert off["2"] == pytest.approx(expected, rel=0.2)
    assert max(mm for name, mm in off.items() if name != "2") < 0.1 * expected
    review = judge(quality, taken=12)
    assert review.verdict == "review"
    assert review.reasons[0].startswith("camera 2's view of the scan is")


def test_holes_and_missing_places_are_seen(scene: Scene) -> None:
    mesh, cameras, images = scene
    middle = mesh.vertices_mm[mesh.triangles].mean(axis=1)
    away = np.linalg.norm(middle - [0, 10, 70], axis=1) > 25
    torn = replace(mesh, triangles=mesh.triangles[away])
    quality = measure_scan(torn, images, cameras, mesh.vertices_mm[::40], workers=2)
    assert quality.holes > 0.02
    assert quality.coverage is not None
    assert 0.9 < quality.coverage < 0.99


def test_roughness_is_that_of_the_noise() -> None:
    mesh = ball(200)
    rng = np.random.default_rng(1)
    noisy = replace(
        mesh, vertices_mm=mesh.vertices_mm + 0.1 * rng.normal(size=(len(mesh.vertices_mm), 1)) * mesh.vertex_normals
    )
    assert roughness_mm(mesh) < 0.01
    assert roughness_mm(noisy) == pytest.approx(0.1, rel=0.25)


def test_lost_photographs_decide(scene: Scene) -> None:
    mesh, cameras, images = scene
    quality = measure_scan(mesh, images, cameras, NO_PLACES, workers=2)
    assert judge(quality, taken=13).verdict == "accept"
    review = judge(quality, taken=15)
    assert (review.verdict, review.reasons) == ("review", ("3 of 15 photographs gave nothing",))
    assert judge(quality, taken=24).verdict == "redo"
    assert judge(quality, taken=15, settings=QualitySettings(lost=(0.3, 0.5))).verdict == "accept"


def test_the_picture_shows_every_camera(scene: Scene) -> None:
    mesh, cameras, images = scene
    quality = measure_scan(mesh, images[:10], cameras[:10], NO_PLACES, workers=2)
    picture = quality_picture(Surface(mesh), quality, judge(quality, taken=12), {"11": "black"}, cameras, height_px=160)
    assert picture.dtype == np.uint8
    assert picture.shape[0] > 400
    assert picture.std() > 10


def test_thresholds_that_make_no_sense() -> None:
    with pytest.raises(QualitySettingsError, match="holes rises"):
        QualitySettings(holes=(0.2, 0.1))
    with pytest.raises(QualitySettingsError, match="coverage falls"):
        QualitySettings(coverage=(0.5, 0.9))


def with_estimates(mesh: Mesh, towards: tuple[float, float, float], within_deg: float) -> Mesh:
    """A cap of the ball about a direction was estimated, the less sure the farther from its edge."""
    unit = mesh.vertices_mm / np.linalg.norm(mesh.vertices_mm, axis=1, keepdims=True)
    away = np.degrees(np.arccos((unit @ (np.array(towards) / np.linalg.norm(towards))).clip(-1, 1)))
    return replace(mesh, confidence=np.where(away > within_deg, 0.9, MEASURED * 0.98 * away / max(within_deg, 1)))


@pytest.mark.parametrize(
    ("towards", "region"), [((0, 0.7, 1), "upper front"), ((1, 0, 0.1), "left side"), ((-1, 0, 0.1), "right side")]
)
def test_what_was_estimated_is_counted_and_placed(scene: Scene, towards: tuple, region: str) -> None:
    mesh, cameras, images = scene
    shares = []
    for within_deg in (0.0, 15.0, 30.0, 50.0):
        quality = measure_scan(with_estimates(mesh, towards, within_deg), images, cameras, NO_PLACES, workers=2)
        assert quality.holes < 0.01
        assert quality.estimated is not None
        shares.append(quality.estimated)
        if within_deg == 15:
            assert next(iter(quality.estimated_at)) == region
    assert shares[0] == 0
    assert np.all(np.diff(shares) > 0.005)
    review = judge(quality, taken=12)
    assert review.verdict != "accept"
    assert review.reasons[0].startswith(
        f"{100 * shares[-1]:.0f} % of what the cameras see was estimated, not measured: of"
    )
    assert region in review.reasons[0]
    assert review.figures["estimated"] == shares[-1]


def test_a_scan_that_does_not_say_how_sure_it_is_is_judged_without(scene: Scene) -> None:
    mesh, cameras, images = scene
    quality = measure_scan(mesh, images, cameras, NO_PLACES, workers=2)
    assert quality.estimated is None
    assert judge(quality, taken=12).verdict == "accept"
    assert judge(quality, taken=12).figures["estimated"] is None


def test_the_picture_shows_what_was_estimated(scene: Scene) -> None:
    mesh, cameras, images = scene
    pictures = []
    for within_deg in (None, 0.0, 40.0):
        shown = mesh if within_deg is None else with_estimates(mesh, (0, 0, 1), within_deg)
        quality = measure_scan(shown, images, cameras, NO_PLACES, workers=2)
        pictures.append(quality_picture(Surface(shown), quality, judge(quality, taken=12), {}, cameras, height_px=160))
    without, sure, unsure = (p.astype(int) for p in pictures)
    assert sure.shape[0] == without.shape[0] + 160 + 26

    def red(picture: np.ndarray) -> int:
        return int(((picture[..., 2] > 200) & (picture[..., 1] < 130) & (picture[..., 0] < 130)).sum())

    assert red(unsure) > red(sure) + 2000


def test_every_direction_has_a_region() -> None:
    rng = np.random.default_rng(0)
    around = rng.normal(size=(5000, 3))
    assert set(region_numbers(around)) == set(range(len(REGIONS)))
    named = {
        "top": (0, 1, 0), "below": (0, -1, 0), "back": (0, 0, -1), "left side": (1, 0, 0), "right side": (-1, 0, 0),
        "middle of the front": (0, 0, 1), "upper front": (0, 0.5, 1), "lower front": (0, -0.5, 1),
    }  # fmt: skip
    for name, direction in named.items():
        assert REGIONS[region_numbers(np.array([direction], float))[0]] == name
