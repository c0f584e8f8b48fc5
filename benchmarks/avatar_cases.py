"""People whose head is known and photographs of them: what bench_avatar measures decoders of heads on.

`held_back` are folders of people as `mien process` leaves them, who are in no training; `second population` are people
of ICT-FaceKit. Each is photographed twice, under a drawn light, lens, pose (15 degrees) and background.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from common.array_types import Bools, Floats, Image, Ints32
from processing.evaluation.metrics.head_scores import NOSE_TIP, icp
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.procrustes import fit_motion_robust
from processing.synthetic.face_photographs import FacePhotography
from processing.synthetic.training_photographs import PhotographLimits, draw_photograph, spoil
from processing.template.template import SKIN
from processing.template.template_file import read_template
from processing.training.avatar.feature_files import SPOILING
from processing.training.study_faces import StudyFaces

RADII_MM = (80, 90, 100, 110)
VIEWS, SIZE_PX, POINTS = 2, 512, 8000
_NEAR_MM = 95.0  # of the tip of the nose: what ICP aligns
LIMITS = PhotographLimits(
    size_px=SIZE_PX, yaw_deg=15, pitch_deg=15, roll_deg=10, distance_mm=(400, 1800), across_mm=(260, 330), shift=0.04,
    supersample=2,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrueHead:
    """A head: its skin as a surface, points spread evenly over it, and its landmarks."""

    surface: Surface
    points_mm: Floats  # (P, 3)
    normals: Floats  # (P, 3)
    landmarks_mm: Floats  # (68, 3)

    @classmethod
    def of(cls, vertices_mm: Floats, triangles: Ints32, skin: Bools, landmarks_mm: Floats) -> "TrueHead":
        """skin: (V,) vertices; eyes and the mouth's inside are left out, as in the paper (section 4.2)."""
        mesh = Mesh(vertices_mm, triangles[skin[triangles].all(axis=1)])
        points, normals = spread_points(mesh, POINTS)
        return cls(Surface(mesh), points, normals, landmarks_mm)


@dataclass(frozen=True, eq=False)
class Case:
    """A person: the true head and photographs, BGR."""

    name: str
    head: TrueHead
    photographs: tuple[Image, ...]


def spread_points(mesh: Mesh, count: int) -> tuple[Floats, Floats]:
    """(P, 3) points, as many by area everywhere, and the normals of their triangles; the same for the same mesh."""
    rng = np.random.default_rng(0)
    area = np.linalg.norm(mesh.triangle_cross, axis=1)
    which = rng.choice(len(area), count, p=area / area.sum())
    share = rng.dirichlet(np.ones(3), count)
    corners = mesh.vertices_mm[mesh.triangles[which]]
    return np.einsum("pk,pkd->pd", share, corners), mesh.triangle_normals[which]


def armse(truth: TrueHead, found: TrueHead) -> dict[int, float]:
    """Average root mean square error, mm, by radius (Lin et al., section 4.3).

    Landmarks and then ICP lay the head found on the true one (similarity: a photograph does not show how large a head
    is). Within a radius of each one's tip of the nose, distances of points to the other's surface, root mean square,
    both ways averaged. The paper takes vertices for points; ours are spread evenly, so that no topology's dense regions
    count more.
    """
    nose = truth.landmarks_mm[NOSE_TIP]
    first = fit_motion_robust(found.landmarks_mm, truth.landmarks_mm)
    moved = first(found.points_mm)
    near = np.linalg.norm(moved - nose, axis=1) < _NEAR_MM
    step = icp(moved[near], (found.normals @ first.R.T)[near], truth.surface)
    motion = step.after(first)
    moved, tip = motion(found.points_mm), motion(found.landmarks_mm[NOSE_TIP][None])[0]
    to_truth = truth.surface.closest(moved).distance_mm
    to_found = found.surface.closest(motion.inverse()(truth.points_mm)).distance_mm * motion.scale
    from_found, from_true = np.linalg.norm(moved - tip, axis=1), np.linalg.norm(truth.points_mm - nose, axis=1)
    return {
        radius: float(
            (np.sqrt(np.square(to_truth[from_found <= radius]).mean())
             + np.sqrt(np.square(to_found[from_true <= radius]).mean())) / 2
        )
        for radius in RADII_MM
    }  # fmt: skip


def photographs(face: FacePhotography, seed: tuple[int, ...]) -> tuple[Image, ...]:
    """VIEWS photographs; the first about from the front."""
    taken = []
    for view in range(VIEWS):
        rng = np.random.default_rng([*seed, view])
        limits = replace(LIMITS, yaw_deg=4, pitch_deg=6, roll_deg=4) if view == 0 else LIMITS
        taken.append(spoil(rng, draw_photograph(rng, face, limits).image, how=SPOILING))
    return tuple(taken)


def held_back(folder: Path, count: int, texture_px: int = 1024) -> Iterator[Case]:
    """People of a folder with a template.npz beside them."""
    faces, template = StudyFaces.open(folder), read_template(folder / "template.npz")
    for number, code in enumerate(faces.subjects[:count]):
        neutral = faces.neutral(code)
        vertices = faces.vertices(code, neutral)
        texture = np.ascontiguousarray(faces.texture(code, neutral, texture_px)[..., ::-1])
        face = FacePhotography(template.mesh.with_vertices(vertices), texture, occlusion_rays=24)
        landmarks = template.landmark_points(vertices)
        head = TrueHead.of(vertices, template.mesh.triangles, template.parts == SKIN, landmarks)
        yield Case(code, head, photographs(face, (1, number)))


def second_population(ict: Path, correspondence: Path | None, count: int, seed: int) -> Iterator[Case]:
    """People of ICT-FaceKit in skins that are nobody's of the study."""
    from known_truth import KnownTruth, the_correspondence

    truth = KnownTruth(seed, the_correspondence(correspondence, ict), ict)
    people = truth.people
    for number in range(count):
        vertices, face = truth.neutral(number)
        landmarks = people.template.landmark_points(vertices)
        head = TrueHead.of(vertices, people.control.triangles, people.template.parts == SKIN, landmarks)
        yield Case(f"ict-{number:02d}", head, photographs(face, (2, seed, number)))


def write_photographs(folder: Path, case: Case) -> list[Path]:
    """As PNG files, for a command."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{case.name}_{view}.png" for view in range(len(case.photographs))]
    for path, image in zip(paths, case.photographs, strict=True):
        cv2.imwrite(str(path), image)
    return paths
