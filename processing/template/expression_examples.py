"""Pictures of the protocol's expressions on the built-in head: what a subject is shown as an example.

The studio's page has them as files (controller/console/static/expressions); `mien template examples` makes them anew.
"""

from collections.abc import Iterator

import numpy as np

from common.array_types import Image
from processing.geometry.cameras import Camera, direction_of, look_at
from processing.geometry.mesh import Mesh
from processing.geometry.noise_field import NoiseField
from processing.geometry.photograph_rendering import Scene, Sensor
from processing.template.anny_data import TEETH, TONGUE
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.fine_head import FineHead, fine_head
from processing.template.skin_painting import Palette, paint, paint_eyes
from processing.template.template import EYE

VERTICES = 200_000
DISTANCE_MM = 980.0
# Seen from the side, in degrees, where the front does not show what is asked for.
_TURNED = {"jaw_forward": 50.0}
_PALETTE = Palette(freckles=0.0)
_MOTTLE = 0.15  # calm skin: nothing is matched on it


def draw_examples(width: int = 360, height: int = 480) -> Iterator[tuple[str, Image]]:
    """(name, (height, width, 3) BGR) of each expression of the protocol, performed by the average head.

    "Left" is the head's own: it is on the right of the picture, as on a photograph.
    """
    fine, noise = fine_head(VERTICES), NoiseField(1)
    skin = paint(fine, _PALETTE, noise, mottle=_MOTTLE)
    shine = np.select([fine.parts == EYE, np.isin(fine.parts, (TEETH, TONGUE))], [2.5, 1.5], 0.6)
    gloss = (shine * (1 + 0.5 * fine.masks["lips"])).astype(np.float32)
    for name in EXPRESSION_RECIPES:
        control = fine.head.express(fine.head.vertices_mm, name, 1.0)
        vertices = fine.refinement(control)
        albedo = paint_eyes(skin, fine, vertices, fine.head.eyeballs(control), _PALETTE)
        scene = Scene(Mesh(vertices, fine.triangles), albedo, gloss, occlusion_rays=24)
        camera = _camera(fine, _TURNED.get(name, 0.0), width, height)
        yield name, scene.photograph(camera, supersample=2, sensor=Sensor(blur_px=0.0, exposure=1.15))


def _camera(fine: FineHead, azimuth: float, width: int, height: int) -> Camera:
    """One that sees the face from hair line to neck; azimuth: degrees to the head's left."""
    face = fine.average_mm[fine.masks["face"] > 0.5]
    middle = 0.5 * (face.min(0) + face.max(0))
    aim = np.array([0.0, middle[1] + 6.0, 40.0])
    centre = aim + DISTANCE_MM * direction_of(azimuth, 0.0)
    R = look_at(centre, aim, 0.0)
    focal = 0.88 * height * DISTANCE_MM / float(np.ptp(face[:, 1]) + 30.0)
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    return Camera(K=K, R=R, t=-R @ centre, width=width, height=height)
