"""A body gives signs and moves its lens when asked, never in a fire's way, and says what came of it."""

import importlib.util
import io
import sys
from pathlib import Path

import pytest

from camera_nodes import gphoto_camera, gpio_release, wire
from camera_nodes.backends import make_camera, make_release
from camera_nodes.camera import CameraState
from camera_nodes.errors import NotPossible

HERE = Path(__file__).parents[1]
VIEW = wire.View(on=True, every_ms=100)


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)  # dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def acted(studio, request):
    return studio.wait(wire.BodyActed, lambda m: m.request_id == request)


def test_signs_are_given_and_a_repeat_is_answered_without_them(studio, start_node):
    start_node("sim:seed=3")
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", wire.Identify(request_id="i1", signs=2))
    answer = acted(studio, "i1")
    assert (answer.camera, answer.outcome) == ("cam-00", "done")
    assert "listen for the mirror" in answer.text
    studio.send("cam-00", wire.Identify(request_id="i1", signs=2))
    assert studio.wait(wire.BodyActed, lambda m: m.request_id == "i1", count=2) == answer
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)
    studio.send("cam-00", wire.Identify(request_id="i2"))
    assert acted(studio, "i2").outcome == "refused"


def test_an_arm_waits_for_one_sign_at_the_most(studio, start_node):
    start_node("sim:seed=3")
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", wire.Identify(request_id="i1", signs=10))  # seven seconds of them
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)
    assert acted(studio, "i1").outcome == "done"


def test_the_lens_moves_and_live_view_shows_it(studio, start_node):
    from PIL import Image, ImageStat

    def contrast():
        number = max([m.number for _, m, _ in list(studio.seen) if isinstance(m, wire.Preview)], default=0) + 2
        studio.send("cam-00", VIEW)
        frame = studio.wait(wire.Preview, lambda m: m.number >= number)
        return ImageStat.Stat(Image.open(io.BytesIO(frame.data)).convert("L")).stddev[0]

    start_node("sim:seed=3&defocus=4")
    studio.wait_for_clock("cam-00")
    soft = contrast()
    studio.send("cam-00", wire.Focus(request_id="a"))
    assert acted(studio, "a").outcome == "done"
    sharp = contrast()
    assert sharp > 1.2 * soft
    studio.send("cam-00", wire.Focus(request_id="b", drive="nearer", step=3))
    assert acted(studio, "b").text == "nearer by 3"
    assert contrast() < sharp


def test_a_camera_that_is_not_there_says_why(studio, start_node):
    start_node("sim:seed=3&stuck_until=usb_reset")
    studio.wait(wire.Hello, lambda m: m.fault)
    studio.send("cam-00", wire.Focus(request_id="a"))
    answer = acted(studio, "a")
    assert answer.outcome == "refused"
    assert "no longer answers" in answer.text


def test_a_body_without_live_view_is_woken_by_its_wired_half_press(monkeypatch):
    pytest.importorskip("gpiod", reason="the gpiod library is for Linux")
    wires = loaded(HERE / "fake_gpiod.py").Body(lag_ms=5)
    monkeypatch.setattr(gpio_release, "_import_gpiod", lambda _url: wires)
    body = _gphoto(monkeypatch)
    body.module.fail("capture_preview", -6, times=9)
    body.release_by = make_release("gpio:/dev/gpiochip0?half=17&shutter=27&settle_ms=5")
    body.open()
    assert "pressed halfway" in body.give_sign()
    assert wires.exposures_ns == []
    body.close()
    body.release_by = make_release("gpio:/dev/gpiochip0?shutter=27&settle_ms=5")
    body.open()
    with pytest.raises(NotPossible, match="its half-press is not wired"):
        body.give_sign()
    body.close()


def _gphoto(monkeypatch, **settings):
    fake_gphoto2 = loaded(HERE / "gphoto" / "fake_gphoto2.py")
    made = fake_gphoto2.Module(**{name: fake_gphoto2.Widget(*given) for name, given in settings.items()})
    monkeypatch.setattr(gphoto_camera, "_import_gphoto2", lambda *_: made)
    camera = make_camera("gphoto2:usb:001,004")
    camera.module = made
    return camera


def test_an_eos_lens_is_moved_by_its_choices_in_live_view_which_then_ends(monkeypatch):
    monkeypatch.setattr("camera_nodes.gphoto.focus_drive._FOCUS_S", 0.0)
    choices = ("Near 1", "Near 2", "Near 3", "None", "Far 1", "Far 2", "Far 3")
    body = _gphoto(monkeypatch, manualfocusdrive=("None", choices), autofocusdrive=(0,), viewfinder=(1,))
    body.open()
    assert body.focus("farther", 2) == "moved farther by 2"
    assert body.module.settings["manualfocusdrive"].value == "Far 2"
    names = [(call[0], *call[1:2]) for call in body.module.calls]
    assert names.index(("capture_preview",)) < names.index(("set_single_config", "manualfocusdrive"))
    assert body.module.settings["viewfinder"].value == 0
    assert "autofocus was started" in body.focus("auto")
    assert body.module.settings["autofocusdrive"].value == 1
    assert body.state is CameraState.IDLE
    body.close()


def test_a_nikon_lens_is_moved_by_motor_steps_within_its_range(monkeypatch):
    monkeypatch.setattr("camera_nodes.gphoto.focus_drive._FOCUS_S", 0.0)
    body = _gphoto(monkeypatch, manualfocusdrive=(0.0,))
    monkeypatch.setattr(sys.modules["fake_gphoto2"].Widget, "get_range", lambda _: (-500.0, 500.0, 1.0), raising=False)
    body.open()
    for drive, step, wanted in (("nearer", 1, -30.0), ("farther", 2, 150.0), ("farther", 3, 500.0)):
        body.focus(drive, step)
        assert body.module.settings["manualfocusdrive"].value == wanted
    with pytest.raises(NotPossible, match="no setting autofocusdrive"):
        body.focus("auto")
    body.close()


def test_what_a_body_is_set_to_is_told_when_it_is_news(studio, start_node):
    start_node("sim:seed=3&focus=AF-S")
    studio.wait_for_clock("cam-00")
    for number, iso in enumerate(("200", "200", "400")):
        answer = studio.arm("cam-00", f"f{number}", exposure=wire.Exposure(iso=iso))
        assert isinstance(answer, wire.Armed)
        studio.send("cam-00", wire.Disarm(fire_id=f"f{number}"))
    studio.wait(wire.SettingsRead, lambda m: m.settings.iso == "400")
    told = [m.settings for _, m, _ in studio.seen if isinstance(m, wire.SettingsRead)]
    assert [(one.iso, one.focus_mode) for one in told] == [("200", "AF-S"), ("400", "AF-S")]


def test_a_bodys_settings_are_read_once_where_the_profile_leaves_them(monkeypatch):
    body = _gphoto(monkeypatch, whitebalance=("Flash",), focusmode=("Manual",))
    body.open()
    found = body.arm(wire.Exposure(iso="400"), allow_ram=True).settings
    assert found == wire.Exposure(iso="400", shutter="1/60", white_balance="Flash", focus_mode="Manual")
    body.disarm()
    asked = body.module.count("get_single_config")
    body.arm(wire.Exposure(iso="400"), allow_ram=True)
    first = asked
    again = body.module.count("get_single_config") - asked
    assert again < first / 2
    body.close()
