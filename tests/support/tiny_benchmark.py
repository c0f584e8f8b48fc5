"""A benchmark of a few faces of the small model (an egg with a nose), its cameras those of FS-Lab; and meshes of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from small_model import small_model

from common.array_types import Floats
from processing.evaluation.benchmark_files import Benchmark, BenchmarkHead, BenchmarkImage, BenchmarkWriter
from processing.evaluation.board.face_pictures import true_picture
from processing.evaluation.lab.lab_cameras import lab_views
from processing.evaluation.metrics.predictions import TruthFace
from processing.evaluation.metrics.view import write_view
from processing.files.ply import write_ply
from processing.geometry.topology import topology_id

VIEWS = (0, 8, 9)  # 0, 30 and 60 degrees


def tiny_benchmark(
    folder: Path, *, subjects: int = 2, focals: Sequence[int] = (0, 2), views: Sequence[int] = VIEWS, size: int = 64
) -> Benchmark:
    """Faces at 0, 30 and 60 degrees at the long and the short focal length."""
    model = small_model()
    writer = BenchmarkWriter(folder, BenchmarkHead("lab", "tiny", size, 0, "a small model"))
    images = []
    for number in range(subjects):
        mesh = model.topology.mesh.with_vertices(face_of(number))
        truth = TruthFace(
            mesh, mesh.vertices_mm, topology_id(mesh), model.topology.landmark_points(mesh.vertices_mm),
            model.topology.face, np.zeros(3),
        )  # fmt: skip
        writer.write_truth(f"S{number}", truth)
        for view in lab_views(np.zeros(3), size):
            if view.focal not in focals or view.view not in views:
                continue
            name = view.name(number)
            writer.write_image(name, true_picture(truth, view.camera), view.camera)
            focal = (1200.0, 600.0, 300.0)[view.focal]
            angles = (view.pose_deg, view.yaw_deg, view.pitch_deg)
            images.append(BenchmarkImage(name, f"S{number}", *angles, focal, "neutral", f"{view.pose_deg:g}"))
    return writer.finish(images)


def face_of(number: int) -> Floats:
    """(V, 3) mm: the face of a subject."""
    model = small_model()
    identity = model.sample_identity(np.random.default_rng(number))
    return model.face(identity, np.zeros(len(model.units)))


def write_prediction(benchmark: Benchmark, image: BenchmarkImage, folder: Path, vertices: Floats) -> None:
    """A mesh in the head's frame, and the true camera beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    mesh = small_model().topology.mesh.with_vertices(vertices)
    write_view(folder / f"{image.name}.camera.json", benchmark.camera(image).view)
    write_ply(folder / f"{image.name}.ply", mesh)
