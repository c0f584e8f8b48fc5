"""A node and its studio over the wire, with a body of the tests' own: what the operator hears of each kind of fault."""

import importlib.util
import threading
from pathlib import Path

import pytest

from camera_nodes import gphoto_camera, wire
from camera_nodes.gphoto import connection
from camera_nodes.sim_camera import SimCamera, built_in_photo

_spec = importlib.util.spec_from_file_location("fake_gphoto2", Path(__file__).with_name("fake_gphoto2.py"))
fake_gphoto2 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_gphoto2)
Widget, DCIM = fake_gphoto2.Widget, fake_gphoto2.DCIM


@pytest.fixture
def gp(monkeypatch):
    monkeypatch.setattr(connection, "_PAUSE_S", 0.01)
    monkeypatch.setattr(connection, "_RECONNECT_PAUSE_S", 0.01)
    module = fake_gphoto2.Module()
    shots = iter(range(1, 1000))

    def expose():
        number = next(shots)
        module.photograph(f"IMG_{number:04d}.JPG", built_in_photo(f"shot {number}"))

    module.on_trigger = expose
    monkeypatch.setattr(gphoto_camera, "_import_gphoto2", lambda *_: module)
    return module


@pytest.fixture
def node(gp, studio, start_node):
    def start():
        assert gp.opened == []
        running = start_node("gphoto2:usb:001,004")
        studio.wait_for_clock("cam-00")
        studio.until(lambda: studio.state() == "idle")
        return running

    return start


def take(studio, fire_id):
    answer = studio.arm("cam-00", fire_id)
    assert isinstance(answer, wire.Armed), answer
    studio.fire("cam-00", fire_id, in_ms=400)
    spooled = studio.wait(wire.FrameSpooled, lambda f: f.fire_id == fire_id)
    studio.until(lambda: spooled.entry in studio.stored)
    studio.until(lambda: studio.state() == "idle")
    return studio.stored[spooled.entry]


def test_the_card_s_copy_goes_when_the_studio_has_it(gp, studio, node):
    node()
    assert b"shot 1" in take(studio, "f1")
    studio.until(lambda: not gp.card)
    assert b"shot 2" in take(studio, "f2")


def test_a_body_that_keeps_photographs_in_memory(gp, studio, node):
    gp.settings["capturetarget"] = Widget("Internal RAM", ("Internal RAM",))
    node()
    refused = studio.arm("cam-00", "f1")
    assert isinstance(refused, wire.ArmRefused)
    assert "not on its card" in refused.reasons[0]
    armed = studio.arm("cam-00", "f2", allow_ram=True)
    assert isinstance(armed, wire.Armed)
    assert any("is lost if cable, node or power fail" in text for text in armed.warnings)


def test_a_full_card_is_named_and_an_impossible_number_is_none(gp, studio, node):
    gp.stores = [0]
    node()
    refused = studio.arm("cam-00", "f1")
    assert isinstance(refused, wire.ArmRefused)
    assert "the card of gphoto2:usb:001,004 is full" in refused.reasons[0]
    gp.stores = [2**64 - 1]
    armed = studio.arm("cam-00", "f2")
    assert isinstance(armed, wire.Armed)
    assert armed.photos_left is None


def test_a_photograph_taken_by_hand_goes_to_the_tray_and_no_take_gets_it(gp, studio, node):
    running = node()
    gp.photograph("IMG_0500.JPG", built_in_photo("by hand"))
    told = studio.wait(wire.NodeFault, lambda f: f.code == "stray")
    assert f"{DCIM}/IMG_0500.JPG is filed in no take" in told.text
    assert told.fire_id is None
    assert b"shot 1" in take(studio, "f1")
    (folder,) = (running.settings.spool / "strays").iterdir()
    assert b"by hand" in (folder / "photo").read_bytes()
    studio.until(lambda: len(gp.card) == 1)  # the one by hand stays


def test_a_photograph_that_the_connection_lost_is_found_on_the_card(gp, studio, node):
    node()
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)

    def lost():
        gp.card[f"{DCIM}/IMG_0001.JPG"] = built_in_photo("found")  # its announcement goes with the connection
        gp.fail("wait_for_event", -7)

    gp.on_trigger = lost
    studio.fire("cam-00", "f1", in_ms=400)
    spooled = studio.wait(wire.FrameSpooled, lambda f: f.fire_id == "f1")
    studio.until(lambda: spooled.entry in studio.stored)
    assert b"found" in studio.stored[spooled.entry]


@pytest.mark.parametrize("fired", ["never", "expired"])
def test_an_arming_without_a_fire_leaves_nothing_outstanding(studio, start_node, fired):
    start_node("sim:lag_ms=5&jitter_ms=0")
    studio.wait_for_clock("cam-00")
    studio.until(lambda: studio.state() == "idle")
    changes = {"expires_ns": 50_000_000} if fired == "expired" else {}
    assert isinstance(studio.arm("cam-00", "f1", **changes), wire.Armed)
    if fired == "expired":
        studio.until(lambda: studio.state() == "idle")
    take(studio, "f2")
    assert studio.count(wire.NodeFault) == 0


def test_a_camera_that_does_not_come_back_from_a_call_is_told_and_is_there_again_when_it_does(
    studio, start_node, monkeypatch
):
    trouble, over = threading.Event(), threading.Event()
    real = SimCamera._do_check

    def check(self):
        if trouble.is_set():
            over.wait(600)
        return real(self)

    monkeypatch.setattr(SimCamera, "_do_check", check)
    start_node("sim:lag_ms=5&jitter_ms=0")
    studio.wait_for_clock("cam-00")
    studio.until(lambda: studio.state() == "idle")
    trouble.set()
    told = studio.wait(wire.NodeFault)
    assert told.code == "camera_missing"
    assert "has not answered" in told.text
    studio.until(lambda: studio.state() == "no_camera")
    refused = studio.arm("cam-00", "f1")
    assert isinstance(refused, wire.ArmRefused)
    trouble.clear()
    over.set()
    studio.until(lambda: studio.state() == "idle")
    take(studio, "f2")
