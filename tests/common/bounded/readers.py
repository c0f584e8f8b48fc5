"""Every reader of files from elsewhere, with small whole files to begin from: name -> (file name, files, read).

A reader is given the path of a file of that name, alone in a folder except for what the seeds' maker put beside it.
"""

import io
import json
import struct
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

PIXELS = np.random.default_rng(1).integers(0, 255, (24, 32, 3)).astype(np.uint8)
GRID = """{"0_K": [[800, 0, 16], [0, 800, 12], [0, 0, 1]], "0_Rt": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 500]],
"0_distortion": [0.1, 0, 0, 0, 0], "0_width": 32, "0_height": 24, "0_valid": true, "0_sn": "a", "0_matches": 0}"""


@dataclass(frozen=True)
class Reader:
    """files: whole ones, which must be read.  beside: more files that the reader needs, by name."""

    name: str
    files: Callable[[], list[bytes]]
    read: Callable[[Path], Any]
    beside: Callable[[], dict[str, bytes]] = dict


def _jpegs() -> list[bytes]:
    from PIL import Image

    found = []
    for more in ({}, {"progressive": True}, {"exif": _exif(), "comment": b"note"}, {"subsampling": 0, "quality": 97}):
        out = io.BytesIO()
        Image.fromarray(PIXELS).save(out, "JPEG", **more)
        found.append(out.getvalue())
    return found


def _exif() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Maker", "Body", 6
    exif.get_ifd(0x8769)[0x829A] = 0.01
    return exif.tobytes()


def _written(name: str, write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def _pictures() -> list[bytes]:
    from PIL import Image

    found = _jpegs()[:1]
    for kind, mode in (("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("TIFF", "RGB"), ("BMP", "RGB"), ("WEBP", "RGB")):
        out = io.BytesIO()
        Image.fromarray(PIXELS).convert(mode).save(out, kind)
        found.append(out.getvalue())
    return found


def _relief() -> Any:
    from processing.files.displacement_map import DisplacementMap

    rng = np.random.default_rng(2)
    return DisplacementMap(rng.uniform(-2, 2, (16, 16)).astype(np.float32), rng.random((16, 16)) > 0.3)


def _reliefs() -> list[bytes]:
    from processing.files.displacement_png import write_displacement_png

    return [_written("m.png", partial(write_displacement_png, displacement=_relief()))]


def _exrs() -> list[bytes]:
    from processing.files.displacement_exr import write_displacement_exr

    return [_written("m.exr", partial(write_displacement_exr, displacement=_relief()))]


def _appearances() -> list[bytes]:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(PIXELS).convert("RGBA").save(out, "PNG")
    return [out.getvalue()]


def _npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def _templates() -> list[bytes]:
    def save(path: Path) -> None:
        from processing.geometry.mesh import Mesh
        from processing.template.template import from_mesh
        from processing.template.template_file import write_template

        mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]), np.zeros((3, 2)), np.array([[0, 1, 2]]))
        barycentric = np.full((68, 3), 1 / 3)
        write_template(
            path, from_mesh("t", mesh, np.zeros(68, np.int32), barycentric, expressions={"smile": np.eye(3)})
        )

    return [_written("t.npz", save)]


