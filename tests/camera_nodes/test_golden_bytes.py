"""Every message and what a spool writes, with each field set and left out, byte for byte as older nodes have them.

    python tests/camera_nodes/test_golden_bytes.py    # writes golden/messages.json anew: a new version of the protocol

Nodes and controllers are not updated in one moment, and spools that hold photographs are read by the next version of
Mien: within a version of the protocol the bytes stay.
"""

import hashlib
import json
from pathlib import Path

import msgspec

from camera_nodes import wire
from camera_nodes.photo_transfer.spool import Spool, StrayFile, read_stray_file
from common.photograph_facts import PhotographFacts

PLACE = Path(__file__).parent / "golden" / "messages.json"
SHA256 = "ab" * 32
KEY = "a" * 40
PHOTOGRAPH = {
    "entry": "f-1.cam-07", "fire_id": "f-1", "take_id": "S012-1-E07-1", "camera": "cam-07", "name": "GPH_0099.JPG",
    "sha256": SHA256, "bytes": 9_000_000,
}  # fmt: skip
EXPOSURE = wire.Exposure(
    shutter="1/125", aperture="f/8", iso="200", white_balance="Flash", image_format="RAW", focus_mode="Manual"
)
MESSAGES: tuple[wire.AnyMessage, ...] = (
    wire.Hello(node="pi-1", camera="cam-07", serial="0.1", model="VC", url="sim:", software="mien"),
    wire.Hello(
        node="pi-1", camera="cam-07", serial="0.1", model="VC", url="sim:", software="mien",
        capabilities=wire.CAPABILITIES, lag_ns=58_000_000, spooled=3, disk="b:7", fault="asleep",
    ),
    wire.Ping(seq=1, t1_ns=-5),
    wire.Armed(fire_id="f-1", camera="cam-07", clock_uncertainty_ns=1, free_bytes=2),
    wire.Armed(
        fire_id="f-1", camera="cam-07", clock_uncertainty_ns=1, free_bytes=2, battery_percent=3, photos_left=4,
        focus_mode="Manual", warnings=("iso",), body_clock_error_ms=-5,
    ),
    wire.Arming(fire_id="f-1", camera="cam-07", doing="a setting is on its way", patience_ns=3_000_000_000),
    wire.ArmRefused(fire_id="f-1", camera="cam-07", reasons=("battery 3 %",)),
    wire.ArmRefused(fire_id="f-1", camera="cam-07", reasons=(), clock_uncertainty_ns=7),
    wire.Stamps(fire_id="f-1", take_id="t", camera="cam-07", commanded_at_ns=1, clock_uncertainty_ns=2),
    wire.Stamps(
        fire_id="f-1", take_id="t", camera="cam-07", commanded_at_ns=1, clock_uncertainty_ns=2, clock_source="ptp",
        clock_offset_ns=3, clock_drift_ppb=-4, released_at_ns=5, exposed_at_ns=6, exposure_source="hot_shoe",
        missed=True, reason="late",
    ),
    wire.FrameSpooled(**PHOTOGRAPH),
    wire.FrameSpooled(**PHOTOGRAPH, kind="raw", body_clock_error_ms=-1200),
    wire.NodeFault(camera="cam-07", code="card_full", text="the card is full"),
    wire.NodeFault(camera="cam-07", code="card_full", text="the card is full", fire_id="f-1", take_id="t"),
    wire.Status(camera="cam-07", state="idle", free_bytes=1, spooled=0, spooled_bytes=0),
    wire.Status(
        camera="cam-07", state="idle", free_bytes=1, spooled=2, spooled_bytes=3, clock_uncertainty_ns=4,
        clock_source="chrony", clock_offset_ns=5, clock_drift_ppb=6, round_trip_ns=7, battery_percent=8, photos_left=9,
        unresolved="t", strays=10,
    ),
    wire.RecoverStep(recovery_id="r", camera="cam-07", outcome="refused"),
    wire.RecoverStep(recovery_id="r", camera="cam-07", rung="usb_reset", outcome="begun", text="now", last=True),
    wire.ViewState(camera="cam-07", on=False, text="the body has no live view"),
    wire.SettingsRead(camera="cam-07", settings=EXPOSURE),
    wire.BodyActed(request_id="i", camera="cam-07", outcome="impossible"),
    wire.BodyActed(request_id="i", camera="cam-07", outcome="done", text="moved"),
    wire.Welcome(clock_id="c", uploads=True),
    wire.Refused(code="unknown_camera", reason="not in the rig"),
    wire.Pong(seq=1, t1_ns=1, t2_ns=2, t3_ns=3),
    wire.Pong(seq=1, t1_ns=1, t2_ns=2, t3_ns=3, real_ns=4, real_error_ns=5, real_source="chrony"),
    wire.Arm(fire_id="f-1", take_id="t"),
    wire.Arm(
        fire_id="f-1", take_id="t", exposure=EXPOSURE, max_clock_uncertainty_ns=1, min_battery_percent=2, expires_ns=3,
        allow_ram=True,
    ),
    wire.Fire(fire_id="f-1", take_id="t", at_ns=10**18, lag_ns=58_000_000),
    wire.Disarm(fire_id="f-1", why="the fire was called off"),
    wire.WriteOff(take_id="t", why="the shutter did not open"),
    wire.UploadOk(),
    wire.UploadHold(),
    wire.Recover(recovery_id="r", rungs=("reopen",)),
    wire.View(on=True, every_ms=250),
    wire.Identify(request_id="i"),
    wire.Identify(request_id="i", signs=5),
    wire.Focus(request_id="i"),
    wire.Focus(request_id="i", drive="nearer", step=2),
    wire.Offer(**PHOTOGRAPH),
    wire.Offer(**PHOTOGRAPH, kind="raw", body_clock_error_ms=-1200, utc_ns=10**18, proof="strict"),
    wire.Want(entry="f-1.cam-07", offset=5, credit=4),
    wire.Chunk(entry="f-1.cam-07", offset=5, data=b"\xff\xd8", last=True),
    wire.Stored(entry="f-1.cam-07", sha256=SHA256),
    wire.Rejected(entry="f-1.cam-07", reason="not a photograph"),
    wire.Preview(camera="cam-07", number=3, size=5, offset=0, data=b"\xff\xd8"),
    wire.Enrol(node="pi-03", public=KEY, software="mien"),
    wire.EnrolDone(),
    wire.Enrolled(controller=KEY, control="tcp://10.0.0.1:5701", bulk="tcp://10.0.0.1:5702"),
    wire.NotEnrolled(reason="the code is for pi-03"),
)  # fmt: skip

