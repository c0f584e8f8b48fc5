"""What tells one mesh topology from another."""

import hashlib

import numpy as np

from processing.geometry.mesh import Mesh


def topology_id(mesh: Mesh) -> str:
    """The vertex count and a digest of the triangles: equal for meshes whose vertices correspond one to one."""
    digest = hashlib.sha256(np.ascontiguousarray(mesh.triangles, dtype="<i4").tobytes()).hexdigest()
    return f"{len(mesh.vertices_mm)}-{digest[:12]}"
