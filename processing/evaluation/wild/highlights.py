"""Gloss that nine spherical harmonics cannot carry: Phong's, along the light that they say is strongest."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats, Floats32
from processing.single_view.appearance.lighting import Lighting

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Gloss:
    """Skin's, of one picture."""

    strength: float  # of the light that comes back as a mirror sends it
    sharpness: float  # Phong's exponent

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Gloss":
        return cls(float(rng.uniform(0.03, 0.16)), float(rng.uniform(9, 28)))


def dominant_light(lighting: Lighting) -> Floats:
    """(3,) unit vector towards where most light comes from, camera axes: the linear band's direction.

    Of luminance, as Sloan, Efficient Evaluation of Irradiance Environment Maps (ShaderX2, 2003), takes it.
    """
    y, z, x = lighting.coefficients[1:4] @ LUMINANCE
    direction = np.array([x, y, z])
    length = float(np.linalg.norm(direction))
    return direction / length if length > 1e-6 else np.array([0.0, -0.5, -0.866])


def highlights(normals: Floats, lighting: Lighting, gloss: Gloss, oily: Floats | None = None) -> Floats32:
    """(N, 3) linear light that is added at unit normals (N, 3), camera axes, seen along the optical axis.

    oily: (N,) by which gloss is stronger or weaker.  Phong 1975: the mirrored light's cosine with the view, to a power.
    """
    light = dominant_light(lighting)
    mirrored = 2 * (normals @ light)[:, None] * normals - light
    lobe = (-mirrored[:, 2]).clip(0, 1) ** gloss.sharpness * (normals @ light > 0)
    lobe = lobe * (gloss.sharpness + 2) / 11.0  # sharper ones are brighter, as they send the same light back
    colour = lighting.shading(light[None])[0]
    colour = 0.5 * colour + 0.5 * float(colour @ LUMINANCE)  # a lamp's gloss is whiter than what skin shows of it
    amount = gloss.strength * lobe * (1.0 if oily is None else oily)
    return np.asarray(amount[:, None] * colour, dtype=np.float32)
