"""Live view frames reach the studio whole, and live view is over before any arming, whatever the studio says."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from camera_nodes import wire
from camera_nodes.backends import make_camera, open_camera
from camera_nodes.camera import CameraState
from camera_nodes.errors import CameraClosed, CameraFault, CameraMissing, NotIdle, NotPossible, NotSupported
from camera_nodes.gphoto import live_view
from camera_nodes.sim_live_view import simulated_preview_jpeg
from camera_nodes.wire import Exposure

VIEW = wire.View(on=True, every_ms=100)


def frames(studio):
    """Whole frames as the studio has received them, by number."""
    found = {}
    for _, m, _ in list(studio.seen):
        if isinstance(m, wire.Preview):
            assert m.offset == len(found.setdefault(m.number, b""))
            found[m.number] += m.data
            assert len(found[m.number]) <= m.size
    return found


def test_frames_come_and_go_on_while_they_are_asked_for(studio, start_node):
    start_node("sim:seed=3")
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", VIEW)
    assert studio.wait(wire.ViewState).on
    studio.wait(wire.Preview, lambda m: m.number >= 3)
    for jpeg in frames(studio).values():
        assert Image.open(io.BytesIO(jpeg)).size == (160, 112)
    assert len(set(frames(studio).values())) == len(frames(studio))
    studio.send("cam-00", wire.View(on=False))
    studio.wait(wire.ViewState, lambda m: not m.on)
    last = max(frames(studio))
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)
    assert max(frames(studio)) == last


def test_a_frame_longer_than_a_message_comes_in_pieces(studio, start_node, tmp_path):
    jpeg = simulated_preview_jpeg(0, "x") + bytes(5 * wire.CHUNK_BYTES)
    (tmp_path / "big.jpg").write_bytes(jpeg)
    start_node(f"sim:preview={tmp_path}/big.jpg")
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", VIEW)
    studio.wait(wire.Preview, lambda m: m.number == 2)
    whole = frames(studio)[1]
    assert whole.endswith(jpeg[2:])
    assert sum(isinstance(m, wire.Preview) and m.number == 1 for _, m, _ in studio.seen) == 6


def test_a_frame_that_is_too_large_is_named(studio, start_node, tmp_path):
    (tmp_path / "huge.jpg").write_bytes(simulated_preview_jpeg(0, "x") + bytes(wire.PREVIEW_LIMIT))
    start_node(f"sim:preview={tmp_path}/huge.jpg")
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", VIEW)
    assert "too large" in studio.wait(wire.ViewState, lambda m: not m.on).text
    assert not frames(studio)


def test_it_is_over_before_the_arming_and_does_not_begin_while_armed(studio, start_node):
    node = start_node("sim:seed=3", max_late_ms=10_000.0)
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", VIEW)
    studio.wait(wire.Preview)
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)
    assert not node.agent._camera._viewing
    ended = studio.wait(wire.ViewState, lambda m: not m.on)
    assert ended.text == "a fire is near"
    count = len(frames(studio))
    studio.send("cam-00", VIEW)
    assert studio.wait(wire.ViewState, lambda m: not m.on, count=2).text == "the camera is armed: a fire is near"
    studio.fire("cam-00", "f1")
    assert not studio.wait(wire.Stamps).missed
    studio.wait(wire.FrameSpooled)
    assert len(frames(studio)) == count
    studio.send("cam-00", VIEW)
    studio.wait(wire.Preview, lambda m: m.number > count)


def test_a_hold_of_uploads_ends_it(studio, start_node):
    start_node()
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", VIEW)
    studio.wait(wire.Preview)
    studio.send("cam-00", wire.UploadHold())
    assert studio.wait(wire.ViewState, lambda m: not m.on).text == "a fire is near"


def test_it_ends_when_nobody_asks_any_more(studio, start_node, monkeypatch):
    monkeypatch.setattr(wire, "VIEW_LASTS_S", 0.3)
    start_node()
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", VIEW)
    studio.wait(wire.Preview)
    assert studio.wait(wire.ViewState, lambda m: not m.on).text == "nobody asks for it any more"


def test_a_body_that_dies_in_live_view_is_told_of(studio, start_node):
    start_node("sim:dead_after=1&lag_ms=5", max_late_ms=10_000.0)
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    studio.fire("cam-00", "f1")
    studio.wait(wire.FrameSpooled)
    studio.send("cam-00", VIEW)
    assert "no longer answers" in studio.wait(wire.ViewState, lambda m: not m.on).text
    assert studio.wait(wire.NodeFault).code == "camera_missing"
    studio.until(lambda: studio.state() == "no_camera")


def test_frames_that_fail_end_it_with_the_reason(studio, start_node, tmp_path):
    start_node(f"sim:preview={tmp_path}/nothing.jpg")
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", VIEW)
    assert "nothing.jpg" in studio.wait(wire.ViewState, lambda m: not m.on).text
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)


# --- the camera itself


def test_only_an_idle_camera_gives_frames():
    camera = make_camera("sim:seed=1")
    with pytest.raises(CameraClosed):
        camera.preview()
    camera.open()
    assert camera.preview().startswith(b"\xff\xd8")
    camera.arm(Exposure())
    with pytest.raises(NotIdle):
        camera.preview()


@given(st.floats(0, 20), st.floats(0, 20))
def test_more_defocus_never_looks_sharper(one, other):
    """Bytes stand for detail here: the same picture, the same quality."""
    sharper, blurred = sorted((one, other))
    assert len(simulated_preview_jpeg(sharper, "c")) >= len(simulated_preview_jpeg(blurred, "c"))


class Body:
    """What libgphoto2 does for a Canon or a Nikon in live view, as far as Mien asks for it."""

    def __init__(self, switch="viewfinder", error=None):
        self.switch, self.error, self.calls = switch, error, []
        self.mirror_up = False

    def call(self, name, *arguments):
        self.calls.append((name, *arguments))
        if self.error and name == self.error[0]:
            raise self.error[1]
        if name == "capture_preview":
            self.mirror_up = True
            return self
        if name == "get_single_config":
            if arguments[0] != self.switch:
                raise NotSupported("gphoto2:: [-2] Bad parameters")
            return self
        assert name == "set_single_config"
        self.mirror_up = bool(self.value)
        return None

    def set_value(self, value):
        self.value = value

    def get_data_and_size(self):
        return b"\xff\xd8 frame"


@pytest.mark.parametrize("switch", ["viewfinder", "eosviewfinder", "none"])
def test_the_mirror_comes_down_where_there_is_a_switch(switch):
    body = Body(switch)
    assert live_view.preview(body.call, "u") == b"\xff\xd8 frame"
    live_view.end_preview(body.call)
    assert body.mirror_up == (switch == "none")


def test_a_body_without_live_view_is_told_from_one_that_failed():
    with pytest.raises(NotPossible, match="no live view"):
        live_view.preview(Body(error=("capture_preview", NotSupported("u: [-6] Unsupported operation"))).call, "u")
    with pytest.raises(CameraFault, match="busy"):
        live_view.preview(Body(error=("capture_preview", CameraFault("u: [-110] busy"))).call, "u")


def test_a_mirror_that_is_not_let_down_is_told():
    body = Body(error=("set_single_config", CameraFault("u: [-110] I/O in progress")))
    live_view.preview(body.call, "u")
    with pytest.raises(CameraFault, match="-110"):
        live_view.end_preview(body.call)
    body = Body(error=("get_single_config", CameraFault("u: [-7] I/O problem")))
    with pytest.raises(CameraFault, match="-7"):
        live_view.end_preview(body.call)


def test_a_switch_that_is_not_taken_stands_in_the_way_of_arming():
    camera = open_camera("sim:seed=1")
    camera.preview()
    camera._do_end_preview = lambda: (_ for _ in ()).throw(CameraFault("the mirror stays up"))
    with pytest.raises(CameraFault, match="mirror"):
        camera.arm(Exposure())
    assert camera.state is CameraState.IDLE
    with pytest.raises(CameraFault, match="mirror"):  # and is not forgotten
        camera.arm(Exposure())
    camera._do_end_preview = lambda: None
    camera.arm(Exposure())


@pytest.mark.parametrize("error", [None, CameraFault("busy"), CameraMissing("gone")])
def test_a_camera_is_not_closed_with_its_mirror_up(error):
    camera = open_camera("sim:seed=1")
    camera.preview()
    ended = []

    def end():
        ended.append(1)
        if error is not None:
            raise error

    closed = []
    camera._do_end_preview, camera._do_close = end, lambda: closed.append(1)
    camera.close()
    camera.close()
    assert (ended, closed, camera.state) == ([1], [1], CameraState.CLOSED)


def test_a_body_that_goes_in_live_view_is_closed():
    camera = open_camera("sim:seed=1")
    camera._do_preview = lambda: (_ for _ in ()).throw(CameraMissing("gone"))
    with pytest.raises(CameraMissing):
        camera.preview()
    assert camera.state is CameraState.CLOSED
