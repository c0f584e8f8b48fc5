"""Hours in the studio in one command: takes fired one after the other while parts are killed, stopped and locked.

    python tests/system/soak.py --cameras 68 --takes 500 --seed 1 --json

A real `mien studio serve`, a process a camera, an operator who fires, accepts and takes again. Every photograph that
a shutter takes is unlike any other and says which fire it belongs to, and every camera writes down what it exposed. In
the end each exposure must be filed under its own take, or its take must be a failure that names the camera. Exit code 4
and a list when one is not. The last line is one JSON object.
"""

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from camera_nodes.agent import run
from camera_nodes.agent_settings import AgentSettings
from camera_nodes.sim_camera import SimCamera
from camera_nodes.transport import AllowList, ensure_keys
from controller.client import StudioClient
from controller.errors import ControllerError, StudioUnreachable
from controller.rig_file import CameraEntry, Rig, SyncLimits, TransferLimits, format_rig
from db.engine import open_database, transaction, utc_now
from db.models import ConsentScope
from db.subjects import add_subject, give_consent

DEADLOCK_S = 240.0
UNFIRED = ("not fired", "before the fire")
_SHARE = {  # of takes in which some camera does this
    "drop": 0.05, "truncate": 0.05, "busy": 0.04, "late": 0.05, "tardy": 0.05, "unheard": 0.05, "twice": 0.1,
    "second_slot": 0.1, "cut": 0.1, "by_hand": 0.1,
}  # fmt: skip
_FAULTS = ("kill node", "stop node", "kill controller", "lock database", "spurious frame")

_picture = io.BytesIO()
Image.linear_gradient("L").resize((48, 32)).save(_picture, "JPEG")
PICTURE = _picture.getvalue()


