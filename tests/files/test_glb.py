"""A coloured mesh as GLB: what a reader gets is what was written, in metres and in light."""

import json
import struct
from pathlib import Path

import numpy as np
import trimesh

from processing.files.glb import write_mesh_glb
from processing.geometry.mesh import Mesh

CORNERS = np.array([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0], [0.0, 20.0, 0.0], [0.0, 0.0, 30.0]])
SIDES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2]], dtype=np.int32)


def test_a_mesh_comes_back_in_metres_and_its_colours_as_light(tmp_path: Path) -> None:
    colors = np.array([[0, 0, 0], [255, 255, 255], [188, 0, 0], [0, 10, 0]], dtype=np.uint8)
    write_mesh_glb(tmp_path / "a.glb", Mesh(CORNERS, SIDES, colors=colors))
    (mesh,) = trimesh.load(tmp_path / "a.glb", process=False).geometry.values()
    np.testing.assert_allclose(np.asarray(mesh.vertices), CORNERS / 1000, atol=1e-7)
    np.testing.assert_array_equal(np.asarray(mesh.faces), SIDES)
    document, binary = parts(tmp_path / "a.glb")
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    view = document["bufferViews"][accessor["bufferView"]]
    light = np.frombuffer(binary, "<u2", accessor["count"] * 4, view["byteOffset"]).reshape(-1, 4) / 65535
    np.testing.assert_allclose(light[:, 3], 1)
    np.testing.assert_allclose(light[:2, :3], [[0, 0, 0], [1, 1, 1]])
    np.testing.assert_allclose([light[2, 0], light[3, 1]], [0.5029, 0.00304], atol=2e-4)  # sRGB's own table
    assert document["materials"][0]["doubleSided"] is True


def test_a_mesh_without_colours_has_none(tmp_path: Path) -> None:
    write_mesh_glb(tmp_path / "a.glb", Mesh(CORNERS, SIDES))
    assert set(parts(tmp_path / "a.glb")[0]["meshes"][0]["primitives"][0]["attributes"]) == {"POSITION", "NORMAL"}


def parts(path: Path) -> tuple[dict, bytes]:  # type: ignore[type-arg]
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    return json.loads(data[20 : 20 + size]), data[28 + size :]
