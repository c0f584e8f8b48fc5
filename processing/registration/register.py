"""Registration of a scan to the template's topology: landmark alignment, deformation transfer, non-rigid ICP."""

from dataclasses import dataclass, field, replace

import numpy as np

from common.array_types import Bools, Floats
from common.progress import Progress, no_progress, part
from processing.errors import NoFace, ShapeError
from processing.geometry.deformation_transfer import DeformationTransfer
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import Similarity, fit_motion, fit_motion_robust
from processing.geometry.vertex_rings import dilated
from processing.landmarks.multi_pie_68 import GROUPS, Landmarks3d
from processing.registration.correspondence import TargetSurface
from processing.registration.lid_margins import NO_LIDS, LidFit, lid_rims, lid_targets
from processing.registration.loose_parts import largest_part, move_loose_parts
from processing.registration.nonrigid_icp import (
    IcpStep,
    LandmarkConstraints,
    NonRigidFit,
    NonRigidSettings,
    fit_nonrigid,
)
from processing.registration.scan_checks import checked_scan, require_complete_scan
from processing.template.template import EYE, MOUTH_INTERIOR, Template

# Weight of each landmark for where the skin is: points of the jaw slide along it, brows vary with hair.
_SKIN_WEIGHTS = np.concatenate(
    [np.full(17, 0.1), np.full(10, 0.4), np.full(9, 1.0), np.full(12, 1.0), np.full(20, 1.0)]
)
_SKIN_WEIGHTS[6:11] = 0.3
# ... and for the head's rigid pose, whatever the face does.
_POSE_WEIGHTS = np.concatenate(
    [np.full(17, 0.05), np.full(10, 0.2), np.full(9, 1.0), np.full(12, 1.0), np.full(20, 0.1)]
)
_POSE_WEIGHTS[[36, 39, 42, 45]] = 2.0

# Landmarks that lie farther from the template's than this, half and a quarter of them, are no face's.
MAX_MEDIAN_MM, MAX_UPPER_QUARTILE_MM = 12.0, 20.0
LID_RINGS, LIP_RINGS = 3, 1
EDGE_WEIGHT = 0.2  # of what turns inwards at lids and lips
NEUTRAL = NonRigidSettings()
EXPRESSION = NonRigidSettings(
    steps=(
        IcpStep(stiffness=150.0, landmarks=20.0, max_mm=25.0, min_cosine=0.3, iterations=2, every=3),
        IcpStep(stiffness=30.0, landmarks=8.0, max_mm=20.0, min_cosine=0.3, iterations=3, every=2),
        IcpStep(stiffness=6.0, landmarks=2.0, max_mm=16.0, min_cosine=0.4, iterations=3),
        IcpStep(stiffness=1.5, landmarks=0.5, max_mm=12.0, min_cosine=0.5, iterations=3),
        IcpStep(stiffness=0.4, landmarks=0.1, max_mm=10.0, min_cosine=0.5, iterations=2),
    )
)


@dataclass(frozen=True)
class RegistrationSettings:
    """Schedules of the fits."""

    neutral: NonRigidSettings = NEUTRAL  # from the template
    expression: NonRigidSettings = EXPRESSION  # from the subject's neutral


@dataclass(frozen=True)
class RegistrationReport:
    """What a registration says of itself."""

    surface_mm: float  # mean distance of the matched vertices to the scan
    matched: float  # share of the skin that met the scan
    landmarks: int  # how many were known
    landmark_mm: float  # their median distance from the registered surface's own
    strength: float  # how far the transferred expression went (1 for neutral)
    flipped: int  # triangles that turned over and were relaxed
    history_mm: tuple[float, ...] = field(default=())  # median distance by iteration


@dataclass(frozen=True, eq=False)
class Registration:
    """A scan in the template's topology."""

    vertices_mm: Floats  # (V, 3)
    matched: Bools  # (V,) which vertices met the scan
    report: RegistrationReport
    lids: LidFit = NO_LIDS  # where the lids of the template's largest part are held


