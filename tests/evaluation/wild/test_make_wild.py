import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from known_fit import KnownFit, known_fit

from common.array_types import Image
from processing.errors import DataError
from processing.evaluation.benchmark_files import Benchmark, BenchmarkError, BenchmarkHead, BenchmarkWriter
from processing.evaluation.lab.make_lab import pinhole
from processing.evaluation.wild.make_wild import WildReport, WildSettings, bin_name, head_pose, make_wild
from processing.evaluation.wild.texture_pool import TexturePool
from processing.evaluation.wild.wild_photographs import WildPhotograph, wild_photographs
from processing.files.image_files import write_image
from processing.geometry.cameras import direction_of, upright_rotation
from processing.geometry.mesh import Mesh
from processing.single_view.editing.face_view import see_face
from processing.single_view.photograph import PhotoFit

YAWS = (0.0, 20.0, 40.0)


class Shelf:
    """Photographs on disk, a texture, and the fits that made the photographs."""

    def __init__(self, folder: Path) -> None:
        self.known: dict[bytes, KnownFit] = {}
        self.folder, self.fitted = folder, 0
        (folder / "photos").mkdir()
        for number, yaw in enumerate(YAWS):
            one = known_fit(number, yaw=yaw, weak=True, size=300)
            self.known[one.image.tobytes()] = one
            write_image(folder / "photos" / f"jane_doe_{number}.png", one.image)
        meshes = folder / "source" / "S1" / "models_reg"
        meshes.mkdir(parents=True)
        assert one.model.albedo is not None
        texture = cv2.resize(one.model.albedo.picture()[..., ::-1], (256, 256))
        write_image(meshes / "1_neutral.jpg", np.ascontiguousarray(texture))
        self.model = one.model

    @property
    def photographs(self) -> list[WildPhotograph]:
        return wild_photographs(self.folder / "photos")

    def fit(self, image: Image) -> PhotoFit:
        self.fitted += 1
        return self.known[image.tobytes()].fit

    def make(
        self, out: Path, settings: WildSettings | None = None, fit: Callable[[Image], PhotoFit] | None = None
    ) -> WildReport:
        settings = replace(settings or WildSettings(), work_px=256)
        head = BenchmarkHead("wild", out.name, settings.size_px, settings.seed, "tests", settings.as_recipe())
        pool = TexturePool.of_folder(self.folder / "source")
        return make_wild(
            self.photographs, self.model, pool, BenchmarkWriter(out, head), settings, fit=fit or self.fit
        )  # fmt: skip


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="module")
def made(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> WildReport:
    return shelf.make(tmp_path_factory.mktemp("made") / "bench")


def test_each_photograph_is_an_image_in_its_bin(made: WildReport) -> None:
    assert made.bins == {"0-5": 1, "5-30": 1, "30-60": 1, "60-90": 0}
    assert made.lacking(2) == {"0-5": 1, "5-30": 1, "30-60": 1, "60-90": 2}
    again = Benchmark.open(made.benchmark.folder)
    assert sorted(round(abs(image.yaw_deg)) for image in again.images) == [0, 20, 40]
    assert all(again.picture(image).shape == (256, 256, 3) for image in again.images)


def test_the_picture_shows_the_true_face_where_its_camera_says(made: WildReport) -> None:
    """Before the plain background the outline of the true mesh is the picture's."""
    bench = made.benchmark
    for image in bench.images:
        camera = pinhole(bench.camera(image))
        truth = bench.truth(image).mesh
        here = Mesh(camera.to_camera(truth.vertices_mm), truth.triangles)
        head = see_face(here, camera.K, (0, 0, camera.width, camera.height)).seen
        plain = np.abs(bench.picture(image).astype(int) - [140, 110, 80]).max(axis=2) < 25
        rim = cv2.dilate(head.astype(np.uint8), np.ones((5, 5))) - cv2.erode(head.astype(np.uint8), np.ones((5, 5)))
        assert bench.truth(image).face is not None
        rows = camera.project(truth.vertices_mm[bench.truth(image).face])[:, 1]
        beside = np.zeros_like(head)
        beside[int(np.percentile(rows, 15)) : int(np.percentile(rows, 85))] = True
        assert ((~plain) == head)[beside & (rim == 0)].mean() > 0.985


def test_a_perturbed_identity_is_what_the_picture_shows(shelf: Shelf, tmp_path: Path) -> None:
    made = shelf.make(tmp_path / "bench", WildSettings(perturb=1.0))
    for image in made.benchmark.images:
        truth = made.benchmark.truth(image).base_vertices_mm
        fits = [known.fit.vertices_mm for known in shelf.known.values()]
        assert truth is not None
        assert min(float(np.linalg.norm(truth - fit, axis=1).mean()) for fit in fits) > 0.5
    test_the_picture_shows_the_true_face_where_its_camera_says(made)


def test_making_goes_on_where_it_was_stopped(shelf: Shelf, made: WildReport, tmp_path: Path) -> None:
    calls = 0

    def stopping(image: Image) -> PhotoFit:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return shelf.fit(image)

    with pytest.raises(KeyboardInterrupt):
        shelf.make(tmp_path / "bench", fit=stopping)
    with pytest.raises(BenchmarkError, match="not finished"):
        Benchmark.open(tmp_path / "bench")
    before = shelf.fitted
    again = shelf.make(tmp_path / "bench")
    assert shelf.fitted == before + 2
    for image in made.benchmark.images:
        whole, resumed = (b.picture_path(image).read_bytes() for b in (made.benchmark, again.benchmark))
        assert whole == resumed
    assert not (tmp_path / "bench" / "photographs").exists()


def test_a_texture_that_may_no_longer_be_shown_is_shown_by_no_image(shelf: Shelf, tmp_path: Path) -> None:
    """Its subject withdrew between two calls: what was made with it is made anew."""

    def stopping(image: Image) -> PhotoFit:
        if any((tmp_path / "bench" / "photographs").iterdir()):
            raise KeyboardInterrupt
        return shelf.fit(image)

    with pytest.raises(KeyboardInterrupt):
        shelf.make(tmp_path / "bench", fit=stopping)
    (shelf.folder / "source" / "S1").rename(shelf.folder / "source" / "S2")
    try:
        made = shelf.make(tmp_path / "bench")
    finally:
        (shelf.folder / "source" / "S2").rename(shelf.folder / "source" / "S1")
    assert {face["texture"] for face in made.benchmark.made["faces"]} == {"S2"}


def test_nothing_has_a_photographs_name(made: WildReport) -> None:
    for path in made.benchmark.folder.rglob("*"):
        assert "jane" not in path.name
        if path.suffix in (".json", ".csv"):
            assert "jane" not in path.read_text()


def test_what_cannot_be_used_is_told_without_names(shelf: Shelf, tmp_path: Path) -> None:
    def failing(image: Image) -> PhotoFit:
        if image.shape[0] and shelf.known[image.tobytes()].fit.camera.camera.R[0, 0] > 0.9:
            raise DataError("jane_doe_1.png: no face")
        return shelf.fit(image)

    made = shelf.make(tmp_path / "bench", fit=failing)
    said = json.loads((tmp_path / "bench" / "benchmark.json").read_text())
    assert sum(made.refused.values()) == sum(said["refused"].values()) == 2
    with pytest.raises(DataError, match="none of 3"):
        shelf.make(tmp_path / "none", fit=lambda _: failing(next(iter(shelf.known.values())).image))


def test_full_bins_take_no_more(shelf: Shelf, tmp_path: Path) -> None:
    made = shelf.make(tmp_path / "bench", WildSettings(per_bin=1))
    assert max(made.bins.values()) == 1


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (35.0, 0.0), (-50.0, 20.0), (10.0, -40.0)])
def test_pose_is_where_the_camera_stands(yaw: float, pitch: float) -> None:
    found = head_pose(upright_rotation(-direction_of(yaw, pitch), roll=0.4))
    angle = np.degrees(np.arccos(np.cos(np.radians(yaw)) * np.cos(np.radians(pitch))))
    np.testing.assert_allclose(found, (yaw, pitch, angle), atol=1e-6)


def test_bins() -> None:
    assert [bin_name(p) for p in (0.0, 4.99, 5.0, 59.0, 89.9)] == ["0-5", "0-5", "5-30", "30-60", "60-90"]
    with pytest.raises(DataError, match="120"):
        bin_name(120.0)
