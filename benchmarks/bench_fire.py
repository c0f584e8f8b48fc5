"""How well a rig fires together: Mien's two-phase fire beside "broadcast: fire now" and beside a wall-clock sleep.

Every camera is a process of its own on this machine, with a simulated shutter (lag 45-65 ms by camera, sigma 0.3 ms)
and, for Mien, a clock that is wrong on purpose (offset up to 5 s, drift up to 50 ppm). Whole takes are fired: armed,
journalled, fired, stamped, uploaded, filed. The peers get the better conditions: no clock error, no photographs. A skew
is latest minus earliest over the rig; percentiles are over fires, and every fire of which all cameras were released
counts, whatever became of the take afterwards.

The stamps are the nodes' own word, so they are checked: all processes share one machine, whose clock is the truth. A
clock error beyond what was stated is counted for each node and fire, against that node's own word at that fire. The
clock spread is latest minus earliest error, over the nodes, of the controller's time as each node believes it at the
fire. The true command skew is that of the moments themselves.

A second rig of fewer fires then has its control connection behind a line that delays every message by 2 +- 1 ms each
way (delayed_line.py), and has pinged through it for a minute before it fires.
"""

import argparse
import io
import json
import math
import multiprocessing
import multiprocessing.queues
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import zmq
from delayed_line import DelayedLine

from camera_nodes import wire
from camera_nodes.agent import Agent
from camera_nodes.agent_settings import AgentSettings
from camera_nodes.clock_sync.clock import EmulatedClock, Estimate
from camera_nodes.curve_keys import ensure_keys
from controller.rig_file import CameraEntry, Rig, SyncLimits
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.engine import transaction, utc_now
from db.models import ConsentScope
from db.settings import Settings
from db.subjects import add_subject, give_consent

SIGMA_MS = 0.3
SETTLE_S = 0.3


def percentile(values: list[float], share: float) -> float | None:
    """Nearest rank; None of nothing."""
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3) if ordered else None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def photograph(path: Path) -> None:
    from PIL import Image

    stream = io.BytesIO()
    Image.effect_noise((640, 480), 60).save(stream, "JPEG", quality=90)
    path.write_bytes(stream.getvalue())


@dataclass(frozen=True)
class Truth:
    """What a node did at a fire, by the machine's own clock, ms. `clock_error_ms`: the controller's time as the node
    believed it, minus the truth. `stated_ms`: how wrong the node said that it can be.
    """

    fire_id: str
    camera: str
    released_ms: float
    wanted_ms: float
    clock_error_ms: float
    stated_ms: float


class Witness(Agent):
    """A node that also tells the truth about its fires, after the window."""

    def __init__(self, settings: AgentSettings, truths: "multiprocessing.queues.SimpleQueue[Truth]") -> None:
        super().__init__(settings)
        self._truths = truths
        self._at_fire: Estimate | None = None

    def estimate(self, at_ns: int | None = None) -> Estimate | None:
        clock = super().estimate(at_ns)
        if at_ns is not None:
            self._at_fire = clock
        return clock

    def send_surely(self, message: wire.Message) -> None:
        super().send_surely(message)
        if isinstance(message, wire.Stamps) and message.released_at_ns is not None and self._at_fire is not None:
            # The controller's clock is this machine's monotonic clock, which the node's is made from.
            clock = self._camera.clock
            assert isinstance(clock, EmulatedClock)
            released_ns = clock.true_ns(self._at_fire.to_node(message.released_at_ns))
            self._truths.put(
                Truth(
                    message.fire_id,
                    message.camera,
                    released_ns / 1e6,
                    message.commanded_at_ns / 1e6,
                    (message.released_at_ns - released_ns) / 1e6,
                    message.clock_uncertainty_ns / 1e6,
                )
            )