def register_neutral(
    template: Template,
    scan: Mesh | TargetSurface,
    landmarks: Landmarks3d,
    *,
    settings: RegistrationSettings | None = None,
    progress: Progress = no_progress,
) -> Registration:
    """The template fitted to the scan of a neutral face: similarity by landmarks, then non-rigid ICP.

    scan: mm, head frame, triangles facing outwards.  Raises MeshError and NoFace for a scan that cannot be a face.
    """
    settings = RegistrationSettings() if settings is None else settings
    surface = checked_scan(scan, landmarks)
    known = landmarks.known
    own, seen = template.landmark_points(template.mesh.vertices_mm)[known], landmarks.points_mm[known]
    motion = fit_motion_robust(own, seen, _SKIN_WEIGHTS[known])
    off = np.linalg.norm(motion(own) - seen, axis=1)[known.nonzero()[0] >= 17]
    if float(np.median(off)) > MAX_MEDIAN_MM or float(np.quantile(off, 0.75)) > MAX_UPPER_QUARTILE_MM:
        raise NoFace(
            f"the landmarks are not those of a face: half of them lie over {np.median(off):.3g} mm, a quarter over "
            f"{np.quantile(off, 0.75):.3g} mm from where template {template.name} has them. Check their order "
            "(Multi-PIE's 68), or the photographs."
        )
    start = motion(template.mesh.vertices_mm)
    return _fit_and_repair(template, start, surface, landmarks, settings.neutral, 1.0, progress)


def register_expression(
    template: Template,
    expression: str,
    neutral_vertices: Floats,
    scan: Mesh | TargetSurface,
    landmarks: Landmarks3d,
    *,
    settings: RegistrationSettings | None = None,
    progress: Progress = no_progress,
) -> Registration:
    """The subject's registered neutral face fitted to the scan of an expression.

    The template's own expression is transferred to the neutral face (as strongly as the landmarks ask for), moved to
    the scan's head pose and fitted. An expression that the template does not know starts from the neutral face.
    neutral_vertices: (V, 3) mm.  Raises ShapeError, MeshError and NoFace.
    """
    settings = RegistrationSettings() if settings is None else settings
    if neutral_vertices.shape != template.mesh.vertices_mm.shape:
        raise ShapeError("neutral_vertices", neutral_vertices.shape, str(template.mesh.vertices_mm.shape))
    surface = checked_scan(scan, landmarks)
    posed = neutral_vertices
    if expression in template.expressions and expression != "neutral":
        progress(0.0, f"transferring {expression}")
        to_subject = fit_motion(template.mesh.vertices_mm, neutral_vertices)
        transfer = DeformationTransfer(template.mesh.with_vertices(neutral_vertices))
        posed = transfer(to_subject(template.mesh.vertices_mm), to_subject(template.expressions[expression]))
    strength, motion = _strength(template, neutral_vertices, posed, landmarks)
    start = motion(neutral_vertices + strength * (posed - neutral_vertices))
    return _fit_and_repair(template, start, surface, landmarks, settings.expression, strength, part(progress, 0.1, 1.0))


def _strength(template: Template, neutral: Floats, posed: Floats, landmarks: Landmarks3d) -> tuple[float, Similarity]:
    """How much of the way from neutral to posed the landmarks lie, and the head's rigid motion meanwhile."""
    known = landmarks.known
    here = template.landmark_points(neutral)[known]
    step = template.landmark_points(posed)[known] - here
    observed, pose_weights, skin_weights = landmarks.points_mm[known], _POSE_WEIGHTS[known], _SKIN_WEIGHTS[known]
    strength = 1.0
    motion = fit_motion_robust(here + step, observed, pose_weights, with_scale=False)
    if np.square(step).sum(axis=1).max() < 0.25:
        return strength, motion
    for _ in range(10):
        wanted = motion.inverse()(observed) - here
        projected = float((skin_weights[:, None] * wanted * step).sum() / (skin_weights[:, None] * step * step).sum())
        strength = float(np.clip(projected, 0.3, 1.4))
        motion = fit_motion_robust(here + strength * step, observed, pose_weights, with_scale=False)
    return strength, motion


