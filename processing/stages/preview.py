"""All that a take became -> pictures for a person, and figures of its quality."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from common.array_types import Floats, Image
from processing.displacement.apply_displacement import displace
from processing.files.displacement_png import read_displacement_png
from processing.files.ply import read_ply
from processing.files.stage_files import read_image, read_json, read_vertices, write_image, write_json
from processing.files.take_folder import Take, read_photos, read_take
from processing.geometry import rendering
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface, submesh
from processing.landmarks.triangulation import Landmarks3d, read_landmarks
from processing.stages.base import TAKE, TEMPLATE, Inputs, Resources, Stage, StageParams
from processing.template.template import SKIN, Template

YAWS_DEG = (0.0, 40.0)


class Preview(Stage):
    """contact: the photographs; faces: scan, registered mesh, textured mesh; heat: their distance; quality: figures."""

    name, version = "preview", 3
    needs: ClassVar[Mapping[str, str]] = {
        "take": TAKE,
        "template": TEMPLATE,
        "scan": "reconstruct",
        "scan_report": "reconstruct.report",
        "scan_review": "reconstruct.review",
        "landmarks": "landmarks",
        "mesh": "register",
        "mesh_review": "register.review",
        "texture": "texture",
        "texture_report": "texture.report",
        "displacement": "bake",
    }
    makes: ClassVar[Mapping[str, str]] = {
        "contact": "png",
        "landmarks": "png",
        "scan": "png",
        "mesh": "png",
        "textured": "png",
        "displacement": "png",
        "heat": "png",
        "quality": "json",
    }
    resources = Resources(ram_gb=2)
    time_share = 4.0

    class Params(StageParams):
        height_px: int = 560
        most_mm: float = 0.5  # the end of the heat map's scale
        subdivisions: int = 2  # of the registered mesh when its displacement is applied

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        template = Template.load(inputs["template"])
        mesh = template.mesh.with_vertices(read_vertices(inputs["mesh"]))
        skin = submesh(mesh, (template.parts[mesh.triangles] == SKIN).all(axis=1))[0]
        scan = read_ply(inputs["scan"])
        relief = read_displacement_png(inputs["displacement"])
        landmarks = read_landmarks(inputs["landmarks"])

        take, images = read_photos(read_take(inputs["take"]))
        inputs.progress(0.1, "photographs")
        write_image(out / "contact.png", rendering.contact_sheet(images, columns=17, tile_width=80))
        write_image(out / "landmarks.png", _landmark_picture(take, images, landmarks, params.height_px))
        frontal = take.views[_most_frontal(take)].index
        used, photographs = len(images), len(images) + len(take.skipped)
        del images

        views = [
            rendering.portrait_camera(rendering.bounds(skin), yaw_deg=y, height_px=params.height_px) for y in YAWS_DEG
        ]
        inputs.progress(0.2, "shaded scan")
        write_image(out / "scan.png", _turned(scan, views))
        inputs.progress(0.4, "shaded mesh")
        write_image(out / "mesh.png", _turned(mesh, views))
        textured = [rendering.render(mesh, v, texture=read_image(inputs["texture"]), shaded=False) for v in views]
        write_image(out / "textured.png", rendering.beside(textured))
        write_image(out / "displacement.png", rendering.relief_picture(relief.height_mm, relief.valid))

        inputs.progress(0.6, "distances")
        surface = Surface(scan)
        base = surface.closest(skin.vertices_mm).distance_mm
        detailed_mesh = displace(mesh, relief, subdivisions=params.subdivisions)
        detailed_skin = _same_triangles(detailed_mesh, template, mesh, params.subdivisions)
        detailed = surface.closest(detailed_skin.vertices_mm).distance_mm
        colors = rendering.heat_colors(detailed, params.most_mm)
        heat = [rendering.render(detailed_skin, v, vertex_colors=colors) for v in views]
        bar = rendering.with_color_bar(rendering.beside(heat), params.most_mm)
        write_image(out / "heat.png", bar)

        known = landmarks.known
        write_json(
            out / "quality.json",
            {
                "photographs": photographs,
                "photographs_used": used,
                "frontal_view": frontal,
                "scan_vertices": len(scan.vertices_mm),
                "scan_triangles": len(scan.triangles),
                "mesh_vertices": len(mesh.vertices_mm),
                "landmarks_known": int(known.sum()),
                "landmarks_error_px": _mean(landmarks.error_px[known]),
                "mesh_to_scan": _spread(base, skin.vertex_areas),
                "detailed_to_scan": _spread(detailed, detailed_skin.vertex_areas),
                "displacement_valid_share": float(relief.valid.mean()),
                "texture_seen_share": read_json(inputs["texture_report"]).get("seen_share"),
                "reconstruction": read_json(inputs["scan_report"]).get("report"),
                "cameras": read_json(inputs["scan_report"]).get("cameras"),
                "review": read_json(inputs["scan_review"]),
                "mesh_review": read_json(inputs["mesh_review"]),
            },
        )


def _turned(mesh: Mesh, views: Sequence[Camera]) -> Image:
    return rendering.beside([rendering.render(mesh, v) for v in views])


def _same_triangles(detailed: Mesh, template: Template, mesh: Mesh, subdivisions: int) -> Mesh:
    """The skin of the subdivided mesh: its triangles come in the order of those they were made from."""
    skin = (template.parts[mesh.triangles] == SKIN).all(axis=1)
    return submesh(detailed, np.repeat(skin, 4**subdivisions))[0]


def _most_frontal(take: Take) -> int:
    return int(np.argmin([view.camera.viewing_direction[2] for view in take.views]))


def _landmark_picture(take: Take, images: Sequence[Image], landmarks: Landmarks3d, height_px: int) -> Image:
    """The most frontal photographs with the landmarks projected into them."""
    order = np.argsort([view.camera.viewing_direction[2] for view in take.views])
    drawn = []
    for k in order[: min(3, len(order))].tolist():
        camera = take.views[k].camera
        factor = height_px / camera.height
        small = rendering.resized(images[k], factor)
        pixels = np.full((len(landmarks.points_mm), 2), np.nan)
        known = landmarks.known
        pixels[known] = camera.scaled(factor).project(landmarks.points_mm[known])
        drawn.append(rendering.draw_points(small, pixels, radius=2))
    return rendering.beside(drawn)


def _mean(values: Floats) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def _spread(distance_mm: Floats, areas: Floats) -> dict[str, Any]:
    """Mean, median and 95th percentile over the surface's area, mm, and the share within half a millimetre."""
    order = np.argsort(distance_mm)
    share = np.cumsum(areas[order]) / areas.sum()
    at = np.asarray(distance_mm[order], dtype=np.float64)
    return {
        "mean_mm": float((distance_mm * areas).sum() / areas.sum()),
        "median_mm": float(at[int(np.searchsorted(share, 0.5))]),
        "p95_mm": float(at[min(int(np.searchsorted(share, 0.95)), len(at) - 1)]),
        "within_half_mm": float(areas[distance_mm < 0.5].sum() / areas.sum()),
    }
