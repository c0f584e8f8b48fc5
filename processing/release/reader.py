"""Reading a release, whole or partly fetched, of any schema version: takes, meshes, textures, displacement, cameras.

Nothing but NumPy and Pillow is needed to read meshes, pictures and cameras.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.array_types import Floats32
from common.bounded.decoder_pool import decode
from common.bounded.files import read_bytes
from common.bounded.json_toml import read_json
from common.bounded.limits import MAX_FACES, MAX_MAP_BYTES, MAX_MAP_PIXELS, MAX_MESH_BYTES, MAX_VERTICES
from common.take_codes import TakeLabel
from processing.files.displacement_png import read_displacement_png
from processing.files.morph_targets.morph_target_model import TopologyArrays
from processing.release.formats.errors import ReleaseError
from processing.release.formats.manifest import MANIFEST, Manifest, read_manifest
from processing.release.formats.released_files import (
    CAMERAS,
    DISPLACEMENT,
    FACTS,
    MESH,
    MISSING,
    MOSAICKED_LIST,
    PHOTOGRAPH,
    PUBLISHABLE_LIST,
    TEXTURE,
    SharedFile,
)


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
    """One expression of one subject, by its place in the release."""

    #: The subject's folder in every layout.
    index: int
    #: The expression's number in its protocol.
    position: int
    #: The expression's name.
    expression: str

    @property
    def label(self) -> str:
        """As in '2_smile'."""
        return str(TakeLabel(self.position, self.expression))


@dataclass(frozen=True, eq=False)
class View:
    """A photograph and its camera, in OpenCV's convention."""

    #: The view's number.
    index: int
    photograph: Path
    #: (3, 3) px.
    K: Floats32
    #: (3, 4) rig to camera, mm.
    Rt: Floats32
    #: (5,) k1 k2 p1 p2 k3.
    distortion: Floats32
    #: Whether the scan could use it.
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
            match = MESH.match(entry.path)
            label = TakeLabel.find(match["label"]) if match else None
            if match and label and (self.folder / entry.path).is_file():
                found.append(TakeEntry(int(match["index"]), label.position, label.name))
        return tuple(sorted(found, key=lambda take: (take.index, take.position)))

    @cached_property
    def publishable(self) -> frozenset[int]:
        """Indexes of subjects whose pictures may be shown."""
        return self._list(PUBLISHABLE_LIST)

    @cached_property
    def mosaicked(self) -> frozenset[int]:
        """Indexes of subjects whose eyes are in coarse blocks."""
        return self._list(MOSAICKED_LIST)

    def vertices(self, take: TakeEntry) -> Floats32:
        """(V, 3) mm, in the order of the topology, in the rig's frame."""
        path = self._there(MESH.at(take.index, take.label))
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
        path = self._there(MESH.at(take.index, take.label))
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
        return TEXTURE.at(take.index, take.label)

    def displacement(self, take: TakeEntry) -> tuple[Floats32, NDArray[np.bool_]]:
        """(S, S) mm along the mesh's normals, and where it was measured; row 0 is v = 1."""
        relief = read_displacement_png(self._there(DISPLACEMENT.at(take.index, take.label)))
        return relief.height_mm, relief.valid

    def views(self, take: TakeEntry) -> tuple[View, ...]:
        """Photographs that are here, by view; none where the subject shows none."""
        cameras = self.folder / CAMERAS.at(take.index, take.label)
        try:
            params = _object(cameras)
        except FileNotFoundError:
            return ()
        try:
            return self._views_of(params, take)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise ReleaseError(f"{cameras} cannot be used ({error!r}); run mien release verify") from None

    def _views_of(self, params: Mapping[str, Any], take: TakeEntry) -> tuple[View, ...]:
        indices = sorted(int(key.removesuffix("_K")) for key in params if key.endswith("_K"))
        photographs = {view: self.folder / PHOTOGRAPH.at(take.index, take.label, view) for view in indices}
        return tuple(
            View(
                view,
                photograph,
                np.array(params[f"{view}_K"], np.float32),
                np.array(params[f"{view}_Rt"], np.float32),
                np.array(params[f"{view}_distortion"], np.float32),
                bool(params[f"{view}_valid"]),
            )
            for view, photograph in photographs.items()
            if photograph.is_file()
        )

    def facts(self, take: TakeEntry) -> Mapping[str, Any]:
        """What the release says of a take; empty in releases of schema 1, which said nothing."""
        path = self.folder / FACTS.at(take.index, take.label)
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

    def _list(self, file: SharedFile) -> frozenset[int]:
        path = self.folder / file.path
        return frozenset(int(row) for row in path.read_text().split()) if path.is_file() else frozenset()

    def _there(self, path: str) -> Path:
        found = self.folder / path
        if not found.is_file():
            raise ReleaseError(
                f"{path} is not in {self.folder}; fetch it, or see {MISSING.path} for why it is not released"
            )
        return found


def refused_pictures(folder: Path) -> tuple[frozenset[str], str]:
    """Folders of subjects whose faces may not be shown in pictures made anew, and what the folder is, in words.

    Of a release: those who are not on its list of the publishable, whose eyes are in coarse blocks, and of whom it says
    that they have withdrawn. Of a folder that is no release: nobody; who has agreed to what, its owner knows.
    Raises ManifestError for a release whose manifest cannot be read.
    """
    if not (folder / MANIFEST).is_file():
        return frozenset(), "folder"
    release = ReleaseFolder(folder)
    there = {take.index for take in release.takes}
    version = release.manifest.version
    gone = {stone.index for stone in release.manifest.tombstones if stone.concerns(version) and not stone.of_model}
    refused = (there - release.publishable) | (there & release.mosaicked) | (there & gone)
    return frozenset(str(index) for index in refused), f"release {release.manifest.name}-{version}"
