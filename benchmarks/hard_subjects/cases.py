"""The hard cases by name: each a sitter for a seed, which varies who sits there, how, and with what look."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from common.array_types import Floats32
from hard_subjects import head_band, james, lee_perry_smith, spectacles
from hard_subjects.hairs import Growth, grown, jaw, scalp
from hard_subjects.heads import Head, random_head
from hard_subjects.photography import Bench, Hits, Sitter
from hard_subjects.skin import Recipe, painted, shaped, skin_triangles, vertex_colour
from processing.geometry.mesh import Mesh

STUDIO = Bench()
Make = Callable[[int, int], Sitter]  # seed, levels of subdivision


@dataclass(frozen=True)
class Case:
    make: Make
    about: str
    #: What of its data is not there, and where to get it; empty if all is.
    missing: Callable[[], str] = str
    bench: Bench = STUDIO


SMOOTH = Recipe(mottle=(0.0, 0.0, 0.0), freckles=0.0, relief_mm=(0.02, 0.01))


def joined(
    head: Head, color: Floats32, dress: list[tuple[Mesh, Floats32]], covered: np.ndarray | None = None
) -> Sitter:
    """A painted head with meshes on it, each with the colours of its vertices; these are no skin."""
    meshes = [head.mesh, *(mesh for mesh, _ in dress)]
    starts = np.cumsum([0, *(len(m.vertices_mm) for m in meshes)])
    triangles = np.concatenate([m.triangles + at for m, at in zip(meshes, starts, strict=False)])
    whole = Mesh(np.concatenate([m.vertices_mm for m in meshes]), triangles)
    colors = np.concatenate([color, *(c for _, c in dress)])
    skin = np.zeros(len(triangles), bool)
    skin[: len(head.mesh.triangles)] = skin_triangles(head, covered)
    return Sitter(whole, vertex_colour(triangles, colors), skin)


def bare(seed: int, levels: int, recipe: Recipe) -> tuple[Head, Floats32]:
    head = shaped(random_head(seed, levels), recipe)
    return head, painted(head, recipe)


def plain(recipe: Recipe) -> Make:
    """A head without hair, its skin by a recipe."""
    return lambda seed, levels: joined(*bare(seed, levels, recipe), [])


def wet(seed: int, levels: int) -> Sitter:
    """Sweat: a sharp, strong mirror over forehead, nose and cheeks in patches, with drops."""
    head = random_head(seed, levels)
    drops = np.clip(head.noise(head.average_mm, 1.6, 31.0) - 1.2, 0, 1)
    head = shaped(head, Recipe()).displaced(0.12 * drops)
    film = np.clip(0.5 + 0.7 * head.noise(head.average_mm, 14.0, 32.0), 0, 1).astype(np.float32)
    sitter = joined(head, painted(head, Recipe()), [])
    triangles = head.mesh.triangles

    def shine(hits: Hits) -> Floats32:
        wetness = np.einsum("nk,nk->n", hits.barycentric, film[triangles[hits.triangle]])
        return np.stack([1.2 * wetness, np.full_like(wetness, 140.0)], axis=1)

    return replace(sitter, shine=shine)


def stubble(seed: int, levels: int) -> Sitter:
    """Two days' beard and a shaved scalp's stubble: hairs of half a millimetre to two, the skin between them bare."""
    head, color = bare(seed, levels, Recipe())
    rng = np.random.default_rng([seed, 41])
    short = Growth(60_000, (0.6, 1.6), 0.14, 0.5, 2, (0, -1, 0.3), unruly=0.8)
    shaved = Growth(90_000, (0.4, 0.9), 0.12, 0.4, 2, (0, 0.3, 1), unruly=0.8)
    return joined(head, color, [grown(head, jaw(head), short, rng), grown(head, scalp(head), shaved, rng)])


def dark_hair(seed: int, levels: int) -> Sitter:
    """Short to medium dark hair over the scalp, some of it over the forehead."""
    head, color = bare(seed, levels, Recipe())
    rng = np.random.default_rng([seed, 42])
    where = scalp(head, hairline_mm=rng.uniform(85, 97))
    color *= 1 - 0.9 * where[:, None]
    back = Growth(70_000, (35, 60), 0.22, 9.0, 10, (rng.uniform(-0.6, 0.6), -0.4, -0.8), unruly=0.25)
    rim = where * (where < 0.9) * (head.average_mm[:, 2] > 20)
    fringe = Growth(1_200, (18, 40), 0.18, 5.0, 8, (rng.uniform(-0.8, 0.8), -1, 0.4), unruly=0.3)
    dress = [grown(head, where, back, rng), grown(head, rim, fringe, rng)]
    return joined(head, color, dress, where > 0.15)


def beard(seed: int, levels: int) -> Sitter:
    """A full beard and moustache."""
    head, color = bare(seed, levels, Recipe())
    rng = np.random.default_rng([seed, 43])
    where = jaw(head)
    color *= 1 - 0.7 * where[:, None]
    full = Growth(45_000, (8, 18), 0.18, 6.0, 6, (0, -1, 0.2), unruly=0.5, colour=(0.06, 0.035, 0.02))
    return joined(head, color, [grown(head, where, full, rng)], where > 0.15)


def glasses(seed: int, levels: int) -> Sitter:
    """Spectacles with dark rims and clear lenses that mirror the lights."""
    head, color = bare(seed, levels, Recipe())
    frame, lenses = spectacles.made_for(head, np.random.default_rng([seed, 44]))
    sitter = joined(
        head,
        color,
        [
            (frame, np.full((len(frame.vertices_mm), 3), 0.02, np.float32)),
            (lenses, np.zeros((len(lenses.vertices_mm), 3), np.float32)),
        ],
    )
    clear = np.zeros(len(sitter.mesh.triangles), bool)
    clear[-len(lenses.triangles) :] = True
    return replace(sitter, clear=clear)


def band(seed: int, levels: int) -> Sitter:
    """A knitted head band over hairline and ears' tops, as studios give to keep hair away."""
    head, color = bare(seed, levels, replace(Recipe(), mottle=(0.05, 0.015, 0.01)))
    rng = np.random.default_rng([seed, 45])
    cloth, shade, covered = head_band.made_for(head, rng)
    where = scalp(head) * ~covered
    color *= 1 - 0.9 * where[:, None]
    hair = Growth(40_000, (20, 40), 0.22, 4.0, 6, (0, -0.3, -1), unruly=0.2)
    return joined(head, color, [(cloth, shade), grown(head, where, hair, rng)], covered | (where > 0.15))


