"""What the live page costs the studio, and how soon it shows: beside the page as it was, reloaded each two seconds.

A studio with 68 cameras in a process of its own, whose nodes report at a rate that is given (2 Hz each; the reports are
made in the studio's process, so that what a node's messages cost is in every figure and in none of the differences).
Its processor time is taken over the same seconds with nobody looking, with 8 readers of the stream, and with 8 browsers
that load the page as it was (console_before.html, rendered as then) every two seconds. Then a real Chromium shows the
cameras: from a value's change in the studio to the first frame that is painted with it, both by this machine's clock.
Last, a rig of simulated cameras is fired: from the command to the contact sheet in the stream.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from bench_fire import percentile, say
from jinja2 import Environment, FileSystemLoader, select_autoescape

from camera_nodes import wire
from camera_nodes.agent import run as run_node
from camera_nodes.agent_settings import AgentSettings
from camera_nodes.curve_keys import ensure_keys
from controller.api.app import make_console
from controller.api.connection_limits import server_options
from controller.api.rig_routes import rig_data
from controller.api.server import SWITCH_S, ConsoleServer
from controller.api.session_data import checked_session_data
from controller.rig_file import CameraEntry, Rig, SyncLimits
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.engine import transaction, utc_now
from db.models import ConsentScope
from db.settings import Settings
from db.subjects import add_subject, give_consent

TOKEN = "bench-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
PROBE = "cam-07"
PROBE_S = 0.37  # not in step with anything else
HERE = Path(__file__).parent
WATCH = """
(camera) => {
  window.painted = [];
  let last = "";
  const place = `[data-camera="${camera}"] [data-fact="photos_left"]`;
  const now = () => performance.timeOrigin + performance.now();
  const look = () => {
    const text = document.querySelector(place)?.textContent ?? "";
    if (!text || text === last) return;
    last = text;
    requestAnimationFrame(() => window.painted.push([parseInt(text), now()]));
  };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
}
"""


def studio_settings(folder: Path, cameras: int) -> StudioSettings:
    places = tuple(CameraEntry(f"cam-{v:02d}", v, tier="frontal" if v < 4 else "side") for v in range(cameras))
    rig = Rig("bench", places, sync=SyncLimits(silence_s=600, max_clock_uncertainty_ms=5.0, arm_timeout_ms=15_000))
    records = Settings(folder, f"sqlite:///{folder / 'studio.sqlite'}", str(folder / "store"))
    return StudioSettings(records, rig, control="tcp://127.0.0.1:*", bulk="tcp://127.0.0.1:*")


def begin_session(studio: Studio) -> str:
    with transaction(studio.engine) as tx:
        who = add_subject(tx)
        give_consent(tx, who, ConsentScope.RESEARCH_RELEASE, utc_now().date())
        subject = who.code
    return studio.start_session(subject)


class Console:
    """The console of a studio, served in a thread."""

    def __init__(self, studio: Studio, port: int) -> None:
        sys.setswitchinterval(SWITCH_S)
        app = make_console(studio, TOKEN)
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, **server_options())
        self.server = ConsoleServer(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> "Console":
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(20)


# --- the studio's process ---


def serve(folder: Path, cameras: int, rate: float, port: int) -> None:
    """A studio whose nodes report; on standard input: how often to load the page as it was each second, or an end."""
    with Studio(studio_settings(folder, cameras)) as studio:
        studio.reviewer.warm_up = lambda: None  # type: ignore[method-assign]  # nothing is photographed here
        begin_session(studio)
        registry = studio.link._registry
        for view, camera in enumerate(studio.rig.cameras):
            hello = wire.Hello(
                node=f"pi-{view // 4}", camera=camera.name, serial=str(view), model="m", url=f"usb:{view}", software="s"
            )
            registry.greet(f"route-{view}".encode(), hello.node, hello, time.monotonic_ns())
        stop = threading.Event()
        before = Environment(loader=FileSystemLoader(HERE), autoescape=select_autoescape())
        page = before.get_template("console_before.html")
        with Console(studio, port):
            threads = [
                threading.Thread(target=report_for_ever, args=(studio, rate, stop)),
                threading.Thread(target=probe_for_ever, args=(studio, folder / "probes.jsonl", stop)),
                threading.Thread(target=load_for_ever, args=(studio, page, folder / "loads", stop)),
            ]
            for thread in threads:
                thread.start()
            print("ready", flush=True)
            sys.stdin.readline()
            stop.set()
            for thread in threads:
                thread.join()


def report(studio: Studio, view: int, battery: int, left: int) -> None:
    registry = studio.link._registry
    state = registry.at(f"route-{view}".encode())
    assert state is not None
    status = wire.Status(
        camera=state.camera, state="idle", free_bytes=10**11, spooled=0, spooled_bytes=0,
        clock_uncertainty_ns=90_000 + 10_000 * (left % 7), battery_percent=battery, photos_left=left,
    )  # fmt: skip
    registry.update(state, status)


def report_for_ever(studio: Studio, rate: float, stop: threading.Event) -> None:
    """Every camera but the probe, one after the other; each time with other figures."""
    count = len(studio.rig.cameras)
    number = 0
    while not stop.wait(1 / (rate * count)):
        view = number % count
        if studio.rig.cameras[view].name != PROBE:
            report(studio, view, 60 + number // count % 40, 900 - number // count % 500)
        number += 1


def probe_for_ever(studio: Studio, log: Path, stop: threading.Event) -> None:
    """One camera whose figure is told with the moment at which it changed."""
    view = studio.rig.camera(PROBE).view
    left = 100_000
    with log.open("w") as file:
        while not stop.wait(PROBE_S):
            left -= 1
            at_ms = time.time() * 1e3
            report(studio, view, 77, left)
            print(json.dumps([left, at_ms]), file=file, flush=True)


def load_for_ever(studio: Studio, page: Any, wanted: Path, stop: threading.Event) -> None:
    """The page as it was, rendered as often a second as the file says."""
    due = time.monotonic()
    while not stop.is_set():
        rate = float(wanted.read_text()) if wanted.exists() else 0.0
        if not rate:
            stop.wait(0.1)
            due = time.monotonic()
            continue
        session = studio.open_session()
        found = {
            "rig": rig_data(studio), "session": checked_session_data(studio, session) if session else None,
            "last": None, "review": None, "preflight": None, "paused": studio.sessions(), "limits": studio.rig.sync,
        }  # fmt: skip
        page.render(**found, link=str).encode()
        due += 1 / rate
        stop.wait(max(0.0, due - time.monotonic()))


# --- who looks ---


@contextmanager
def readers(port: int, count: int) -> Iterator[list[int]]:
    """So many readers of the stream in a process each has no part in the studio's figures; bytes that each has read."""
    read = [0] * count
    stop = threading.Event()

    def follow(index: int) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/stream?console=bench-{index}", headers=HEADERS)
        with suppress(OSError), urllib.request.urlopen(request, timeout=30) as answer:
            while not stop.is_set() and (piece := answer.read1(65536)):
                read[index] += len(piece)

    threads = [threading.Thread(target=follow, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield read
    finally:
        stop.set()
        for thread in threads:
            thread.join(5)


def cpu_percent(pid: int, seconds: float) -> float:
    """Of one processor, over so many seconds from now."""
    process = psutil.Process(pid)
    begun, at = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(seconds)
    return 100 * (sum(process.cpu_times()[:2]) - begun) / (time.monotonic() - at)


def paint_latencies(port: int, folder: Path, seconds: float, browser: str) -> list[float]:
    """ms from the probe's change to the first frame painted with it, in a real browser that shows the cameras."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=browser, args=[*root, "--disable-gpu"])
        page = chromium.new_context(extra_http_headers=HEADERS).new_page()
        page.goto(f"http://127.0.0.1:{port}/#cameras")
        page.wait_for_selector(f'[data-camera="{PROBE}"]')
        page.evaluate(WATCH, PROBE)
        page.wait_for_timeout(1000 * seconds)
        painted = dict(page.evaluate("window.painted"))
        chromium.close()
    changed = dict(json.loads(line) for line in (folder / "probes.jsonl").read_text().splitlines())
    return [painted[left] - at for left, at in changed.items() if left in painted]


# --- a rig that fires ---


def fire_to_sheet(cameras: int, fires: int, megapixels: float, port: int) -> list[float]:
    """Seconds from the command until the contact sheet is in the stream, of each fire."""
    from PIL import Image

    from controller.console.stream.merge_patch import apply_patch

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["camera_nodes.agent", "camera_nodes.sim_camera"])
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "photos").mkdir()
        side = round((megapixels * 1e6 / 6) ** 0.5)
        picture = Image.effect_noise((3 * side, 2 * side), 40).convert("RGB")
        for view in range(cameras):
            picture.save(folder / "photos" / f"{view}.jpg", quality=85 + view % 8)
        studio = stack.enter_context(Studio(studio_settings(folder, cameras)))
        processes = []
        for view, camera in enumerate(studio.rig.cameras):
            studio.enrol(camera.name, ensure_keys(folder / "nodes", camera.name).public)
            agent = AgentSettings(
                camera=camera.name, url=f"sim:seed={view}&lag_ms=50&view={view}&photos={folder / 'photos'}",
                control=studio.control_endpoint, bulk=studio.bulk_endpoint, keys=folder / "nodes",
                spool=folder / "spool" / camera.name, controller_key=studio.public_key, min_free_mb=1,
                max_late_ms=1000.0,
            )  # fmt: skip
            processes.append(context.Process(target=run_node, args=(agent,)))
            processes[-1].start()
        stack.callback(lambda: [process.join(20) for process in processes])
        stack.callback(lambda: [process.terminate() for process in processes])
        studio.wait_for_cameras(300)
        session = begin_session(studio)
        stack.enter_context(Console(studio, port))
        request = urllib.request.Request(f"http://127.0.0.1:{port}/stream", headers=HEADERS)
        lines = iter(stack.enter_context(urllib.request.urlopen(request, timeout=60)))
        state: dict[str, Any] = {}
        found = []
        for shot in range(fires):
            begun = time.monotonic()
            body = json.dumps({"countdown_s": 0, "expression": "neutral", "retake": shot > 0}).encode()
            headers = HEADERS | {"Content-Type": "application/json"}
            urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{port}/api/sessions/{session}/trigger", body, headers)
            ).read()
            while True:
                kind, data = "", next(lines).decode().rstrip("\n")
                if not data.startswith("event: "):
                    continue
                kind, data = data[7:], json.loads(next(lines).decode()[6:])
                state = data["state"] if kind == "snapshot" else apply_patch(state, data.get("patch", {}))
                take = state.get("take", {})
                if take.get("code") == f"{session}-E01-{shot + 1}" and take.get("phase") == "failed":
                    say(f"fire {shot + 1}: {take.get('message', '')[:300]}")
                    break
                if take.get("code") == f"{session}-E01-{shot + 1}" and "sheet" in take.get("review", {}):
                    found.append(time.monotonic() - begun)
                    say(f"fire {shot + 1}: {found[-1]:.2f} s to the contact sheet")
                    break
        return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    browser = os.environ.get("MIEN_CHROMIUM") or shutil.which("chromium") or ""
    result: dict[str, Any] = {"cameras": options.cameras, "rate_hz": options.rate, "listeners": options.listeners}
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name:
        folder = Path(name)
        words = [
            __file__,
            "--serve",
            name,
            "--cameras",
            options.cameras,
            "--rate",
            options.rate,
            "--port",
            options.port,
        ]
        child = subprocess.Popen(
            [sys.executable, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "ready\n"
            time.sleep(2)
            alone = cpu_percent(child.pid, options.seconds)
            with readers(options.port, options.listeners) as read:
                time.sleep(2)
                begun, at = sum(read), time.monotonic()
                watched = cpu_percent(child.pid, options.seconds)
                result["stream_kb_per_s"] = round(
                    (sum(read) - begun) / 1e3 / options.listeners / (time.monotonic() - at), 2
                )
            (folder / "loads").write_text(str(options.listeners / 2))
            time.sleep(1)
            before = cpu_percent(child.pid, options.seconds)
            (folder / "loads").write_text("0")
            result |= {
                "tiles_cpu_percent": round(watched - alone, 2),
                "before_cpu_percent": round(before - alone, 2),
                "reports_cpu_percent": round(alone, 2),
            }
            say(json.dumps(result))
            if browser:
                with readers(options.port, options.listeners - 1):
                    times = paint_latencies(options.port, folder, 2 * options.seconds, browser)
                result |= {
                    "change_to_paint_p50_ms": percentile(times, 0.5), "change_to_paint_p99_ms": percentile(times, 0.99),
                    "change_to_paint_max_ms": percentile(times, 1.0), "changes": len(times),
                }  # fmt: skip
            say(json.dumps(result))
            child.communicate("end\n", timeout=60)
        finally:
            child.kill()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=68)
    parser.add_argument("--rate", type=float, default=2.0, help="reports of each camera a second")
    parser.add_argument("--listeners", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument("--fires", type=int, default=5, help="0: none")
    parser.add_argument("--megapixels", type=float, default=6.0, help="of each photograph that is fired")
    parser.add_argument("--port", type=int, default=5791)
    parser.add_argument("--json", action="store_true", help="the result alone on standard output, as JSON")
    parser.add_argument("--serve", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, options.cameras, options.rate, options.port)
        return
    result = measure(options)
    if options.fires:
        times = fire_to_sheet(options.cameras, options.fires, options.megapixels, options.port + 1)
        result |= {"fire_to_sheet_seconds": percentile(times, 0.5), "fires": len(times)}
        result["fire_to_sheet_max_seconds"] = percentile(times, 1.0)
    result["load"] = [round(one, 1) for one in os.getloadavg()]
    if options.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:28} {value}")


if __name__ == "__main__":
    main()
