"""What a face model knows of its mesh, from the template: landmarks, where the jaw's can lie, symmetry, masks."""

import numpy as np

from common.array_types import Bools, Floats, Ints32
from processing.face_models.face_model import JAW, ModelTopology
from processing.geometry.topology import topology_id
from processing.template.face_mask import face_vertices, mirrored
from processing.template.template import MOUTH_INTERIOR, SKIN, Template

CHIN = 8
_FACE_WIDTH_MM = 90.0  # between the outer corners of the eyes: distances are for a face of this width


def model_topology(template: Template, average_mm: Floats) -> ModelTopology:
    """The topology of a model on a template. average_mm: (V, 3) the members' mean neutral."""
    return ModelTopology(
        name=template.name,
        version=template.version,
        topology=topology_id(template.mesh),
        mesh=template.mesh.with_vertices(average_mm),
        parts=template.parts,
        landmark_triangles=template.landmark_triangles,
        landmark_barycentric=template.landmark_barycentric,
        contours=jaw_contours(template),
        symmetry=mirrored(template)[0].astype(np.int32),
        face=face_vertices(template),
        frontal=frontal_vertices(template),
    )


def frontal_vertices(template: Template) -> Bools:
    """(V,) the head's front with ears and throat: without its back, neck, and the inside of the mouth."""
    vertices = template.mesh.vertices_mm
    landmarks = template.landmark_points(vertices)
    unit = _unit(landmarks)
    behind = landmarks[[0, JAW - 1], 2].min() - 45 * unit
    below = landmarks[CHIN, 1] - 30 * unit
    return np.asarray((vertices[:, 2] > behind) & (vertices[:, 1] > below) & (template.parts != MOUTH_INTERIOR))


def jaw_contours(template: Template) -> tuple[Ints32, ...]:
    """17 ascending lists of vertices: where a landmark of the jaw can lie on the silhouette as the head turns.

    Each but the chin's is the skin at the landmark's height, from the cheek beside the nose to before the ear: turned,
    the outermost of them is seen at the edge (Cao et al. 2014, section 4.2; FaceScape's contour lines). The chin's are
    those under it, from its front to the throat. The vertex nearest to the landmark is always one.
    """
    mesh = template.mesh
    vertices, skin = mesh.vertices_mm, template.parts == SKIN
    landmarks = template.landmark_points(vertices)
    unit = _unit(landmarks)
    behind = landmarks[[0, JAW - 1], 2].min() - 12 * unit
    edges = np.linalg.norm(vertices[mesh.edges[:, 0]] - vertices[mesh.edges[:, 1]], axis=1)
    width = np.zeros(len(vertices))
    np.maximum.at(width, mesh.edges.ravel(), np.repeat(edges, 2))
    corners = mesh.triangles[template.landmark_triangles[:JAW]]
    nearest = corners[np.arange(JAW), template.landmark_barycentric[:JAW].argmax(axis=1)]
    middle, chin = landmarks[[27, 30, 33, CHIN], 0].mean(), landmarks[CHIN]
    contours = []
    for number, (x, y, z) in enumerate(landmarks[:JAW]):
        if number == CHIN:
            near = (np.abs(vertices[:, 0] - middle) < 14 * unit) & (vertices[:, 1] < chin[1] + 10 * unit)
            near &= (vertices[:, 1] > chin[1] - 20 * unit) & (vertices[:, 2] > chin[2] - 45 * unit)
        else:
            out = (vertices[:, 0] - middle) * np.sign(x - middle)
            near = (np.abs(vertices[:, 1] - y) < 0.5 * width) & (out > 0.45 * abs(x - middle))
            # Before the ear, and not farther forward than a cheek reaches.
            near &= (vertices[:, 2] > min(behind, z - 12 * unit)) & (vertices[:, 2] < z + 50 * unit)
        near &= skin
        near[nearest[number]] = True
        contours.append(np.flatnonzero(near).astype(np.int32))
    return tuple(contours)


def _unit(landmarks: Floats) -> float:
    return float(np.linalg.norm(landmarks[45] - landmarks[36])) / _FACE_WIDTH_MM
