"""FS-Lab made of folders: exact, the same from the same seed, gone on with when killed, refused where it must be."""

import hashlib
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from processing.errors import DataError
from processing.evaluation.benchmark_files import Benchmark, BenchmarkHead, BenchmarkWriter
from processing.evaluation.lab.folder_source import choose, lab_folders
from processing.evaluation.lab.lab_subject import LabError, LabTemplate, truth_of
from processing.evaluation.lab.make_lab import LabSettings, make_lab, pinhole
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.files.image_files import read_image, write_image
from processing.files.obj import write_obj
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.procrustes import Similarity
from processing.geometry.topology import topology_id
from processing.synthetic.face_photographs import drawn_background
from processing.synthetic.face_population import population
from processing.template.template_file import write_template

SIZE, MAP = 48, 64
PLAIN = LabSettings(size_px=SIZE, subdivisions=0, supersample=1, occlusion_rays=0)


@pytest.fixture(scope="module")
def people():
    return population("anny", 2000)


@pytest.fixture(scope="module")
def source(people, tmp_path_factory):
    """Two heads, moved, each in two expressions; a third has no displacement."""
    folder = tmp_path_factory.mktemp("source")
    template, rng = people.template, np.random.default_rng(4)
    write_template(folder / "template.npz", template)
    for code in ("S001", "S002", "S003"):
        neutral = people.to_template @ people.draw(rng).neutral_mm
        for label, unit in (("1_neutral", None), ("2_smile", "jawOpen")):
            shape = neutral if unit is None else neutral + 0.5 * people.units_mm[people.units.index(unit)]
            motion = Similarity(1.0, _turn(0.05), np.array([3.0, -2.0, 5.0]))
            write_obj(folder / code / "models_reg" / f"{label}.obj", template.mesh.with_vertices(motion(shape)))
            write_image(folder / code / "models_reg" / f"{label}.jpg", _texture(rng))
            if code != "S003":
                height = (0.1 * rng.standard_normal((MAP, MAP))).astype(np.float32)
                relief = DisplacementMap(height, np.ones((MAP, MAP), bool))
                (folder / code / "dpmap").mkdir(exist_ok=True)
                write_displacement_png(folder / code / "dpmap" / f"{label}.png", relief)
    return folder


