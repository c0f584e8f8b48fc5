"""How fast a scan becomes a displacement map, and how true the map is.

The registered mesh is the built-in template; the scan is that mesh subdivided and displaced by a known relief, so that
what comes back can be measured against what went in. trimesh's ray caster traces a sample of the same rays as the peer.
"""

import argparse
import json
import sys
import time

import numpy as np

from processing.displacement.apply_displacement import displace
from processing.displacement.displacement_bake import bake
from processing.geometry.mesh import Mesh, Surface, subdivide
from processing.geometry.uv_rasterization import texels_of
from processing.template.builtin_template import default_template
from processing.template.template import SKIN


def make_scan(mesh: Mesh, subdivisions: int) -> Mesh:
    fine = subdivide(mesh, subdivisions)
    normals = subdivide(mesh.with_vertices(mesh.vertex_normals), subdivisions).vertices_mm
    x, y, z = fine.vertices_mm.T
    height = 0.3 * np.sin(x / 1.4) * np.cos(y / 1.7) + 0.2 * np.sin(z / 2.1)
    return Mesh(fine.vertices_mm + height[:, None] * normals, fine.triangles)


def trimesh_rays_per_second(mesh: Mesh, scan: Mesh, rays: int) -> float | None:
    """None where trimesh has no ray caster installed."""
    import trimesh

    chosen = np.random.default_rng(0).choice(len(mesh.vertices_mm), rays, replace=False)
    points, normals = mesh.vertices_mm[chosen], mesh.vertex_normals[chosen]
    target = trimesh.Trimesh(scan.vertices_mm, scan.triangles, process=False)
    try:
        target.ray.intersects_first(points[:1] - 5 * normals[:1], normals[:1])
        begun = time.perf_counter()
        target.ray.intersects_first(points - 5 * normals, normals)
        return rays / (time.perf_counter() - begun)
    except ImportError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--size", type=int, default=2048, help="texels a side")
    parser.add_argument("--subdivisions", type=int, default=3, help="of the scan: 2 is 0.8, 3 is 3.3 million triangles")
    parser.add_argument("--rounds", type=int, default=2, help="the best of so many")
    parser.add_argument("--peer-rays", type=int, default=500)
    arguments = parser.parse_args()
    template = default_template()
    skin = template.parts == SKIN
    scan = make_scan(template.mesh, arguments.subdivisions)
    texels = len(texels_of(template.mesh, arguments.size).index)
    print(f"{texels} texels, {len(scan.triangles)} triangles", file=sys.stderr)
    seconds = cpu_seconds = float("inf")
    for _ in range(arguments.rounds):
        begun, cpu = time.perf_counter(), time.process_time()
        relief = bake(template.mesh, scan, size_px=arguments.size, skin=skin)
        seconds = min(seconds, time.perf_counter() - begun)
        cpu_seconds = min(cpu_seconds, time.process_time() - cpu)
    detailed = displace(template.mesh, relief, subdivisions=2)
    covered = np.unique(template.mesh.triangles[skin[template.mesh.triangles].all(axis=1)])
    off = Surface(scan).closest(detailed.vertices_mm[covered]).distance_mm
    result: dict[str, object] = {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "texels": texels,
        "triangles": len(scan.triangles),
        "rays_per_second": round(texels / seconds),
        "mean_mm": round(float(off.mean()), 4),
        "p95_mm": round(float(np.quantile(off, 0.95)), 4),
        "valid_share": round(float(relief.valid.mean()), 4),
    }
    peer = trimesh_rays_per_second(template.mesh, scan, arguments.peer_rays) if arguments.peer_rays else None
    if peer is not None:
        result["trimesh_rays_per_second"] = round(peer)
    elif arguments.peer_rays:
        print("trimesh has no ray caster here (rtree or embreex missing): peer left out", file=sys.stderr)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
