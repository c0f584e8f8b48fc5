"""Each kind of fault that real bodies have shown, on GphotoCamera over a module of the tests' own."""

import importlib.util
import logging
from pathlib import Path

import pytest

from camera_nodes import gphoto_camera
from camera_nodes.camera import BodyFile, CameraState
from camera_nodes.errors import (
    CameraFault,
    CameraMissing,
    CaptureTarget,
    CardFull,
    EquipmentError,
    FileNotDeleted,
    FileTruncated,
    SettingsRefused,
)
from camera_nodes.gphoto import connection
from camera_nodes.gphoto_camera import GphotoCamera, GphotoOptions
from camera_nodes.photo_collection.collector import CollectionFault, Collector, FileSpooled
from camera_nodes.photo_transfer.spool import Spool
from camera_nodes.sim_camera import built_in_photo, built_in_raw
from camera_nodes.wire import Exposure

_spec = importlib.util.spec_from_file_location("fake_gphoto2", Path(__file__).with_name("fake_gphoto2.py"))
fake_gphoto2 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_gphoto2)
DCIM, Widget = fake_gphoto2.DCIM, fake_gphoto2.Widget
TRANSIENT = [-110, -1, -7, -10, -34, -102]
PHOTO = built_in_photo("shown") + bytes(3000)


@pytest.fixture
def gp(monkeypatch):
    monkeypatch.setattr(connection, "_PAUSE_S", 0.001)
    monkeypatch.setattr(connection, "_RECONNECT_PAUSE_S", 0.001)
    module = fake_gphoto2.Module()
    monkeypatch.setattr(gphoto_camera, "_import_gphoto2", lambda *_: module)
    return module


@pytest.fixture
def body(gp, tmp_path):
    """Makes the camera: body("usb:001,004", model="cached_settings = true")."""
    made = []
    assert gp.opened == []

    def make(port="usb:001,004", model="", **options):
        table = tmp_path / "models.toml"
        table.write_text(f'[[body]]\nname = "Test body"\nsettle_s = 0.2\nfile_s = 2.0\n{model}\n')
        camera = GphotoCamera(f"gphoto2:{port}", port, GphotoOptions(**options))
        camera.models_file = table
        camera.max_late_ns = 10**12
        made.append(camera)
        camera.open()
        return camera

    yield make
    for camera in made:
        camera.close()


def shoot(camera):
    camera.arm(Exposure())
    camera.expose(camera.clock.now_ns())


def impatient(monkeypatch):
    for name in ("_OPEN_S", "_ARM_S", "_READ_S", "_LISTEN_S", "_CHECK_S"):
        monkeypatch.setattr(gphoto_camera, name, 0.1)


# --- 2: where photographs are kept


def test_the_card_is_the_target_after_each_connection(gp, body):
    gp.settings_at_init["capturetarget"] = "Internal RAM"
    camera = body()
    assert gp.settings["capturetarget"].value == "Memory card"
    gp.fail("wait_for_event", -7)
    camera.listen(0.01)
    assert gp.count("init") == 2
    assert gp.settings["capturetarget"].value == "Memory card"
    gp.settings["capturetarget"].value = "Internal RAM"  # somebody at the body
    camera.arm(Exposure())
    assert gp.settings["capturetarget"].value == "Memory card"


@pytest.mark.parametrize("how", ["ignored", "not offered", "not to be set"])
def test_a_body_that_keeps_photographs_in_memory_is_not_armed_unless_that_is_allowed(gp, body, how):
    if how == "ignored":
        gp.steps["capturetarget"] = ["Internal RAM"] * 100_000
    choices = ("Internal RAM",) if how == "not offered" else ("Internal RAM", "Memory card")
    gp.settings["capturetarget"] = Widget("Internal RAM", choices, readonly=how == "not to be set")
    camera = body()
    with pytest.raises(CaptureTarget, match="not on its card"):
        camera.arm(Exposure())
    assert camera.state is CameraState.IDLE
    condition = camera.arm(Exposure(), allow_ram=True)
    assert any("a photograph is lost if cable, node or power fail" in text for text in condition.warnings)


def test_a_body_without_the_choice_is_armed(gp, body):
    del gp.settings["capturetarget"]
    assert body().arm(Exposure()).warnings == ()


def test_a_model_that_is_known_to_keep_to_its_memory_is_taken_at_that(gp, body):
    del gp.settings["capturetarget"]  # it has no choice to read
    camera = body(model="ram_only = true")
    with pytest.raises(CaptureTarget, match="know nothing else"):
        camera.arm(Exposure())
    assert any("a photograph is lost" in text for text in camera.arm(Exposure(), allow_ram=True).warnings)


