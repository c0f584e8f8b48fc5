"""How fast a rig's photographs come in: 68 x 8 MB over loopback, beside `cp` and a hash of the same bytes.

Every node is a process of its own with its real spool, agent and CURVE sockets; the controller receives, verifies,
reads EXIF, files in the store (flushed to disk) and commits each photograph in a transaction of its own. Nodes have
proven their photographs whole before, while they were idle, as between two fires (--unproven: the studio reads every
code when they come in). The clock runs from the permission to upload until the last commit; `ratio` is beside the peer,
the better of two runs. The photographs are 24-megapixel JPEGs of photographic grain; they differ by a comment, so none
is a copy of another. Memory is the controller's peak over the run.
"""

import argparse
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from camera_nodes.agent import run
from camera_nodes.agent_settings import AgentSettings
from camera_nodes.curve_keys import ensure_keys
from camera_nodes.photo_transfer.jpeg_verifier import was_verified
from camera_nodes.photo_transfer.spool import Spool
from common.bounded.jpeg_integrity import examine
from common.photograph_facts import PhotographFacts, entry_key
from controller.rig_file import CameraEntry, Rig, SyncLimits, TransferLimits
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from controller.takes.take_progress import TakeProgress
from db.engine import transaction, utc_now
from db.models import ConsentScope
from db.settings import Settings
from db.subjects import add_subject, give_consent