def _turn(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _texture(rng):
    return np.clip(rng.uniform(60, 190, 3) + 10 * rng.standard_normal((MAP, MAP, 1)), 0, 255).astype(np.uint8)


def made(people, source, out, count=2, settings=PLAIN, progress=None, expressions=()):
    choices = choose(lab_folders(source), count, settings.seed, expressions=expressions)
    writer = BenchmarkWriter(out, BenchmarkHead("lab", "b", settings.size_px, settings.seed, "folder"))
    more = {} if progress is None else {"progress": progress}
    return make_lab(choices, LabTemplate(people.template), writer, settings, **more)


@pytest.fixture(scope="module")
def benchmark(people, source, tmp_path_factory):
    return made(people, source, tmp_path_factory.mktemp("bench") / "b")


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*/*")}


def test_every_subject_has_33_images_and_one_face(benchmark, people):
    assert len(benchmark.images) == 66
    groups = [image.bin for image in benchmark.images[:33]]
    assert (groups.count("0"), groups.count("30"), groups.count("60")) == (3, 24, 6)
    truth = benchmark.truth(benchmark.images[0])
    assert truth.topology == topology_id(people.template.mesh)
    assert 45 < truth.pupil_mm < 75
    assert 0.05 < truth.face.mean() < 0.8


def test_the_true_face_is_seen_where_its_camera_projects_it(benchmark):
    """By rays through the projected places of the nose, which nothing lies before."""
    for image in [image for image in benchmark.images if image.pose_deg < 60][::8]:
        truth, camera = benchmark.truth(image), pinhole(benchmark.camera(image))
        nose = truth.landmarks_mm[[28, 29, 30]]
        rays = camera.rays(camera.project(nose))
        distance, _, _ = Surface(truth.mesh).cast(np.broadcast_to(camera.centre, rays.shape), rays)
        assert np.linalg.norm(camera.centre + distance[:, None] * rays - nose, axis=1).max() < 1.0  # of displacement


def test_the_head_covers_the_background_where_its_kept_mesh_says(benchmark, people):
    """By the files alone: silhouettes of picture, camera and mesh are one."""
    for image in benchmark.images[3::10]:
        truth, camera = benchmark.truth(image), pinhole(benchmark.camera(image))
        grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1).reshape(-1, 2).astype(float)
        rays = camera.rays(grid)
        head = Surface(Mesh(truth.base_vertices_mm, people.template.mesh.triangles))
        face = (head.cast(np.broadcast_to(camera.centre, rays.shape), rays)[1] >= 0).reshape(SIZE, SIZE)
        _, focal, view = map(int, image.name.split("_"))
        rng = np.random.default_rng([PLAIN.seed, int(image.subject), focal, view])
        behind = drawn_background(rng, SIZE, SIZE).astype(float)
        off = np.abs(benchmark.picture(image) - behind).max(axis=2)
        grown = cv2.dilate(face.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # the lens's blur and an edge
        inner = cv2.erode(face.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert np.quantile(off[~grown], 0.99) < 30  # noise, most of it where it is dark
        assert np.median(off[inner]) > 3 * np.median(off[~grown])


def test_what_is_measured_is_the_detailed_face(benchmark, people, source):
    truth = benchmark.truth(benchmark.images[40])
    landmarks, vertices = truth.landmarks_mm, truth.mesh.vertices_mm
    eyes = np.linalg.norm(landmarks[45] - landmarks[36])
    brow, chin = landmarks[17:27, 1].max(), landmarks[8, 1]
    assert brow + 0.2 * eyes < vertices[:, 1].max() < brow + 0.8 * eyes  # a forehead, no scalp
    assert chin - 0.4 * eyes < vertices[:, 1].min() < chin + 0.1 * eyes  # no neck
    assert vertices[:, 2].min() > landmarks[[0, 16], 2].min() - 0.4 * eyes  # nor ears
    # Displaced by what the map says: the same places of the undetailed head are tenths of millimetres away.
    away = Surface(Mesh(truth.base_vertices_mm, people.template.mesh.triangles)).closest(vertices).distance_mm
    assert 0.02 < away.mean() < 0.3
    (choice,) = choose(lab_folders(source)[1:2], 1, PLAIN.seed)
    whole = choice.read().upright(LabTemplate(people.template)).detailed(1)
    kind = LabTemplate(people.template)
    finer = truth_of(choice.read().upright(kind), kind, whole)
    assert len(finer.mesh.triangles) == 4 * kind.measured.sum()


def test_heads_stand_upright_at_the_centre_whatever_the_rig(benchmark, people):
    template = people.template
    for image in (benchmark.images[0], benchmark.images[40]):
        landmarks = benchmark.truth(image).landmarks_mm
        wanted = template.landmark_points(template.mesh.vertices_mm)
        assert np.linalg.norm(landmarks[27:36].mean(axis=0) - wanted[27:36].mean(axis=0)) < 12
        eyes = landmarks[42:48].mean(axis=0) - landmarks[36:42].mean(axis=0)
        assert abs(np.degrees(np.arctan2(eyes[2], eyes[0]))) < 1.5  # the rig's turn of 2.9 degrees is out


def test_it_follows_from_the_seed(benchmark, people, source, tmp_path):
    other = made(people, source, tmp_path / "other", settings=replace(PLAIN, seed=1))
    ours, theirs = digests(benchmark.folder), digests(other.folder)
    assert ours.keys() == theirs.keys()
    assert all(ours[name] != theirs[name] for name in ours if name.endswith(".png"))


class Killed(Exception):
    pass


def test_a_killed_one_goes_on_where_it_was(benchmark, people, source, tmp_path):
    calls = []

    def kill(_share, text):
        calls.append(text)
        if len(calls) == 60:
            raise Killed

    with pytest.raises(Killed):
        made(people, source, tmp_path / "b", progress=kill)
    begun = sorted((tmp_path / "b" / "images").glob("*.png"))
    assert 0 < len(begun) < 66
    with pytest.raises(DataError, match="not finished"):
        Benchmark.open(tmp_path / "b")
    stamps = {p: p.stat().st_mtime_ns for p in begun}
    made(people, source, tmp_path / "b")
    assert {p: p.stat().st_mtime_ns for p in begun} == stamps  # kept, not made again
    assert digests(tmp_path / "b") == digests(benchmark.folder)


def test_expressions_are_chosen_and_one_subject_changes_no_other(source):
    folders = lab_folders(source)
    assert {c.label for c in choose(folders, 2, 0, expressions=["smile"])} == {"2_smile"}
    drawn = {c.code: c.label for c in choose(folders, 2, 7)}
    (alone,) = choose(folders[1:2], 1, 7)
    assert drawn[alone.code] == alone.label


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"count": 3}, "1 lack a texture or a displacement map .*S003"),
        ({"count": 1, "expressions": ["frown"]}, "2 have none of frown"),
        ({"count": 2, "refused": {"S001"}}, "1 may not be shown .S001"),
    ],
)
def test_too_few_subjects_are_refused_with_reasons(source, how, said):
    with pytest.raises(LabError, match=said):
        choose(lab_folders(source), seed=0, **how)


def test_sources_that_cannot_be_used_are_refused(source, tmp_path):
    with pytest.raises(LabError, match="no folder"):
        lab_folders(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabError, match="models_reg"):
        lab_folders(tmp_path / "empty")
    shutil.copytree(source / "S001", tmp_path / "odd" / "S001")
    write_image(tmp_path / "odd/S001/models_reg/2_smile.jpg", np.zeros((8, 16, 3), np.uint8))
    (choice,) = choose(lab_folders(tmp_path / "odd"), 1, 0, expressions=["smile"])
    with pytest.raises(LabError, match="textures are square"):
        choice.read()
    other = LabTemplate(population("anny", 1200).template)
    (choice,) = choose(lab_folders(source)[:1], 1, 0)
    with pytest.raises(LabError, match="--template"):
        choice.read().upright(other)


def test_the_command_makes_one_and_goes_on_with_no_other(source, tmp_path):
    from processing.commands.benchmark import app

    def run(*more):
        words = ["make", "lab", str(source), "--out", str(tmp_path / "b"), "--template", str(source / "template.npz")]
        return CliRunner().invoke(app, [*words, "--subjects", "1", "--size", "32", *more])

    done = run("--json")
    assert done.exit_code == 0, done.output
    made_there = Benchmark.open(tmp_path / "b")
    assert len(made_there.images) == 33
    assert read_image(made_there.picture_path(made_there.images[0])).shape == (32, 32, 3)
    refused = run("--seed", "3")
    assert refused.exit_code != 0
    assert "another seed" in str(refused.exception)
