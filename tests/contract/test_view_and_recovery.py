"""What every camera does about live view and recovery, whatever its backend."""

import contextlib

import pytest

from camera_nodes.camera import CameraState
from camera_nodes.errors import CameraClosed, NotIdle, NotPossible
from camera_nodes.wire import Exposure


def shoot(camera):
    camera.arm(Exposure())
    camera.expose(camera.now_ns + 2_000_000)
    camera.finish()


def frame_or_none(camera):
    """A frame, or None from a body that says clearly that it has no live view, as the virtual PTP camera does."""
    try:
        return camera.preview()
    except NotPossible:
        return None


def test_a_frame_is_a_jpeg_or_there_is_clearly_no_live_view(camera):
    with pytest.raises(CameraClosed):
        camera.preview()
    camera.open()
    camera.end_preview()
    for _ in range(3):
        frame = frame_or_none(camera)
        assert frame is None or frame.startswith(b"\xff\xd8")
        assert camera.state is CameraState.IDLE
    camera.end_preview()
    camera.end_preview()


def test_it_shoots_after_live_view_whether_that_was_ended_or_not(camera):
    camera.open()
    for ended in (True, False):
        frame_or_none(camera)
        if ended:
            camera.end_preview()
        shoot(camera)
    assert camera.state is CameraState.IDLE


def test_an_armed_camera_gives_no_frame_and_stays_armed(camera):
    camera.open()
    camera.arm(Exposure())
    with pytest.raises(NotIdle):
        camera.preview()
    assert camera.state is CameraState.ARMED
    camera.expose(camera.now_ns + 2_000_000)
    with pytest.raises(NotIdle):
        camera.preview()
    camera.finish()


def test_a_sign_and_a_move_of_the_lens_leave_it_idle_and_it_shoots(camera):
    with pytest.raises(CameraClosed):
        camera.give_sign()
    with pytest.raises(CameraClosed):
        camera.focus("auto")
    camera.open()
    for act in (camera.give_sign, lambda: camera.focus("auto"), lambda: camera.focus("nearer", 2)):
        with contextlib.suppress(NotPossible):
            assert act()
        assert camera.state is CameraState.IDLE
        shoot(camera)


def test_an_armed_camera_gives_no_sign_and_keeps_its_lens(camera):
    camera.open()
    camera.arm(Exposure())
    for act in (camera.give_sign, lambda: camera.focus("farther")):
        with pytest.raises(NotIdle):
            act()
    assert camera.state is CameraState.ARMED
    camera.disarm()


def test_a_recovery_leaves_it_closed_and_it_can_be_opened(camera):
    camera.open()
    for name in ("usb_reset", "power_cycle"):
        with contextlib.suppress(NotPossible):
            assert camera.call(name)
        assert camera.state is CameraState.CLOSED
        camera.open()
        camera.check()
        shoot(camera)


def test_the_virtual_camera_says_that_it_has_no_live_view(remote):
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    camera = remote("gphoto2:virtual")
    camera.open()
    with pytest.raises(NotPossible, match="this body gives no live view over PTP"):
        camera.preview()
    with pytest.raises(NotPossible, match=r"can give no sign.*Look for the body with serial number 0.1"):
        camera.give_sign()
    with pytest.raises(NotPossible, match="its lens cannot be moved from here"):
        camera.focus("auto")
