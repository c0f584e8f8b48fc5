"""The agent against a real controller's end of the protocol, over CURVE sockets on loopback."""

import socket
import statistics
import time
from itertools import pairwise

import pytest
from patience import Patience

from camera_nodes import curve_keys, wire
from camera_nodes.errors import KeyRefused
from camera_nodes.sim_camera import built_in_photo
from common.computer import computer_id


def test_arm_fire_stamps_upload(studio, start_node):
    start_node("sim:lag_ms=20&jitter_ms=0&seed=3")
    hello = studio.wait(wire.Hello)
    assert (hello.node, hello.camera, hello.serial) == ("cam-00", "cam-00", "SIM000003")
    studio.wait_for_clock("cam-00")
    armed = studio.arm("cam-00", "f1", exposure=wire.Exposure(iso="200"))
    assert isinstance(armed, wire.Armed)
    fire = studio.fire("cam-00", "f1", lag_ms=20.0)
    stamps = studio.wait(wire.Stamps)
    assert not stamps.missed, stamps.reason
    assert stamps.commanded_at_ns == fire.at_ns - 20_000_000
    # Same machine, same clock: the estimate's error shows as the difference of the stamps, within its uncertainty.
    assert stamps.released_at_ns >= stamps.commanded_at_ns - stamps.clock_uncertainty_ns
    assert stamps.exposed_at_ns - stamps.released_at_ns == pytest.approx(20_000_000, abs=20_000)  # 500 ppm and more
    assert stamps.exposure_source == "simulated"
    spooled = studio.wait(wire.FrameSpooled)
    assert spooled.take_id == "take-f1"
    offer = studio.wait(wire.Offer)
    assert (offer.entry, offer.sha256) == (spooled.entry, spooled.sha256)
    studio.until(lambda: offer.entry in studio.stored)
    assert studio.stored[offer.entry].startswith(b"\xff\xd8")
    reported_at = next(at for _, m, at in studio.seen if isinstance(m, wire.Stamps))
    assert reported_at >= fire.at_ns + wire.QUIET_AFTER_NS - stamps.clock_uncertainty_ns


def test_nothing_is_sent_in_the_window(studio, start_node):
    start_node()
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    fire = studio.fire("cam-00", "f1", in_ms=600)
    stamps = studio.wait(wire.Stamps)
    begin = fire.at_ns - 500_000_000  # when it had surely received the Fire
    end = fire.at_ns + wire.QUIET_AFTER_NS - stamps.clock_uncertainty_ns
    assert [m for _, m, at in studio.seen if begin < at < end] == []
    studio.wait(wire.Ping, count=studio.count(wire.Ping) + 1)  # and goes on afterwards


def test_an_idle_node_goes_on_pinging_four_times_a_second_or_more(studio, start_node):
    start_node()
    studio.wait_for_clock("cam-00")
    studio.wait(wire.Ping, count=42)  # fast at first; then nothing asks for it and nothing is armed
    moments = [at for _, m, at in studio.seen if isinstance(m, wire.Ping)][-12:]
    gaps_s = [(after - before) / 1e9 for before, after in pairwise(moments)]
    assert 0.05 < statistics.median(gaps_s) < 1.25 / 4.0 + 0.05


def test_stamps_carry_the_clocks_offset_and_drift(studio, start_node):
    begun = time.monotonic()
    start_node("sim:clock_offset_ms=5000&clock_drift_ppm=40")

    def off_ns(uncertainty_ns):
        """By how much the offset may differ: what it drifted by since the start, and how well it is known."""
        return 5e6 + 40e-6 * 1e9 * (time.monotonic() - begun) + uncertainty_ns

    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    studio.fire("cam-00", "f1")
    stamps = studio.wait(wire.Stamps)
    assert stamps.clock_offset_ns == pytest.approx(-5e9, abs=off_ns(stamps.clock_uncertainty_ns))
    status = studio.wait(wire.Status, lambda s: s.clock_drift_ppb is not None)
    assert status.clock_offset_ns == pytest.approx(-5e9, abs=off_ns(status.clock_uncertainty_ns))
    assert abs(stamps.clock_drift_ppb) <= 500_000  # what seconds of pings can tell


def test_nodes_on_one_disk_say_the_same_of_it(studio, start_node):
    start_node(camera="cam-00")
    start_node(camera="cam-01")
    disks = {studio.wait(wire.Hello, lambda h, name=name: h.camera == name).disk for name in ("cam-00", "cam-01")}
    (disk,) = disks
    assert disk.startswith(f"{socket.gethostname()}/")
    assert disk.rpartition(":")[0] == computer_id()


