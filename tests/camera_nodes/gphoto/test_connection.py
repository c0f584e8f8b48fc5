"""One policy for everything that a call to a body can come back with, and one body: the one that was asked for."""

import importlib.util
from pathlib import Path

import pytest

from camera_nodes.errors import (
    CameraBusy,
    CameraFault,
    CameraLost,
    CameraMissing,
    CardFull,
    EquipmentError,
    FileGone,
    NotSupported,
)
from camera_nodes.gphoto import connection as ptp_connection
from camera_nodes.gphoto.connection import PtpConnection, PtpErrorKind
from camera_nodes.gphoto.settings import CameraSettings, is_raw
from common.setting_values import same_setting

_spec = importlib.util.spec_from_file_location("fake_gphoto2", Path(__file__).with_name("fake_gphoto2.py"))
fake_gphoto2 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_gphoto2)

AT_ONCE = {-2: NotSupported, -6: NotSupported, -107: FileGone, -108: FileGone, -3: CardFull, -115: CardFull}
PASSES = {
    -1: CameraFault, -7: CameraLost, -10: CameraFault, -34: CameraFault, -35: CameraFault, -102: CameraFault,
    -110: CameraBusy, -53: CameraBusy, -60: CameraBusy, -52: CameraMissing, -31: CameraMissing, -105: CameraMissing,
    -114: CameraLost, -999: CameraFault,
}  # fmt: skip


@pytest.fixture
def gp(monkeypatch):
    monkeypatch.setattr(ptp_connection, "_PAUSE_S", 0.001)
    monkeypatch.setattr(ptp_connection, "_RECONNECT_PAUSE_S", 0.001)
    return fake_gphoto2.Module()


@pytest.fixture
def connect(gp):
    def make(port="usb:001,004", patience_s=0.2):
        connection = PtpConnection(gp, f"gphoto2:{port}", port)
        connection.patience_s = patience_s
        connection.open()
        return connection

    return make


@pytest.mark.parametrize("code", PASSES)
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("name", ["file_get", "get_single_config", "wait_for_event", "get_storageinfo", "init"])
def test_what_may_pass_costs_nothing_but_time(gp, connect, code, times, name):
    gp.card[f"{fake_gphoto2.DCIM}/IMG_0001.JPG"] = b"photo"
    gp.fail(name, code, times)
    connection = connect(patience_s=30.0)
    arguments = {
        "file_get": (fake_gphoto2.DCIM, "IMG_0001.JPG", 1), "get_single_config": ("iso",), "wait_for_event": (1,),
    }  # fmt: skip
    connection.call(name if name != "init" else "get_storageinfo", *arguments.get(name, ()))
    assert gp.count(name) >= times + 1


@pytest.mark.parametrize("code", PASSES)
def test_what_does_not_pass_is_told_by_its_cause_at_the_end_of_the_patience(gp, connect, code):
    connection = connect()
    gp.fail("get_storageinfo", code, 100_000)
    with pytest.raises(PASSES[code]) as told:
        connection.call("get_storageinfo")
    assert type(told.value) is PASSES[code]
    assert "usb:001,004" in str(told.value)
    assert gp.count("get_storageinfo") > 1
    gp.heal()
    connection.call("get_storageinfo")  # and the connection is not spoilt


@pytest.mark.parametrize("code", AT_ONCE)
def test_what_is_an_answer_is_not_asked_again(gp, connect, code):
    connection = connect(patience_s=30.0)
    gp.fail("get_storageinfo", code, 1)
    with pytest.raises(EquipmentError) as told:
        connection.call("get_storageinfo")
    assert type(told.value) is AT_ONCE[code]
    assert gp.count("get_storageinfo") == 1


@pytest.mark.parametrize("code", [*PASSES, *AT_ONCE])
def test_in_the_window_there_is_one_attempt(gp, connect, code):
    connection = connect(patience_s=30.0)
    gp.fail("trigger_capture", code, 1)
    with pytest.raises(EquipmentError) as told:
        connection.once("trigger_capture")
    assert type(told.value) is (PASSES | AT_ONCE)[code]
    assert gp.count("trigger_capture") == 1
    assert gp.count("init") == 1


def test_only_two_codes_mean_that_there_is_no_such_thing(gp, connect):
    connection = connect()
    absent = {code for code in range(-130, 0) if connection.meaning(gp.GPhoto2Error(code)) is PtpErrorKind.ABSENT}
    assert absent == {-2, -6}


@pytest.mark.parametrize("code", [-7, -52, -114])
def test_a_body_that_is_gone_is_looked_for_and_what_holds_for_a_connection_is_done_anew(gp, code):
    done = []
    connection = PtpConnection(gp, "gphoto2:", "", lambda: done.append(connection.call("get_single_config", "iso")))
    connection.patience_s = 30.0
    connection.open()
    before = connection.epoch
    gp.fail("file_get_info", code, 1)
    with pytest.raises(FileGone):
        connection.call("file_get_info", "/", "none")
    assert len(done) == 2
    assert connection.epoch > before


