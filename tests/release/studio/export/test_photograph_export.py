"""Pictures that leave: eyes in coarse blocks wherever they can be seen, lens and colours changed only where asked."""

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from processing.files.camera_models import camera_from_params
from processing.files.colour_profiles import Profile
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface
from processing.photometry.colour_correction import apply_profile
from processing.release.formats.assets.jpeg_strip import strip_jpeg
from processing.release.formats.errors import ReleaseError
from processing.release.studio.export.eye_mosaic import eye_regions, mosaic_photograph, mosaic_scan, mosaic_texture
from processing.release.studio.export.photograph_export import view_params, with_cameras_used, write_photograph
from processing.release.studio.selection.selection_rules import Options
from processing.synthetic.subject import synthetic_subject
from processing.template.builtin_template import default_template
from processing.template.template import PART_NAMES

LIDS = (range(36, 42), range(42, 48))


def _views(synthetic: Any, index: int, label: str) -> list[tuple[Camera, Any]]:
    folder = synthetic.folder / "img" / str(index) / label
    params = json.loads((folder / "params.json").read_text())
    return [
        (camera_from_params(params, view), cv2.imread(str(folder / f"{view}.jpg")).astype(np.float64))
        for view in range(7)
    ]


def _true_eyes(synthetic: Any, index: int, label: str) -> list[Any]:
    """The landmarks of each eye, mm."""
    facts = json.loads((synthetic.folder / f"meta/{index}/{label}.json").read_text())
    return [np.array(facts["landmarks"]["points_mm"])[list(eye)] for eye in LIDS]


