"""FaceScape's public evaluator, its own methods unchanged, on meshes that it is given, in a process of its own.

python benchmarks/facescape_evaluator.py CHECKOUT IN.npz OUT.json [--pyrender] [--heat]

`eval_fslab` and `eval_fswild` run as they stand; meshes come from arrays in place of files, and cameras, centres and
rotations from there in place of its tables (`benchmark_case`). Needs trimesh, and embreex, as its README recommends:
with trimesh's own rays its figures depend on the order in which hits happen to be listed. Of what it imports

- psbody.mesh is not on PyPI: the exact closest point of each triangle stands in for it;
- pyrender needs a graphics driver, and its 24-bit depth buffer from 0.1 to 100,000 has steps of 1.3 mm at the distance
  of the benchmark's longest lens: an exact depth buffer stands in for it, the real one with --pyrender;
- --heat: heat meshes are saved, as is its default;
- tqdm, cv2 and names that NumPy has dropped (np.int) are as they are or set here.
"""

import importlib.util
import json
import os
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

STANDARD_PUPILS_MM = 62.85
SIDE = 256


# --- what stands in for pyrender ---


class _Scene:
    def __init__(self) -> None:
        self.things: list[tuple[Any, np.ndarray]] = []

    def add(self, thing: Any, pose: np.ndarray | None = None) -> None:
        self.things.append((thing, np.eye(4) if pose is None else np.asarray(pose)))


class _Intrinsics:
    def __init__(self, fx: float, fy: float, cx: float, cy: float, **_: float) -> None:
        self.numbers = fx, fy, cx, cy


class _Orthographic:
    def __init__(self, xmag: float, ymag: float, znear: float, zfar: float) -> None:
        self.numbers = xmag, ymag, znear, zfar


class _Renderer:
    def __init__(self, viewport_width: int, viewport_height: int, **_: float) -> None:
        self.size = viewport_height, viewport_width

    def render(self, scene: _Scene, **_: int) -> tuple[np.ndarray, np.ndarray]:
        mesh = next(thing for thing, _ in scene.things if hasattr(thing, "faces"))
        camera, pose = next((t, p) for t, p in scene.things if isinstance(t, _Intrinsics | _Orthographic))
        seen = (mesh.vertices - pose[:3, 3]) @ pose[:3, :3]  # OpenGL: y up, looking along -z
        height, width = self.size
        z = -seen[:, 2]
        if isinstance(camera, _Intrinsics):
            fx, fy, cx, cy = camera.numbers
            with np.errstate(divide="ignore", invalid="ignore"):
                pixels = np.stack([fx * seen[:, 0] / z + cx, -fy * seen[:, 1] / z + cy], axis=1)
            depth = rasterised(pixels, z, mesh.faces, self.size, perspective=True)
        else:
            xmag, ymag, near, far = camera.numbers
            pixels = np.stack([(seen[:, 0] / xmag + 1) * width / 2, (1 - seen[:, 1] / ymag) * height / 2], axis=1)
            depth = rasterised(pixels, z, mesh.faces, self.size, perspective=False)
            # As pyrender reads an orthographic depth buffer: by the perspective formula, which the evaluator undoes.
            hit = depth != 0
            buffer = (2 * depth[hit] - (far + near)) / (far - near)
            depth[hit] = 2 * near * far / (far + near - buffer * (far - near))
        return np.zeros((*self.size, 3), np.uint8), depth


