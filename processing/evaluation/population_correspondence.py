"""Where a template's vertices lie on a population of another topology: what a fit of the template is judged by.

The template is registered to several members of the population, mouth closed and open, each on its own. A vertex's
place is the middle of what they say, and how far they disagree is the correspondence's own error: part of every figure
that is measured with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.array_types import Bools, Floats, Ints32, Ints64
from common.bounded.npz_files import read_npz
from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress, part
from processing.errors import DataError, ShapeError
from processing.geometry.mesh import Mesh, Surface, submesh
from processing.geometry.procrustes import fit_motion
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.registration.register import Registration, register_neutral
from processing.synthetic.face_population import Population
from processing.template.face_units import ARKIT_UNITS, builtin_units
from processing.template.template import SKIN, Template

IDENTITIES = 12  # that a template is registered to
OPEN = 0.35  # weight of jawOpen in every other one: lips that touch are taken for each other
LEAST_FOUND = 0.6  # of the registrations, in which a vertex must meet the skin
MOST_OFF_MM = 1.0  # from the skin, of a vertex that met it
MOST_SPREAD_MM = 4.0  # from which on they do not agree
_SEED = 7
_KEYS = {"triangles", "barycentric", "spread_mm", "topology", "fitted_mm"}


@dataclass(frozen=True, eq=False)
class PopulationCorrespondence:
    """A place on the mesh of a population's template (n vertices) for each of another template's V vertices."""

    triangles: Ints32  # (V,) of the population's mesh; -1: the vertex has no place
    barycentric: Floats  # (V, 3)
    spread_mm: Floats  # (V,) mean distance of the single registrations' places from the joint one, NaN without a place
    topology: Ints32  # (T, 3) the population's triangles
    fitted_mm: Floats  # (V, 3) the template on the population's average, parts without a place included

    @property
    def known(self) -> Bools:
        """(V,) which vertices have a place."""
        return np.asarray(self.triangles >= 0)

    def points(self, member_mm: Floats) -> Floats:
        """(..., n, 3) a member's vertices -> (..., V, 3) the template's on it, NaN without a place."""
        if member_mm.ndim < 2 or member_mm.shape[-1] != 3 or member_mm.shape[-2] <= int(self.topology.max()):
            raise ShapeError("member_mm", member_mm.shape, f"(..., {int(self.topology.max()) + 1}, 3)")
        corners = member_mm[..., self.topology[self.triangles], :]
        points = np.asarray(np.einsum("vk,...vkd->...vd", self.barycentric, corners))
        points[..., ~self.known, :] = np.nan
        return points


def correspond(
    people: Population,
    template: Template,
    *,
    identities: int = IDENTITIES,
    open_mouth: float = OPEN,
    seed: int = _SEED,
    progress: Progress = no_progress,
) -> PopulationCorrespondence:
    """Places of the built-in template's vertices on a population of another topology.

    The first registration is to the average; every other one has the mouth open. Takes some five seconds each. Raises
    DataError for a template that is not of the built-in one's topology, and as `register_neutral` does.
    """
    units = builtin_units(template).offsets_mm[ARKIT_UNITS.index("jawOpen")].astype(np.float64)
    opened = np.asarray(people.to_template @ people.control_units_mm[people.units.index("jawOpen")])
    closed = np.asarray(people.to_template @ people.control.vertices_mm)
    average = Mesh(closed + OPEN * opened, people.template.mesh.triangles)
    skin = (people.template.parts == SKIN)[average.triangles].all(axis=1)
    rng = np.random.default_rng(seed)
    places, fitted = [], template.mesh.vertices_mm
    for number in range(identities):
        member = np.asarray(people.to_template @ people.draw(rng).neutral_mm) if number else closed
        weight = open_mouth * (number % 2)
        posed = replace(template, mesh=template.mesh.with_vertices(template.mesh.vertices_mm + weight * units))
        scan = average.with_vertices(member + weight * opened)
        landmarks = Landmarks3d.of_points(people.template.landmark_points(scan.vertices_mm))
        step = part(progress, number / identities, (number + 1) / identities)
        fit = register_neutral(posed, submesh(scan, skin)[0], landmarks, progress=step)
        places.append(_places(scan, skin, average, fit, template.parts == SKIN))
        fitted = fitted if number else fit.vertices_mm
    joint = joint_places(average, skin, places)
    on_average = _at(closed, joint.triangles, joint.barycentric, average.triangles)
    return replace(joint, fitted_mm=np.where(joint.known[:, None], on_average, fitted))


def _places(scan: Mesh, skin: Bools, average: Mesh, fit: Registration, wanted: Bools) -> Floats:
    """(V, 3) where the vertices of a registered template lie on the average, NaN where they met no skin."""
    which = np.flatnonzero(skin)
    found = Surface(Mesh(scan.vertices_mm, scan.triangles[which])).closest(fit.vertices_mm)
    places = _at(average.vertices_mm, which[found.triangle], found.barycentric, average.triangles)
    places[~(fit.matched & wanted & (found.distance_mm < MOST_OFF_MM))] = np.nan
    return places


def _at(vertices_mm: Floats, triangle: Ints32 | Ints64, barycentric: Floats, triangles: Ints32) -> Floats:
    return np.asarray(np.einsum("vk,vkd->vd", barycentric, vertices_mm[triangles[triangle]]))


def joint_places(average: Mesh, skin: Bools, places: Sequence[Floats]) -> PopulationCorrespondence:
    """The middle of several places, brought back to the skin; on the average face with its mouth open."""
    each = np.stack(places)
    found = np.isfinite(each[..., 0])
    enough = found.mean(axis=0) >= LEAST_FOUND
    middle = np.zeros(each.shape[1:])
    middle[enough] = np.nanmedian(each[:, enough], axis=0)
    which = np.flatnonzero(skin)
    on = Surface(Mesh(average.vertices_mm, average.triangles[which])).closest(middle)
    spread = np.full(len(enough), np.inf)
    spread[enough] = np.nanmean(np.linalg.norm(each[:, enough] - on.points_mm[enough], axis=2), axis=0)
    known = spread < MOST_SPREAD_MM
    barycentric = on.barycentric.clip(0, 1)
    return PopulationCorrespondence(
        np.where(known, which[on.triangle], -1).astype(np.int32),
        barycentric / barycentric.sum(axis=1, keepdims=True),
        np.where(known, spread, np.nan),
        average.triangles,
        middle,
    )


def disagreement_mm(one: PopulationCorrespondence, other: PopulationCorrespondence, member_mm: Floats) -> Floats:
    """(V,) how far apart two correspondences put each vertex on a member (n, 3) after a similarity, NaN without.

    After a similarity, because a figure of corresponding points is: what moves and scales all of them alike is no
    error of it.
    """
    both = one.known & other.known
    if both.sum() < 3:
        raise DataError("two correspondences have no vertices in common")
    here, there = one.points(member_mm)[both], other.points(member_mm)[both]
    out = np.full(len(both), np.nan)
    out[both] = np.linalg.norm(fit_motion(here, there)(here) - there, axis=1)
    return out


def write_correspondence(path: Path, correspondence: PopulationCorrespondence) -> None:
    """Keep a correspondence as .npz."""
    with atomic_write(path) as whole:
        np.savez(
            whole,
            triangles=correspondence.triangles,
            barycentric=correspondence.barycentric,
            spread_mm=correspondence.spread_mm,
            topology=correspondence.topology,
            fitted_mm=correspondence.fitted_mm,
        )


def read_correspondence(path: Path) -> PopulationCorrespondence:
    """What `write_correspondence` wrote. Raises DataError."""
    try:
        d = read_npz(path, _KEYS)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if missing := sorted(_KEYS - d.keys()):
        raise DataError(f"{path} is no correspondence: it lacks {', '.join(missing)}; delete it, and it is made anew")
    return PopulationCorrespondence(d["triangles"], d["barycentric"], d["spread_mm"], d["topology"], d["fitted_mm"])