def _inside(image: Any, pixels: Any) -> Any:
    """(H, W) the hull of (N, 2) px."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(pixels).astype(np.int32)), 1)
    return mask > 0


def _detail(image: Any, pixels: Any) -> float:
    """Median difference between neighbouring pixels inside the hull of (N, 2) px: borders of blocks are few of them."""
    mask = _inside(image, pixels)
    return float(np.median(np.abs(np.diff(image.mean(axis=2), axis=1))[mask[:, 1:] & mask[:, :-1]]))


def test_eyes_are_mosaicked_in_every_photograph_that_shows_them(synthetic: Any) -> None:
    shown = 0
    for label in ("1_neutral", "2_smile"):
        store = synthetic.store
        facts = json.loads((synthetic.folder / f"meta/2/{label}.json").read_text())
        originals = facts["made_from"]["photographs"]
        for view, (camera, image) in enumerate(_views(synthetic, 2, label)):
            before = cv2.imread(str(store.local_path(originals[str(view)]))).astype(np.float64)
            if camera.centre[2] < 300:  # from the side and from behind
                continue
            for eye in _true_eyes(synthetic, 2, label):
                pixels = camera.project(eye)
                if _inside(before, pixels).sum() < 25:
                    continue  # a few pixels of an eye that is turned away: see the test of every view
                sharp, coarse = _detail(before, pixels), _detail(image, pixels)
                assert coarse < 0.3 * sharp, (label, view)
                shown += 1
            below = camera.project(np.array([[0.0, -45.0, 90.0]])).round().astype(int)[0]  # the mouth
            around = np.s_[below[1] - 8 : below[1] + 8, below[0] - 8 : below[0] + 8]
            assert np.abs(image[around] - before[around]).mean() < 4  # the rest is the photograph, coded once more
    assert shown >= 8


@pytest.mark.parametrize(("seed", "expression", "distance_mm", "lens"), [
    (11, "neutral", 500, 1.0), (23, "eye_closed", 900, 3.0), (31, "brow_raiser", 1400, 2.0), (47, "smile", 700, 1.5),
])  # fmt: skip
def test_no_view_of_any_subject_keeps_an_eye(seed: int, expression: str, distance_mm: float, lens: float) -> None:
    """Cameras near and far, long lenses, oblique to both sides and from above and below; eyes cut by the border."""
    template = default_template()
    regions = eye_regions(template)
    posed = synthetic_subject(seed, vertices=20_000).pose(expression)
    mesh = template.mesh.with_vertices(posed.tu_vertices_mm)
    surface = Surface(mesh)
    eyes = [template.landmark_points(mesh.vertices_mm)[list(lids)] for lids in LIDS]
    looked = 0
    for number, (yaw, pitch) in enumerate([(-60, 0), (-35, 20), (0, -25), (20, 0), (45, 15), (65, -10)]):
        about_y, about_x = (cv2.Rodrigues(np.radians(v))[0] for v in ([0.0, yaw, 0.0], [float(pitch), 0.0, 0.0]))
        turn = about_y @ about_x
        R = np.diag([1.0, -1.0, -1.0]) @ turn.T
        aim = eyes[number % 2].mean(axis=0) + (np.array([22.0, 0, 0]) if number % 3 == 0 else 0)
        centre = aim + turn @ np.array([0, 0, float(distance_mm)])
        focal = 0.55 * lens * distance_mm
        K = np.array([[focal, 0, 89.5], [0, focal, 119.5], [0, 0, 1.0]])
        camera = Camera(K=K, R=R, t=-R @ centre, width=180, height=240, distortion=np.array([-0.08, 0.02, 0, 0, 0]))
        before = posed.scene.photograph(camera, rng=np.random.default_rng(number))
        after = mosaic_photograph(before, camera, mesh, surface, regions)
        for eye in eyes:
            pixels = camera.project(eye)
            hull = _inside(before, pixels)
            if hull.sum() < 4 or _seen(eye, camera, surface) < 2:
                continue
            looked += 1
            changed = (after != before).any(axis=2)
            assert changed[hull].mean() > 0.97, (yaw, pitch)
            # An eye of 30 x 12 mm in blocks of 11 mm, of which those of the other eye's region may cut some.
            assert len(np.unique(after[hull], axis=0)) <= 8, (yaw, pitch)
            assert len(np.unique(before[hull], axis=0)) > 0.5 * hull.sum()
    assert looked >= 4


def _seen(points_mm: Any, camera: Camera, surface: Surface) -> int:
    """How many of the points the camera sees past the face."""
    towards = points_mm - camera.centre
    distance = np.linalg.norm(towards, axis=1)
    hit, _, _ = surface.cast(np.broadcast_to(camera.centre, towards.shape), towards / distance[:, None])
    pixels = camera.project(points_mm)
    there = ((pixels >= 0) & (pixels < [camera.width, camera.height])).all(axis=1)
    return int(((hit > distance - 2.0) & there).sum())


def test_what_is_cut_by_the_border_is_no_finer() -> None:
    """Blocks have the size of the whole eye's, also where a photograph shows a corner of it."""
    template = default_template()
    regions, mesh = eye_regions(template), template.mesh
    eye = template.landmark_points(mesh.vertices_mm)[list(LIDS[1])].mean(axis=0)
    noise = np.random.default_rng(4).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    found = {}
    for cx, cy in (
        (100.0, 100.0),
        (-30.0, -20.0),
    ):  # in the middle; all but a corner beyond the border
        K = np.array([[3000.0, 0, cx], [0, 3000.0, cy], [0, 0, 1]])
        R = np.diag([1.0, -1.0, -1.0])
        camera = Camera(K=K, R=R, t=-R @ (eye + np.array([0, 0, 1000.0])), width=200, height=200)
        after = mosaic_photograph(noise, camera, mesh, Surface(mesh), regions)
        changed = (after != noise).any(axis=2)
        found[cx] = changed.sum() / len(np.unique(after[changed], axis=0))  # pixels a block
        assert changed.sum() > 1500
    assert found[-30.0] > 0.4 * found[100.0]


