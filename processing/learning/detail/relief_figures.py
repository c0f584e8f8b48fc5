"""How a predicted displacement map compares with the true one: errors over skin, by region, and by wavelength."""

from collections.abc import Mapping

import numpy as np

from common.array_types import Bools, Floats, Floats32
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import Texels
from processing.template.face_regions import face_regions
from processing.template.template import SKIN, Template

#: Regions by which errors are told, and of which of the template's they are made; the forehead is added to them.
REGIONS = {"eyes": ("eye", "brow"), "nose": ("nose",), "mouth": ("mouth", "chin"), "cheeks": ("cheek",)}
BANDS = 8  # of wavelengths, each twice the one before it


def skin_texels(mesh: Mesh, texels: Texels, parts: np.ndarray) -> Bools:
    """(S, S) texels that show nothing but skin."""
    skin = texels.interpolate(mesh, (parts == SKIN).astype(np.float32)) > 0.99
    return np.asarray(texels.image(skin & texels.inside), np.bool_)


def region_texels(template: Template, texels: Texels) -> dict[str, Bools]:
    """(S, S) texels of forehead, eyes, nose, mouth and cheeks; each of its own."""
    mesh, vertices = template.mesh, template.mesh.vertices_mm
    of_template = face_regions(template)
    found = {name: np.any([of_template[one] for one in ones], axis=0) for name, ones in REGIONS.items()}
    landmarks = template.landmark_points(vertices)
    brows, taken = landmarks[17:27], np.any(list(of_template.values()), axis=0)
    high = brows[:, 1].mean() + (landmarks[27, 1] - landmarks[33, 1])
    forehead = (vertices[:, 1] > brows[:, 1].min()) & (vertices[:, 1] < high) & ~taken & (template.parts == SKIN)
    forehead &= (np.abs(vertices[:, 0] - landmarks[27, 0]) < np.abs(brows[:, 0] - landmarks[27, 0]).max()) & (
        vertices[:, 2] > landmarks[[0, 16], 2].mean()
    )
    every = {"forehead": forehead, **found}
    return {
        name: np.asarray(texels.image(texels.interpolate(mesh, inside.astype(np.float32)) > 0.5), np.bool_)
        for name, inside in every.items()
    }


def mean_error(made_mm: Floats32, true_mm: Floats32, where: Bools) -> float:
    """Mean absolute difference over texels (S, S), mm; NaN where there are none."""
    return float(np.abs(made_mm - true_mm)[where].mean(dtype=np.float64)) if where.any() else float("nan")


def radial_power(height_mm: Floats32, where: Bools) -> Floats:
    """(BANDS,) mm^2: mean power of a map by wavelength, over a window about the texels that count.

    Band k has wavelengths of 2 * 2^k to 4 * 2^k texels. The map is windowed by its own texels' mask, so that borders
    do not count as relief.
    """
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    cut = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    mask = where[cut].astype(np.float64)
    height, width = mask.shape
    window = mask * np.hanning(height)[:, None] * np.hanning(width)
    values = height_mm[cut].astype(np.float64)
    values = (values - (values * mask).sum() / mask.sum()) * window
    power = np.square(np.abs(np.fft.fft2(values))) / (np.square(window).sum() * values.size)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    band = np.floor(-np.log2(frequency.clip(1e-9))).astype(int) - 1
    return np.asarray([power[band == k].sum() for k in range(BANDS)])


def spectrum_ratio(made: Floats, true: Floats) -> Mapping[str, float]:
    """Share of the true power that was made, by wavelength in texels, as "4-8"."""
    return {
        f"{2 << k}-{4 << k}": float(made[k] / true[k]) for k in range(BANDS) if true[k] > 0
    }  # fmt: skip
