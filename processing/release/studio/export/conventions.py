"""Conventions of a release, for programs: what its numbers mean."""

from collections.abc import Sequence
from typing import Any

from processing.release.formats.assets.displacement_encoding import DisplacementEncoding
from processing.release.formats.manifest import SCHEMA_VERSION
from processing.release.formats.released_files import LAYOUT, TOPOLOGY_ARRAYS
from processing.release.studio.export.take_export import SKIN_POINTS
from processing.release.studio.selection.selection_rules import Options

SIMILARITY = "x_b = scale R x_a + t_mm"


def conventions(
    encoding: DisplacementEncoding,
    options: Options,
    topologies: Sequence[dict[str, Any]],
    *,
    colour_profiles: Sequence[str] = (),
    synthetic: bool = False,
) -> dict[str, Any]:
    """Units, axes, cameras, frames, encodings. topologies: as topology_files.write_topology returns them.

    colour_profiles: of the photographs, as their cameras stated them.  synthetic: no subject is a person.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "length_unit": "millimetre",
        "head_frame": {"handedness": "right", "x": "to the subject's left", "y": "up", "z": "out of the face"},
        "frames": _FRAMES,
        "camera_model": _camera_model(undistorted=options.photographs == "undistorted"),
        **{file.name: dict(file.conventions) for file in LAYOUT.files if file.conventions},
        "predef": "predef/: FaceScape's landmark_indices, facial_mask and sym_dict for the topology of this release",
        "synthetic": synthetic,
        "colour": {
            "photographs": "corrected by the calibration's profiles" if options.colour == "corrected" else "as taken",
            "profiles": "calibrations/<rig>-<calibration>.json, <view>_colour: 3x3, linear RGB to linear sRGB; "
            "<view>_vignetting: share by which the corner is darker than the centre",
            "encoding": "sRGB",
            "photograph_profiles": list(colour_profiles),
            "textures": "sRGB IEC61966-2.1; no profile is embedded",
        },
        "mesh": {
            "uv_origin": "bottom left, as in OBJ",
            "faces": "counter-clockwise from outside",
            "topologies": [_topology(about) for about in topologies],
        },
        "displacement": _displacement(encoding),
    }


_FRAMES = {
    "rig": "of the calibration: params.json, and photographs by it",
    "scan": "of mesh/; the rig frame",
    "tu": "of models_reg/; the rig frame: mesh, scan and photographs of a take lie on each other as they are",
    "template": "of the template's head: every face upright at one place, the head's motion taken out",
    "transforms": "meta/<id>/<k>_<name>.json, frames: scan_to_rig, scan_to_tu, tu_to_rig, tu_to_template",
    "equation": SIMILARITY,
    "facescape": "Rt_scale_dict.json, [id][k] = [scale, Rt]: scan (or tu) to template, x_b = R (scale x_a) + t",
    "normalisation": "none: lengths are those of the rig's calibration in every frame",
}


def _camera_model(*, undistorted: bool) -> dict[str, str]:
    return {
        "convention": "OpenCV",
        "axes": "x right, y down, z forward",
        "opengl": "negate the second and third row of Rt",
        "equation": "x_camera = R x_rig + t, with Rt = [R | t]",
        "distortion": "k1 k2 p1 p2 k3",
        "photographs": "undistorted; distortion is zero" if undistorted else "distorted, by distortion",
        "pixel_centres": "integers: the first pixel spans [-0.5, 0.5]",
        "origin": "top left",
        "matches": f"<view>_matches: how many of {SKIN_POINTS} points, evenly over the registered skin, the "
        "photograph sees",
    }


def _topology(about: dict[str, Any]) -> dict[str, Any]:
    counts = {key: about[key] for key in ("topology", "vertices", "triangles", "uvs", "seam_vertices")}
    file = TOPOLOGY_ARRAYS.format(topology=about["topology"])
    return counts | {"landmarks": about["landmarks"]["version"], "file": file}


def _displacement(encoding: DisplacementEncoding) -> dict[str, Any]:
    return {
        "format": "16-bit grey PNG; row 0 is v = 1",
        "scale_mm": encoding.scale_mm,
        "midpoint": encoding.midpoint,
        "formula": encoding.formula,
        "decoder": "mien displace MESH.obj MAP.png --out DETAILED.ply",
        "reference": "the mesh in models_reg, along its vertex normals, outwards positive",
        "valid_mask": "PNG text 'valid_mask': base64 of zlib of one bit a texel, 1 where the height was measured",
        "exr": "the same map, not rounded: channel Y is the height in mm (float), channel valid 1 where measured",
    }