def test_a_view_from_behind_stays_as_it_is() -> None:
    template = default_template()
    regions = eye_regions(template)
    surface = Surface(template.mesh)
    R = np.diag([-1.0, -1.0, 1.0])  # behind the head, looking at it: x_cam = R x + t
    camera = Camera(
        K=np.array([[400.0, 0, 100], [0, 400, 150], [0, 0, 1]]), R=R, t=np.array([0, 0, 900.0]), width=200, height=300
    )
    image = np.random.default_rng(1).integers(0, 255, (300, 200, 3)).astype(np.uint8)
    np.testing.assert_array_equal(mosaic_photograph(image, camera, template.mesh, surface, regions), image)
    front = Camera(K=camera.K, R=np.diag([1.0, -1.0, -1.0]), t=camera.t, width=200, height=300)
    changed = (mosaic_photograph(image, front, template.mesh, surface, regions) != image).any(axis=2)
    for eye in LIDS:
        pixels = front.project(template.landmark_points(template.mesh.vertices_mm)[list(eye)]).round().astype(int)
        inside = changed[pixels[:, 1].min() : pixels[:, 1].max() + 1, pixels[:, 0].min() : pixels[:, 0].max() + 1]
        assert inside.mean() > 0.95
    assert changed.mean() < 0.05


def test_the_texture_and_the_scan_too() -> None:
    template = default_template()
    regions = eye_regions(template)
    mesh = template.mesh
    noise = np.random.default_rng(2).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    changed = (mosaic_texture(noise, mesh, regions) != noise).any(axis=2)
    owner = np.full(len(mesh.uvs), -1)
    owner[mesh.uv_triangles.ravel()] = mesh.triangles.ravel()
    for vertices in regions.vertices:
        uvs = mesh.uvs[np.isin(owner, vertices)]
        rows, columns = ((1 - uvs[:, 1]) * 256 - 0.5).round(), (uvs[:, 0] * 256 - 0.5).round()
        assert changed[rows.clip(0, 255).astype(int), columns.clip(0, 255).astype(int)].mean() > 0.9
    assert changed.mean() < 0.12
    coarse = mosaic_texture(np.random.default_rng(2).integers(0, 255, (1024, 1024, 3)).astype(np.uint8), mesh, regions)
    uvs = mesh.uvs[mesh.uv_triangles[regions.triangles]].mean(axis=1)
    pixels = np.stack([(1 - uvs[:, 1]) * 1024 - 0.5, uvs[:, 0] * 1024 - 0.5], axis=1).round().astype(int).clip(0, 1023)
    for part in np.unique(template.parts[mesh.triangles[regions.triangles][:, 0]]):  # the skin, each eyeball
        of_part = template.parts[mesh.triangles[regions.triangles][:, 0]] == part
        corners = mesh.vertices_mm[mesh.triangles[regions.triangles][of_part]]
        mm2 = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
        colours = len(np.unique(coarse[tuple(pixels[of_part].T)], axis=0))
        assert colours <= 2.5 * mm2 / 100 + 8, PART_NAMES[part]  # blocks of a centimetre, cut by the islands' borders

    scan = Mesh(mesh.vertices_mm, mesh.triangles, colors=noise.reshape(-1, 3)[: len(mesh.vertices_mm)])
    coarse = mosaic_scan(scan, mesh, regions)
    np.testing.assert_array_equal(coarse.vertices_mm, scan.vertices_mm)
    assert coarse.colors is not None
    assert scan.colors is not None
    moved = (coarse.colors != scan.colors).any(axis=1)
    assert moved[np.concatenate(regions.vertices)].mean() > 0.95
    assert moved.mean() < 0.6


def test_a_template_without_eyes_cannot_mosaic(studio: Any) -> None:
    from processing.template.template_file import read_template

    with pytest.raises(ReleaseError, match="mark no eyes"):
        eye_regions(read_template(studio.folder / "template.npz"))


def _jpeg(image: Any, **more: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, format="JPEG", **more)
    return out.getvalue()


PIXELS = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)


@pytest.mark.parametrize("progressive", [False, True])
def test_only_the_picture_is_left_of_a_jpeg(progressive: bool) -> None:
    exif = Image.Exif()
    exif[0x013B], exif[0x0112] = "Planted Name", 6
    data = _jpeg(PIXELS, exif=exif, comment=b"Planted Name", icc_profile=b"profile", progressive=progressive)
    preview = _jpeg(PIXELS[:8, :8])
    stripped = strip_jpeg(data + b"Planted Name" + preview)
    assert b"Planted" not in stripped
    assert stripped.count(b"\xff\xd8") == 1
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(stripped)) as after:
        np.testing.assert_array_equal(np.array(before), np.array(after))
        assert "icc_profile" not in after.info  # it was none
        assert not after.getexif()
    assert strip_jpeg(stripped) == stripped


