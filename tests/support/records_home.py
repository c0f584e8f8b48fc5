"""A studio whose records hold something of everything that the page shows of them: made by hand, in a second.

Its takes, runs and artefacts are rows and files as studio and farm leave them; the files are small, and real.
"""

import dataclasses
import hashlib
import io
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from patience import until
from PIL import Image
from sqlalchemy.orm import Session

from controller.api.app import make_console, write_address
from controller.api.server import ConsoleServer
from controller.rig_file import CameraEntry, Rig, format_rig
from controller.studio import Studio
from controller.studio_settings import load_settings
from db import captures
from db.engine import transaction
from db.models import CaptureSession, ConsentScope, RunVerdict, Subject, Take
from db.protocols import FACESCAPE, ProtocolData, install_protocol
from db.rigs import rig_records
from db.stage_runs import job_queue
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.job_queue import InputFile, InputMade, JobSpec
from db.stage_runs.run_reviews import save_run_review
from db.store import Store
from db.subjects import add_subject, give_consent
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.files.ply import write_ply
from processing.geometry.mesh import Mesh

EXPRESSIONS = ("neutral", "smile", "mouth_stretch")
REASONS = {"accept": [], "review": ["holes: 2.1 cm2 under the chin"], "redo": ["7 of 12 cameras have moved"]}
STAGES = ("reconstruct", "landmarks", "register", "texture", "bake", "preview")
# Of a page: every window of 3-D shows what its button says.
DRAWN_3D = (
    "() => Number(document.querySelector('.three-screen canvas').dataset.drawn ?? 0) > 0"
    " && [...document.querySelectorAll('.pane-head')].every((head) => head.dataset.drawn === '"
    "' + document.querySelector('.looks [aria-pressed=true]').dataset.look)"
)
RIG = Rig("records-rig", tuple(CameraEntry(f"cam-{view:02d}", view, tier="frontal") for view in range(2)))


def make_home(folder: Path) -> Path:
    """A home with a rig of two cameras, neither of which is there."""
    folder.mkdir(mode=0o700)
    (folder / "rig.toml").write_text(format_rig(RIG))
    return folder


@contextmanager
def opened(home: Path) -> Iterator[Studio]:
    """A studio in that home, on any free ports."""
    anywhere = "tcp://127.0.0.1:*"
    with Studio(dataclasses.replace(load_settings(home), control=anywhere, bulk=anywhere)) as studio:
        yield studio


