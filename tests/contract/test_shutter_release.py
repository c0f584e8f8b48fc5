"""What everything that releases a shutter does, whatever it is: camera_nodes.camera.ShutterRelease.

A new one joins by an entry in BENCHES: how one is made here, how many exposures it has made, and how it comes to fail.
"""

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from camera_nodes import gphoto_camera, gpio_release
from camera_nodes.backends import RELEASES, make_camera, make_release
from camera_nodes.camera import CameraState, ReleaseStamps, ShutterRelease
from camera_nodes.errors import CameraFault
from camera_nodes.gphoto_camera import GphotoCamera, GphotoOptions
from camera_nodes.sim_camera import SimRelease, SimReleaseOptions
from camera_nodes.wire import Exposure

NODES = Path(__file__).parents[1] / "camera_nodes"
LAG_MS = 5.0  # of the bodies behind, from the command to the exposure


@dataclass
class Bench:
    """A release, not yet opened, and what stands behind it.  fail: from now on it cannot release; None: never fails."""

    release: ShutterRelease
    exposures: Callable[[], int]
    fail: Callable[[], None] | None = None


class _CountedSim(SimRelease):
    """The simulated release has nothing behind it: its calls are counted."""

    made = 0

    def release(self) -> ReleaseStamps:
        self.made += 1
        return super().release()


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)  # dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def _simulated(_patch: pytest.MonkeyPatch, _end: ExitStack) -> Bench:
    release = _CountedSim("sim:", SimReleaseOptions(lag_ms=LAG_MS))
    return Bench(release, lambda: release.made)


def _wires(lines: str) -> Callable[[pytest.MonkeyPatch, ExitStack], Bench]:
    def make(patch: pytest.MonkeyPatch, _end: ExitStack) -> Bench:
        pytest.importorskip("gpiod", reason="the gpiod library is for Linux")
        body = _loaded(NODES / "fake_gpiod.py").Body(lag_ms=LAG_MS)
        patch.setattr(gpio_release, "_import_gpiod", lambda _url: body)
        release = make_release(f"gpio:/dev/gpiochip0?{lines}&settle_ms=5&press_ms=20")
        return Bench(release, lambda: len(body.exposures_ns), lambda: setattr(body, "broken", True))

    return make


def _ptp(patch: pytest.MonkeyPatch, end: ExitStack) -> Bench:
    module = _loaded(NODES / "gphoto" / "fake_gphoto2.py").Module()
    patch.setattr(gphoto_camera, "_import_gphoto2", lambda *_: module)
    camera = GphotoCamera("gphoto2:usb:001,004", "usb:001,004", GphotoOptions())
    end.enter_context(camera)  # its cable is what the command goes over
    return Bench(
        camera.release_by,
        lambda: module.count("trigger_capture"),
        lambda: module.fail("trigger_capture", -1, 10**6),
    )


# By the scheme of its address; PTP is what a gphoto2 camera does by itself.
BENCHES: dict[str, Callable[[pytest.MonkeyPatch, ExitStack], Bench]] = {
    "sim": _simulated,
    "gpio": _wires("half=17&shutter=27&hot_shoe=22"),
    "gpio without a hot shoe": _wires("half=17&shutter=27"),
    "PTP": _ptp,
}


@pytest.fixture(params=BENCHES.values(), ids=BENCHES.keys())
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with ExitStack() as end:
        made = request.param(monkeypatch, end)
        yield made
        made.release.rest()
        made.release.close()


def shoot(release: ShutterRelease) -> ReleaseStamps:
    release.prepare()
    stamps = release.release()
    release.rest()
    return stamps


def test_every_release_is_tried() -> None:
    assert {name.partition(" ")[0] for name in BENCHES} == {*RELEASES, "PTP"}


def test_opening_and_closing_twice_does_nothing(bench: Bench) -> None:
    bench.release.close()
    for _ in range(2):
        bench.release.open()
        bench.release.open()
        shoot(bench.release)
        bench.release.close()
        bench.release.close()
    assert bench.exposures() == 2


def test_letting_go_never_raises(bench: Bench) -> None:
    bench.release.rest()
    bench.release.open()
    bench.release.rest()
    bench.release.prepare()
    bench.release.rest()
    bench.release.rest()
    bench.release.close()
    bench.release.rest()
    assert bench.exposures() == 0


def test_each_release_makes_one_exposure_and_nothing_else_makes_one(bench: Bench) -> None:
    bench.release.open()
    for number in range(3):
        bench.release.prepare()
        assert bench.exposures() == number
        bench.release.release()
        assert bench.exposures() == number + 1
        bench.release.rest()
        assert bench.exposures() == number + 1


def test_the_command_is_stamped_when_it_goes_out(bench: Bench) -> None:
    bench.release.open()
    before_ns = time.monotonic_ns()
    stamps = [shoot(bench.release).released_at_ns for _ in range(3)]
    assert stamps == sorted(stamps)
    assert before_ns <= stamps[0]
    assert stamps[-1] <= time.monotonic_ns()


def test_the_exposure_is_seen_where_that_is_said_and_only_there(bench: Bench) -> None:
    assert isinstance(bench.release.sees_exposure, bool)
    assert isinstance(bench.release.half_presses, bool)
    bench.release.open()
    for _ in range(3):
        stamps = shoot(bench.release)
        if bench.release.sees_exposure:
            assert stamps.source in ("simulated", "hot_shoe")
            assert stamps.exposed_at_ns is not None
            assert stamps.exposed_at_ns >= stamps.released_at_ns
        else:
            assert (stamps.exposed_at_ns, stamps.source) == (None, None)


def test_a_release_that_fails_raises_a_fault_of_the_camera_and_lets_go(bench: Bench) -> None:
    if bench.fail is None:
        pytest.skip("it cannot fail")
    bench.release.open()
    bench.release.prepare()
    bench.fail()
    with pytest.raises(CameraFault):
        bench.release.release()
    bench.release.rest()
    bench.release.close()
    assert bench.exposures() <= 1  # one that was sent may have been obeyed, without an answer


def test_a_camera_is_released_by_it(bench: Bench) -> None:
    camera = make_camera("sim:lag_ms=1")
    camera.release_by = bench.release
    camera.max_late_ns = 10**12  # the tests share their processors with others
    with camera:
        assert ("exposed_at" in camera.info.capabilities) is bench.release.sees_exposure
        camera.arm(Exposure())
        exposure = camera.expose(camera.clock.now_ns())
        assert exposure.release.released_at_ns >= exposure.commanded_at_ns
        camera.finish()
        assert camera.state is CameraState.IDLE
        assert bench.exposures() == 1
