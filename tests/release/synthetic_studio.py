"""A studio with a synthetic subject before a small simulated rig, its farm finished: the truth goes to the store.

What the stages would have found is known here, so nothing is reconstructed: scan and registered mesh are the subject's
true surface, photographs are rendered at postage-stamp size.
"""

import json
import sys
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from db.engine import open_database, transaction
from db.migrations import upgrade
from db.models import ConsentScope, Gender, Take
from db.settings import Settings
from db.store import Store
from db.studio import StudioRecords
from processing.files.camera_models import params_from_cameras
from processing.files.displacement_exr import write_displacement_exr
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.files.ply import write_ply
from processing.files.stage_files import write_vertices
from processing.geometry.cameras import Camera
from processing.synthetic.studio_rig import studio_rig
from processing.synthetic.subject import PosedHead, synthetic_subject
from processing.template.builtin_template import default_template
from processing.template.template_file import write_template
from processing.texture.texture_projection import project_texture

WIDTH, HEIGHT, TEXTURE_PX = 160, 240, 256


def synthetic_studio(base: type, folder: Path, *, views: int = 8, seed: int = 3) -> Any:
    """A finished studio of kind `base` (tests/release/conftest.py) under `folder`, empty so far."""
    settings = Settings(folder / "home", f"sqlite:///{folder / 'studio.sqlite'}", str(folder / "home" / "store"))
    settings.make_home()
    (folder / "work").mkdir()
    engine = open_database(settings.database)
    upgrade(engine)
    rows = sys.modules["mien_tests_db_fixtures"].StudioRows()  # type: ignore[attr-defined]

    class SyntheticStudio(base):  # type: ignore[misc, valid-type]
        views: int

        def __post_init__(self) -> None:
            write_template(self.folder / "template.npz", default_template())
            self.template = self.records.store.put_file(self.folder / "template.npz")
            self.mesh = default_template().mesh
            self.person = synthetic_subject(seed, vertices=20_000)
            self.cameras: list[Camera] = studio_rig(self.views, WIDTH, HEIGHT)
            self.posed: PosedHead | None = None

        def person_is(self, seed: int) -> None:
            """Another subject sits down."""
            self.person = synthetic_subject(seed, vertices=20_000)
            self.__dict__.pop("texture", None)

        def calibration(self) -> dict[str, Any]:
            serials = [f"SN{view:03d}" for view in range(self.views)]
            return {**params_from_cameras(self.cameras, serials), "calibration": {"frame": "rig", "board": "9x6"}}

        def photographs(self, _session: str, expression: str) -> list[tuple[str, int]]:
            self.posed = self.person.pose(expression)
            filed = []
            for view, camera in enumerate(self.cameras):
                rng = np.random.default_rng([self.person.seed, view])
                path = self.folder / "photo.jpg"
                picture = Image.fromarray(self.posed.scene.photograph(camera, rng=rng)[:, :, ::-1])
                exif = Image.Exif()
                exif[0x013B] = "Planted Name"  # Artist
                picture.save(path, quality=93, exif=exif, comment=b"Planted Name")
                filed.append((self.records.store.put_file(path), path.stat().st_size))
            return filed

        @cached_property
        def texture(self) -> Any:
            posed = self.person.pose("neutral")
            images = [posed.scene.photograph(camera) for camera in self.cameras]
            mesh = self.mesh.with_vertices(posed.tu_vertices_mm)
            return project_texture(mesh, images, self.cameras, size_px=TEXTURE_PX).image

        def also(self, stage: str, _take: Take) -> dict[str, Path]:
            written = {
                "reconstruct": {
                    "cameras": params_from_cameras(self.cameras),
                    "report": {"report": {"views": self.views}},
                },
                "register": {"report": {"report": {"surface_mm": 0.21, "matched": 0.93, "landmark_mm": 0.8}}},
            }.get(stage, {})
            for name, value in written.items():
                (self.folder / f"{name}.json").write_text(json.dumps(value))
            made = {name: self.folder / f"{name}.json" for name in written}
            return made | ({"exr": self.folder / "displacement.exr"} if stage == "bake" else {})

        def _make(self, output: str, text: str) -> Path:
            assert self.posed is not None
            if output == "scan":
                write_ply(self.folder / "scan.ply", self.posed.mesh)
                return self.folder / "scan.ply"
            if output == "mesh":
                write_vertices(self.folder / "mesh.npz", self.posed.tu_vertices_mm)
                return self.folder / "mesh.npz"
            if output == "texture":
                cv2.imwrite(str(self.folder / "texture.jpg"), self.texture)
                return self.folder / "texture.jpg"
            rng = np.random.default_rng(len(text) + self.posed.subject.seed)
            height = cv2.GaussianBlur(rng.normal(0, 1.0, (64, 64)).astype(np.float32), (0, 0), 3)
            relief = DisplacementMap(np.asarray(height, np.float32), np.ones((64, 64), np.bool_))
            write_displacement_png(self.folder / "displacement.png", relief)
            write_displacement_exr(self.folder / "displacement.exr", relief)
            return self.folder / "displacement.png"

    records = StudioRecords(settings, engine, Store(settings.store))
    return SyntheticStudio(records, rows, folder / "work", views=views)


def capture(studio: Any, *scopes: ConsentScope, expressions: tuple[str, ...], age: int, gender: Gender) -> str:
    """The person in the chair performs expressions; the subject's code."""
    with transaction(studio.records.engine) as tx:
        subject = studio.rows.subject(tx, *scopes, given_on=date(2026, 1, 2))
        subject.age, subject.gender = age, gender
        studio.session(tx, subject, expressions)
    return str(subject.code)
