"""A day's faults in a real browser: each has its bar and its remedy, and goes by itself once it is mended."""

import multiprocessing
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from console_browser import browser_page
from patience import until
from studio_on_air import OnAir, take_pictures

import controller.console
from camera_nodes.agent import run
from camera_nodes.agent_settings import AgentSettings
from camera_nodes.curve_keys import ensure_keys
from controller.rig_file import CameraEntry, ExposureEntry, Rig, SideWork, SyncLimits, TransferLimits
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.engine import transaction
from db.models import ConsentScope
from db.protocols import FACESCAPE, ProtocolData, install_protocol
from db.settings import Settings
from db.subjects import add_subject, get_subject, give_consent, withdraw_consent

NEUTRAL = Path(controller.console.__file__).parent / "static" / "expressions" / "neutral.jpg"
CAMERAS = ("cam-00", "cam-01", "cam-02")
PATIENCE_MS = 60_000
MENDED_S = 10.0  # a fault's line is gone so many quiet seconds after its repair, at the latest
LOST = "net::ERR_"  # what the browser says while the studio is away


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Day:
    """A studio with three simulated cameras, a session, and somebody in front of its page."""

    folder: Path
    settings: StudioSettings
    options: dict[str, str]  # of a camera's `sim:` address
    node: Callable[[str], dict[str, Any]]  # further settings of a camera's node
    stack: ExitStack
    air: OnAir = None  # type: ignore[assignment]
    page: Any = None
    started: set[str] = field(default_factory=set)

    @property
    def studio(self) -> Studio:
        return self.air.studio

    def start(self, *cameras: str) -> None:
        """Start these cameras' nodes."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["camera_nodes.agent", "camera_nodes.sim_camera"])
        keys = self.folder / "keys"
        for camera in cameras:
            self.studio.enrol(camera, ensure_keys(keys, camera).public)
            view = int(camera[-2:])
            settings = AgentSettings(
                camera=camera,
                url=f"sim:lag_ms=10&jitter_ms=0.05&seed={view}&view={view}&photos={self.air.scene}"
                + self.options.get(camera, ""),
                control=self.settings.control,
                bulk=self.settings.bulk,
                keys=keys,
                spool=self.folder / "spool" / camera,
                controller_key=self.studio.public_key,
                **{"lag_ms": 10.0, "min_free_mb": 1, "max_late_ms": 1000.0} | self.node(camera),
            )
            process = context.Process(target=run, args=(settings,), name=camera)
            process.start()
            self.air.nodes[camera] = process

    def kill(self, *cameras: str) -> None:
        for camera in cameras:
            self.air.kill_node(camera)

    def until_ready(self) -> None:
        """Until every camera can be armed; the clock of one whose node began anew is known some seconds later."""
        until(lambda: all(report.ready for report in self.studio.cameras()))

    def mend(self, camera: str) -> None:
        """Another body in its place, at a node that begins anew."""
        self.kill(camera)
        self.options[camera] = ""
        until(lambda: camera not in self.studio.roster().ready)  # else what it said before counts for the new one
        self.start(camera)
        self.until_ready()

    # --- what is on the page ---

    def bar(self, says: str) -> None:
        """Until the bar begins with this: its word, and what goes with it."""
        script = (
            "(says) => [...document.querySelectorAll('#bar [data-part=word], #bar [data-part=text]')]"
            ".map((e) => e.textContent).join(' ').startsWith(says)"
        )
        self._wait(script, says)

    def accept(self) -> None:
        """Enter, once the checks of the take are there."""
        script = (
            "(t) => document.querySelector('#bar [data-part=text]').textContent === t"
            " && mien.store.state.take.phase === 'checked'"
        )
        self._wait(script, "neutral")
        self.press("Enter")

    def line(self, says: str) -> Any:
        """The line of a fault, once it is there."""
        found = self.page.locator("#faults li", has_text=says)
        until(lambda: found.count() > 0, lambda: f"no line says {says!r}; {self._told()}")
        return found.first

    def gone(self, says: str) -> None:
        """The line goes by itself, in time."""
        found = self.page.locator("#faults li", has_text=says)
        until(lambda: found.count() == 0, lambda: f"{says!r} is still there; {self._told()}", MENDED_S)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def _wait(self, script: str, given: str) -> None:
        try:
            self.page.wait_for_function(script, arg=given, timeout=PATIENCE_MS)
        except AssertionError as error:
            raise AssertionError(f"{given!r} was never said; {self._told()}") from error

    def _told(self) -> str:
        script = "() => [document.querySelector('#bar'), document.querySelector('#faults')].map((e) => e.innerText)"
        return f"it says {self.page.evaluate(script)}"


@contextmanager
def day_of(
    folder: Path,
    *,
    rig: Callable[[Rig], Rig] = lambda rig: rig,
    options: dict[str, str] | None = None,
    node: Callable[[str], dict[str, Any]] = lambda _: {},
    ready: bool = True,
    expected: tuple[str, ...] = (),
) -> Iterator[Day]:
    """ready: the preflight has run, so that the bar says READY unless something is wrong."""
    sync = SyncLimits(
        max_clock_uncertainty_ms=20.0, arm_timeout_ms=20_000, stamps_timeout_ms=20_000, silence_s=4, max_skew_ms=15.0
    )
    cameras = tuple(CameraEntry(name, view, lag_ms=10.0) for view, name in enumerate(CAMERAS))
    side = SideWork(bumped=False, preview=False)  # they take a processor for a while
    records = Settings(
        folder / "home", f"sqlite:///{folder / 'home' / 'studio.sqlite'}", str(folder / "home" / "store")
    )
    made = StudioSettings(
        records, rig(Rig("studio-a", cameras, sync=sync, transfer=TransferLimits(frame_timeout_s=6.0), side=side)),
        control=f"tcp://127.0.0.1:{free_port()}", bulk=f"tcp://127.0.0.1:{free_port()}",
    )  # fmt: skip
    with ExitStack() as stack:
        day = Day(folder, made, options or {}, node, stack)
        studio = stack.enter_context(Studio(made))
        day.air = OnAir(records.home, studio, folder / "now")
        day.air.perform(take_pictures(folder / "photos", NEUTRAL, len(CAMERAS)))
        stack.callback(_end_nodes, day.air)
        stack.callback(day.air.stop_serving)
        studio.add_calibration("test", {})
        day.start(*CAMERAS)
        until(lambda: len(studio.link.nodes()) == len(CAMERAS))
        if ready:
            studio.wait_for_cameras(60)
            studio.preflight()
        with transaction(studio.engine) as tx:
            lines = tuple(line for line in FACESCAPE.expressions if line[0] in ("neutral", "smile"))
            install_protocol(tx, ProtocolData("short", 1, lines, FACESCAPE.recipes))
            subject = add_subject(tx)
            give_consent(tx, subject, ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
            day.air.subject = subject.code
        studio.start_session(day.air.subject, "short")
        day.air.serve()
        with browser_page(day.air.url, day.air.home, expected=expected) as page:
            page.evaluate("() => localStorage.setItem('mien-countdown', '0')")
            page.goto(f"{day.air.url}/?fresh#shoot")
            page.wait_for_selector("body[data-ready=yes]")
            day.page = page
            yield day


def _end_nodes(air: OnAir) -> None:
    for process in air.nodes.values():
        process.terminate()
    for process in air.nodes.values():
        process.join(10)
        process.kill()


def test_a_computer_that_is_off_is_one_line_and_goes_when_it_is_back(tmp_path: Path) -> None:
    def on(camera: str) -> dict[str, Any]:
        return {"computer": "pi-06" if camera == "cam-02" else "pi-05"}

    with day_of(tmp_path, node=on) as day:
        day.bar("READY neutral")
        day.kill("cam-00", "cam-01")
        day.bar("CANNOT FIRE pi-05 off (2 cameras)")
        line = day.line("pi-05 is off, or off the network: 2 cameras (cam-00, cam-01)")
        assert "Look at the power and the network cable of pi-05" in line.inner_text()
        assert line.get_by_role("button", name="Set aside").is_visible()
        assert day.page.locator("#faults li").count() == 1
        day.start("cam-00", "cam-01")
        day.until_ready()
        day.gone("pi-05 is off")
        day.bar("CHECK run the preflight: 2 cameras new")
        day.line("settings are not confirmed").get_by_role("button", name="Run the preflight").click()
        day.bar("READY neutral")
        assert day.page.locator("#faults li").count() == 0
        with transaction(day.studio.engine) as tx:
            withdraw_consent(tx, get_subject(tx, day.air.subject))
        day.bar(f"CANNOT FIRE {day.air.subject} has withdrawn")
        assert "Nothing more is fired or accepted" in day.line("has withdrawn its consent").inner_text()


def test_a_photograph_that_never_came_is_taken_again(tmp_path: Path) -> None:
    with day_of(tmp_path, options={"cam-02": "&drop=1"}) as day:
        day.bar("READY neutral")
        day.press("Space")
        day.bar("HOLD STILL")
        day.bar("RETAKE cam-02 no photograph")
        assert "take it again" in day.line("cam-02 gave no photograph").inner_text()
        day.mend("cam-02")
        day.gone("is not heard")
        day.press("r")
        day.bar("DECIDE neutral")
        assert day.page.locator("#faults li", has_text="gave no photograph").count() == 0


@pytest.mark.slow
def test_a_body_that_sleeps_and_wakes(tmp_path: Path) -> None:
    with day_of(tmp_path, options={"cam-01": "&dead_after=1&dead_for_s=8"}) as day:
        day.bar("READY neutral")
        day.press("Space")
        day.bar("DECIDE neutral")
        day.accept()
        day.bar("READY smile")
        day.press("Space")
        day.bar("CANNOT FIRE cam-01 asleep")
        line = day.line("cam-01 answered before and is gone: asleep, switched off or unplugged")
        assert line.get_by_role("button", name="Recover").is_visible()
        day.until_ready()
        day.gone("answered before and is gone")
        day.bar("RETAKE cam-01 asleep")


@pytest.mark.slow
def test_swapped_bodies(tmp_path: Path) -> None:
    serials = ("SIM000000", "SIM000002", "SIM000001")

    def with_serials(rig: Rig) -> Rig:
        cameras = zip(rig.cameras, serials, strict=True)
        return replace(rig, cameras=tuple(replace(camera, serial=serial) for camera, serial in cameras))

    with day_of(tmp_path, rig=with_serials, ready=False) as day:
        day.bar("CANNOT FIRE 2 cameras swapped")
        assert "belongs to cam-02" in day.line("Put each body where rig.toml has it").inner_text()


@pytest.mark.slow
def test_a_full_card(tmp_path: Path) -> None:
    with day_of(tmp_path, options={"cam-01": "&card=1"}) as day:
        day.line("cam-01: card has room for 1 frame, 2 are needed")
        day.bar("CHECK cam-01 card has room for 1 frame")
        day.press("Space")
        day.bar("CANNOT FIRE cam-01 card full")
        assert "Empty or change the card" in day.line("the card of cam-01 is full").inner_text()
        day.mend("cam-01")
        day.gone("the card of cam-01 is full")


@pytest.mark.slow
def test_a_camera_that_opens_late_and_nodes_that_wake_late(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with day_of(tmp_path / "one", options={"cam-02": "&late=1&late_ms=90"}) as day:
        day.bar("READY neutral")
        day.press("Space")
        day.bar("LOOK cam-02 opened")
        assert "is over 15 ms (cam-02 opened" in day.line("exposure skew").inner_text()
    (tmp_path / "two").mkdir()
    with day_of(tmp_path / "two", node=lambda _: {"max_late_ms": 1e-7, "spin_us": 0, "realtime": False}) as day:
        day.bar("READY neutral")
        day.press("Space")
        day.bar("RETAKE 3 cameras woke late")
        day.line("3 cameras woke late: this computer is overloaded; worst cam-0")


@pytest.mark.slow
def test_a_body_that_does_not_take_a_setting(tmp_path: Path) -> None:
    exposure = ExposureEntry(iso="200")
    with day_of(
        tmp_path, rig=lambda rig: replace(rig, exposure=exposure), options={"cam-01": "&stuck=iso:100"}, ready=False
    ) as day:
        day.until_ready()
        day.line("no preflight since the studio was started").get_by_role("button", name="Run the preflight").click()
        day.bar("CHECK cam-01 did not arm")
        day.line("cam-01 did not arm the last time: iso: is '100' after setting '200'")


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path) -> None:
    with day_of(tmp_path) as day:
        day.bar("READY neutral")
        limits = day.studio.rig.transfer
        day.studio.ingest._limits = replace(limits, min_free_mb=1e12)
        day.press("Space")
        day.bar("CANNOT FIRE photographs cannot be filed")
        assert "Make room" in day.line("photographs cannot be filed").inner_text()
        day.studio.ingest._limits = limits
        day.gone("photographs cannot be filed")
        day.bar("DECIDE neutral")


@pytest.mark.slow
def test_a_studio_that_is_gone_and_back_with_a_take_under_way(tmp_path: Path) -> None:
    slow = dict.fromkeys(CAMERAS, "&download_ms=5000")
    with day_of(tmp_path, options=slow, expected=(LOST, "Failed to load resource")) as day:
        day.bar("READY neutral")
        day.press("Space")
        day.bar("HOLD STILL")
        until(lambda: day.studio.under_way is not None and len(day.studio.under_way.progress.stamps) == len(CAMERAS))
        day.air.stop_serving()
        day.studio.__exit__(None, None, None)
        day.bar("STUDIO LOST")
        day.air.studio = day.stack.enter_context(Studio(day.settings))
        day.air.serve()
        day.bar("DECIDE neutral")
        day.accept()
        day.bar("CHECK run the preflight")
        day.line("no preflight since the studio was started").get_by_role("button", name="Run the preflight").click()
        day.bar("READY smile")