def _face_models() -> list[bytes]:
    def save(path: Path) -> None:
        from processing.face_models.bilinear_shapes import shapes_of_slices
        from processing.face_models.face_model import Albedo, ExpressionMixture, FaceModel, ModelTopology
        from processing.face_models.model_card import ModelCard
        from processing.face_models.model_file import write_model
        from processing.geometry.mesh import Mesh
        from processing.geometry.topology import topology_id

        mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]), np.zeros((3, 2)), np.array([[0, 1, 2]]))
        one, all_ = np.array([0], np.int32), np.ones(3, np.bool_)
        topology = ModelTopology(
            "t", 1, topology_id(mesh), mesh, np.zeros(3, np.int8), np.zeros(68, np.int32), np.full((68, 3), 1 / 3),
            (one,) * 17, np.arange(3, dtype=np.int32), all_, all_,
        )  # fmt: skip
        slices = np.random.default_rng(5).standard_normal((3, 3, 3, 2)).astype(np.float32)
        shapes = shapes_of_slices(("a", "b"), slices, 0.1, np.ones(2), np.ones(2))
        mixture = ExpressionMixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
        albedo = Albedo(np.eye(2) > 0, np.zeros((2, 3), np.float32), np.ones((1, 2, 3), np.float32), np.ones(1))
        write_model(
            path, FaceModel("m", 1, topology, shapes, np.eye(3), np.ones(2), np.ones(2), mixture, albedo, ModelCard(5))
        )

    return [_written("m.npz", save)]


def _meshes(kind: str) -> list[bytes]:
    from processing.files.obj import write_obj
    from processing.files.ply import write_ply
    from processing.geometry.mesh import Mesh

    rng = np.random.default_rng(3)
    corners = np.array([[0, 1, 2], [1, 3, 2]])
    colours = rng.integers(0, 255, (4, 3)).astype(np.uint8)
    mesh = Mesh(rng.uniform(-9, 9, (4, 3)), corners, rng.random((4, 2)), corners, colours)
    if kind == "obj":
        quads = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1 4/1\nf -1 -2 -3\n"
        return [_written("m.obj", partial(write_obj, mesh=mesh)), quads]
    text = b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    text += b"element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    return [_written("m.ply", partial(write_ply, mesh=mesh)), text]


def _params() -> list[bytes]:
    found = {}
    for view in range(7):
        found |= {key.replace("0_", f"{view}_", 1): value for key, value in json.loads(GRID).items()}
    return [json.dumps(found).encode()]


def _colmap(binary: bool, name: str) -> Callable[[], bytes]:
    def made() -> bytes:
        from processing.files.colmap import write_colmap
        from processing.synthetic.studio_rig import studio_rig

        with tempfile.TemporaryDirectory() as folder:
            write_colmap(Path(folder), dict(enumerate(studio_rig(6))), binary=binary)
            return (Path(folder) / name).read_bytes()

    return made


def _landmarks() -> list[bytes]:
    points = np.random.default_rng(4).uniform(-90, 90, (68, 3)).tolist()
    ours = {"scheme": "multi-pie-68", "points_mm": points, "error_px": [0.5] * 68, "views": [3] * 68}
    menpo = {"version": 2, "groups": {"a": {"points": points, "labels": [{"label": "all", "mask": [True] * 68}]}}}
    return [json.dumps(one).encode() for one in (ours, points, menpo)]


def _rigs() -> list[bytes]:
    text = (
        'name = "a"\n[sync]\nmax_skew_ms = 4\n[[camera]]\nname = "cam-00"\nview = 0\nserial = "61"\ntier = "frontal"\n'
    )
    return [text.encode()]


def _raws() -> list[bytes]:
    entries = struct.pack("<HHI4s", 50706, 1, 4, b"\1\6\0\0") + struct.pack("<HHII", 273, 4, 1, 60)
    entries = struct.pack("<HHII", 273, 4, 1, 60) + struct.pack("<HHII", 279, 4, 1, 40) + entries[:12]
    tiff = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 3) + entries + struct.pack("<I", 0) + bytes(120)
    raf = b"FUJIFILMCCD-RAW " + bytes(12) + b"X-T5".ljust(56, b"\0")
    raf += struct.pack(">6I", 120, 10, 130, 10, 140, 20) + bytes(80)
    cr3 = struct.pack(">I4s", 24, b"ftyp") + b"crx \0\0\0\1crx isom" + struct.pack(">I4s", 16, b"moov") + bytes(8)
    return [tiff, raf, cr3 + struct.pack(">I4s", 24, b"mdat") + bytes(16)]