@contextmanager
def served(studio: Studio, home: Path) -> Iterator[str]:
    """The studio's console on a socket of its own; its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = make_console(studio, write_address(home, port))
    server = ConsoleServer(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


def token(home: Path) -> dict[str, str]:
    """The header that commands show."""
    return {"Authorization": f"Bearer {json.loads((home / 'console.json').read_text())['token']}"}


class RecordsWriter:
    """Rows and files of one studio.

    files: of stages by 'stage.output', and the template; an egg's by default, with pictures of its own for each take.
    photographs: by view; invented ones by default.
    """

    def __init__(
        self, studio: Studio, files: Mapping[str, OutputFile] | None = None, photographs: Sequence[bytes] = ()
    ) -> None:
        self.studio = studio
        self.engine, self.store = studio.engine, studio.store
        self.own_pictures = files is None
        self.files = made_files(self.store) if files is None else files
        self.photographs = photographs
        with transaction(self.engine) as tx:
            chosen = tuple(line for line in FACESCAPE.expressions if line[0] in EXPRESSIONS)
            install_protocol(tx, ProtocolData("short", 1, chosen))

    def subject(self, *scopes: ConsentScope, age: int | None = 30) -> str:
        """A new subject's code; its research release by default."""
        with transaction(self.engine) as tx:
            subject = add_subject(tx, age=age)
            for scope in scopes or (ConsentScope.RESEARCH_RELEASE,):
                form = hashlib.sha256(f"{subject.code}".encode()).hexdigest()
                give_consent(tx, subject, scope, date(2026, 1, 2), document_sha256=form, form_version="2026-01")
            return subject.code

    def session(self, subject: str, accepted: int = 3, undecided: int = 0, close: bool = True) -> str:
        """A session's code: so many expressions accepted, the next ones whole and undecided."""
        session = self.studio.records.start_session(subject, "short", None)  # nobody will look at its takes
        with transaction(self.engine) as tx:
            row = captures.get_session(tx, session)
            for position in range(1, accepted + undecided + 1):
                take = self._whole(tx, row, position)
                if position <= accepted:
                    captures.accept_take(tx, take)
        if close:
            self.studio.close(session, incomplete=True, keep_all=True)
        else:
            self.studio.pause_session(session)
        return session

    def _whole(self, tx: Session, session: CaptureSession, position: int) -> Take:
        take = captures.plan_take(tx, session, position)
        captures.fire_take(tx, take)
        rig = rig_records.get_rig(tx, self.studio.rig.name)
        frames = []
        for view, camera in enumerate(rig.cameras):
            data = self.photographs[view] if self.photographs else photograph(f"{take.code} {camera.name}")
            sha256 = self.store.put_bytes(data)
            frames.append(captures.FrameData(camera.id, sha256, len(data), width=96, height=128))
        captures.add_frames(tx, take, frames)
        captures.capture_take(tx, take)
        return take

    def processed(self, take: str, stages: tuple[str, ...] = STAGES, verdict: str = "accept") -> None:
        """Done runs of a take, with their files."""
        for stage in stages:
            self._run(take, stage, verdict)

    def rig(self, session: str, takes: Sequence[str], verdict: str = "accept", made: OutputFile | None = None) -> str:
        """A subject's rig of these takes, as the farm leaves it: the hash of its picture. made: its file."""
        with transaction(self.engine) as tx:
            rows = [captures.get_take(tx, take) for take in takes]
            subject = rows[0].session.subject_id
            meshes = [
                InputMade(
                    "meshes", hashlib.sha256(f"register {row.code}".encode()).hexdigest(), "mesh", row.expression.label
                )
                for row in rows
            ]
            inputs = [InputFile("template", self.files["template"].sha256), *meshes]
            key = hashlib.sha256(f"blendshapes {session}".encode()).hexdigest()
            job_queue.enqueue(tx, JobSpec(key, "blendshapes", 1, {}, inputs, subject, priority=1, subjects=[subject]))
            lease = job_queue.claim(tx, "farm-1", stages=["blendshapes"])
            assert lease is not None
            data = picture(f"rig {session}")
            sheet = OutputFile("quality", self.store.put_bytes(data), len(data), "image/png")
            job_queue.finish(tx, lease, [sheet, *([made] if made is not None else [])])
            save_run_review(tx, lease.job_id, RunVerdict(verdict), REASONS[verdict], {}, sheet.sha256)
        return sheet.sha256

    def failed(self, take: str, stage: str, why: str) -> str:
        """A run that has failed for good; its key."""
        key = self._enqueue(take, stage, priority=2)
        with transaction(self.engine) as tx:
            lease = job_queue.claim(tx, "farm-1", stages=[stage])
            assert lease is not None
            assert lease.key == key
            job_queue.fail(tx, lease, f"Traceback (most recent call last):\n  ...\n{why}", retry=False)
        runs = Path(self.store.root) / "runs"
        runs.mkdir(exist_ok=True)
        (runs / f"{key}.log").write_text(f"2026-11-28 02:14:05 {stage} of {take}\n2026-11-28 02:14:09 {why}\n")
        return key

    def waiting(self, take: str, stage: str) -> str:
        """A run that waits; its key."""
        return self._enqueue(take, stage, job_queue.PRIORITY)

    def _enqueue(self, take: str, stage: str, priority: int = 1) -> str:
        with transaction(self.engine) as tx:
            row = captures.get_take(tx, take)
            key = hashlib.sha256(f"{stage} {take}".encode()).hexdigest()
            inputs = [InputFile("template", self.files["template"].sha256)] if stage == "register" else []
            subject = tx.get_one(Subject, row.session.subject_id)
            assert job_queue.enqueue(tx, JobSpec(key, stage, 1, {}, inputs, subject.id, row.id, priority))
        return key

    def _run(self, take: str, stage: str, verdict: str) -> None:
        key = self._enqueue(take, stage)
        with transaction(self.engine) as tx:
            lease = job_queue.claim(tx, "farm-1", stages=[stage])
            assert lease is not None
            assert lease.key == key
            outputs = [
                dataclasses.replace(file, output=name.partition(".")[2], sha256=sha256, bytes=size)
                for name, file in self.files.items()
                if name.startswith(f"{stage}.")
                for sha256, size in [self._own(take, name, file)]
            ]
            job_queue.finish(tx, lease, outputs)
            if stage in ("reconstruct", "register"):
                picture = next(o.sha256 for o in outputs if o.output == "quality")
                said = verdict if stage == "reconstruct" else "accept"
                save_run_review(tx, lease.job_id, RunVerdict(said), REASONS[said], {}, picture)

    def _own(self, take: str, name: str, file: OutputFile) -> tuple[str, int]:
        """A picture of its own for each take: what is shown of one is not another's. Models may be shared."""
        if not self.own_pictures or file.media != "image/png" or name == "bake.displacement":
            return file.sha256, file.bytes
        data = picture(f"{take} {name}")
        return self.store.put_bytes(data), len(data)


