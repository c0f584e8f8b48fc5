"""Scan, landmarks and photographs -> the template's topology on this face. Expressions start from the neutral."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from common.progress import part
from processing.camera_check.take_check import with_cameras_used
from processing.files.appearance_png import read_appearance, write_appearance
from processing.files.image_files import write_image
from processing.files.ply import read_ply
from processing.files.stage_files import read_json, read_vertices, write_json, write_vertices
from processing.files.take_folder import read_photos, read_take
from processing.landmarks.landmark_files import read_landmarks
from processing.registration.correspondence import TargetSurface
from processing.registration.register import register_expression, register_neutral
from processing.scan_quality.registration_picture import registration_picture
from processing.scan_quality.registration_quality import RegistrationLimits, judge_registration, measure_registration
from processing.stages.base import TAKE, TEMPLATE, Inputs, Resources, Stage, StageParams, group
from processing.template.template_file import read_template
from processing.texture.flow_refinement import neutral_appearance, refine_by_appearance


class Register(Stage):
    """mesh: vertices (V, 3) mm in the template's order; report: what registration and refinement say of themselves.

    appearance: the neutral's look over the UVs, which its expressions are compared with (a single transparent texel
    for expressions).  review: verdict, reasons, figures by region; quality: the same as a picture.
    """

    name, version = "register", 5
    needs: ClassVar[Mapping[str, str]] = {
        "template": TEMPLATE,
        "take": TAKE,
        "cameras": "reconstruct",
        "scan": "reconstruct",
        "landmarks": "landmarks",
        "neutral": "neutral:register.mesh",
        "neutral_appearance": "neutral:register.appearance",
    }
    makes: ClassVar[Mapping[str, str]] = {
        "mesh": "npz",
        "report": "json",
        "appearance": "png",
        "review": "json",
        "quality": "png",
    }
    resources = Resources(ram_gb=3)
    time_share = 8.0

    class Params(StageParams):
        expression: str = "neutral"
        refine: bool = True  # compare an expression's skin with the neutral's
        # the thresholds of the mesh's verdict
        limits: RegistrationLimits = group(
            default=RegistrationLimits(), pairs=("surface_mm", "lips_mm", "lids_mm", "slip_mm")
        )

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        template = read_template(inputs["template"])
        surface = TargetSurface(read_ply(inputs["scan"]))
        landmarks = read_landmarks(inputs["landmarks"])
        neutral, likeness = inputs.get("neutral"), inputs.get("neutral_appearance")
        fitting = part(inputs.progress, 0.0, 0.45)
        if neutral is None:
            registration = register_neutral(template, surface, landmarks, progress=fitting)
        else:
            registration = register_expression(
                template, params.expression, read_vertices(neutral), surface, landmarks, progress=fitting
            )
        vertices = registration.vertices_mm
        appearance, refined = None, None
        if params.refine:
            take = with_cameras_used(read_take(inputs["take"]), read_json(inputs["cameras"]))
            # The scan was made of these views; how many are left was judged there.
            most = len(take.views) + len(take.skipped)
            take, images = read_photos(take, max_missing=most, progress=part(inputs.progress, 0.45, 0.5))
            comparing = part(inputs.progress, 0.5, 0.9)
            if neutral is None or likeness is None:
                appearance = neutral_appearance(template, vertices, images, take.cameras, progress=comparing)
            else:
                refined = refine_by_appearance(
                    template, registration, surface, read_appearance(likeness), images, take.cameras, progress=comparing
                )
                vertices = refined.vertices_mm
        compared = None if refined is None else refined.report
        measured = measure_registration(template, vertices, surface, landmarks, refined)
        review = judge_registration(measured, params.limits)
        write_vertices(out / "mesh.npz", vertices)
        write_json(out / "report.json", {"report": registration.report, "appearance": compared})
        write_appearance(out / "appearance.png", appearance)
        write_json(out / "review.json", {k: getattr(review, k) for k in ("verdict", "reasons", "figures")})
        mesh = template.mesh.with_vertices(vertices)
        write_image(out / "quality.png", registration_picture(template, mesh, measured, review))
