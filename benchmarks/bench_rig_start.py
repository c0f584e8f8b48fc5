"""How long a rig of virtual PTP bodies takes until all are ready to fire, and what each of its nodes costs.

A studio, and on the same machine as many nodes as cameras, each with libgphoto2's virtual body, started as on a camera
computer: one command for all of them. Beside it, in the same run, a command for each camera, and as a bound so many
bare Python processes that import zmq and gphoto2 and nothing else. Ready means: in the studio's roster, with a clock
known to 0.5 ms. Memory is the proportional set size: what several processes share counts once. Processor seconds are
user and system time, of the nodes and of what started them, from their start until all are ready.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench_fire import photograph, say

from camera_nodes.agent_settings import AgentSettings
from camera_nodes.transport import ensure_keys
from controller.rig_file import CameraEntry, Rig, SyncLimits
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.settings import Settings
from deploy.demo.local_studio import write_node

PATIENCE_S = 300.0
BARE = "import sys, zmq, gphoto2; print('here', flush=True); sys.stdin.read()"
TICKS = os.sysconf("SC_CLK_TCK")


def with_children(pids: Sequence[int]) -> list[int]:
    found = list(pids)
    for pid in pids:
        found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of running processes."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(field[11]) + int(field[12]) for field in fields) / TICKS


def pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def cost(pids: Sequence[int], nodes: int) -> dict[str, float]:
    """Of all processes of a rig: pss_mb_per_node is the median of its nodes, pss_mb_whole that of all together."""
    everyone = with_children(pids)
    shares = [pss_mb(pid) for pid in everyone]
    of_nodes = shares[len(pids) :] or shares
    return {
        "cpu_seconds_per_node": round(cpu_seconds(everyone) / nodes, 4),
        "pss_mb_per_node": round(statistics.median(of_nodes), 1),
        "pss_mb_whole": round(sum(shares), 1),
    }


@contextmanager
def running(commands: Sequence[Sequence[str]], log: Path, **pipes: Any) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Commands that run at the same time, until the end of the block."""
    processes = []
    with log.open("ab") as stream:
        try:
            for command in commands:
                processes.append(subprocess.Popen(list(command), stderr=stream, **pipes))
            yield processes
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)


def rig(nodes: int, together: bool) -> dict[str, float]:
    """A rig from the start of its nodes until all are ready."""
    cameras = tuple(CameraEntry(f"cam-{view:02d}", view) for view in range(nodes))
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        photograph(folder / "photos" / "0.jpg")
        records = Settings(folder, f"sqlite:///{folder / 'studio.sqlite'}", str(folder / "store"))
        settings = StudioSettings(
            records, Rig("bench", cameras, SyncLimits()), "tcp://127.0.0.1:*", "tcp://127.0.0.1:*"
        )
        with Studio(settings) as studio:
            files = []
            for camera in cameras:
                studio.enrol(camera.name, ensure_keys(folder / "keys", camera.name).public)
                node = AgentSettings(
                    camera=camera.name,
                    url=f"gphoto2:virtual?photos={folder / 'photos'}",
                    control=studio.control_endpoint,
                    bulk=studio.bulk_endpoint,
                    keys=folder / "keys",
                    spool=folder / "spool" / camera.name,
                    controller_key=studio.public_key,
                    min_free_mb=1,
                )
                files.append(write_node(folder / "nodes" / f"{camera.name}.toml", node))
            mien = [sys.executable, "-m", "mien", "node", "run"]
            commands = [[*mien, str(folder / "nodes")]] if together else [[*mien, str(file)] for file in files]
            begun = time.monotonic()
            with running(commands, folder / "log") as processes:
                studio.wait_for_cameras(PATIENCE_S)
                seconds = time.monotonic() - begun
                told = {"seconds_to_ready": round(seconds, 2)} | cost([p.pid for p in processes], nodes)
                begun = time.monotonic()
            return told | {"seconds_to_stop": round(time.monotonic() - begun, 2)}


def bare(nodes: int) -> dict[str, float]:
    """As many Python processes with the two libraries that a node cannot do without."""
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name:
        begun = time.monotonic()
        commands = [[sys.executable, "-c", BARE]] * nodes
        with running(commands, Path(name) / "log", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as processes:
            for process in processes:
                assert process.stdout is not None
                process.stdout.readline()
            seconds = time.monotonic() - begun
            return {"seconds": round(seconds, 2)} | cost([process.pid for process in processes], nodes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--nodes", type=int, default=68)
    options = parser.parse_args()
    found: dict[str, Any] = {"nodes": options.nodes, "load_before": round(os.getloadavg()[0], 1)}
    for prefix, what in (("", "one command for all"), ("each_", "a command a camera"), ("bare_", "bare processes")):
        say(f"{options.nodes} nodes: {what}")
        one = bare(options.nodes) if prefix == "bare_" else rig(options.nodes, together=not prefix)
        say("  " + ", ".join(f"{key} {value}" for key, value in one.items()))
        found |= {f"{prefix}{key}": value for key, value in one.items()}
    print(json.dumps(found) if options.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
