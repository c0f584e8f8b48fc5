"""Benchmarks on disk: read as they were written, gone on with, and refused where something is wrong."""

import json

import numpy as np
import pytest

from processing.errors import DataError
from processing.evaluation.benchmark_files import (
    Benchmark,
    BenchmarkError,
    BenchmarkHead,
    BenchmarkImage,
    BenchmarkWriter,
)
from processing.evaluation.metrics.predictions import TruthFace
from processing.evaluation.metrics.view import Orthographic, Perspective, TrueCamera, ViewError
from processing.geometry.mesh import Mesh

VERTICES = np.array([[0.0, 0, 0], [100, 0, 0], [0, 100, 0], [0, 0, 100]])
TRIANGLES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
K = np.array([[300.0, 0, 15.5], [0, 300, 15.5], [0, 0, 1]])
CAMERA = TrueCamera(Perspective(K, np.diag([1.0, -1, -1]), np.array([0, 0, 370.0])), 32, 32)


def face():
    landmarks, face_there = np.arange(204.0).reshape(68, 3), np.array([True, False, True, True])
    return TruthFace(Mesh(VERTICES, TRIANGLES), VERTICES, "4-abc", landmarks, face_there, np.array([1.0, 2, 3]), 63.0)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)


def head(kind="lab", seed=1):
    return BenchmarkHead(kind, "small", 32, seed, "folder", {"faces": ["S001/1_neutral"]})


def written(folder, kind="lab"):
    writer = BenchmarkWriter(folder, head(kind))
    names = ["00_0_00", "00_1_03"]
    for number, name in enumerate(names):
        writer.write_image(name, picture(number), CAMERA)
    for key in ["00"] if kind == "lab" else names:
        writer.write_truth(key, face())
    images = [
        BenchmarkImage(names[0], "00", 0.0, 0.0, 0.0, 1200.0, "1_neutral", "0"),
        BenchmarkImage(names[1], "00", 30.0, -21.47, 21.47, None, "1_neutral", "30"),
    ]
    return writer.finish(images, subjects=["S001"]), images


@pytest.mark.parametrize("kind", ["lab", "wild"])
def test_what_is_written_is_read(tmp_path, kind):
    _, images = written(tmp_path / "b", kind)
    found = Benchmark.open(tmp_path / "b")
    assert (list(found.images), found.kind, found.name, found.size_px) == (images, kind, "small", 32)
    assert found.made["subjects"] == ["S001"]
    np.testing.assert_array_equal(found.picture(images[1]), picture(1))
    camera = found.camera(images[0])
    np.testing.assert_array_equal(camera.view.t, CAMERA.view.t)
    assert (camera.width, camera.height) == (32, 32)
    truth, wanted = found.truth(images[1]), face()
    np.testing.assert_array_equal(truth.mesh.vertices_mm, wanted.mesh.vertices_mm)
    np.testing.assert_array_equal(truth.mesh.triangles, wanted.mesh.triangles)
    for name in ("base_vertices_mm", "landmarks_mm", "face", "centre_mm"):
        np.testing.assert_array_equal(getattr(truth, name), getattr(wanted, name))
    assert (truth.topology, truth.pupil_mm) == ("4-abc", 63.0)


def test_an_orthographic_camera_stays_one(tmp_path):
    writer = BenchmarkWriter(tmp_path / "b", head("wild"))
    view = Orthographic(1.2, np.eye(3), np.array([16.0, 15.0]))
    writer.write_image("a", picture(), TrueCamera(view, 32, 32))
    writer.write_truth("a", face())
    image = BenchmarkImage("a", "a", 10.0, 8.0, 6.0, None, "", "5-30")
    found = writer.finish([image]).camera(image)
    assert found.view.scale == 1.2