# --- 3: the card's copy


def test_a_file_shorter_than_the_body_says_is_no_file(gp, body):
    camera = body()
    gp.photograph("IMG_0001.JPG", PHOTO)
    gp.shorten = [0.5]
    file = camera.listen(1.0).files[0]
    with pytest.raises(FileTruncated, match=f"of {len(PHOTO)} bytes"):
        camera.read(file)
    assert camera.read(file) == PHOTO


def test_a_file_that_has_changed_since_is_not_deleted(gp, body):
    camera = body()
    gp.card[f"{DCIM}/IMG_0001.JPG"] = PHOTO + b"x"
    with pytest.raises(FileNotDeleted, match="another file of that name"):
        camera.delete(BodyFile(DCIM, "IMG_0001.JPG", len(PHOTO)))
    assert gp.card


def test_deletion_that_is_forbidden_is_told(gp, body):
    camera = body()
    gp.deletes = False
    gp.photograph("IMG_0001.JPG", PHOTO)
    with pytest.raises(FileNotDeleted):
        camera.delete(camera.listen(1.0).files[0])


def test_with_keep_nothing_is_deleted(gp, body):
    camera = body(keep=True)
    gp.photograph("IMG_0001.JPG", PHOTO)
    assert camera.delete(camera.listen(1.0).files[0]) is False
    assert gp.count("file_delete") == 0


# --- 4, 5: transient errors


@pytest.mark.parametrize("code", TRANSIENT)
@pytest.mark.parametrize(
    "call", ["init", "get_single_config", "get_single_config iso", "set_single_config", "get_storageinfo", "file_get",
             "file_get_info", "wait_for_event", "folder_list_files", "folder_list_folders"],
)  # fmt: skip
def test_one_transient_error_costs_nothing(gp, body, call, code):
    if call == "init":
        gp.fail(call, code, 2)
    camera = body()
    gp.fail(call, code, 1)
    camera.arm(Exposure(iso="200", shutter="1/125"))
    assert (gp.settings["iso"].value, gp.settings["shutterspeed"].value) == ("200", "1/125")
    gp.on_trigger = lambda: gp.photograph("IMG_0001.JPG", PHOTO)
    camera.expose(camera.clock.now_ns())
    files = camera.listen(2.0).files or camera.search()  # a connection made anew may have lost the announcement
    assert camera.read(files[0]) == PHOTO
    assert [file.name for file in camera.search()] == ["IMG_0001.JPG"]


def test_a_connection_made_anew_is_told_so_that_the_card_is_searched(gp, body):
    camera = body()
    assert not camera.listen(0.01).interrupted
    gp.fail("wait_for_event", -7)
    assert camera.listen(0.01).interrupted
    assert not camera.listen(0.01).interrupted


def test_a_setting_that_steps_to_its_value_is_waited_for(gp, body):
    camera = body()
    gp.steps["iso"] = ["100", "100", "100", "200", "200", "200"]
    camera.arm(Exposure(iso="400"))
    assert not gp.steps["iso"]


def test_a_setting_that_stops_on_its_way_is_named(gp, body, monkeypatch):
    monkeypatch.setattr("camera_nodes.gphoto.settings._LOOK_S", 0.01)
    camera = body()
    gp.steps["iso"] = ["100"] * 3 + ["200"] * 100_000
    with pytest.raises(SettingsRefused, match="iso: is '200' after setting '400'"):
        camera.arm(Exposure(iso="400"))


def test_a_setting_acknowledged_and_not_taken_is_found_behind_what_libgphoto2_remembers(gp, body):
    camera = body(model="cached_settings = true")
    gp.ignores = ("iso",)
    with pytest.raises(SettingsRefused, match=r"iso: is '100' after setting '200': the body did not take it"):
        camera.arm(Exposure(iso="200"))
    gp.ignores = ()
    camera.arm(Exposure(iso="200"))


# --- 6: a body that is dead


def test_a_body_that_died_is_noticed_by_the_idle_check_though_settings_are_remembered(gp, body, monkeypatch):
    impatient(monkeypatch)
    monkeypatch.setattr(gphoto_camera, "_STORAGE_S", 0.0)
    camera = body()
    camera.check()
    gp.fail("get_storageinfo", -7, 10_000)
    gp.fail("init", -7, 10_000)
    with pytest.raises(CameraMissing):
        camera.check()
    assert camera.state is CameraState.CLOSED