def serve(settings: AgentSettings, truths: "multiprocessing.queues.SimpleQueue[Truth]") -> None:
    import signal

    agent = Witness(settings, truths)
    signal.signal(signal.SIGTERM, lambda *_: agent.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    agent.run()


def bench_mien(
    context: ForkServerContext, nodes: int, fires: int, seed: int, jitter_ms: tuple[float, float] | None, warm_s: float
) -> dict[str, Any]:
    """One rig: `jitter_ms` is the least and greatest delay each way, warm_s how long it pings before the first fire."""
    draw = random.Random(seed)
    lags = [draw.uniform(45, 65) for _ in range(nodes)]
    offsets = [draw.uniform(-5000, 5000) for _ in range(nodes)]
    drifts = [draw.uniform(-50, 50) for _ in range(nodes)]
    cameras = tuple(CameraEntry(f"cam-{view:02d}", view, lag_ms=lags[view]) for view in range(nodes))
    truths = context.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "photos").mkdir()
        for view in range(nodes):
            photograph(folder / "photos" / f"{view}.jpg")
        records = Settings(folder, f"sqlite:///{folder / 'studio.sqlite'}", str(folder / "store"))
        rig = Rig("bench", cameras, SyncLimits())
        settings = StudioSettings(records, rig, control="tcp://127.0.0.1:*", bulk="tcp://127.0.0.1:*")
        studio = stack.enter_context(Studio(settings))
        control = studio.control_endpoint
        if jitter_ms is not None:
            control = stack.enter_context(DelayedLine(control, *jitter_ms, seed)).endpoint
        processes = []
        for view, camera in enumerate(cameras):
            studio.enrol(camera.name, ensure_keys(folder / "nodes", camera.name).public)
            url = (
                f"sim:seed={seed + view}&lag_ms={lags[view]}&jitter_ms={SIGMA_MS}&view={view}"
                f"&photos={folder / 'photos'}&clock_offset_ms={offsets[view]}&clock_drift_ppm={drifts[view]}"
            )
            agent = AgentSettings(
                camera=camera.name,
                url=url,
                control=control,
                bulk=studio.bulk_endpoint,
                keys=folder / "nodes",
                spool=folder / "spool" / camera.name,
                controller_key=studio.public_key,
                min_free_mb=1,
            )
            processes.append(context.Process(target=serve, args=(agent, truths)))
            processes[-1].start()
        try:
            return fire_mien(studio, fires, nodes, truths, warm_s)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join(20)


def fire_mien(studio: Studio, fires: int, nodes: int, truths: Any, warm_s: float) -> dict[str, Any]:
    begun = time.monotonic()
    studio.wait_for_cameras(180)
    say(f"{nodes} cameras ready after {time.monotonic() - begun:.1f} s")
    with transaction(studio.engine) as tx:
        who = add_subject(tx)
        give_consent(tx, who, ConsentScope.RESEARCH_RELEASE, utc_now().date())
        subject = who.code
    session = studio.start_session(subject)
    time.sleep(max(0.0, warm_s - (time.monotonic() - begun)))
    studio.wait_for_cameras(180)
    command, exposure, uncertainty, seconds, spread, true_command, worst = [], [], [], [], [], [], []
    stated: list[float] = []
    failed = unflagged = flagged = beyond = liars = 0
    reasons: dict[str, int] = {}
    for shot in range(fires):
        begun = time.monotonic()
        result = studio.fire(session, "neutral", retake=shot > 0)
        seconds.append(time.monotonic() - begun)
        told: dict[str, Truth] = {}
        while not truths.empty():
            truth = truths.get()
            if truth.fire_id.startswith(result.take):
                told[truth.camera] = truth
        stated += [truth.stated_ms for truth in told.values()]
        liars += sum(abs(truth.clock_error_ms) > truth.stated_ms for truth in told.values())
        skew = result.skew
        if not result.kept:
            failed += 1
            for reason in result.faults.values():
                reasons[reason] = reasons.get(reason, 0) + 1
        if skew.command_skew_ms is not None and not any("missed" in reason for reason in result.faults.values()):
            command.append(skew.command_skew_ms)
            uncertainty.append(skew.clock_uncertainty_ms or 0.0)
            if skew.exposure_skew_ms is not None:
                exposure.append(skew.exposure_skew_ms)
            over = max(skew.command_skew_ms, skew.exposure_skew_ms or 0.0) > 5.0
            flagged += over and (bool(result.flags) or not result.kept)
            unflagged += over and result.kept and not result.flags
        if len(told) == nodes:
            errors = [truth.clock_error_ms for truth in told.values()]
            late = [truth.released_ms - truth.wanted_ms for truth in told.values()]
            spread.append(max(errors) - min(errors))
            worst.append(max(map(abs, errors)))
            true_command.append(max(late) - min(late))
            beyond += worst[-1] > (skew.clock_uncertainty_ms or 0.0)
        spread_ms = round(spread[-1], 3) if spread else None
        say(
            f"fire {shot + 1}/{fires}: command {skew.command_skew_ms} ms, exposure {skew.exposure_skew_ms} ms,"
            f" clock spread {spread_ms} ms, {'; '.join(sorted(set(result.faults.values())))[:200]}"
        )
    return {
        "command_p50_ms": percentile(command, 0.5),
        "command_p99_ms": percentile(command, 0.99),
        "command_max_ms": percentile(command, 1.0),
        "true_command_p99_ms": percentile(true_command, 0.99),
        "exposure_p50_ms": percentile(exposure, 0.5),
        "exposure_p99_ms": percentile(exposure, 0.99),
        "exposure_max_ms": percentile(exposure, 1.0),
        "clock_spread_p50_ms": percentile(spread, 0.5),
        "clock_spread_max_ms": percentile(spread, 1.0),
        "clock_error_max_ms": percentile(worst, 1.0),
        "clock_uncertainty_p50_ms": percentile(uncertainty, 0.5),
        "clock_uncertainty_max_ms": percentile(uncertainty, 1.0),
        "clock_stated_p50_ms": percentile(stated, 0.5),
        "clock_stated_p99_ms": percentile(stated, 0.99),
        "clock_stated_max_ms": percentile(stated, 1.0),
        "clock_error_beyond_stated": {"count": liars, "of": len(stated), "share": liars / max(1, len(stated))},
        "clock_error_beyond_worst_stated": beyond,
        "unflagged_over_5ms": unflagged,
        "flagged_over_5ms": flagged,
        "failed_takes": failed,
        "failures": reasons,
        "take_seconds_p50": percentile(seconds, 0.5),
    }