@pytest.mark.parametrize("cut", [1, 3, 30, 400, -2])
def test_a_damaged_jpeg_does_not_leave(cut: int) -> None:
    with pytest.raises(ReleaseError):
        strip_jpeg(_jpeg(PIXELS)[:cut])


def test_undistorted_photographs_fit_their_cameras(tmp_path: Path) -> None:
    """A straight line in space is bent in the photograph as taken, and straight in the undistorted one."""
    camera = Camera(
        K=np.array([[120.0, 0, 79.5], [0, 120, 59.5], [0, 0, 1]]), R=np.eye(3), t=np.zeros(3), width=160, height=120,
        distortion=np.array([-0.3, 0.05, 0, 0, 0]),
    )  # fmt: skip
    line = np.stack([np.linspace(-220, 220, 400), np.full(400, -160.0), np.full(400, 400.0)], axis=1)
    image = np.zeros((120, 160, 3), np.uint8)
    drawn = np.rint(camera.project(line) * 16).astype(np.int32)
    cv2.polylines(image, [drawn], False, (255, 255, 255), 2, cv2.LINE_AA, 4)
    data = _jpeg(image, quality=98)
    for options, pinhole in ((Options(), False), (Options(photographs="undistorted"), True)):
        target = tmp_path / f"{options.photographs}.jpg"
        write_photograph(data, target, (160, 120), camera, None, options, None)
        seen = cv2.imread(str(target), cv2.IMREAD_GRAYSCALE).astype(float)
        columns = np.arange(30, 130)
        rows = (seen[:, columns] * np.arange(120)[:, None]).sum(axis=0) / seen[:, columns].sum(axis=0)
        wanted = (camera.pinhole() if pinhole else camera).project(line)
        np.testing.assert_allclose(rows, np.interp(columns, wanted[:, 0], wanted[:, 1]), atol=1.0)
        straight = np.polyfit(columns, rows, 1)
        bent = np.abs(rows - np.polyval(straight, columns)).max()
        assert (bent < 0.7) == pinhole
    K = camera.K + np.array([[0, 7.0, 0], [0, 0, 0], [0, 0, 0]])
    params = view_params(
        {"0_K": K.tolist(), "0_Rt": [], "0_distortion": [1, 2, 3, 4, 5]},
        {0: None},
        {0: (1, 1)},
        undistorted=True,
    )
    assert params["0_distortion"] == [0.0] * 5
    assert params["0_K"] == camera.K.tolist()  # what is straightened has no skew either


def test_colours_are_corrected_only_where_asked(tmp_path: Path) -> None:
    profile = Profile(np.array([[0.8, 0.1, 0.0], [0.0, 0.9, 0.0], [0.0, 0.0, 0.7]]), 0.2)
    smooth = cv2.resize(PIXELS[:4, :6], (60, 40), interpolation=cv2.INTER_CUBIC)
    data = _jpeg(smooth, quality=97)
    plain, corrected = tmp_path / "plain.jpg", tmp_path / "corrected.jpg"
    write_photograph(data, plain, (60, 40), None, profile, Options(), None)
    write_photograph(data, corrected, (60, 40), None, profile, Options(colour="corrected"), None)
    before = cv2.imread(str(plain))
    assert np.abs(cv2.imread(str(corrected)).astype(int) - apply_profile(before, profile)).mean() < 2
    assert np.abs(cv2.imread(str(corrected)).astype(int) - before).mean() > 5


def test_cameras_are_those_that_the_scan_used() -> None:
    """A camera that was put right is published as put right, one that was left out as invalid."""
    calibration = {"0_K": 1, "0_Rt": "board", "1_K": 1, "1_Rt": "board", "0_sn": "body"}
    params = with_cameras_used(calibration, {"0_Rt": "put right", "0_sn": "0", "1_valid": False})
    assert (params["0_Rt"], params["0_sn"], params["1_Rt"], params["1_valid"]) == ("put right", "body", "board", False)