def photograph(seed: str) -> bytes:
    """A small JPEG, another for each seed."""
    return _drawn(seed, (96, 128), "JPEG")


def picture(seed: str) -> bytes:
    """A small PNG, another for each seed."""
    return _drawn(seed, (160, 120), "PNG")


def _drawn(seed: str, size: tuple[int, int], kind: str) -> bytes:
    tint = hashlib.sha256(seed.encode()).digest()
    stream = io.BytesIO()
    bands = [Image.linear_gradient("L").resize(size).point(lambda v, k=k: (v + tint[k]) % 256) for k in range(3)]
    Image.merge("RGB", bands).save(stream, kind)
    return stream.getvalue()


def made_files(store: Store) -> Mapping[str, OutputFile]:
    """Files of stages by 'stage.output', and the template: an egg of 90 mm, its scan half a millimetre outside."""
    folder = Path(store.root).parent / "made"
    folder.mkdir(exist_ok=True)
    vertices, triangles, uvs = _egg(36, 24, 90.0)
    np.savez_compressed(
        folder / "template.npz", head=np.array("{}"), vertices_mm=vertices.astype(np.float32), triangles=triangles,
        parts=np.zeros(len(vertices), np.int8), uvs=uvs, uv_triangles=triangles,
    )  # fmt: skip
    np.savez(folder / "mesh.npz", vertices_mm=vertices)
    outside, faces, _ = _egg(120, 80, 90.2)
    colours = np.full((len(outside), 3), (200, 150, 130), np.uint8)
    write_ply(folder / "scan.ply", Mesh(outside, faces, colors=colours))
    ripple = 0.1 * np.sin(np.linspace(0, 40, 64, dtype=np.float32))
    heights = np.tile(ripple, (64, 1)).astype(np.float32)
    write_displacement_png(folder / "displacement.png", DisplacementMap(heights, np.ones((64, 64), np.bool_)))
    (folder / "texture.jpg").write_bytes(photograph("texture"))
    (folder / "picture.png").write_bytes(picture("picture"))
    wanted = {
        "template": ("template.npz", "application/x-npz"), "reconstruct.scan": ("scan.ply", "model/ply"),
        "reconstruct.quality": ("picture.png", "image/png"), "register.mesh": ("mesh.npz", "application/x-npz"),
        "register.quality": ("picture.png", "image/png"), "texture.texture": ("texture.jpg", "image/jpeg"),
        "bake.displacement": ("displacement.png", "image/png"),
        **{f"preview.{name}": ("picture.png", "image/png") for name in ("scan", "mesh", "textured", "heat")},
    }  # fmt: skip
    return {
        name: OutputFile(name, store.put_file(folder / file), (folder / file).stat().st_size, media)
        for name, (file, media) in wanted.items()
    }


def _egg(around: int, up: int, radius: float) -> tuple[Any, Any, Any]:
    """(V, 3) mm, (T, 3), (V, 2): facing z, a little longer along y."""
    u, v = np.meshgrid(np.linspace(0, 1, around + 1), np.linspace(0.02, 0.98, up + 1))
    turn, rise = 2 * np.pi * (u.ravel() - 0.5), np.pi * (v.ravel() - 0.5)
    vertices = radius * np.stack([np.sin(turn) * np.cos(rise), 1.3 * np.sin(rise), np.cos(turn) * np.cos(rise)], axis=1)
    first = (np.arange(up)[:, None] * (around + 1) + np.arange(around)).ravel()
    above = first + around + 1
    triangles = np.concatenate(
        [np.stack([first, first + 1, above], axis=1), np.stack([first + 1, above + 1, above], axis=1)]
    ).astype(np.int32)
    return vertices, triangles, np.stack([u.ravel(), v.ravel()], axis=1)
