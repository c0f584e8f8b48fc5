"""Licence and credits go with every model; COLMAP's models project where the photographs say; colours and scans keep
what they carry."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from processing.files.camera_models import camera_from_params
from processing.files.colmap import read_colmap
from processing.files.ply import read_ply, write_ply
from processing.geometry.mesh import Mesh
from processing.release.formats.assets.colour_profiles import ADOBE_RGB, NOT_STATED, SRGB, stated_profile, with_profile
from processing.release.formats.assets.ply_vertices import recolour_ply, vertex_properties
from processing.release.formats.errors import ReleaseError
from processing.release.holder.export_formats import EXPORT_FORMATS
from processing.release.holder.release_export import export_release


def test_a_glb_says_whose_it_is_and_under_which_terms(synthetic: Any, tmp_path: Path) -> None:
    (path,) = export_release(synthetic.folder, tmp_path, "gltf", subjects=[1])
    data = path.read_bytes()
    length = struct.unpack("<I", data[12:16])[0]
    document = json.loads(data[20 : 20 + length])
    said = json.loads((synthetic.folder / "croissant.json").read_text())
    assert said["license"] in document["asset"]["copyright"]
    assert document["asset"]["extras"]["licence_text"] == (synthetic.folder / "LICENCE.txt").read_text().strip()
    (packet,) = document["extensions"]["KHR_xmp_json_ld"]["packets"]
    assert packet["dc:rights"]["rdf:_1"]["@value"] == said["license"]
    assert document["asset"]["extensions"]["KHR_xmp_json_ld"]["packet"] == 0
    assert (tmp_path / "LICENCE.txt").read_text() == (synthetic.folder / "LICENCE.txt").read_text()
    assert said["citeAs"] in (tmp_path / "CREDITS.txt").read_text()


def test_usd_says_it_too(synthetic: Any, tmp_path: Path) -> None:
    usd = pytest.importorskip("pxr.Usd")
    (path,) = export_release(synthetic.folder, tmp_path, "usd", subjects=[1])
    stage = usd.Stage.Open(str(path))
    said = json.loads((synthetic.folder / "croissant.json").read_text())
    assert stage.GetRootLayer().customLayerData["licence"] == said["license"]
    assert stage.GetDefaultPrim().GetAssetInfoByKey("citation") == said["citeAs"]


def test_without_its_licence_nothing_is_exported(synthetic: Any, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(synthetic.folder, copy)
    (copy / "LICENCE.txt").unlink()
    for form in EXPORT_FORMATS:
        with pytest.raises(ReleaseError, match="licence"):
            export_release(copy, tmp_path / "out", form.name)


def test_colmap_models_see_what_the_release_sees(synthetic: Any, tmp_path: Path) -> None:
    folders = export_release(synthetic.folder, tmp_path, "colmap", subjects=[1])
    said = json.loads((synthetic.folder / "croissant.json").read_text())
    for folder in folders:
        label = folder.name
        params = json.loads((synthetic.folder / f"img/1/{label}/params.json").read_text())
        cameras, _ = read_colmap(folder / "sparse/0")
        scan = read_ply(synthetic.folder / f"mesh/1/{label}.ply").vertices_mm[::500]
        for view, camera in cameras.items():
            wanted = camera_from_params(params, view).project(scan)
            assert np.abs(camera.project(scan) - wanted).max() < 1e-3
            assert (folder / f"images/{view}.jpg").is_file()
        rows = [line.split() for line in (folder / "sparse/0/points3D.txt").read_text().splitlines() if line[0] != "#"]
        assert len(rows) > 1000
        for name in ("cameras.txt", "images.txt", "points3D.txt"):
            assert said["license"] in (folder / "sparse/0" / name).read_text().splitlines()[0]
    with pytest.raises(ReleaseError, match="no subject 99"):
        export_release(synthetic.folder, tmp_path / "other", "colmap", subjects=[99])


def test_a_recoloured_scan_keeps_its_confidence(tmp_path: Path) -> None:
    path = tmp_path / "scan.ply"
    rng = np.random.default_rng(1)
    vertices, count = rng.normal(size=(9, 3)).astype("<f4"), 9
    record = np.zeros(count, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("confidence", "<f4"), ("red", "u1"),
                              ("green", "u1"), ("blue", "u1")])  # fmt: skip
    for k, name in enumerate("xyz"):
        record[name] = vertices[:, k]
    record["confidence"] = rng.uniform(size=count)
    names = ["float x", "float y", "float z", "float confidence", "uchar red", "uchar green", "uchar blue"]
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {count}", *(f"property {n}" for n in names),
            "element face 1", "property list uchar int vertex_indices", "end_header\n"]  # fmt: skip
    path.write_bytes("\n".join(head).encode() + record.tobytes() + b"\x03" + np.array([0, 1, 2], "<i4").tobytes())
    colours = rng.integers(0, 256, (count, 3), dtype=np.uint8)
    recolour_ply(path, colours)
    found = read_ply(path)
    assert found.colors is not None
    assert (found.colors == colours).all()
    assert "confidence" in vertex_properties(path)
    assert record["confidence"].tobytes() in _columns(path, record.dtype, count)
    with pytest.raises(ReleaseError, match="9 vertices"):
        recolour_ply(path, colours[:5])


def _columns(path: Path, kind: Any, count: int) -> bytes:
    data = path.read_bytes()
    start = data.index(b"end_header\n") + len(b"end_header\n")
    return np.frombuffer(data, kind, count, start)["confidence"].tobytes()


def test_our_own_scans_can_be_recoloured(tmp_path: Path) -> None:
    confidence = np.array([0, 0.5, 1], np.float32)
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]), colors=np.zeros((3, 3), np.uint8), confidence=confidence)
    write_ply(tmp_path / "scan.ply", mesh)
    recolour_ply(tmp_path / "scan.ply", np.full((3, 3), 7, np.uint8))
    again = read_ply(tmp_path / "scan.ply")
    assert again.colors is not None
    assert (again.colors == 7).all()
    assert np.array_equal(again.confidence, confidence)


def _jpeg(**written: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (120, 60, 30)).save(out, "JPEG", **written)
    return out.getvalue()


def test_what_a_camera_says_of_its_colours_is_stated() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert stated_profile(_jpeg()) == NOT_STATED
    assert "sRGB" in stated_profile(_jpeg(icc_profile=icc))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 1
    assert stated_profile(_jpeg(exif=exif)) == SRGB
    adobe = Image.Exif()
    adobe.get_ifd(0x8769)[0xA001] = 0xFFFF
    adobe.get_ifd(0x8769)[0xA005] = {1: "R03"}
    assert stated_profile(_jpeg(exif=adobe)) == ADOBE_RGB
    assert stated_profile(b"no picture") == NOT_STATED


def test_a_picture_encoded_anew_keeps_its_profile() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    again = with_profile(_jpeg(), _jpeg(icc_profile=icc))
    with Image.open(io.BytesIO(again)) as picture:
        assert picture.info["icc_profile"] == icc
        picture.load()
    assert with_profile(_jpeg(), _jpeg()) == _jpeg()