def test_a_computer_may_be_given_a_name(studio, start_node):
    start_node(computer="pi-05")
    assert studio.wait(wire.Hello).disk.startswith("pi-05/")


def test_a_late_fire_is_missed_and_never_released(studio, start_node):
    start_node()
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    studio.fire("cam-00", "f1", in_ms=-1.0)
    stamps = studio.wait(wire.Stamps)
    assert stamps.missed
    assert "too late" in stamps.reason
    assert (stamps.released_at_ns, stamps.exposed_at_ns) == (None, None)
    assert isinstance(studio.arm("cam-00", "f2"), wire.Armed)  # and the camera is of use again
    studio.fire("cam-00", "f2")
    assert not studio.wait(wire.Stamps, lambda s: s.fire_id == "f2").missed
    studio.wait(wire.FrameSpooled)
    assert studio.count(wire.FrameSpooled) == 1


def test_a_fire_without_arming_is_missed(studio, start_node):
    start_node()
    studio.wait_for_clock("cam-00")
    studio.fire("cam-00", "f1")
    stamps = studio.wait(wire.Stamps)
    assert stamps.missed
    assert "not armed" in stamps.reason


def test_a_duplicate_fire_fires_once_and_is_reported_again(studio, start_node):
    start_node()
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    fire = studio.fire("cam-00", "f1")
    studio.send("cam-00", fire)
    first = studio.wait(wire.Stamps)
    studio.wait(wire.FrameSpooled)
    studio.send("cam-00", fire)
    assert studio.wait(wire.Stamps, count=2) == first
    studio.until(lambda: studio.state() == "idle")
    assert studio.count(wire.FrameSpooled) == 1
    refused = studio.arm("cam-00", "f1")
    assert isinstance(refused, wire.ArmRefused)
    assert refused.reasons == ("this fire was fired before",)


def test_disarm_between_fire_and_its_moment(studio, start_node):
    start_node()
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    studio.fire("cam-00", "f1", in_ms=700)
    studio.send("cam-00", wire.Disarm(fire_id="f1", why="two cameras are not ready"))
    stamps = studio.wait(wire.Stamps)
    assert stamps.missed
    assert "two cameras are not ready" in stamps.reason
    assert isinstance(studio.arm("cam-00", "f2"), wire.Armed)


def test_an_arming_expires(studio, start_node):
    start_node()
    studio.wait_for_clock("cam-00")
    assert isinstance(studio.arm("cam-00", "f1", expires_ns=50_000_000), wire.Armed)
    studio.until(lambda: "armed" in studio.states() and studio.state() == "idle")
    studio.fire("cam-00", "f1")
    assert studio.wait(wire.Stamps).missed


def test_arming_is_refused_with_every_reason(studio, start_node):
    start_node("sim:battery=3")
    studio.wait_for_clock("cam-00")
    low = studio.arm("cam-00", "f1", min_battery_percent=5)
    assert isinstance(low, wire.ArmRefused)
    assert low.reasons == ("battery 3 %",)
    unsure = studio.arm("cam-00", "f2", max_clock_uncertainty_ns=1)
    assert isinstance(unsure, wire.ArmRefused)
    assert "the clock is uncertain by" in unsure.reasons[0]


@pytest.mark.parametrize(
    ("fault", "code"), [("drop=1", "photo_missing"), ("dead_after=1&photos={empty}", "photo_missing")]
)
def test_a_photograph_that_never_comes_is_a_named_fault(studio, start_node, tmp_path, fault, code):
    (tmp_path / "empty").mkdir()
    start_node(f"sim:{fault.format(empty=tmp_path / 'empty')}")
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    studio.fire("cam-00", "f1")
    fault_seen = studio.wait(wire.NodeFault)
    assert (fault_seen.code, fault_seen.fire_id, fault_seen.take_id) == (code, "f1", "take-f1")
    assert isinstance(studio.arm("cam-00", "f2"), wire.Armed)


