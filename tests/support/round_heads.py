"""Heads whose surface is known everywhere: an ellipsoid with nose, chin and brow, and who it is in soft bumps."""

from dataclasses import dataclass, replace

import numpy as np

from common.array_types import Floats
from processing.evaluation.metrics.predictions import TruthFace
from processing.evaluation.metrics.view import Orthographic, Perspective, TrueCamera
from processing.geometry.cameras import direction_of, look_at
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id

AXES_MM = np.array([75.0, 110.0, 95.0])


@dataclass(frozen=True, eq=False)
class RoundHead:
    """One head. places: where it stands; who: (12, 4) bumps (direction, height)."""

    who: Floats
    detail_mm: float = 0.0

    @classmethod
    def of(cls, seed: int, height_mm: float = 4.0) -> "RoundHead":
        rng = np.random.default_rng(seed)
        directions = rng.normal(size=(12, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return cls(np.c_[directions, rng.normal(size=12) * height_mm])

    def detailed(self, height_mm: float) -> "RoundHead":
        return replace(self, detail_mm=height_mm)

    def at(self, directions: Floats) -> Floats:
        """(N, 3) points of the surface by (N, 3) unit directions from the middle."""
        size = 1.0 + 0.16 * _bump(directions, [0, -0.1, 1], 60) + 0.06 * _bump(directions, [0, -0.7, 0.7], 12)
        size = size + 0.03 * _bump(directions, [0, 0.3, 1], 15)
        points = directions * AXES_MM * size[:, None]
        for *towards, height in self.who:
            points = points + directions * (height * _bump(directions, towards, 6))[:, None]
        waves = np.sin(points[:, 0] * 0.9) * np.sin(points[:, 1] * 1.1)
        return np.asarray(points + directions * (self.detail_mm * waves)[:, None])

    def mesh(self, rows: int = 60, columns: int = 90) -> Mesh:
        """Closed but for its poles, the outside counter-clockwise."""
        lat = np.linspace(0.05, np.pi - 0.05, rows)
        lon = np.arange(columns) * 2 * np.pi / columns
        a, b = np.meshgrid(lat, lon, indexing="ij")
        directions = np.stack([np.sin(a) * np.sin(b), np.cos(a), np.sin(a) * np.cos(b)], axis=-1).reshape(-1, 3)
        here = np.arange(rows * columns).reshape(rows, columns)[:-1]
        right = np.roll(here, -1, axis=1)
        first = np.stack([here, here + columns, right], axis=-1)
        second = np.stack([right + columns, right, here + columns], axis=-1)
        triangles = np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])
        return Mesh(self.at(directions), triangles.astype(np.int32))

    def truth(self, rows: int = 90, columns: int = 140) -> TruthFace:
        mesh = self.mesh(rows, columns)
        landmarks = np.tile(self.at(np.array([[0.0, -0.1, 1.0]]) / np.sqrt(1.01)), (68, 1))
        face = mesh.vertices_mm[:, 2] > 40
        return TruthFace(mesh, mesh.vertices_mm, topology_id(mesh), landmarks, face, np.array([0.0, 2.0, -3.0]))


def _bump(directions: Floats, towards: list[float], sharpness: float) -> Floats:
    axis = np.array(towards, dtype=float)
    return np.asarray(np.exp(sharpness * (directions @ (axis / np.linalg.norm(axis)) - 1)))


def perspective(yaw_deg: float = 0.0, focal: float = 1200.0, pitch_deg: float = 0.0) -> TrueCamera:
    centre = np.array([0.0, 2.0, -3.0])
    place = centre + 1481.48 * focal / 1200 * direction_of(yaw_deg, pitch_deg)
    R = look_at(place, centre)
    return TrueCamera(Perspective(np.array([[focal, 0, 127.5], [0, focal, 127.5], [0, 0, 1.0]]), R, -R @ place))


def orthographic(yaw_deg: float = 0.0, scale: float = 0.95) -> TrueCamera:
    R = look_at(1000 * direction_of(yaw_deg, 0.0), np.zeros(3))
    return TrueCamera(Orthographic(scale, R, np.array([125.0, 131.0])))
