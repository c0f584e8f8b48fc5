"""Reading a release, whole or partly fetched, of any schema version: takes, meshes, textures, displacement, cameras.

Nothing but NumPy and Pillow is needed to read meshes, pictures and cameras.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.array_types import Floats32, Ints32
from common.bounded.decoder_pool import decode
from common.bounded.files import read_bytes
from common.bounded.json_toml import read_json
from common.bounded.limits import MAX_FACES, MAX_MAP_BYTES, MAX_MAP_PIXELS, MAX_MESH_BYTES, MAX_VERTICES
from processing.release.formats.errors import ReleaseError
from processing.release.formats.manifest import Manifest, read_manifest

_MESH = re.compile(r"(\d+)/models_reg/(\d+)_(\w+)\.obj")


def read_rgb(path: Path, *, draft_px: int = 0, most_pixels: int = MAX_MAP_PIXELS) -> NDArray[np.uint8]:
    """(H, W, 3); draft_px: as small as is quickly had and has so many. Raises ReleaseError."""
    try:
        (rgb,), _ = decode("pillow", path, most=MAX_MAP_BYTES, mode="RGB", draft_px=draft_px, most_pixels=most_pixels)
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path} cannot be read as a picture ({error}); run mien release verify") from None
    return np.asarray(rgb, np.uint8)


def _object(path: Path) -> dict[str, Any]:
    """A JSON object. Raises FileNotFoundError, ReleaseError."""
    try:
        found = read_json(path)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path} cannot be read as JSON ({error}); run mien release verify") from None
    if not isinstance(found, dict):
        raise ReleaseError(f"{path} holds no object; run mien release verify")
    return found


def _rows(path: Path, kind: bytes, limit: int = MAX_VERTICES) -> list[bytes]:
    """The lines of an OBJ that begin so, without that. Raises ReleaseError."""
    try:
        rows = [line[len(kind) :] for line in read_bytes(path, MAX_MESH_BYTES).split(b"\n") if line.startswith(kind)]
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path} cannot be read as OBJ ({error}); run mien release verify") from None
    if len(rows) > limit:
        raise ReleaseError(f"{path} has {len(rows):,} lines '{kind.decode()}'; at most {limit:,} are read")
    return rows


@dataclass(frozen=True)
class TakeEntry:
    """One expression of one subject, by its place in the release. label: '2_smile'."""

    index: int
    position: int
    expression: str

    @property
    def label(self) -> str:
        return f"{self.position}_{self.expression}"


@dataclass(frozen=True, eq=False)
class TopologyArrays:
    """triangles, uv_triangles: (T, 3).  uvs: (U, 2), origin at the bottom left."""

    triangles: Ints32
    uvs: Floats32
    uv_triangles: Ints32


@dataclass(frozen=True, eq=False)
class View:
    """A photograph and its camera: K (3, 3), Rt (3, 4) mm, distortion (5,), OpenCV's convention."""

    index: int
    photograph: Path
    K: Floats32
    Rt: Floats32
    distortion: Floats32
    valid: bool


