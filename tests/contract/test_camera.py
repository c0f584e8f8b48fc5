"""What every camera does, whatever its backend."""

import time

import pytest
from patience import Patience, until

from camera_nodes.backends import CAMERAS
from camera_nodes.camera import BodyFile, CameraState
from camera_nodes.errors import CameraClosed, CardFull, FileGone, NotArmed, NotExposed, NotIdle, TooLate
from camera_nodes.photo_collection.file_types import jpeg_fault
from camera_nodes.wire import Exposure


def shoot(camera, in_ms=5.0):
    """Release in so many milliseconds; later, where the machine did not come to it in time."""
    while True:
        camera.arm(Exposure())
        at_ns = camera.now_ns + round(in_ms * 1e6)
        try:
            return at_ns, camera.expose(at_ns)
        except TooLate:  # not released: the body is idle again
            in_ms *= 4
            assert in_ms < 60_000, "never in time"


def announced(camera, timeout_s=5.0):
    """The file of the exposure just made, once the body has announced it."""
    patience = Patience(timeout_s)
    while not patience.spent():
        files = camera.listen(0.2).files
        if files:
            camera.finish()
            return files[-1]
        time.sleep(0.01)  # a simulated body answers at once that there is nothing
    pytest.fail("no file was announced")


def test_every_backend_is_tried(benched):
    assert benched == CAMERAS.keys(), "BENCHES in tests/contract/conftest.py has an entry for each"


def test_a_closed_camera_does_nothing(camera):
    assert camera.state is CameraState.CLOSED
    calls = (lambda: camera.arm(Exposure()), lambda: camera.expose(0), camera.finish, camera.disarm, camera.search)
    for call in (*calls, lambda: camera.listen(0.1), lambda: camera.read(BodyFile("/", "0.jpg"))):
        with pytest.raises(CameraClosed):
            call()
    camera.close()


def test_it_says_which_camera_it_is(camera):
    camera.open()
    camera.open()
    assert camera.state is CameraState.IDLE
    assert camera.info.model
    assert camera.info.serial


def test_expose_before_arm_is_refused(camera):
    camera.open()
    with pytest.raises(NotArmed):
        camera.expose(0)
    with pytest.raises(NotExposed):
        camera.finish()


def test_arm_expose_read_delete(camera, photos):
    camera.open()
    at_ns, frame = shoot(camera)
    assert frame.commanded_at_ns == at_ns
    assert frame.release.released_at_ns >= at_ns
    assert frame.release.exposed_at_ns is None or frame.release.exposed_at_ns >= frame.release.released_at_ns
    assert camera.state is CameraState.EXPOSED
    file = announced(camera)
    assert camera.state is CameraState.IDLE
    assert file.epoch  # it was announced, and on which connection
    data = camera.read(file)
    assert camera.read(file) == data
    if "photos=" in camera.info.url:
        assert data == (photos / "0.jpg").read_bytes()
    assert jpeg_fault(data) == ""
    assert file.path in [one.path for one in camera.search()]
    assert camera.delete(file)
    assert file.path not in [one.path for one in camera.search()]
    for call in (camera.read, camera.delete):
        with pytest.raises(FileGone):
            call(file)


def test_what_was_not_heard_is_found_on_the_card(camera):
    camera.open()
    if "virtual" in camera.info.url:
        pytest.skip("the virtual camera forgets its photographs with the connection")
    before = {one.path for one in camera.search()}
    shoot(camera)
    camera.finish()
    news = "the photograph is not on the card"
    made = until(lambda: {one.path for one in camera.search(fresh=True)} - before, news, 20, poll_s=0.3)
    camera.close()
    camera.open()
    assert {one.path for one in camera.search()} - before == made


def test_an_armed_camera_is_left_alone(camera):
    camera.open()
    camera.arm(Exposure())
    for call in (lambda: camera.listen(0.1), camera.search):
        with pytest.raises(NotIdle):
            call()
    camera.disarm()
    assert camera.listen(0.05).files == ()


def test_it_cannot_be_armed_twice_nor_finished_twice(camera):
    camera.open()
    shoot(camera)
    with pytest.raises(NotIdle):
        camera.arm(Exposure())
    camera.finish()
    with pytest.raises(NotExposed):
        camera.finish()


def test_disarm_gives_an_exposure_up(camera):
    camera.open()
    camera.arm(Exposure())
    camera.disarm()
    with pytest.raises(NotArmed):
        camera.expose(0)
    shoot(camera)
    camera.disarm()
    assert camera.state is CameraState.IDLE
    _, frame = shoot(camera)
    assert frame.release.released_at_ns > 0
    camera.finish()


def test_a_moment_long_past_is_not_fired(camera):
    camera.open()
    camera.arm(Exposure())
    with pytest.raises(TooLate):
        camera.expose(camera.now_ns - 1_000_000_000)
    assert camera.state is CameraState.IDLE
    shoot(camera)
    camera.finish()


def test_settings_are_taken_or_named(camera):
    camera.open()
    condition = camera.arm(Exposure(shutter="1/200", aperture="f/8", iso="200"))
    assert all("iso" in warning for warning in condition.warnings)
    assert condition.battery_percent is None or 0 <= condition.battery_percent <= 100
    camera.disarm()


def test_closed_and_opened_again_it_works(camera):
    camera.open()
    shoot(camera)
    camera.close()
    camera.close()
    camera.open()
    shoot(camera)
    camera.finish()


def test_thirty_photographs_in_a_row(camera):
    """The virtual PTP camera takes 26 on one connection; that is the backend's business."""
    camera.open()
    for _ in range(30):
        shoot(camera, in_ms=0.5)
        camera.delete(announced(camera))


def test_a_full_card_is_named_and_the_next_arming_recovers(remote):
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    camera = remote("gphoto2:virtual", "refresh=0")
    camera.open()
    for _ in range(26):
        shoot(camera, in_ms=0.5)
        announced(camera)
    shoot(camera)
    assert camera.listen(0.5).files == ()
    camera.finish()
    with pytest.raises(CardFull):
        camera.arm(Exposure())
    camera.close()
    camera.open()
    shoot(camera)
    assert announced(camera).name == "GPH_0099.JPG"  # numbers begin again: names identify nothing


def test_two_virtual_cameras_cannot_be_told_apart(remote):
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    names = []
    for camera in (remote("gphoto2:virtual"), remote("gphoto2:virtual")):
        camera.open()
        shoot(camera)
        names.append((camera.info.serial, announced(camera).name))
    assert names[0] == names[1] == ("0.1", "GPH_0099.JPG")


def test_a_setting_that_is_no_choice_is_refused_with_the_choices(remote):
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    camera = remote("gphoto2:virtual")
    camera.open()
    with pytest.raises(Exception, match=r"'f/99' is not among f/2\.8"):
        camera.arm(Exposure(aperture="f/99"))
    assert camera.state is CameraState.IDLE


def test_the_wait_ends_at_the_moment(remote):
    camera = remote("sim:seed=1")
    camera.open()
    for _ in range(5):
        at_ns, frame = shoot(camera, in_ms=30)
        late = (frame.release.released_at_ns - at_ns) / 1e6
        camera.finish()
        assert late >= 0
        if late < 2:  # one quiet moment of five is enough on a busy machine
            return
        time.sleep(0.05)
    pytest.fail("five waits of five ended more than 2 ms after their moment")
