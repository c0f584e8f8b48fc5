"""The wired release against a fake chip that speaks gpiod's interface, and the kernel's gpio-sim where there is one."""

import importlib.util
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from camera_nodes import gpio_release, wire
from camera_nodes.backends import make_camera, make_release
from camera_nodes.camera import CameraState
from camera_nodes.errors import BadAddress, ReleaseFault
from camera_nodes.wire import Exposure

gpiod = pytest.importorskip("gpiod", reason="the gpiod library is for Linux")

_spec = importlib.util.spec_from_file_location("fake_gpiod", Path(__file__).with_name("fake_gpiod.py"))
fake_gpiod = importlib.util.module_from_spec(_spec)
sys.modules["fake_gpiod"] = fake_gpiod
_spec.loader.exec_module(fake_gpiod)
Value = gpiod.line.Value

WIRED = "gpio:/dev/gpiochip0?half=17&shutter=27&hot_shoe=22&settle_ms=5&press_ms=20"


@pytest.fixture
def body(monkeypatch):
    body = fake_gpiod.Body()
    monkeypatch.setattr(gpio_release, "_import_gpiod", lambda _url: body)
    return body


def opened(url=WIRED):
    release = make_release(url)
    release.open()
    return release


def test_half_press_shutter_and_the_hot_shoes_own_stamp(body):
    release = opened()
    assert body.values == {17: Value.INACTIVE, 27: Value.INACTIVE}
    release.prepare()
    assert body.values == {17: Value.ACTIVE, 27: Value.INACTIVE}
    told = release.release()
    assert told.source == "hot_shoe"
    assert told.exposed_at_ns == body.exposures_ns[0]  # the kernel's stamp to the ns, whenever it was read
    assert told.released_at_ns <= body.exposures_ns[0] - 5_000_000
    release.rest()
    assert body.values == {17: Value.INACTIVE, 27: Value.INACTIVE}
    assert body.presses_ms[0] >= 20
    release.close()
    release.close()
    assert sorted(body.released) == [17, 22, 27]


def test_the_lines_are_asked_for_as_wired(body):
    opened(f"{WIRED}&active_low=1&hot_shoe_active_low=0&hot_shoe_pull=down")
    assert body.requested[27].active_low
    shoe = body.requested[22]
    assert (shoe.active_low, shoe.bias) == (False, gpiod.line.Bias.PULL_DOWN)
    assert shoe.event_clock is gpiod.line.Clock.MONOTONIC
    assert not shoe.debounce_period


@pytest.mark.parametrize("trouble", [{"bounces": 4}, {"crosstalk": True}, {"bounces": 2, "crosstalk": True}])
def test_the_first_true_edge_counts(body, trouble):
    for name, value in trouble.items():
        setattr(body, name, value)
    release = opened()
    for shot in range(3):
        release.prepare()
        assert release.release().exposed_at_ns == body.exposures_ns[shot]
        release.rest()
        time.sleep(0.001)  # the rest of the bounces come in between


def test_edges_of_test_flashes_do_not_count(body):
    release = opened()
    body.contact(time.monotonic_ns() - 10**9)
    release.prepare()
    body.contact(time.monotonic_ns())  # between arming and fire
    assert release.release().exposed_at_ns == body.exposures_ns[0]


def test_a_stamp_of_another_clock_is_no_stamp(body):
    body.silent = True
    release = opened(f"{WIRED}&edge_ms=40")
    release.prepare()
    threading.Timer(0.01, body.contact, (time.time_ns(),)).start()
    assert release.release().exposed_at_ns is None


def test_without_an_edge_the_exposure_is_not_known(body):
    body.silent = True
    release = opened(f"{WIRED}&edge_ms=30")
    release.prepare()
    told = release.release()
    assert (told.exposed_at_ns, told.source) == (None, None)
    assert len(body.exposures_ns) == 1  # it was released all the same


def test_without_a_hot_shoe_it_returns_at_once(body):
    release = opened("gpio:/dev/gpiochip0?shutter=27&press_ms=30")
    assert not release.sees_exposure
    release.prepare()
    assert release.release().exposed_at_ns is None
    release.rest()
    assert body.presses_ms[0] >= 30
    assert 22 not in body.requested


@pytest.mark.parametrize(
    ("url", "setting", "says"),
    [
        (WIRED.replace("chip0", "chip9"), {}, "there is no chip /dev/gpiochip9; `gpiodetect`"),
        (WIRED, {"held_by_others": {22}}, "another program holds one of the lines 22; `gpioinfo`"),
        (WIRED.replace("half=17", "half=99"), {}, "does not give the lines 99, 27"),
    ],
)
def test_what_is_wrong_with_the_chip_is_said_and_nothing_stays_held(body, url, setting, says):
    for name, value in setting.items():
        setattr(body, name, value)
    with pytest.raises(ReleaseFault) as fault:
        opened(url)
    assert says in str(fault.value)
    assert body.requested == {}


