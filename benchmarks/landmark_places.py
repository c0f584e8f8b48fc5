"""Where on the built-in template the detector's 478 points lie, and how well: measured on rendered people.

Synthetic people, in expressions and from many sides, are photographed; each of the detector's points is put where the
template's surface is nearest to it in all photographs together (robustly), and what is left is its bias, which goes
with how the head is turned, and its deviation. `processing/single_view/landmark_places.npz` was made by

    python benchmarks/landmark_places.py observe OBSERVED.npz --people 20 --seed 1
    python benchmarks/landmark_places.py solve OBSERVED.npz processing/single_view/landmark_places.npz

and `try OBSERVED.npz PLACES.npz` says how well a file does on people that it was not made from.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from common.array_types import Floats32
from processing.geometry.cameras import Camera, direction_of, look_at
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import find_faces
from processing.single_view.fitting.landmark_places import picture_axes, read_places, write_places
from processing.single_view.fitting.place_measuring import Observations, solve_places
from processing.synthetic.subject import synthetic_subject
from processing.template.builtin_template import default_template
from processing.template.expression_recipes import EXPRESSION_RECIPES

FOCAL_BY_SIDE = (1.2, 5.0)  # range of focal lengths, by the picture's side
SIDE_PX = (224, 640)
FACE_CENTRE_MM = np.array([0.0, 5.0, 60.0])
VIEWS = 10  # of each person and expression


def camera_of(rng: np.random.Generator, number: int) -> tuple[Camera, float, float]:
    """A camera, its yaw and its pitch: a quarter from before the face, the rest from all sides up to 75 degrees."""
    most = 22.0 if number % 4 == 0 else 75.0
    yaw, pitch = rng.uniform(-most, most), rng.uniform(-1, 1) * min(most, 35.0)
    side = int(rng.uniform(*SIDE_PX))
    focal = side * np.exp(rng.uniform(*np.log(FOCAL_BY_SIDE)))
    share = rng.uniform(0.45, 0.95)  # of the picture that 230 mm take
    distance = focal * 230 / (share * side)
    target = FACE_CENTRE_MM + rng.normal(0, 8, 3)
    centre = target + distance * direction_of(yaw, pitch)
    R = look_at(centre, target, np.radians(rng.normal(0, 8)))
    K = np.array([[focal, 0, (side - 1) / 2], [0, focal, (side - 1) / 2], [0, 0, 1.0]])
    return Camera(K, R, -R @ centre, side, side), float(yaw), float(pitch)


def observe(out: Path, people: int, seed: int, first: int) -> None:
    """Photographs of people: what the detector saw, and where the template's vertices were."""
    names = [name for name in EXPRESSION_RECIPES if name != "neutral"]
    detected, vertices, cameras, unsteady = [], [], [], []
    who: list[tuple[int, Floats32]] = []
    missed, begun = 0, time.perf_counter()
    with LandmarkDetector(faces=4) as detector:
        for person in range(first, first + people):
            rng = np.random.default_rng([seed, person])
            subject = synthetic_subject(int(rng.integers(1 << 30)), vertices=80_000)
            for expression in ("neutral", str(rng.choice(names))):
                head = subject.pose(expression)
                for number in range(VIEWS):
                    camera, _, _ = camera_of(rng, number)
                    image = head.scene.photograph(camera, supersample=2, rng=rng)
                    empty = image.max(axis=2) < 60
                    backdrop = rng.integers(0, 255, (4, 4, 3)).astype(np.uint8)
                    backdrop = cv2.resize(backdrop, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)
                    alone = cv2.morphologyEx(empty.astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)) > 0
                    image = np.where(alone[..., None], backdrop, image)
                    image = np.clip(image.astype(np.float64) * rng.uniform(0.6, 1.25), 0, 255).astype(np.uint8)
                    faces = find_faces(image, detector)
                    if not faces:
                        missed += 1
                        continue
                    best = max(faces, key=lambda face: face.size_px)
                    unsteady.append(best.unsteady)
                    detected.append(best.landmarks_px)
                    cameras.append(camera)
                    vertices.append(len(who))
                who.append((person, head.tu_vertices_mm.astype(np.float32)))
            print(f"{person}: {len(detected)} seen, {missed} missed, {time.perf_counter() - begun:.0f} s", flush=True)
    np.savez_compressed(
        out, detected=np.array(detected), pose=np.array(vertices), person=np.array([w[0] for w in who]),
        vertices=np.stack([w[1] for w in who]), K=np.array([c.K for c in cameras]), R=np.array([c.R for c in cameras]),
        t=np.array([c.t for c in cameras]), size=np.array([c.width for c in cameras]), unsteady=np.array(unsteady),
    )  # fmt: skip


def load(paths: list[Path]) -> Observations:
    """What `observe` wrote, together."""
    parts = [np.load(path) for path in paths]
    starts = np.cumsum([0, *(len(p["vertices"]) for p in parts)])
    return Observations(
        np.concatenate([p["detected"] for p in parts]),
        np.concatenate([p["vertices"] for p in parts]),
        np.concatenate([p["pose"] + start for p, start in zip(parts, starts, strict=False)]),
        np.concatenate([p["K"] for p in parts]),
        np.concatenate([np.concatenate([p["R"], p["t"][..., None]], axis=2) for p in parts]),
    )


def try_on(seen: Observations, path: Path) -> None:
    """How far points of other people are from where the file has them, with and without bias, by yaw."""
    places, template = read_places(path), default_template()
    towards = seen.towards(template)
    corners = template.mesh.triangles[places.triangles]
    rows = []
    for number, head in enumerate(seen.head.tolist()):
        points = np.einsum("nk,nkd->nd", places.barycentric, seen.vertices[head][corners].astype(np.float64))
        off = seen.off_mm(number, points) @ picture_axes(seen.Rt[number, :, :3]).T
        left = off - places.bias_mm(towards[number])
        scaled = left / places.deviation_mm(towards[number])
        rows.append([np.linalg.norm(off, axis=1), np.linalg.norm(left, axis=1), np.square(scaled).mean(axis=1)])
    table = np.array(rows)
    yaw = np.degrees(np.arcsin(np.abs(towards[:, 0])))
    for low, high in ((0, 15), (15, 35), (35, 55), (55, 80)):
        some = table[(yaw >= low) & (yaw < high)]
        if len(some):
            print(
                f"yaw {low}..{high}: {len(some)} photographs; mean {some[:, 0].mean():.2f} mm as placed, "
                f"{some[:, 1].mean():.2f} with bias, median {np.median(some[:, 1]):.2f}; "
                f"squares in deviations {some[:, 2].mean():.2f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("observe", "solve", "try"))
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    if given.what == "observe":
        observe(given.paths[0], given.people, given.seed, given.first)
    elif given.what == "solve":
        write_places(given.paths[-1], solve_places(default_template(), load(given.paths[:-1])))
    else:
        try_on(load(given.paths[:-1]), given.paths[-1])