ENTRIES = {  # the spool's entry.json of the two messages FrameSpooled above
    "f-1.cam-07": (
        '{"entry":"f-1.cam-07","fire_id":"f-1","take_id":"S012-1-E07-1","camera":"cam-07","name":"GPH_0099.JPG",'
        '"sha256":"SHA256","bytes":9,"kind":"jpeg","body_clock_error_ms":null}'
    ),
    "f-1.cam-07.raw": (
        '{"entry":"f-1.cam-07.raw","fire_id":"f-1","take_id":"S012-1-E07-1","camera":"cam-07","name":"GPH_0099.CR2",'
        '"sha256":"SHA256","bytes":9,"kind":"raw","body_clock_error_ms":-1200}'
    ),
}
STRAY = (
    '{"camera":"cam-07","path":"/store_1/GPH_0100.JPG","sha256":"SHA256","bytes":9,"reason":"no exposure made it",'
    '"found_at":"2026-11-28T12:00:00Z","take_id":"S012-1-E07-1"}'
)
DATA = b"photograp"


def told() -> list[list[str]]:
    """The message's name and its bytes, in hexadecimal."""
    return [[type(message).__name__, wire.encode(message).hex()] for message in MESSAGES]


def test_every_message_is_here() -> None:
    assert {type(message) for message in MESSAGES} == set(wire.AnyMessage.__args__)


def test_messages_are_told_in_the_bytes_of_their_version() -> None:
    assert told() == json.loads(PLACE.read_text())


def test_the_bytes_of_a_message_are_read_as_it() -> None:
    kept = [bytes.fromhex(data) for _, data in json.loads(PLACE.read_text())]
    decoder = msgspec.msgpack.Decoder(wire.AnyMessage)
    assert [wire.decode(data, decoder) for data in kept] == list(MESSAGES)


def _kept(text: str) -> bytes:
    return text.replace("SHA256", hashlib.sha256(DATA).hexdigest()).encode()


def test_a_spool_writes_what_it_wrote(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 0)
    known = {"fire_id": "f-1", "take_id": "S012-1-E07-1", "camera": "cam-07", "bytes": len(DATA)}
    known |= {"sha256": hashlib.sha256(DATA).hexdigest()}
    spool.put(PhotographFacts(entry="f-1.cam-07", name="GPH_0099.JPG", **known), DATA)
    raw = PhotographFacts(entry="f-1.cam-07.raw", name="GPH_0099.CR2", kind="raw", body_clock_error_ms=-1200, **known)
    spool.put(raw, DATA)
    for entry, text in ENTRIES.items():
        assert (spool.folder / entry / "entry.json").read_bytes() == _kept(text)
    stray = msgspec.json.decode(_kept(STRAY), type=StrayFile)
    assert (spool.put_stray(stray, DATA) / "entry.json").read_bytes() == _kept(STRAY)


def test_a_spool_of_an_older_version_is_read(tmp_path: Path) -> None:
    for entry, text in ENTRIES.items():
        (tmp_path / entry).mkdir()
        (tmp_path / entry / "photo").write_bytes(DATA)
        (tmp_path / entry / "entry.json").write_bytes(_kept(text))
    (tmp_path / "strays" / "one").mkdir(parents=True)
    (tmp_path / "strays" / "one" / "entry.json").write_bytes(_kept(STRAY))
    spool = Spool(tmp_path, 0)
    assert spool.damaged == []
    assert [msgspec.json.encode(entry) for entry in spool.entries()] == [_kept(text) for text in ENTRIES.values()]
    (tray,) = spool.strays()
    assert msgspec.json.encode(read_stray_file(tray)) == _kept(STRAY)


if __name__ == "__main__":
    PLACE.write_text(json.dumps(told(), indent=0) + "\n")