def test_a_chip_that_goes_away_is_a_fault_that_leaves_the_camera_idle(body):
    camera = make_camera("sim:", WIRED)
    camera.open()
    body.broken = True
    with pytest.raises(ReleaseFault, match="line 17 cannot be set: No such device"):
        camera.arm(Exposure())
    assert camera.state is CameraState.IDLE
    camera.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("gpio:/dev/gpiochip0?shuter=27", "did you mean 'shutter'"),
        ("gpio:/dev/gpiochip0?half=17", "names its chip and its lines"),
        ("gpio:shutter=27", "names its chip and its lines"),
        ("gpio:/dev/gpiochip0?shutter=27&half=27", "three different lines"),
        ("gpio:/dev/gpiochip0?shutter=27&hot_shoe_pull=sideways", "'up', 'down' or 'none'"),
        ("gpio:/dev/gpiochip0?shutter=27&press_ms=9999", "between 0 and 2000"),
        ("gpoi:/dev/gpiochip0?shutter=27", "did you mean 'gpio'"),
    ],
)
def test_a_misspelt_release_is_explained(url, says):
    with pytest.raises(BadAddress) as refusal:
        make_release(url)
    assert says in str(refusal.value)


def test_a_node_with_a_wired_release_reports_the_true_exposure(body, studio, start_node):
    body.lag_ms = 20.0
    start_node("sim:clock_offset_ms=3000", release=WIRED)  # the kernel's stamps are mapped as the node's own are
    assert "exposed_at" in studio.wait(wire.Hello, lambda h: h.serial != "").capabilities
    studio.wait_for_clock("cam-00")
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)
    studio.fire("cam-00", "f1", lag_ms=20.0)
    stamps = studio.wait(wire.Stamps)
    assert not stamps.missed, stamps.reason
    assert stamps.exposure_source == "hot_shoe"
    # One machine: the controller's clock is the one by which the body was exposed.
    assert abs(stamps.exposed_at_ns - body.exposures_ns[0]) <= stamps.clock_uncertainty_ns + 50_000
    studio.wait(wire.FrameSpooled)
    studio.until(lambda: body.values[17] is Value.INACTIVE and body.values[27] is Value.INACTIVE)


def test_disarmed_the_half_press_is_let_go(body, studio, start_node):
    start_node("sim:", release=WIRED)
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    assert body.values[17] is Value.ACTIVE
    studio.send("cam-00", wire.Disarm(fire_id="f1", why="another camera is not ready"))
    studio.until(lambda: body.values[17] is Value.INACTIVE)
    assert body.exposures_ns == []


def test_lines_that_are_not_to_be_had_are_told_like_a_camera_that_is_not(body, studio, start_node):
    body.held_by_others = {27}
    start_node("sim:", release=WIRED)
    fault = studio.wait(wire.NodeFault)
    assert fault.code == "release_fault"
    assert "`gpioinfo` names it" in studio.wait(wire.Hello).fault
    body.held_by_others = set()
    studio.wait(wire.Hello, lambda h: h.fault is None)


CONFIGFS = Path("/sys/kernel/config/gpio-sim")


@pytest.fixture
def simulated_chip():
    """A chip of the kernel's gpio-sim: its device, and the folder of its lines' pulls and values."""
    if not CONFIGFS.is_dir():
        pytest.skip("this kernel has no gpio-sim (modprobe gpio-sim, mount -t configfs none /sys/kernel/config)")
    chip = CONFIGFS / "mien-test"
    bank = chip / "bank0"
    try:
        bank.mkdir(parents=True)
        (bank / "num_lines").write_text("8")
        (chip / "live").write_text("1")
    except PermissionError:
        pytest.skip("gpio-sim wants root")
    try:
        name = (bank / "chip_name").read_text().strip()
        device = (chip / "dev_name").read_text().strip()
        yield f"/dev/{name}", Path("/sys/devices/platform") / device / name
    finally:
        with suppress(OSError):
            (chip / "live").write_text("0")
        bank.rmdir()
        chip.rmdir()


def test_against_the_kernels_simulated_chip(simulated_chip):
    path, lines = simulated_chip
    release = opened(f"gpio:{path}?half=0&shutter=1&hot_shoe=2&settle_ms=1&edge_ms=1500")
    (lines / "sim_gpio2" / "pull").write_text("pull-up")  # open contact
    release.prepare()
    assert (lines / "sim_gpio0" / "value").read_text().strip() == "1"
    moments = []

    def wired_body():
        while (lines / "sim_gpio1" / "value").read_text().strip() != "1":
            time.sleep(0.0005)
        moments.append(time.monotonic_ns())
        (lines / "sim_gpio2" / "pull").write_text("pull-down")  # the contact closes
        moments.append(time.monotonic_ns())

    thread = threading.Thread(target=wired_body)
    thread.start()
    told = release.release()
    thread.join()
    assert told.source == "hot_shoe"
    assert moments[0] <= told.exposed_at_ns <= moments[1]
    release.rest()
    assert (lines / "sim_gpio1" / "value").read_text().strip() == "0"
    release.close()