# --- 7: addresses, and which body it is


def test_a_network_body_is_opened_though_another_hangs_on_the_cable(gp, body):
    gp.ports = ["usb:001,004", "ptpip:10.0.0.9"]
    body("ptpip:10.0.0.9")
    assert gp.opened == ["ptpip:10.0.0.9"]


def test_serial_and_model_are_read_again_at_each_opening(gp, body):
    camera = body()
    assert camera.info.serial == "42"
    camera.close()
    gp.settings["serialnumber"] = Widget("43")
    del gp.settings["cameramodel"]
    camera.open()
    assert (camera.info.serial, camera.info.model) == ("43", "By its abilities")


# --- 8: cards, formats, files


def test_a_full_card_refuses_the_arming_by_name(gp, body):
    gp.stores = [0]
    with pytest.raises(CardFull, match=r"the card of gphoto2:usb:001,004 is full \(0 photographs left\)"):
        body().arm(Exposure())


def test_two_cards_are_counted_together_and_impossible_numbers_not_at_all(gp, body):
    camera = body()
    gp.stores = [0, 12]
    assert camera.arm(Exposure()).photos_left == 12
    camera.disarm()
    gp.stores = [2**64 - 1]
    assert camera.arm(Exposure()).photos_left is None


def test_formats_of_every_slot_decide(gp, body):
    gp.settings["imageformat"] = Widget("RAW")
    gp.settings["imageformatsd"] = Widget("Large Fine JPEG")
    camera = body()
    assert camera.arm(Exposure()).keeps_raw
    camera.disarm()
    gp.settings["imageformatsd"] = Widget("RAW")
    with pytest.raises(SettingsRefused, match="which gives no photograph to check"):
        camera.arm(Exposure())


@pytest.mark.parametrize("chatter", [0, 700])
def test_files_are_heard_behind_any_number_of_other_events(gp, body, chatter, monkeypatch):
    camera = body()
    real = gp.Camera.wait_for_event
    left = [chatter]

    def noisy(self, timeout_ms):
        if left[0]:
            left[0] -= 1
            return 0, "PTP Property d1a0 changed"
        return real(self, timeout_ms)

    monkeypatch.setattr(gp.Camera, "wait_for_event", noisy)
    gp.photograph("IMG_0001.JPG", PHOTO)
    gp.photograph("IMG_0001.CR2", built_in_raw("shown"))
    assert [file.name for file in camera.listen(30.0).files] == ["IMG_0001.JPG", "IMG_0001.CR2"]


# --- the same through the collector: one exposure, one fault, one photograph in its own take


@pytest.fixture
def node(gp, body, tmp_path):
    camera = body()
    gp.settings["imageformat"] = Widget("RAW + Large Fine JPEG")
    collector = Collector(camera, Spool(tmp_path / "spool", min_free_bytes=0), "cam-00")
    collector.connect()
    return camera, collector


def one_take(gp, node, fire="f1", *, files=None, before=lambda: None, patience_s=3.0):
    camera, collector = node
    collector.before_arming()
    camera.arm(Exposure())
    collector.arming(fire, f"take-{fire}", keeps_raw=False)
    made = files or {f"IMG_{fire[1:]:0>4}.JPG": built_in_photo(fire)}
    gp.on_trigger = lambda: [gp.photograph(name, data) for name, data in made.items()]
    camera.expose(camera.clock.now_ns())
    gp.on_trigger = lambda: None
    before()
    collector.released(fire, __import__("time").time())
    return collector.collect(fire, patience_s)


def spooled(reports):
    return [(report.photo.fire_id, report.photo.kind) for report in reports if isinstance(report, FileSpooled)]


@pytest.mark.parametrize("code", TRANSIENT)
@pytest.mark.parametrize("call", ["file_get", "file_get_info", "wait_for_event"])
def test_no_photograph_is_lost_to_one_transient_error(gp, node, call, code):
    assert spooled(one_take(gp, node, before=lambda: gp.fail(call, code, 1))) == [("f1", "jpeg")]
    assert spooled(one_take(gp, node, "f2")) == [("f2", "jpeg")]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_short_read_is_read_again_and_the_card_keeps_its_copy_until_the_studio_has_it(gp, node, share):
    def short():
        gp.shorten = [share]

    reports = one_take(gp, node, before=short)
    assert spooled(reports) == [("f1", "jpeg")]
    entry = next(report.photo for report in reports if isinstance(report, FileSpooled))
    node[1].idle(0.01)
    assert gp.card
    node[1].stored(entry)
    node[1].idle(0.01)
    assert not gp.card


