"""Faults of a body on a node with the real virtual PTP camera: nothing is lost in silence, and the next take works."""

import subprocess
import sys
from pathlib import Path

import pytest

from camera_nodes import curve_keys, wire
from camera_nodes.sim_camera import built_in_photo, built_in_raw

pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")


@pytest.fixture
def node(studio, tmp_path):
    """Starts the node's process; returns the folder whose files trouble its camera."""
    processes = []
    troubles = tmp_path / "troubles"
    troubles.mkdir()
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "0.jpg").write_bytes(built_in_photo("served") + bytes(50_000))

    def start(**files: str) -> Path:
        for name, text in files.items():
            (troubles / name).write_text(text)
        if "raw" in files:
            (photos / "0.nef").write_bytes(built_in_raw("served"))
        pair = curve_keys.ensure_keys(studio.keys_folder, "cam-00")
        studio.allowed.add("cam-00", pair.public)
        settings = tmp_path / "node.toml"
        settings.write_text(
            f'camera = "cam-00"\nurl = "gphoto2:virtual?photos={photos}&refresh=0"\ncontrol = "{studio.control}"\n'
            f'bulk = "{studio.bulk}"\nkeys = "{studio.keys_folder}"\nspool = "{tmp_path / "spool"}"\n'
            "max_late_ms = 500\nmin_free_mb = 1\nrealtime = false\n"
        )
        script = Path(__file__).with_name("faulty_ptp_node.py")
        command = [sys.executable, str(script), str(troubles), "run", str(settings)]
        processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        studio.wait_for_clock("cam-00")
        return troubles

    yield start
    for process in processes:
        process.terminate()
        assert process.wait(600) == 0


def take(studio, fire_id):
    """A take that must be whole: its photograph as the studio stored it."""
    assert isinstance(studio.arm("cam-00", fire_id), wire.Armed)
    studio.fire("cam-00", fire_id, in_ms=400)
    stamps = studio.wait(wire.Stamps, lambda s: s.fire_id == fire_id)
    assert not stamps.missed, stamps.reason
    assert stamps.exposed_at_ns is None  # PTP does not know
    spooled = studio.wait(wire.FrameSpooled, lambda f: f.fire_id == fire_id and f.kind == "jpeg")
    studio.until(lambda: spooled.entry in studio.stored)
    studio.until(lambda: studio.state() == "idle")
    return studio.stored[spooled.entry]


def test_usb_gone_while_idle_is_told_and_the_camera_is_found_again(studio, node):
    troubles = node()
    take(studio, "f1")
    (troubles / "unplugged").touch()
    fault = studio.wait(wire.NodeFault)
    assert fault.code == "camera_missing"
    assert "look at its cable and power" in fault.text
    gone = studio.wait(wire.Hello, lambda h: h.fault is not None)
    assert gone.serial == ""
    refused = studio.arm("cam-00", "f2")
    assert isinstance(refused, wire.ArmRefused)
    assert "look at its cable" in refused.reasons[0]
    (troubles / "unplugged").unlink()
    studio.wait(wire.Hello, lambda h: h.fault is None and h.serial == "0.1", count=2)
    take(studio, "f3")


def test_usb_gone_between_arming_and_release_and_between_release_and_download(studio, node):
    troubles = node()
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)
    (troubles / "unplugged").touch()
    studio.fire("cam-00", "f1", in_ms=400)
    stamps = studio.wait(wire.Stamps)
    assert stamps.missed
    assert "look at its cable and power" in stamps.reason
    studio.wait(wire.Hello, lambda h: h.fault is not None)  # it is idle for a moment, before it has seen why
    (troubles / "unplugged").unlink()
    studio.until(lambda: [m for _, m, _ in studio.seen if isinstance(m, wire.Hello)][-1].fault is None)
    studio.until(lambda: studio.state() == "idle")
    take(studio, "f2")


def test_a_busy_body_refuses_its_arming_and_its_release_and_then_works(studio, node):
    troubles = node()
    (troubles / "busy").touch()
    refused = studio.arm("cam-00", "f1", exposure=wire.Exposure(aperture="f/8"))
    assert isinstance(refused, wire.ArmRefused)
    assert "is busy or held by another program" in refused.reasons[0]
    (troubles / "busy").unlink()
    assert isinstance(studio.arm("cam-00", "f2"), wire.Armed)
    (troubles / "busy").touch()
    studio.fire("cam-00", "f2", in_ms=400)
    stamps = studio.wait(wire.Stamps)
    assert stamps.missed
    assert "is busy" in stamps.reason
    (troubles / "busy").unlink()
    studio.until(lambda: studio.state() == "idle")
    take(studio, "f3")
    assert studio.count(wire.FrameSpooled) == 1


def test_a_full_card_is_told_for_its_fire_and_the_next_one_works(studio, node):
    """The virtual camera keeps 26 photographs on one connection and then no more."""
    node(burn="25")
    take(studio, "f26")
    assert isinstance(studio.arm("cam-00", "f27"), wire.Armed)
    studio.fire("cam-00", "f27", in_ms=400)
    fault = studio.wait(wire.NodeFault)
    assert (fault.code, fault.fire_id, fault.take_id) == ("card_full", "f27", "take-f27")
    studio.until(lambda: studio.state() == "idle")
    take(studio, "f28")


def test_both_files_of_a_body_that_keeps_raw_too_are_offered_and_stored(studio, node):
    node(raw="")
    photograph = take(studio, "f1")
    raw = studio.wait(wire.FrameSpooled, lambda f: f.kind == "raw")
    assert (raw.entry, raw.fire_id, raw.name) == ("f1.cam-00.raw", "f1", "GPH_0099.NEF")
    studio.until(lambda: raw.entry in studio.stored)
    assert studio.stored[raw.entry] == built_in_raw("served")
    assert photograph.startswith(b"\xff\xd8")
    assert {offer.kind for _, offer, _ in studio.seen if isinstance(offer, wire.Offer)} == {"jpeg", "raw"}