def _manifest(files: dict[str, bytes]) -> bytes:
    import hashlib

    entries = [{"path": p, "bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for p, d in files.items()]
    whole = {"schema_version": 2, "name": "faces", "version": 3, "consent_day": "2026-01-01", "subjects": ["S001"]}
    stone = {"code": "S002", "index": 2, "last_version": 2, "what": "everything"}
    return json.dumps(whole | {"files": entries, "tombstones": [stone], "selection_sha256": None}).encode()


def _release() -> dict[str, bytes]:
    return {"1/models_reg/1_neutral.obj": _meshes("obj")[0], "1/models_reg/1_neutral.jpg": _jpegs()[0]}


def _read_release(part: str) -> Callable[[Path], Any]:
    """The file under trial stands where the release has one of that kind."""

    def read(path: Path) -> Any:
        from processing.release.reader import ReleaseFolder, TakeEntry

        folder, take = path.parent, TakeEntry(1, 1, "neutral")
        place = {"obj": "1/models_reg/1_neutral.obj", "jpg": "1/models_reg/1_neutral.jpg"}
        place |= {"params": "img/1/1_neutral/params.json", "facts": "meta/1/1_neutral.json"}
        target = folder / place[part]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        release = ReleaseFolder(folder)
        if part == "obj":
            return release.vertices(take), release.topology(take)
        if part == "jpg":
            return release.texture(take, 16)
        if part == "params":
            (folder / "img/1/1_neutral/0.jpg").touch()
            return release.views(take)
        return release.facts(take)

    return read


def _selection() -> list[bytes]:
    """As `mien release select` writes it, and signed."""
    from processing.release.studio.selection.selection import Selection, Skipped
    from processing.release.studio.selection.selection_file import propose, write_selection
    from processing.release.studio.selection.selection_rules import Options, Quality, Split

    skipped = (Skipped("S001", "S001-1-E01-1", "its scan is poor"), Skipped("S002", "", "no consent to release"))
    file = propose(
        "faces",
        Selection(date(2026, 1, 1), (), skipped),
        quality=Quality(),
        split=Split(),
        options=Options(),
        published={},
    )
    with tempfile.TemporaryDirectory() as folder:
        write_selection(Path(folder, "s.toml"), file)
        text = Path(folder, "s.toml").read_text(encoding="utf-8")
    return [text.replace('by = ""', 'by = "A"').replace("# on =", "on =").encode()]


def _call(place: str, *arguments: Any, **more: Any) -> Callable[[Path], Any]:
    """A function by 'module:name', imported when it is first called."""

    def read(path: Path) -> Any:
        from importlib import import_module

        module, _, name = place.partition(":")
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found(path, *arguments, **more)

    return read


def _data(place: str) -> Callable[[Path], Any]:
    read = _call(place)
    return lambda path: read(path.read_bytes())  # type: ignore[arg-type]


def _folder(place: str) -> Callable[[Path], Any]:
    read = _call(place)
    return lambda path: read(path.parent)


def _calibration(path: Path) -> Any:
    from controller.rig.calibration_file import read_calibration
    from controller.rig_file import CameraEntry, Rig

    return read_calibration(path, Rig("small", (CameraEntry("cam-00", 0), CameraEntry("cam-01", 1))))


def _landmark_text(path: Path) -> Any:
    from processing.geometry.mesh import Mesh
    from processing.template.template_file import read_landmark_file

    return read_landmark_file(path, Mesh(np.zeros((100, 3)), np.array([[0, 1, 2]])))


def _looked(path: Path) -> Any:
    from controller.take_checks.check_process import look

    return look(str(path), False)


def _truth(path: Path) -> Any:
    from processing.evaluation.benchmark_files import read_truth

    return read_truth(path.with_suffix(".ply"))


def _truth_arrays() -> bytes:
    face = {"vertices_mm": np.eye(3), "topology": np.array("3-a"), "landmarks_mm": np.zeros((68, 3))}
    return _npz(**face, face=np.ones(3, bool), centre_mm=np.zeros(3), pupil_mm=np.float64(63))


def _settings(path: Path) -> Any:
    from db.settings import Settings

    return Settings.load(path.parent, None)


def _icc() -> list[bytes]:
    from PIL import ImageCms

    return [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()]


def _toml(text: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode()]


SETTINGS = 'database = "sqlite:///x.sqlite"\nstore = "store"\n'
PROTOCOL = 'name = "mine"\nversion = 1\n[[expression]]\nname = "neutral"\ninstruction = "Relax"\n'
BODIES = '[[body]]\nname = "A"\nmatch = ["Canon *"]\nfile_s = 3.0\nnotes = "x"\n'
BENCHMARK = '{"format": 1, "kind": "lab", "name": "b", "size_px": 256, "images": 1}'
IMAGES = "name,subject,pose_deg,yaw_deg,pitch_deg,focal_px,expression,bin\n00_0_00,00,0,0,0,1200,1_neutral,0\n"
BOARD = 'squares_x = 9\nsquares_y = 13\nsquare_mm = 20.0\nmarker_mm = 15.0\ndictionary = "5X5_100"\n'
NUMBERS = " ".join(map(str, range(68)))
_cameras_txt, _images_txt = _colmap(False, "cameras.txt"), _colmap(False, "images.txt")
_cameras_bin, _images_bin = _colmap(True, "cameras.bin"), _colmap(True, "images.bin")
_REC = {"manifest.json": lambda: _manifest(_release())}


def _weights() -> list[bytes]:
    from processing.learning.weights_file import LearnedCard, LearnedWeights, write_weights

    card = LearnedCard("detail", {"layers": [4]}, {}, {"name": "faces"}, ("1",), ("2",))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.safetensors"
        write_weights(path, LearnedWeights(card, {"network.a": np.eye(3, dtype=np.float32), "n": np.array(2)}))
        return [path.read_bytes()]


def _read_weights(path: Path) -> Any:
    from processing.learning.weights_file import read_weights

    return read_weights(path, "detail")


READERS = {
    "photograph": Reader("0.jpg", _jpegs, _call("controller.image_files.photograph_reader:read_photo")),
    "take-photograph": Reader("0.jpg", _jpegs, _call("processing.files.take_folder:decode_photo")),
    "look": Reader("0.jpg", _jpegs, _looked),
    "prover": Reader("0.jpg", _jpegs, _call("camera_nodes.photo_transfer.jpeg_verifier:verify_jpeg")),
    "focus": Reader("0.jpg", _jpegs, _data("controller.cameras.focus_measure:focus_measure")),
    "board-picture": Reader("0.png", _pictures, _call("processing.calibration.board_photographs:_read")),
    "picture": Reader("p.png", _pictures, _call("processing.files.image_files:read_image")),
    "appearance": Reader("a.png", _appearances, _call("processing.files.appearance_png:read_appearance")),
    "relief": Reader("m.png", _reliefs, _call("processing.files.displacement_png:read_displacement_png")),
    "relief-exr": Reader("m.exr", _exrs, _call("processing.files.displacement_exr:read_displacement_exr")),
    "template": Reader("t.npz", _templates, _call("processing.template.template_file:read_template")),
    "face-model": Reader("m.npz", _face_models, _call("processing.face_models.model_file:read_model")),
    "learned-weights": Reader("w.safetensors", _weights, _read_weights),
    "vertices": Reader(
        "v.npz", lambda: [_npz(vertices_mm=np.eye(3))], _call("processing.files.stage_files:read_vertices")
    ),
    "benchmark": Reader(
        "benchmark.json", _toml(BENCHMARK), _folder("processing.evaluation.benchmark_files:Benchmark.open"),
        lambda: {"images.csv": IMAGES.encode()},
    ),
    "benchmark-table": Reader(
        "images.csv", _toml(IMAGES), _folder("processing.evaluation.benchmark_files:Benchmark.open"),
        lambda: {"benchmark.json": BENCHMARK.encode()},
    ),
    "benchmark-face": Reader("t.npz", lambda: [_truth_arrays()], _truth, lambda: {"t.ply": _meshes("ply")[0]}),
    "obj": Reader("m.obj", lambda: _meshes("obj"), _call("processing.files.obj:read_obj")),
    "ply": Reader("m.ply", lambda: _meshes("ply"), _call("processing.files.ply:read_ply")),
    "params": Reader(
        "params.json", _params, _folder("processing.files.take_folder:read_take"),
        lambda: {f"{view}.jpg": b"\xff\xd8" for view in range(7)},
    ),
    "landmarks": Reader("l.json", _landmarks, _call("processing.landmarks.landmark_files:read_landmarks")),
    "landmark-text": Reader("l.txt", lambda: [NUMBERS.encode(), json.dumps([*range(68)]).encode()], _landmark_text),
    "board": Reader("board.toml", _toml(BOARD), _call("common.charuco.charuco_board:read_board")),
    "rig": Reader("rig.toml", _rigs, _call("controller.rig_file:read_rig")),
    "calibration-rig": Reader("rig.toml", _rigs, _call("processing.calibration.board_photographs:read_rig")),
    "protocol": Reader("p.toml", _toml(PROTOCOL), _call("db.protocols:load_protocol")),
    "settings": Reader("studio.toml", _toml(SETTINGS), _settings),
    "body-models": Reader("b.toml", _toml(BODIES), _call("camera_nodes.camera_models.models:load")),
    "selection": Reader(
        "s.toml", _selection, _call("processing.release.studio.selection.selection_file:read_selection")
    ),
    "calibration": Reader(
        "params.json", lambda: [json.dumps(json.loads(_params()[0])).encode()], _calibration
    ),
    "colmap-cameras": Reader(
        "cameras.txt", lambda: [_cameras_txt()], _folder("processing.files.colmap:read_colmap"),
        lambda: {"images.txt": _images_txt()},
    ),
    "colmap-images": Reader(
        "images.txt", lambda: [_images_txt()], _folder("processing.files.colmap:read_colmap"),
        lambda: {"cameras.txt": _cameras_txt()},
    ),
    "colmap-binary": Reader(
        "images.bin", lambda: [_images_bin()], _folder("processing.files.colmap:read_colmap"),
        lambda: {"cameras.bin": _cameras_bin()},
    ),
    "colmap-cameras-binary": Reader(
        "cameras.bin", lambda: [_cameras_bin()], _folder("processing.files.colmap:read_colmap"),
        lambda: {"images.bin": _images_bin()},
    ),
    "raw": Reader("r.dng", _raws, _call("controller.image_files.raw_file:read_raw")),
    "manifest": Reader(
        "manifest.json", lambda: [_manifest(_release())], _folder("processing.release.holder.verify:verify")
    ),
    "release-obj": Reader(
        "x", lambda: _meshes("obj")[:1], _read_release("obj"), lambda: {"manifest.json": _manifest(_release())}
    ),
    "release-texture": Reader(
        "x", _jpegs, _read_release("jpg"), lambda: {"manifest.json": _manifest(_release())}
    ),
    "release-params": Reader(
        "x", lambda: [GRID.encode()], _read_release("params"), lambda: {"manifest.json": _manifest(_release())}
    ),
    "release-facts": Reader(
        "x", lambda: [b'{"frames": {"tu_to_template": {"scale": 1}}}'], _read_release("facts"),
        lambda: {"manifest.json": _manifest(_release())},
    ),
    "leaving-jpeg": Reader("0.jpg", _jpegs, _data("processing.release.formats.assets.jpeg_strip:strip_jpeg")),
    "colour-profile": Reader("p.icc", _icc, _data("processing.release.formats.assets.icc_profile:clean_profile")),
}  # fmt: skip