def test_an_interrupted_one_goes_on_and_is_none_before(tmp_path):
    folder = tmp_path / "b"
    first = BenchmarkWriter(folder, head())
    first.write_image("00_0_00", picture(), CAMERA)
    with pytest.raises(BenchmarkError, match="not finished"):
        Benchmark.open(folder)
    again = BenchmarkWriter(folder, head())
    assert again.has_image("00_0_00")
    assert not again.has_image("00_1_03")
    (folder / "cameras" / "00_0_00.json").unlink()
    assert not again.has_image("00_0_00")  # a picture without its camera is made again
    with pytest.raises(BenchmarkError, match="not there"):
        again.finish([BenchmarkImage("00_0_00", "00", 0.0, 0.0, 0.0, 1200.0, "", "0")])


def test_another_benchmark_is_not_gone_on_with(tmp_path):
    written(tmp_path / "b")
    with pytest.raises(BenchmarkError, match="another seed"):
        BenchmarkWriter(tmp_path / "b", head(seed=2))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "letter.txt").write_text("dear")
    with pytest.raises(BenchmarkError, match="not empty"):
        BenchmarkWriter(tmp_path / "c", head())


def spoil_table(folder, old, new):
    path = folder / "images.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("00_1_03,", "../../etc,", "line 3: name"),
        ("00_1_03,", "00_0_00,", "twice"),
        ("-21.47", "nan", "line 3: yaw_deg"),
        ("1200.0", "-5", "line 2: focal_px"),
        ("pose_deg", "angle", "no column pose_deg"),
        ("00_1_03,00,30.0", "00_1_03,00,wide", "line 3"),
    ],
)
def test_a_table_that_cannot_be_used_names_its_line(tmp_path, old, new, said):
    written(tmp_path / "b")
    spoil_table(tmp_path / "b", old, new)
    with pytest.raises(BenchmarkError, match=said):
        Benchmark.open(tmp_path / "b")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("format", 2, "format 2"),
        ("kind", "zoo", "zoo"),
        ("images", 3, "says 3 images"),
        ("size_px", 1 << 30, "size_px"),
    ],
)
def test_a_head_that_cannot_be_used_is_refused(tmp_path, key, value, said):
    written(tmp_path / "b")
    path = tmp_path / "b" / "benchmark.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(BenchmarkError, match=said):
        Benchmark.open(tmp_path / "b")


def test_a_benchmark_without_images_is_none(tmp_path):
    """It would be run with success, and its figures would be of nothing."""
    written(tmp_path / "b")
    path, table = tmp_path / "b" / "benchmark.json", tmp_path / "b" / "images.csv"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"images": 0}))
    table.write_text(table.read_text().splitlines()[0] + "\n")
    with pytest.raises(BenchmarkError, match="lists no images"):
        Benchmark.open(tmp_path / "b")


def test_damaged_files_say_what_they_are(tmp_path):
    made, images = written(tmp_path / "b")
    made.picture_path(images[0]).write_bytes(b"\x89PNG nothing")
    with pytest.raises(DataError, match=r"00_0_00\.png"):
        made.picture(images[0])
    (tmp_path / "b" / "cameras" / "00_0_00.json").write_text('{"projection": "fisheye"}')
    with pytest.raises(ViewError, match="fisheye"):
        made.camera(images[0])
    beside = tmp_path / "b" / "truth" / "00.npz"
    np.savez(beside, vertices_mm=np.full((4, 3), np.nan))
    with pytest.raises(BenchmarkError, match="vertices_mm"):
        made.truth(images[0])
    np.savez(beside, vertices_mm=VERTICES, face=np.ones(5, bool))
    with pytest.raises(BenchmarkError, match="face has shape"):
        made.truth(images[0])
    np.savez(beside, pupil_mm=np.float64(0.063))
    with pytest.raises(BenchmarkError, match="millimetres"):
        made.truth(images[0])
    with pytest.raises(BenchmarkError, match="no benchmark"):
        Benchmark.open(tmp_path)


def test_names_that_are_paths_and_images_of_another_size_are_not_written(tmp_path):
    writer = BenchmarkWriter(tmp_path / "b", head())
    with pytest.raises(BenchmarkError, match="no name"):
        writer.write_image("../a", picture(), CAMERA)
    with pytest.raises(BenchmarkError, match="side is 32"):
        writer.write_image("a", picture()[:16], CAMERA)
    with pytest.raises(BenchmarkError, match="no name"):
        writer.write_truth(".hidden", face())