def photograph(fire: int, view: int) -> bytes:
    """A JPEG with a comment that says what it shows, before anything else in it."""
    text = f"fire {fire:06d} view {view:03d}".encode()
    return PICTURE[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + PICTURE[2:]


def digest(fire: int, view: int) -> str:
    return hashlib.sha256(photograph(fire, view)).hexdigest()


def node(settings: AgentSettings, ledger: str) -> None:
    """A camera's process, which writes down each exposure before anybody else knows of it."""
    sys.stderr = open(f"{ledger}.log", "a")  # noqa: PTH123, SIM115
    expose = SimCamera.expose

    def noted(camera: SimCamera, at_ns: int) -> Any:
        done = expose(camera, at_ns)
        made = next((one for one in camera._card if one.exposure == camera._exposures and one.source is not None), None)
        if made is not None and made.source is not None:  # the open file of what it saw
            shown = os.pread(made.source, 40, 6)
            file = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(file, shown.split(b"fire ")[1][:6] + b"\n")
            os.close(file)
        return done

    SimCamera.expose = noted  # type: ignore[method-assign]
    run(settings)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Soak:
    """The studio's server, its nodes, the operator and the gremlin."""

    def __init__(self, folder: Path, cameras: int, seed: int, share: float) -> None:
        self.folder, self.home, self.share = folder, folder / "home", share
        self.draw = random.Random(seed)
        self.cameras = [f"cam-{view:02d}" for view in range(cameras)]
        self.injected: Counter[str] = Counter()
        self.takes: dict[int, str] = {}  # fire -> take
        self.nodes: dict[str, Any] = {}
        self.lock = threading.Lock()
        self.server: subprocess.Popen[bytes] | None = None
        self.control, self.bulk, self.port = free_ports(3)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["camera_nodes.agent", "camera_nodes.sim_camera", "PIL.Image"])
        self.database = self.home / "studio.sqlite"

    # --- parts

    def start(self) -> None:
        self.home.mkdir(parents=True)
        sync = SyncLimits(
            max_clock_uncertainty_ms=20.0, arm_timeout_ms=5000.0, stamps_timeout_ms=5000.0, silence_s=10.0
        )
        entries = tuple(CameraEntry(name, view) for view, name in enumerate(self.cameras))
        rig = Rig("soak", entries, sync=sync, transfer=TransferLimits(frame_timeout_s=10.0))
        (self.home / "rig.toml").write_text(format_rig(rig))
        (self.home / "studio.toml").write_text(
            f'[studio]\ncontrol = "tcp://127.0.0.1:{self.control}"\nbulk = "tcp://127.0.0.1:{self.bulk}"\n'
            f"console_port = {self.port}\n"
        )
        self.show(0)
        self.start_server()
        self.public = (self.home / "keys" / "controller.pub").read_text().strip()
        for camera in self.cameras:
            self.start_node(camera)
        self.until(self.ready, "the cameras are not ready")

    def start_server(self) -> None:
        environment = os.environ | {"MIEN_HOME": str(self.home)}
        with (self.folder / "studio.log").open("ab") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-c", "import mien; mien.main()", "studio", "serve", "--home", str(self.home)],
                stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        self.until(self.serving, "the studio does not come up")

    def serving(self) -> bool:
        try:
            StudioClient(self.home).get("/api/rig")
        except ControllerError:
            assert self.server is not None
            if self.server.poll() is not None:
                raise RuntimeError(f"the studio ended with {self.server.returncode}: see its log") from None
            return False
        return True

    def ready(self) -> bool:
        return all(camera["ready"] for camera in StudioClient(self.home).get("/api/rig")["cameras"])

    def start_node(self, camera: str) -> None:
        view = self.cameras.index(camera)
        share = {name: value / len(self.cameras) for name, value in _SHARE.items()}
        given = {"view": view, "seed": self.draw.randrange(10**9), "lag_ms": 20, "photos": self.folder / "now"} | share
        keys = self.folder / "keys"
        AllowList(self.home / "keys").add(camera, ensure_keys(keys, camera).public)
        settings = AgentSettings(
            camera=camera, url="sim:" + "&".join(f"{name}={value}" for name, value in given.items()),
            control=f"tcp://127.0.0.1:{self.control}", bulk=f"tcp://127.0.0.1:{self.bulk}", keys=keys,
            spool=self.folder / "spool" / camera, controller_key=self.public, lag_ms=20.0, min_free_mb=1,
            max_late_ms=1000.0,
        )  # fmt: skip
        process = self.context.Process(target=node, args=(settings, str(self.ledger(camera))), daemon=True)
        process.start()
        self.nodes[camera] = process

    def ledger(self, camera: str) -> Path:
        return self.folder / f"{camera}.exposed"

    def show(self, fire: int) -> None:
        """The next face: a folder of photographs that the cameras look at, swapped in at once."""
        scene = self.folder / f"scene-{fire % 3}"
        scene.mkdir(exist_ok=True)
        for view in range(len(self.cameras)):
            (scene / f"{view}.new").write_bytes(photograph(fire, view))
            (scene / f"{view}.new").replace(scene / f"{view}.jpg")
        link = self.folder / "new"
        link.symlink_to(scene.name)
        link.replace(self.folder / "now")

    def until(self, condition: Callable[[], object], complaint: str) -> None:
        end = time.monotonic() + DEADLOCK_S
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"{complaint}, after {DEADLOCK_S:g} s: see {self.folder}")
            time.sleep(0.1)

    def rows(self, query: str, *values: object) -> list[Any]:
        base = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=60)
        try:
            return base.execute(query, values).fetchall()
        finally:
            base.close()

    # --- the gremlin

    def harm(self) -> None:
        """One fault, some time after the fire was asked for; what was broken is made good again."""
        kind = self.draw.choice(_FAULTS)
        self.injected[kind] += 1
        camera = self.draw.choice(self.cameras)
        time.sleep(self.draw.uniform(0.0, 1.5))
        pause = self.draw.uniform(0.3, 2.5)
        if kind == "kill controller":
            assert self.server is not None
            self.server.kill()
            self.server.wait()
            time.sleep(pause)
            self.start_server()
        elif kind == "lock database":
            base = sqlite3.connect(self.database, timeout=60, isolation_level=None)
            base.execute("BEGIN EXCLUSIVE")
            time.sleep(pause)
            base.execute("ROLLBACK")
            base.close()
        elif kind == "stop node":
            os.kill(self.nodes[camera].pid, signal.SIGSTOP)
            time.sleep(pause)
            os.kill(self.nodes[camera].pid, signal.SIGCONT)
        else:
            self.nodes[camera].kill()
            self.nodes[camera].join()
            if kind == "spurious frame":
                self.plant(camera)
            time.sleep(pause)
            self.start_node(camera)

    def plant(self, camera: str) -> None:
        """A photograph that nobody asked for, and one of an old take once more, in the node's spool."""
        view = self.cameras.index(camera)
        old = [(fire, take) for fire, take in self.takes.items() if take]
        plans = [(f"stray{self.injected.total()}", "S999-1-E01-1", b"stray" + photograph(0, view))]
        if old:
            fire, take = self.draw.choice(old)
            plans.append((f"again{self.injected.total()}", take, photograph(fire, view)))
            plans.append((f"other{self.injected.total()}", take, photograph(fire, view) + b"not the same"))
        for name, take, data in plans:
            entry = self.folder / "spool" / camera / name
            entry.mkdir(parents=True)
            (entry / "photo").write_bytes(data)
            description = {
                "entry": name, "fire_id": f"{take}.planted", "take_id": take, "camera": camera, "name": "DSC_0099.JPG",
                "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data),
            }  # fmt: skip
            (entry / "entry.json").write_text(json.dumps(description))

    # --- the operator

    def operate(self, takes: int, until: float, progress: Callable[[str], None]) -> None:
        fire, session = 0, ""
        while len(self.takes) < takes and time.monotonic() < until:
            if not session:
                session = self.begin_session()
            fire += 1
            self.show(fire)
            gremlin = threading.Thread(target=self.harm) if self.draw.random() < self.share else None
            if gremlin is not None:
                gremlin.start()
            take = self.fire_one(session)
            if gremlin is not None:
                gremlin.join()
            self.takes[fire] = take
            self.until(lambda take=take: self.state(take) not in ("planned", "fired"), f"{take} is never settled")
            if self.state(take) == "captured":
                self.insist("accept", session, expression=take)
            if all(state == "accepted" for state in self.standing(session).values()):
                self.insist("close", session)
                session = ""
            if len(self.takes) % 10 == 0:
                progress(f"{len(self.takes)} takes; {dict(self.injected)}")

    def begin_session(self) -> str:
        self.until(self.serving, "the studio is away")
        engine = open_database(f"sqlite:///{self.database}")
        with transaction(engine) as tx:
            who = add_subject(tx)
            give_consent(tx, who, ConsentScope.RESEARCH_RELEASE, utc_now().date())
            subject = who.code
        engine.dispose()
        return str(
            StudioClient(self.home).post("/api/sessions", subject=subject, without=["calibration", "lags"])["session"]
        )

    def standing(self, session: str) -> dict[int, str]:
        """State of each expression's latest take."""
        found = dict.fromkeys(range(1, 21), "")
        query = """select e.position, t.state from take t join session s on s.id = t.session_id
                   join protocol_expression e on e.id = t.expression_id where s.code = ? order by t.attempt"""
        return found | {position: state for position, state in self.rows(query, session) if state != "superseded"}

    def state(self, take: str) -> str:
        return str(self.rows("select state from take where code = ?", take)[0][0])

    def fire_one(self, session: str) -> str:
        """Fire what comes next until there is a new take, as an operator does who is told why there is none."""
        known = {row[0] for row in self.rows("select code from take")}
        end = time.monotonic() + DEADLOCK_S
        problem: object = ""
        while time.monotonic() < end:
            position, state = next((p, s) for p, s in self.standing(session).items() if s != "accepted")
            try:
                action = "retake" if state else "fire"
                StudioClient(self.home).post(f"/api/sessions/{session}/{action}", expression=str(position))
            except ControllerError as error:
                problem = error
                if isinstance(error, StudioUnreachable):
                    time.sleep(0.3)
            new = [row[0] for row in self.rows("select code from take") if row[0] not in known]
            if new:
                assert len(new) == 1, new
                return str(new[0])
            time.sleep(0.2)
        raise RuntimeError(f"no take of {session} could be fired: {problem}")

    def insist(self, action: str, session: str, **body: object) -> None:
        """A request that is repeated while the studio is away; done is done."""
        end = time.monotonic() + DEADLOCK_S
        while True:
            try:
                StudioClient(self.home).post(f"/api/sessions/{session}/{action}", **body)
                return
            except ControllerError as error:
                if action == "close" and "closed" in str(error):
                    return
                if time.monotonic() > end:
                    raise
                time.sleep(0.3)

    # --- the reckoning

    def drain(self) -> None:
        """All faults are over: everything that is on a node's disk comes in."""

        def empty() -> bool:
            return not any((self.folder / "spool").glob("*/*/photo"))  # what is set aside lies deeper

        self.until(empty, "the spools do not become empty")

    def reckon(self) -> dict[str, Any]:
        """Every exposure and every take against the records; `unaccounted` is empty when nothing was lost."""
        wrong: list[str] = []
        fires = {take: fire for fire, take in self.takes.items()}
        frames: dict[tuple[str, str], str] = {
            (take, camera): sha
            for take, camera, sha in self.rows(
                """select t.code, c.name, f.sha256 from frame f join take t on t.id = f.take_id
                   join camera c on c.id = f.camera_id"""
            )
        }
        states = {
            code: (state, problem or "", fired)
            for code, state, problem, fired in self.rows("select code, state, problem, fired_at from take")
        }
        exposed = {
            (self.takes.get(int(line), ""), camera)
            for camera in self.cameras
            if self.ledger(camera).exists()
            for line in self.ledger(camera).read_text().split()
            if int(line)
        }
        for (take, camera), sha in frames.items():
            if sha != digest(fires[take], self.cameras.index(camera)):
                wrong.append(f"{take} {camera}: filed is not what was exposed")
            if (take, camera) not in exposed:
                wrong.append(f"{take} {camera}: filed without an exposure")
        kept, failed, named = 0, 0, 0
        for take, (state, problem, _fired) in states.items():
            if state in ("planned", "fired"):
                wrong.append(f"{take}: still {state}")
            lacking = [camera for camera in self.cameras if (take, camera) not in frames]
            if state != "failed":
                kept += 1
                wrong += [f"{take} {camera}: missing in a take that is {state}" for camera in lacking]
                continue
            failed += 1
            for camera in lacking:
                if camera in problem:
                    named += 1
                elif (take, camera) in exposed or not any(word in problem for word in UNFIRED):
                    wrong.append(f"{take} {camera}: no photograph and not named: {problem[:200]}")
        stored = {path.name for path in (self.home / "store").rglob("*") if path.is_file()}
        wrong += [f"{key}: {sha} is not in the store" for key, sha in frames.items() if sha not in stored]
        return {
            "cameras": len(self.cameras), "takes": len(states), "kept": kept, "failed": failed,
            "exposures": len(exposed), "frames_stored": len(frames), "cameras_named": named,
            "faults": dict(self.injected), "unaccounted": wrong,
        }  # fmt: skip

    def stop(self) -> None:
        for process in self.nodes.values():
            process.kill()
        for process in self.nodes.values():
            process.join()
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            try:
                self.server.wait(30)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cameras", type=int, default=68)
    parser.add_argument("--takes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.4, help="of takes during which something is broken")
    parser.add_argument("--minutes", type=float, default=1e9, help="no further take after this long")
    parser.add_argument("--json", action="store_true", help="for the others' sake: the last line is JSON anyway")
    parser.add_argument("--out", type=Path, help="keep everything in this new folder")
    given = parser.parse_args()
    began = time.monotonic()

    def progress(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="mien-soak-") as temporary:
        soak = Soak(given.out or Path(temporary), given.cameras, given.seed, given.share)
        try:
            soak.start()
            progress(f"{given.cameras} cameras are ready")
            soak.operate(given.takes, time.monotonic() + 60 * given.minutes, progress)
            soak.drain()
        finally:
            soak.stop()
        found = soak.reckon() | {"seconds": round(time.monotonic() - began, 1), "seed": given.seed}
    print(json.dumps(found))
    raise SystemExit(4 if found["unaccounted"] else 0)


if __name__ == "__main__":
    main()
