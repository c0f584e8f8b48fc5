"""What every pixel of a photograph's window sees of a face's mesh."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.array_types import Bools, Floats, Floats32, Ints32
from processing.errors import ShapeError
from processing.geometry.cameras import Camera
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh, Surface

BEFORE_MM = 20.0  # rays start so far before the mesh: from a weak perspective's camera float32 would not see it
HIDDEN_MM = 3.0  # a point lies behind what is seen by more than this where it is hidden

Window = tuple[int, int, int, int]  # columns and rows of a photograph: x0, y0, x1, y1


@dataclass(frozen=True, eq=False)
class FaceView:
    """A mesh seen by a camera through a window of h x w pixels."""

    mesh: Mesh  # V vertices in the camera's frame, mm
    K: Floats  # (3, 3), px of the photograph
    window: Window
    triangle: Ints32  # (h, w), -1 where no mesh is
    barycentric: Floats  # (h, w, 3)
    depth_mm: Floats32  # (h, w) along the optical axis, inf where no mesh is

    @property
    def seen(self) -> Bools:
        """(h, w) where the mesh is."""
        return np.asarray(self.triangle >= 0)

    @cached_property
    def grid_px(self) -> Floats:
        """(h, w, 2) the pixels' places in the photograph."""
        return window_grid(self.window)

    @cached_property
    def vertices_px(self) -> Floats:
        """(V, 2) where the vertices are in the photograph."""
        return pixels_of(self.mesh.vertices_mm, self.K)

    def values(self, of_vertices: Floats) -> Floats:
        """(V, K) -> (h, w, K), interpolated; 0 where no mesh is."""
        if len(of_vertices) != len(self.mesh.vertices_mm):
            raise ShapeError("values", of_vertices.shape, f"({len(self.mesh.vertices_mm)}, K)")
        out = np.zeros((*self.triangle.shape, of_vertices.shape[1]))
        here = self.seen
        corners = self.mesh.triangles[self.triangle[here]]
        out[here] = np.einsum("nk,nkd->nd", self.barycentric[here], of_vertices[corners])
        return out

    def marked(self, triangles: Bools) -> Bools:
        """(T,) -> (h, w) where one of the marked triangles is seen."""
        return np.asarray(np.logical_and(self.seen, triangles[self.triangle]))

    def shows(self, places_mm: Floats, *, within_mm: float = HIDDEN_MM) -> Bools:
        """(N,) whether points of the camera's frame (N, 3) lie in the window with nothing of the mesh before them."""
        x0, y0, x1, y1 = self.window
        pixels = pixels_of(places_mm, self.K) - [x0, y0]
        last = np.array([x1 - x0, y1 - y0]) - 0.5
        inside = np.all([*(pixels >= -0.5).T, *(pixels < last).T], axis=0)
        depth = np.minimum(self.depth_mm, 1e9)
        nearest = sample_image(depth.astype(np.float32), np.where(inside[:, None], pixels, 0), nearest=True)
        return np.asarray(inside & (np.abs(nearest - places_mm[:, 2]) < within_mm))


def window_grid(window: Window) -> Floats:
    """(h, w, 2) places of a window's pixels, x first."""
    x0, y0, x1, y1 = window
    return np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), axis=2).astype(np.float64)


def pixels_of(places_mm: Floats, K: Floats) -> Floats:
    """(N, 3) in the camera's frame -> (N, 2) px."""
    flat = places_mm[:, :2] / places_mm[:, 2:]
    return np.asarray(flat * [K[0, 0], K[1, 1]] + K[:2, 2])


def see_face(mesh: Mesh, K: Floats, window: Window) -> FaceView:
    """The view of a mesh in the camera's frame (OpenCV), by a camera without distortion.

    Rays start shortly before the mesh, about its own middle, so that they are as exact for a camera that stands a
    kilometre away.
    """
    middle = mesh.vertices_mm.mean(axis=0)
    near = float(mesh.vertices_mm[:, 2].min()) - BEFORE_MM
    grid = window_grid(window)
    flat = (grid.reshape(-1, 2) - K[:2, 2]) / [K[0, 0], K[1, 1]]
    directions = np.c_[flat, np.ones(len(flat))]
    origins = directions * max(near, 1.0) - middle
    surface = Surface(mesh.with_vertices(mesh.vertices_mm - middle))
    distance, triangle, barycentric = surface.cast(origins, directions)
    depth = (max(near, 1.0) + distance).astype(np.float32)
    shape = grid.shape[:2]
    return FaceView(
        mesh, K, window, triangle.reshape(shape), barycentric.reshape(*shape, 3), depth.reshape(shape)
    )  # fmt: skip


def face_window(vertices_px: Floats, size: tuple[int, int], *, margin: float = 0.35) -> Window:
    """A window about pixels (N, 2) and a margin (of their extent) around them, within a photograph (width, height)."""
    low, high = vertices_px.min(axis=0), vertices_px.max(axis=0)
    away = margin * (high - low).max()
    x0, y0 = np.floor(low - away).astype(int).clip(0, np.array(size) - 2).tolist()
    x1, y1 = np.ceil(high + away).astype(int).clip([x0 + 2, y0 + 2], size).tolist()
    return x0, y0, x1, y1


def in_camera(mesh: Mesh, vertices_mm: Floats, camera: Camera) -> Mesh:
    """A mesh with other vertices (V, 3) of the model's frame, in the camera's frame."""
    return mesh.with_vertices(camera.to_camera(vertices_mm))