def test_a_camera_that_dies_and_comes_back(studio, start_node):
    start_node("sim:dead_after=1&dead_for_s=4")
    studio.wait_for_clock("cam-00")
    for fire_id in ("f1", "f2"):
        assert isinstance(studio.arm("cam-00", fire_id), wire.Armed)
        studio.fire("cam-00", fire_id)
        studio.wait(wire.Stamps, lambda s, fire_id=fire_id: s.fire_id == fire_id)
        if fire_id == "f1":
            studio.wait(wire.FrameSpooled)
            studio.until(lambda: studio.state() == "idle")
    assert studio.wait(wire.Stamps, lambda s: s.fire_id == "f2").missed
    gone = studio.wait(wire.Hello, lambda h: h.fault is not None)
    assert gone.serial == ""
    studio.wait(wire.Hello, lambda h: h.fault is None, count=2)
    assert isinstance(studio.arm("cam-00", "f3"), wire.Armed)


def test_uploads_wait_for_permission_and_resume_at_an_offset(studio, start_node, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    served = built_in_photo("served") + bytes(range(256)) * 4096  # 1 MiB: four chunks
    (photos / "0.jpg").write_bytes(served)
    studio.uploads = False
    start_node(f"sim:photos={photos}")
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    studio.fire("cam-00", "f1")
    spooled = studio.wait(wire.FrameSpooled)
    studio.wait(wire.Ping, count=studio.count(wire.Ping) + 4)
    assert studio.count(wire.Offer) == 0
    studio.credit = 0
    studio.send("cam-00", wire.UploadOk())
    studio.wait(wire.Offer)
    start = 700_001
    studio.send("cam-00", wire.Want(entry=spooled.entry, offset=start, credit=1), bulk=True)
    first = studio.wait(wire.Chunk)
    assert (first.offset, len(first.data), first.last) == (start, wire.CHUNK_BYTES, False)
    studio.send("cam-00", wire.Want(entry=spooled.entry, offset=start + len(first.data), credit=9), bulk=True)
    last = studio.wait(wire.Chunk, lambda c: c.last)
    assert first.data + last.data == served[start:]
    assert studio.count(wire.Chunk) == 2
    studio.send("cam-00", wire.Stored(entry=spooled.entry, sha256="0" * 64), bulk=True)  # not what was sent: kept
    studio.send("cam-00", wire.Rejected(entry=spooled.entry, reason="not a photograph"), bulk=True)
    fault = studio.wait(wire.NodeFault)
    assert fault.code == "rejected"
    assert [p.name for p in (tmp_path / "spool" / "cam-00" / "rejected").iterdir()] == [spooled.entry]


def test_a_restarted_node_offers_its_spool_again(studio, start_node, tmp_path):
    studio.store_after = False
    node = start_node()
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    studio.fire("cam-00", "f1")
    entry = studio.wait(wire.FrameSpooled).entry
    studio.wait(wire.Chunk, lambda c: c.last)
    node.stop()
    assert studio.stored == {}
    studio.under_way.clear()
    studio.store_after = True
    start_node()
    assert studio.wait(wire.Hello, lambda h: h.spooled == 1).camera == "cam-00"
    studio.until(lambda: entry in studio.stored)
    folder = tmp_path / "spool" / "cam-00"
    studio.until(lambda: not any(path.is_dir() for path in folder.iterdir()))


def test_a_restarted_controller_is_found_again_and_its_clock_learnt_anew(studio, start_node):
    start_node()
    studio.wait_for_clock("cam-00")
    studio.stop()
    studio.seen.clear()
    studio.routes.clear()
    studio.clock_id = "clock-2"
    studio.start()
    studio.wait(wire.Hello)
    studio.wait_for_clock("cam-00")
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)


def test_an_unknown_key_is_refused_and_let_in_once_it_is_enrolled(studio, start_node):
    stranger = curve_keys.make_keys(studio.keys_folder, "stranger")
    start_node(camera="cam-01", node="stranger")
    patience = Patience(10)
    while stranger.public not in studio.authenticator.refused and patience.sleep():
        pass
    assert stranger.public in studio.authenticator.refused
    assert studio.seen == []
    studio.allowed.add("stranger", stranger.public)
    assert studio.wait(wire.Hello).node == "stranger"


def test_a_refused_node_tries_again_and_hello_first_is_obeyed_at_once(studio, start_node):
    studio.refuse = wire.Refused(code="hello_first", reason="who is there?")
    start_node()
    studio.wait(wire.Hello, count=2)
    studio.refuse = None
    studio.wait(wire.Ping)


def test_without_keys_no_agent_starts(start_node):
    with pytest.raises(KeyRefused, match="mien node keys"):
        start_node(camera="cam-02", node="nobody")