def peer(control: str, report: str, lag_ms: float, seed: int) -> None:
    """A camera of a peer: fires when told (0) or at a wall-clock moment, and reports command and exposure."""
    draw = random.Random(seed)
    context: zmq.Context[Any] = zmq.Context()
    orders, answers = context.socket(zmq.SUB), context.socket(zmq.PUSH)
    orders.subscribe(b"")
    orders.connect(control)
    answers.connect(report)
    answers.send_json([0, 0])
    while (at := float(orders.recv())) >= 0:
        if at:
            time.sleep(max(0.0, at - time.time()))
        command = time.monotonic() * 1000
        answers.send_json([command, command + lag_ms + draw.gauss(0, SIGMA_MS)])
    context.destroy(linger=0)


def bench_peers(context: ForkServerContext, nodes: int, fires: int, seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    sockets: zmq.Context[Any] = zmq.Context()
    orders, answers = sockets.socket(zmq.PUB), sockets.socket(zmq.PULL)
    control = f"tcp://127.0.0.1:{orders.bind_to_random_port('tcp://127.0.0.1')}"
    report = f"tcp://127.0.0.1:{answers.bind_to_random_port('tcp://127.0.0.1')}"
    processes = [
        context.Process(target=peer, args=(control, report, draw.uniform(45, 65), seed + view)) for view in range(nodes)
    ]
    for process in processes:
        process.start()
    for _ in range(nodes):
        answers.recv()
    time.sleep(1.0)  # subscriptions reach the publisher after the first answer
    figures: dict[str, Any] = {}
    for name, lead_s in (("naive", 0.0), ("wallclock", 0.2)):
        command, exposure = [], []
        for _ in range(fires):
            time.sleep(SETTLE_S)
            orders.send(repr(time.time() + lead_s if lead_s else 0.0).encode())
            stamps = [answers.recv_json() for _ in range(nodes)]
            command.append(max(s[0] for s in stamps) - min(s[0] for s in stamps))
            exposure.append(max(s[1] for s in stamps) - min(s[1] for s in stamps))
        figures |= {
            f"{name}_p50_ms": percentile(command, 0.5),
            f"{name}_p99_ms": percentile(command, 0.99),
            f"{name}_exposure_p99_ms": percentile(exposure, 0.99),
        }
        say(f"{name}: command p99 {figures[f'{name}_p99_ms']} ms")
    orders.send(b"-1")
    for process in processes:
        process.join(10)
    sockets.destroy(linger=0)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=68)
    parser.add_argument("--fires", type=int, default=40, help="300 for figures worth comparing")
    parser.add_argument("--jittery-fires", type=int, default=10, help="on the line of 2 +- 1 ms; 0 leaves it out")
    parser.add_argument("--warm-s", type=float, default=60.0, help="how long the jittery rig pings before it fires")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="figures as one JSON object on the last line")
    options = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["camera_nodes.agent", "camera_nodes.sim_camera", "controller.studio"])
    sys.setswitchinterval(0.0005)
    figures: dict[str, Any] = {"nodes": options.nodes, "fires": options.fires, "cores": os.cpu_count()}
    figures["load_before"] = round(os.getloadavg()[0], 1)
    figures |= bench_mien(context, options.nodes, options.fires, options.seed, None, 0.0)
    if options.jittery_fires:
        say("the same with 2 +- 1 ms each way on the control connection")
        jittery = bench_mien(
            context, options.nodes, options.jittery_fires, options.seed + 1, (1.0, 3.0), options.warm_s
        )
        figures |= {f"jitter_{key}": value for key, value in jittery.items()}
    figures |= bench_peers(context, options.nodes, options.fires, options.seed)
    if options.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:<26} {value}")


if __name__ == "__main__":
    main()