def test_a_file_that_never_comes_whole_stays_on_the_card_and_is_named(gp, node):
    gp.states_size = False

    def short():
        gp.shorten = [0.5] * 100_000

    reports = one_take(gp, node, before=short)
    told = [report for report in reports if isinstance(report, CollectionFault)]
    assert [(one.code, one.fire_id) for one in told] == [("photo_damaged", "f1")]
    assert f"{DCIM}/IMG_0001.JPG stays on its card" in told[0].text
    assert gp.card
    gp.shorten = []
    assert spooled(one_take(gp, node, "f2")) == [("f2", "jpeg")]


def test_deletion_forbidden_is_told_once_and_costs_nothing(gp, node):
    gp.deletes = False
    entry = next(report.photo for report in one_take(gp, node) if isinstance(report, FileSpooled))
    node[1].stored(entry)
    told = [*node[1].idle(0.01), *node[1].idle(0.01)]
    assert [report.code for report in told] == ["not_deleted"]
    assert f"{DCIM}/IMG_0001.JPG is stored and stays on the card" in told[0].text


@pytest.mark.parametrize("jpeg_first", [True, False])
@pytest.mark.parametrize("ending", ["CR2", "PEF", "XYZ"])
def test_a_raw_file_of_any_ending_is_filed_beside_its_photograph(gp, node, ending, jpeg_first):
    files = [("IMG_0001.JPG", built_in_photo("f1")), (f"IMG_0001.{ending}", built_in_raw("f1"))]
    reports = one_take(gp, node, files=dict(files if jpeg_first else files[::-1]))
    reports += node[1].idle(0.05)
    assert sorted(spooled(reports)) == [("f1", "jpeg"), ("f1", "raw")]


def test_a_raw_file_in_pieces_does_not_take_the_place_of_its_photograph(gp, node):
    gp.states_size = True

    def short():
        gp.shorten = [0.5, 0.6, 0.7]

    files = {"IMG_0001.CR2": built_in_raw("f1"), "IMG_0001.JPG": built_in_photo("f1")}
    reports = one_take(gp, node, files=files, before=short)
    reports += node[1].idle(0.05)
    assert ("f1", "jpeg") in spooled(reports)
    assert any(
        isinstance(one, CollectionFault) and one.code == "photo_damaged" and "CR2" in one.text for one in reports
    )


def test_sidecars_go_to_the_tray_whatever_comes_first(gp, node):
    reports = one_take(gp, node, files={"IMG_0001.XMP": b"<x/>", "IMG_0001.JPG": built_in_photo("f1")})
    reports += node[1].idle(0.05)
    assert spooled(reports) == [("f1", "jpeg")]
    strays = [one for one in reports if isinstance(one, CollectionFault)]
    assert [one.code for one in strays] == ["stray"]
    assert "IMG_0001.XMP" in strays[0].text


def test_another_body_at_the_same_socket_is_another_body(gp, node, caplog):
    camera, collector = node
    one_take(gp, node, files={"IMG_0001.XMP": b"<x/>"}, patience_s=0.1)  # no photograph
    camera.close()
    gp.settings["serialnumber"] = Widget("99")
    gp.card = {f"{DCIM}/IMG_4711.JPG": PHOTO}
    camera.open()
    with caplog.at_level(logging.WARNING):
        reports = collector.connect()
    assert [one.code for one in reports if isinstance(one, CollectionFault)] == ["written_off"]
    assert "42 was exchanged for 99" in reports[0].text
    assert "IMG_4711.JPG" in caplog.text
    assert spooled(one_take(gp, node, "f4712")) == [("f4712", "jpeg")]


def test_a_refused_release_leaves_nothing_outstanding(gp, node):
    camera, collector = node
    camera.arm(Exposure())
    collector.arming("f1", "take-f1", keeps_raw=False)
    gp.fail("trigger_capture", -110)
    with pytest.raises(EquipmentError):
        camera.expose(camera.clock.now_ns())
    collector.not_released("f1")
    assert collector.unresolved == ""
    assert spooled(one_take(gp, node, "f2")) == [("f2", "jpeg")]


def test_what_the_body_says_is_never_taken_for_absent(gp, body, monkeypatch):
    """A busy answer while the serial number is read does not make a body without one."""
    impatient(monkeypatch)
    gp.fail("get_single_config serialnumber", -110, 100_000)
    with pytest.raises(CameraFault):
        body()
    gp.heal()
    assert body().info.serial == "42"