def _fit_and_repair(
    template: Template,
    start: Floats,
    surface: TargetSurface,
    landmarks: Landmarks3d,
    settings: NonRigidSettings,
    strength: float,
    progress: Progress,
) -> Registration:
    """Non-rigid ICP of the template's largest part from `start`; loose parts (eyeballs) follow."""
    mesh = template.mesh
    part_mesh, main = largest_part(mesh)
    data_weights = _data_weights(template)
    number = np.full(len(start), -1, dtype=np.int32)
    number[main] = np.arange(len(main), dtype=np.int32)
    corners = number[mesh.triangles[template.landmark_triangles]]
    use = landmarks.known & (corners >= 0).all(axis=1)
    source = replace(part_mesh, vertices_mm=start[main])
    lids = NO_LIDS
    if landmarks.lids is not None:
        rims = lid_rims(template, part_mesh, number)
        lids = LidFit(source, tuple(lid_targets(rims, start[main], landmarks.lids)))
        for lid in lids.targets:  # the rim says all of them, and better
            use[list(GROUPS["left_eye" if lid.rim.eye else "right_eye"])] = False
            walls = main[lid.rim.walls]
            data_weights[walls] = np.minimum(data_weights[walls], EDGE_WEIGHT)
    constraints = LandmarkConstraints(
        corners[use], template.landmark_barycentric[use], landmarks.points_mm[use], _SKIN_WEIGHTS[use], lids
    )
    fit = fit_nonrigid(
        source,
        surface,
        weights=data_weights[main],
        sheets=template.parts[main] == EYE,
        landmarks=constraints,
        settings=settings,
        progress=progress,
    )
    vertices = start.copy()
    vertices[main] = fit.vertices_mm
    vertices = move_loose_parts(mesh, template.parts, start, vertices, main)
    require_complete_scan(template, vertices, surface)
    matched = np.zeros(len(start), dtype=np.bool_)
    matched[main] = fit.matched
    report = _report(template, vertices, matched, surface, landmarks, fit, strength)
    return Registration(vertices, matched, report, lids)


def _data_weights(template: Template) -> Floats:
    """(V,) the data term's weights: the template's, none inside the mouth, little at the lids' and lips' own edges.

    Those edges turn inwards, where no camera looks: fitted singly, they would fold over to what is seen instead.
    """
    adjacency = template.mesh.adjacency()
    weights = np.where(template.parts == MOUTH_INTERIOR, 0.0, template.weights)
    for inner, rings in ((EYE, LID_RINGS), (MOUTH_INTERIOR, LIP_RINGS)):
        near = dilated(adjacency, template.parts == inner, rings)
        weights = np.where(near, np.minimum(weights, EDGE_WEIGHT), weights)
    return weights


def _report(
    template: Template,
    vertices: Floats,
    matched: Bools,
    surface: TargetSurface,
    landmarks: Landmarks3d,
    fit: NonRigidFit,
    strength: float,
) -> RegistrationReport:
    skin = (template.weights > 0.5) & (template.parts != MOUTH_INTERIOR)
    used = matched & skin
    distance = surface.surface.closest(vertices[used]).distance_mm if used.any() else np.array([np.nan])
    known = landmarks.known
    off = np.linalg.norm(template.landmark_points(vertices)[known] - landmarks.points_mm[known], axis=1)
    return RegistrationReport(
        surface_mm=float(distance.mean()),
        matched=float(used.sum() / max(skin.sum(), 1)),
        landmarks=int(known.sum()),
        landmark_mm=float(np.median(off)),
        strength=strength,
        flipped=fit.flipped,
        history_mm=tuple(round(x, 4) for x in fit.history_mm),
    )