def rasterised(
    pixels: np.ndarray, z: np.ndarray, faces: np.ndarray, size: tuple[int, int], *, perspective: bool
) -> np.ndarray:
    """(H, W) nearest depths at pixel centres (at halves), 0: none; faces turned away are culled."""
    height, width = size
    faces = np.asarray(faces)[(z[faces] > 0).all(axis=1) & np.isfinite(pixels[faces]).all(axis=(1, 2))]
    a, b, c = (pixels[faces[:, k]] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    faces, a, b, c = (part[area < 0] for part in (faces, a, b, c))  # rows go down: counter-clockwise is negative
    area = area[area < 0]
    corners = np.stack([a, b, c])
    low = np.ceil(corners.min(axis=0) - 0.5).clip(0, [width, height]).astype(int)
    high = np.floor(corners.max(axis=0) - 0.5).clip(-1, [width - 1, height - 1]).astype(int)
    wide, tall = np.maximum(high - low + 1, 0).T
    count = wide * tall
    which = np.repeat(np.arange(len(faces)), count)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    x, y = low[which, 0] + place % wide[which], low[which, 1] + place // wide[which]
    p = np.stack([x + 0.5, y + 0.5], axis=1)

    def side(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        e, q = (end - start)[which], p - start[which]
        return (e[:, 0] * q[:, 1] - e[:, 1] * q[:, 0]) / area[which]

    weights = np.stack([side(b, c), side(c, a), side(a, b)], axis=1)
    inside = (weights >= 0).all(axis=1)
    weights, corner_z = weights[inside], z[faces[which[inside]]]
    # In perspective 1 / z is linear in the picture.
    depth = 1 / (weights / corner_z).sum(axis=1) if perspective else (weights * corner_z).sum(axis=1)
    nearest = np.full(size, np.inf)
    np.minimum.at(nearest, (y[inside], x[inside]), depth)
    nearest[np.isinf(nearest)] = 0
    return nearest


# --- what stands in for psbody.mesh ---


class _PsbodyMesh:
    def __init__(self, v: np.ndarray, f: np.ndarray) -> None:
        self.v, self.f = np.asarray(v, dtype=np.float64), np.asarray(f, dtype=np.int64)

    def compute_aabb_tree(self) -> "_PsbodyMesh":
        import open3d as o3d

        self.scene = o3d.t.geometry.RaycastingScene()
        self.scene.add_triangles(o3d.core.Tensor(self.v.astype(np.float32)), o3d.core.Tensor(self.f.astype(np.uint32)))
        return self

    def nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import open3d as o3d

        points = np.asarray(points, dtype=np.float64)
        answer = self.scene.compute_closest_points(o3d.core.Tensor(points.astype(np.float32)))
        face = answer["primitive_ids"].numpy().astype(np.int64)
        return face, closest_on_triangles(points, self.v[self.f[face]])


def closest_on_triangles(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(N, 3) the nearest place of triangle k (N, 3, 3) to point k, in double precision."""
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    q = points - a
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    d20, d21 = (q * ab).sum(1), (q * ac).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        v, w = (d11 * d20 - d01 * d21) / (d00 * d11 - d01**2), (d00 * d21 - d01 * d20) / (d00 * d11 - d01**2)
        inside = (v >= 0) & (w >= 0) & (v + w <= 1)
        best = np.where(inside[:, None], a + v[:, None] * ab + w[:, None] * ac, np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        edge = triangles[:, end] - triangles[:, start]
        along = ((points - triangles[:, start]) * edge).sum(1) / np.maximum((edge * edge).sum(1), 1e-30)
        place = triangles[:, start] + along.clip(0, 1)[:, None] * edge
        nearer = np.linalg.norm(place - points, axis=1) < np.linalg.norm(best - points, axis=1)
        best = np.where(nearer[:, None], place, best)  # of a sliver the place inside is rounded away
    return best


def stand_in(*, pyrender: bool) -> None:
    np.int = int  # type: ignore[attr-defined]
    if not pyrender:
        module = types.ModuleType("pyrender")
        module.Mesh = types.SimpleNamespace(from_trimesh=lambda mesh, **_: mesh)  # type: ignore[attr-defined]
        module.Scene, module.OffscreenRenderer = _Scene, _Renderer  # type: ignore[attr-defined]
        module.IntrinsicsCamera, module.OrthographicCamera = _Intrinsics, _Orthographic  # type: ignore[attr-defined]
        module.DirectionalLight = lambda **_: None  # type: ignore[attr-defined]
        sys.modules["pyrender"] = module
    else:
        np.infty = np.inf  # type: ignore[attr-defined]
        os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    if importlib.util.find_spec("psbody") is None:
        sys.modules["psbody"], mesh = types.ModuleType("psbody"), types.ModuleType("psbody.mesh")
        mesh.Mesh = _PsbodyMesh  # type: ignore[attr-defined]
        sys.modules["psbody.mesh"] = mesh


# --- the evaluator on given meshes ---


def lab_case(evaluator: Any, fs: Any, given: dict[str, np.ndarray]) -> None:
    """given: true and predicted vertices in the camera's frame, mm of a standard head; K with centres at halves."""
    meshes = {
        key: evaluator.make_trimesh(given[f"{key}_vertices"] / STANDARD_PUPILS_MM, given[f"{key}_triangles"])
        for key in ("true", "predicted")
    }
    evaluator.load_ori_mesh = lambda _path: meshes["true"]
    evaluator.load_dispatcher[fs.method] = lambda _folder, _name, _focal: meshes["predicted"]
    Path("../data/lab_cam").mkdir(parents=True, exist_ok=True)
    Path("../data/lab_cam/00_0_00.json").write_text(json.dumps([given["K"].tolist(), np.eye(3, 4).tolist()]))
    fs.gt_R_list, fs.head_center_list = given["R"][None], given["centre"][None]
    fs.eval_fslab(1)


def wild_case(evaluator: Any, fs: Any, given: dict[str, np.ndarray]) -> None:
    """given: vertices in OpenGL's orthographic frame, -1 to 1 across the picture; `unit_mm`: one of it."""
    meshes = {
        key: evaluator.make_trimesh(given[f"{key}_vertices"], given[f"{key}_triangles"])
        for key in ("true", "predicted")
    }
    evaluator.load_ori_mesh = lambda _path: meshes["true"]
    evaluator.load_dispatcher[fs.method] = lambda _folder, _name, _focal: meshes["predicted"]
    fs.gt_R_list, fs.head_center_list = given["R"][None], given["centre"][None]
    fs.pupil_scale_list = np.array([float(given["unit_mm"])])
    fs.eval_fswild(1)


def main() -> None:
    checkout, source, target = map(Path, sys.argv[1:4])
    code = checkout.resolve() / "benchmark" / "code"
    source, target = source.resolve(), target.resolve()
    sys.path.insert(0, str(code))
    stand_in(pyrender="--pyrender" in sys.argv)
    import evaluator
    import trimesh

    with np.load(source, allow_pickle=False) as arrays:
        given = dict(arrays)
    results = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name) / "code"
        work.mkdir()
        for case in range(int(given["cases"])):
            mine = {key.split("/", 1)[1]: value for key, value in given.items() if key.startswith(f"{case}/")}
            wild = "unit_mm" in mine
            os.chdir(code)
            fs = evaluator.fs_evaluator("fswild" if wild else "fslab", "given", save_heat_mesh="--heat" in sys.argv)
            os.chdir(work)
            shifts: list[float] = []
            theirs = fs.optimize_Z

            def optimize(*words: Any, _theirs: Any = theirs, _kept: list[float] = shifts, **named: Any) -> Any:
                answer = _theirs(*words, **named)
                _kept.append(float(answer[0]))
                return answer

            fs.optimize_Z = optimize  # listened to, not changed
            begun, wall = time.process_time(), time.perf_counter()
            found: dict[str, Any] = {"error": None}
            try:
                (wild_case if wild else lab_case)(evaluator, fs, mine)
                found |= {"cd": fs.cd_full_list[-1], "mne": fs.mne_full_list[-1], "cr": fs.cr_full_list[-1]}
            except Exception as error:  # what it stops with is what is asked
                found["error"] = f"{type(error).__name__}: {error}"
            found["seconds"], found["wall"] = time.process_time() - begun, time.perf_counter() - wall
            # Orthographic depths are in pixels of half the picture; perspective ones in mm of a standard head.
            unit = float(mine["unit_mm"]) / fs.ortho_scale if wild else 1.0
            found["shift_mm"] = shifts[0] * unit if shifts else None
            results.append({key: float(v) if isinstance(v, np.floating) else v for key, v in found.items()})
    embree = bool(trimesh.ray.has_embree)
    target.write_text(json.dumps({"embree": embree, "cases": results}))


if __name__ == "__main__":
    main()