class ReleaseFolder:
    """A release on this machine. Raises ManifestError where there is none."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest: Manifest
        self.manifest, self.manifest_sha256 = read_manifest(self.folder)

    @cached_property
    def takes(self) -> tuple[TakeEntry, ...]:
        """Expressions whose registered mesh is here, by subject and position."""
        found = []
        for entry in self.manifest.files:
            match = _MESH.fullmatch(entry.path)
            if match and (self.folder / entry.path).is_file():
                found.append(TakeEntry(int(match[1]), int(match[2]), match[3]))
        return tuple(sorted(found, key=lambda take: (take.index, take.position)))

    @cached_property
    def publishable(self) -> frozenset[int]:
        """Indexes of subjects whose pictures may be shown."""
        return self._list("publishable_list.txt")

    @cached_property
    def mosaicked(self) -> frozenset[int]:
        """Indexes of subjects whose eyes are in coarse blocks."""
        return self._list("mosaicked_list.txt")

    def vertices(self, take: TakeEntry) -> Floats32:
        """(V, 3) mm, in the order of the topology, in the rig's frame."""
        path = self._there(f"{take.index}/models_reg/{take.label}.obj")
        rows = _rows(path, b"v ")
        try:
            found = np.array(b" ".join(rows).split(), dtype=np.float32).reshape(len(rows), -1)[:, :3]
            if found.shape[1] != 3 or not np.isfinite(found).all():
                raise ValueError("no finite coordinates")
            return found
        except ValueError:
            raise ReleaseError(f"{path} cannot be read as OBJ; run mien release verify") from None

    def topology(self, take: TakeEntry) -> TopologyArrays:
        """Triangles and UVs, which all takes of a topology share."""
        path = self._there(f"{take.index}/models_reg/{take.label}.obj")
        uvs = _rows(path, b"vt ")
        faces = [line.replace(b"/", b" ") for line in _rows(path, b"f ", MAX_FACES)]
        try:
            corners = np.array(b" ".join(faces).split(), dtype=np.int32).reshape(len(faces), 3, 2) - 1
            places = np.array(b" ".join(uvs).split(), dtype=np.float32).reshape(len(uvs), 2)
            if corners.size and (corners.min() < 0 or corners[..., 1].max() >= len(uvs)):
                raise ValueError("a corner that is not there")
        except (ValueError, OverflowError):
            raise ReleaseError(f"{path} cannot be read as OBJ; run mien release verify") from None
        return TopologyArrays(np.ascontiguousarray(corners[..., 0]), places, np.ascontiguousarray(corners[..., 1]))

    def texture(self, take: TakeEntry, size_px: int | None = None) -> NDArray[np.uint8]:
        """(S, S, 3) RGB over the UVs; size_px: made smaller or larger."""
        rgb = read_rgb(self._there(self.texture_path(take)), draft_px=size_px or 0)
        if size_px is not None:
            smaller = Image.fromarray(rgb).resize((size_px, size_px), Image.Resampling.LANCZOS)
            return np.array(smaller)
        return rgb

    @staticmethod
    def texture_path(take: TakeEntry) -> str:
        return f"{take.index}/models_reg/{take.label}.jpg"

    def displacement(self, take: TakeEntry) -> tuple[Floats32, NDArray[np.bool_]]:
        """(S, S) mm along the mesh's normals, and where it was measured; row 0 is v = 1."""
        from processing.files.displacement_png import read_displacement_png

        relief = read_displacement_png(self._there(f"{take.index}/dpmap/{take.label}.png"))
        return relief.height_mm, relief.valid

    def views(self, take: TakeEntry) -> tuple[View, ...]:
        """Photographs that are here, by view; none where the subject shows none."""
        folder = self.folder / "img" / str(take.index) / take.label
        try:
            params = _object(folder / "params.json")
        except FileNotFoundError:
            return ()
        try:
            return self._views_of(params, folder)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise ReleaseError(f"{folder}/params.json cannot be used ({error!r}); run mien release verify") from None

    @staticmethod
    def _views_of(params: Mapping[str, Any], folder: Path) -> tuple[View, ...]:
        indices = sorted(int(key.removesuffix("_K")) for key in params if key.endswith("_K"))
        return tuple(
            View(
                view,
                folder / f"{view}.jpg",
                np.array(params[f"{view}_K"], np.float32),
                np.array(params[f"{view}_Rt"], np.float32),
                np.array(params[f"{view}_distortion"], np.float32),
                bool(params[f"{view}_valid"]),
            )
            for view in indices
            if (folder / f"{view}.jpg").is_file()
        )

    def facts(self, take: TakeEntry) -> Mapping[str, Any]:
        """What the release says of a take; empty in releases of schema 1, which said nothing."""
        path = self.folder / "meta" / str(take.index) / f"{take.label}.json"
        if not path.is_file():
            return {}
        return _object(path)

    def to_template(self, take: TakeEntry) -> tuple[Floats32, Floats32]:
        """R (3, 3) and t (3,) mm that stand a mesh upright among all others: x_template = R x + t.

        Raises ReleaseError where the release does not say.
        """
        frames = self.facts(take).get("frames")
        if frames is None:
            raise ReleaseError(f"{self.folder} does not say how {take.index} {take.label} stands; fetch its facts too")
        motion = frames["tu_to_template"]
        return np.array(motion["scale"] * np.array(motion["R"]), np.float32), np.array(motion["t_mm"], np.float32)

    def _list(self, name: str) -> frozenset[int]:
        path = self.folder / name
        return frozenset(int(row) for row in path.read_text().split()) if path.is_file() else frozenset()

    def _there(self, path: str) -> Path:
        found = self.folder / path
        if not found.is_file():
            raise ReleaseError(
                f"{path} is not in {self.folder}; fetch it, or see missing.csv for why it is not released"
            )
        return found