def test_epochs_differ_however_quickly_connections_follow(connect):
    connection = connect()
    epochs = [connection.epoch]
    for _ in range(5):
        connection.reconnect()
        epochs.append(connection.epoch)
    assert len(set(epochs)) == 6
    assert epochs == sorted(epochs)


def test_a_call_without_a_connection_names_the_body(connect):
    connection = connect()
    connection.close()
    connection.close()
    with pytest.raises(CameraMissing, match="no camera answers at gphoto2:usb:001,004"):
        connection.call("get_storageinfo")


# --- addresses


def test_a_network_address_opens_that_body_though_another_one_is_on_the_cable(gp, connect):
    gp.ports = ["usb:001,004", "ptpip:10.0.0.9"]
    connect("ptpip:10.0.0.9")
    assert gp.opened == ["ptpip:10.0.0.9"]


def test_a_network_address_that_does_not_answer_opens_no_other_body(gp, connect):
    with pytest.raises(CameraMissing, match=r"ptpip:10\.0\.0\.9"):
        connect("ptpip:10.0.0.9", patience_s=0.05)
    assert gp.opened == []


def test_a_body_other_than_the_one_asked_for_is_let_go_again(gp, connect, monkeypatch):
    monkeypatch.setattr(gp.Camera, "set_port_info", lambda *_: None)  # as libgphoto2 does that takes the first it finds
    gp.ports = ["usb:009,009", "usb:001,004"]
    with pytest.raises(CameraMissing, match="libgphoto2 opened usb:009,009 instead"):
        connect("usb:001,004", patience_s=0.02)
    assert gp.calls[-1] == ("exit",)


def test_without_a_port_two_bodies_are_one_too_many(gp, connect):
    gp.ports = ["usb:001,004", "usb:001,005"]
    with pytest.raises(
        CameraFault, match=r"the only body, and there are 2 .*usb:001,004.*usb:001,005.*name its socket"
    ):
        connect("", patience_s=0.02)
    assert gp.opened == []


# --- settings


@pytest.mark.parametrize("code", [-110, -1, -7, -10, -34, -102])
def test_an_error_of_a_read_is_not_taken_for_no_such_setting(gp, connect, code):
    settings = CameraSettings(connect(patience_s=30.0), "gphoto2:")
    gp.fail("get_single_config iso", code, 1)
    assert settings.read("iso") == "100"
    assert settings.read("whitebalance") is None


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("1/125", "0.0080s", True), ("f/8", "8", True), ("F8.0", "8", True), ("1/60", "1/125", False),
        ("Manual", "manual ", True), ("Auto", "0", False), ("1/0", "1", False), ("100", "200", False),
        ("1/125", "1/126", True), ("f/8", "f/9", False), ("", "", True), ("0", "0", True),
    ],
)  # fmt: skip
def test_spellings_of_one_value(one, other, alike):
    assert same_setting(one, other) is alike
    assert same_setting(other, one) is alike


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("RAW + Large Fine JPEG", True), ("NEF+Fine", True), ("cRAW", True), ("NEF (Raw)", True), ("RAW", True),
        ("Large Fine JPEG", False), ("JPEG Basic", False), ("L", False), ("Draw", False), ("mRAW + JPEG", True),
    ],
)  # fmt: skip
def test_which_image_formats_keep_a_raw_file(text, raw):
    assert is_raw(text) is raw


def formats(connect, gp, **values):
    gp.settings.update({name: fake_gphoto2.Widget(value) for name, value in values.items()})
    return CameraSettings(connect(), "gphoto2:").formats()


def test_every_slot_is_asked_for_its_format(gp, connect):
    found = formats(connect, gp, imageformat="Large Fine JPEG", imageformatsd="RAW")
    assert (found.raw, found.jpeg) == (True, True)


def test_raw_in_every_slot_gives_no_photograph_and_a_body_may_not_say(gp, connect):
    found = formats(connect, gp, imageformat="RAW", imageformatcf="RAW")
    assert (found.raw, found.jpeg) == (True, None)
    gp.settings = {}
    found = CameraSettings(connect(), "gphoto2:").formats()
    assert (found.raw, found.jpeg) == (None, None)


@pytest.mark.parametrize(
    ("stores", "left"),
    [([2**64 - 1], None), ([-1], None), ([900, 2**64 - 1], 900), ([0], 0), ([3, 4], 7), (None, None)],
)
def test_impossible_numbers_of_photographs_are_no_numbers(gp, connect, stores, left):
    gp.stores = stores
    assert CameraSettings(connect(), "gphoto2:").photos_left() == left