SIZE_PX = (6000, 4000)
PATIENCE_S = 300.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def photograph(megabytes: float) -> bytes:
    """A JPEG of SIZE_PX with EXIF whose size is within a tenth of what is asked."""
    coarse = Image.effect_noise((SIZE_PX[0] // 4, SIZE_PX[1] // 4), 40).resize(SIZE_PX, Image.Resampling.BICUBIC)
    image = Image.merge("RGB", [Image.blend(coarse, Image.effect_noise(SIZE_PX, 18), 0.3)] * 3)
    exif = Image.Exif()
    exif[271], exif[272] = "Mien", "Benchmark"
    low, high, data = 40, 98, b""
    while low <= high:  # by bisection: grain makes size a smooth function of quality
        quality = (low + high) // 2
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality, exif=exif)
        data = stream.getvalue()
        if abs(len(data) / 1e6 - megabytes) < 0.1 * megabytes:
            break
        low, high = (quality + 1, high) if len(data) < megabytes * 1e6 else (low, quality - 1)
    return data


def unlike(data: bytes, size: int, seed: int) -> bytes:
    """The same picture, of `size` bytes where it is smaller, with comments that make it unlike any other."""
    draw = random.Random(seed)
    comments, lacking = [draw.randbytes(32)], max(0, size - len(data) - 36)
    while lacking > 4:
        comments.append(bytes(min(65_000, lacking - 4)))
        lacking -= len(comments[-1]) + 4
    blocks = (b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text for text in comments)
    return data[:2] + b"".join(blocks) + data[2:]


def peak_rss_mb() -> float:
    """This process's peak since forget_peak()."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def forget_peak() -> float:
    """Start measuring anew; the memory held now, MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_rss_mb()


def cpu_seconds(processes: list[Any]) -> float:
    """Processor time of these processes so far."""
    fields = [Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split() for process in processes]
    return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")


def copy_and_hash(source: Path, folder: Path) -> float:
    """Seconds that `cp` and `sha256sum` of the same files take, flushed to disk as the store's are."""
    folder.mkdir()
    begun = time.monotonic()
    subprocess.run(["cp", "-r", str(source), str(folder / "copy")], check=True)
    subprocess.run(["sync", "-f", str(folder)], check=True)
    files = sorted((folder / "copy").iterdir())
    subprocess.run(["sha256sum", *map(str, files)], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun


def proof_seconds(photo: Path) -> float:
    """Processor time that reading every code of a photograph takes."""
    data = photo.read_bytes()
    examine(data)
    begun = time.process_time()
    examine(data)
    return time.process_time() - begun


def bench(
    frames: int, megabytes: float, transfers: int, credit: int, takes_in_a_row: int = 4, proven: bool = True
) -> dict[str, Any]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["camera_nodes.agent", "camera_nodes.sim_camera"])
    cameras = tuple(CameraEntry(f"cam-{view:02d}", view) for view in range(frames))
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name:
        folder = Path(name)
        records = Settings(folder, f"sqlite:///{folder / 'studio.sqlite'}", str(folder / "store"))
        transfer = replace(TransferLimits(), transfers=transfers, credit=credit, frame_timeout_s=PATIENCE_S)
        rig = Rig(
            "bench",
            cameras,
            SyncLimits(max_clock_uncertainty_ms=20.0, arm_timeout_ms=20_000, stamps_timeout_ms=20_000, silence_s=60.0),
            transfer,
        )
        with Studio(StudioSettings(records, rig, control="tcp://127.0.0.1:*", bulk="tcp://127.0.0.1:*")) as studio:
            with transaction(studio.engine) as tx:
                who = add_subject(tx)
                give_consent(tx, who, ConsentScope.RESEARCH_RELEASE, utc_now().date())
                subject = who.code
            session = studio.start_session(subject)
            # Two takes: the first, of one photograph a filing thread, warms what is loaded once.
            takes = [studio.records.plan(session, 1), studio.records.plan(session, 2)]
            names = [camera.name for camera in cameras]
            warm, real = TakeProgress(takes[0], names[:2]), TakeProgress(takes[1], names)
            for tally in (warm, real):
                studio.records.fired(tally.take)
                studio.events.open(tally)
            say(f"making {frames} photographs of {megabytes:g} MB")
            made = photograph(megabytes)
            (folder / "photos").mkdir()
            for view, camera in enumerate(cameras):
                data = unlike(made, round(megabytes * 1e6), view)
                (folder / "photos" / f"{view}.jpg").write_bytes(data)
                if camera.name in warm.cameras:
                    spool_one(folder, camera.name, warm.take, unlike(made, 0, 1000 + view))
                else:
                    spool_one(folder, camera.name, real.take, data)
            nodes = []
            for camera in cameras:
                studio.enrol(camera.name, ensure_keys(folder / "nodes", camera.name).public)
                settings = AgentSettings(
                    camera=camera.name,
                    url=f"sim:lag_ms=50&seed={camera.view}&view={camera.view}&photos={folder / 'photos'}",
                    control=studio.control_endpoint,
                    bulk=studio.bulk_endpoint,
                    keys=folder / "nodes",
                    spool=folder / "spool" / camera.name,
                    controller_key=studio.public_key,
                    min_free_mb=1,
                    max_late_ms=1000.0,  # what is measured is not the shutter
                    prove=proven,
                )
                nodes.append(settings)
            processes: list[Any] = []

            def start(settings: AgentSettings) -> None:
                processes.append(context.Process(target=run, args=(settings,)))
                processes[-1].start()

            try:
                for settings in nodes[: len(warm.cameras)]:
                    start(settings)
                if not warm.wait(PATIENCE_S):
                    raise SystemExit(f"not even the first came: {warm.missing()} {studio.ingest.trouble}")
                stop(processes)
                processes.clear()
                for camera in warm.cameras:
                    photo = folder / "photos" / f"{names.index(camera)}.jpg"
                    spool_one(folder, camera, real.take, photo.read_bytes())
                studio.link.hold_uploads()
                for settings in nodes:
                    start(settings)
                return measure(studio, processes, real, folder, proven) | recycle(studio, session, takes_in_a_row)
            finally:
                stop(processes)


def stop(processes: list[Any]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(20)


def spool_one(folder: Path, camera: str, take: str, data: bytes) -> None:
    """What a node finds in its spool when it starts."""
    fire = f"{take}.f"
    photo = PhotographFacts(
        entry=entry_key(fire, camera, "jpeg"), fire_id=fire, take_id=take, camera=camera, name="DSC_0099.JPG",
        sha256=hashlib.sha256(data).hexdigest(), bytes=len(data),
    )  # fmt: skip
    Spool(folder / "spool" / camera, 0).put(photo, data)


def measure(studio: Studio, processes: list[Any], real: TakeProgress, folder: Path, proven: bool) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE_S
    while len(studio.link.nodes()) < len(processes) and time.monotonic() < end:
        time.sleep(0.1)
    photos = [photo for camera in real.cameras for photo in (folder / "spool" / camera).glob("*/photo")]
    while proven and not all(map(was_verified, photos)) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(4.0)  # clocks settle, disks too
    subprocess.run(["sync", "-f", str(folder)], check=True)
    say(f"{len(studio.link.nodes())} nodes hold a photograph each")
    held_mb, cpu, nodes_cpu = forget_peak(), os.times(), cpu_seconds(processes)
    before = studio.ingest.proven_on_nodes
    begun = time.monotonic()
    studio.link.allow_uploads()
    if not real.wait(PATIENCE_S):
        raise SystemExit(f"not all came: {real.missing()}")
    seconds = time.monotonic() - begun
    after, nodes_cpu = os.times(), cpu_seconds(processes) - nodes_cpu
    growth_mb = peak_rss_mb() - held_mb
    spools = [folder / "spool" / camera for camera in real.cameras]
    while any(any(spool.glob("*/photo")) for spool in spools) and time.monotonic() < begun + PATIENCE_S:
        time.sleep(0.02)
    emptied = time.monotonic() - begun
    filed = studio.records.photographs(real.take)
    for sha256 in filed.values():
        studio.store.verify(sha256)
    peer = min(copy_and_hash(folder / "photos", folder / f"peer-{turn}") for turn in range(2))
    return {
        "seconds": round(seconds, 2),
        "copy_and_hash_seconds": round(peer, 2),
        "ratio": round(seconds / peer, 2),
        "frames": len(filed),
        "peak_rss_growth_mb": round(growth_mb, 1),
        "megabytes": round(sum(path.stat().st_size for path in (folder / "photos").iterdir()) / 1e6, 1),
        "spools_empty_seconds": round(emptied, 2),
        "controller_cpu_seconds": round(after.user + after.system - cpu.user - cpu.system, 2),
        "nodes_cpu_seconds": round(nodes_cpu, 2),
        "proven_on_nodes": studio.ingest.proven_on_nodes - before,
        "proof_cpu_seconds_a_photograph": round(proof_seconds(folder / "photos" / "0.jpg"), 3),
        "held_rss_mb": round(held_mb, 1),
        "cores": os.cpu_count(),
    }


def recycle(studio: Studio, session: str, count: int) -> dict[str, Any]:
    """Takes fired one after the other as soon as the studio lets them, uploads draining behind."""
    if count < 2:
        return {}
    studio.wait_for_cameras(PATIENCE_S)
    say(f"firing {count} takes in a row")
    expressions = [line.name for line in studio.state_of(session).expressions[2 : 2 + count]]
    fired = [studio.fire(session, expression, wait=False) for expression in expressions]
    last = time.monotonic()
    moments = [
        min(s.commanded_at_ns for s in studio.events.progress_of(take.take).stamps.values()) / 1e9 for take in fired
    ]
    behind = len(studio.completion.takes)
    while studio.completion.takes and time.monotonic() < last + PATIENCE_S:
        time.sleep(0.05)
    for line in (studio.records.take(take.take) for take in fired):
        if line.state.value != "captured":
            say(str(line.problem))
    gaps = sorted(b - a for a, b in itertools.pairwise(moments))
    return {
        "recycle_median_seconds": round(gaps[len(gaps) // 2], 2),
        "recycle_max_seconds": round(gaps[-1], 2),
        "recycle_takes": count,
        "recycle_kept": sum(studio.records.take(take.take).state.value == "captured" for take in fired),
        "recycle_takes_still_coming_in": behind,
        "recycle_drained_seconds": round(time.monotonic() - last, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=68)
    parser.add_argument("--megabytes", type=float, default=8.0, help="of one photograph")
    parser.add_argument("--transfers", type=int, default=TransferLimits().transfers)
    parser.add_argument("--credit", type=int, default=TransferLimits().credit)
    parser.add_argument("--json", action="store_true", help="figures as one JSON object on the last line")
    parser.add_argument("--recycle", type=int, default=4, help="takes fired in a row afterwards; 0: none")
    parser.add_argument("--unproven", action="store_true", help="the nodes prove nothing")
    options = parser.parse_args()
    sys.setswitchinterval(0.0005)  # as `mien studio serve` does
    figures = bench(
        options.frames, options.megabytes, options.transfers, options.credit, options.recycle, not options.unproven
    )
    if options.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:<26} {value}")


if __name__ == "__main__":
    main()