def pores_alone(seed: int, levels: int) -> Sitter:
    """No mottle, freckles, brows or lips: pores alone, as pits that are a little darker."""
    recipe = replace(SMOOTH, brows=0.0, lips=0.0, pores=0.12, pore_depth_mm=0.06, relief_mm=(0.0, 0.0))
    return joined(*bare(seed, levels, recipe), [])


CASES = {
    "james": Case(
        lambda _seed, _levels: james.james(1.0), "a real scan with its own photographs as texture", james.missing
    ),
    "james_half": Case(lambda _seed, _levels: james.james(0.5), "its contrast halved", james.missing),
    "james_quarter": Case(lambda _seed, _levels: james.james(0.25), "its contrast quartered", james.missing),
    "shaved": Case(
        lambda _seed, _levels: lee_perry_smith.lee_perry_smith(),
        "a real scan of a shaved head",
        lee_perry_smith.missing,
    ),
    "pores": Case(pores_alone, "skin with pores alone"),
    "wet": Case(wet, "wet highlights that move with the camera"),
    "bald": Case(plain(replace(Recipe(), mottle=(0.05, 0.012, 0.008), pores=0.04)), "a bald scalp"),
    # a fifth of the light makes noise of less than half: most of it is the light's own
    "dark_skin": Case(plain(replace(Recipe(), tone=(0.10, 0.055, 0.035))), "dark skin", bench=Bench(noise=0.0018)),
    "stubble": Case(stubble, "stubble on jaw and scalp"),
    "dark_hair": Case(dark_hair, "dark hair"),
    "beard": Case(beard, "a full beard"),
    "glasses": Case(glasses, "spectacles"),
    "head_band": Case(band, "a head band"),
}
