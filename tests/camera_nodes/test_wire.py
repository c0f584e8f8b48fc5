"""Messages survive the wire, and nothing else is taken for one."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_nodes import wire
from camera_nodes.errors import Malformed, Oversize, WireError, WrongVersion

DECODERS = {
    wire.NODE_CONTROL: wire.NodeControl, wire.CONTROLLER_CONTROL: wire.ControllerControl,
    wire.NODE_BULK: wire.NodeBulk, wire.CONTROLLER_BULK: wire.ControllerBulk,
    wire.NODE_ENROLMENT: wire.NodeEnrolment, wire.CONTROLLER_ENROLMENT: wire.ControllerEnrolment,
}  # fmt: skip
EXAMPLES = [
    wire.Hello(node="pi-1", camera="cam-07", serial="0.1", model="VC", url="sim:", software="mien", lag_ns=58_000_000),
    wire.Ping(seq=1, t1_ns=-5),
    wire.Armed(fire_id="f", camera="cam-07", clock_uncertainty_ns=1, free_bytes=2, warnings=("iso",)),
    wire.Arming(fire_id="f", camera="cam-07", doing="a setting is on its way", patience_ns=3_000_000_000),
    wire.ArmRefused(fire_id="f", camera="cam-07", reasons=("battery 3 %",)),
    wire.Stamps(fire_id="f", take_id="S012-E07-1", camera="cam-07", commanded_at_ns=1, clock_uncertainty_ns=2),
    wire.FrameSpooled(
        entry="f.cam-07", fire_id="f", take_id="t", camera="cam-07", name="GPH_0099.JPG", sha256="0" * 64, bytes=9
    ),
    wire.NodeFault(camera="cam-07", code="card_full", text="the card is full", fire_id="f", take_id="t"),
    wire.Status(camera="cam-07", state="idle", free_bytes=1, spooled=0, spooled_bytes=0),
    wire.Welcome(clock_id="c", uploads=True),
    wire.Refused(code="unknown_camera", reason="not in the rig"),
    wire.Pong(seq=1, t1_ns=1, t2_ns=2, t3_ns=3),
    wire.Arm(fire_id="f", take_id="t", exposure=wire.Exposure(iso="200")),
    wire.Fire(fire_id="f", take_id="t", at_ns=10**18, lag_ns=58_000_000),
    wire.Disarm(fire_id="f"),
    wire.WriteOff(take_id="t", why="the shutter did not open"),
    wire.UploadOk(),
    wire.UploadHold(),
    wire.Offer(entry="f.cam-07", fire_id="f", take_id="t", camera="cam-07", name="a.jpg", sha256="0" * 64, bytes=9),
    wire.Chunk(entry="f.cam-07", offset=0, data=b"\x00" * wire.CHUNK_BYTES, last=True),
    wire.Want(entry="f.cam-07", offset=0, credit=4),
    wire.Stored(entry="f.cam-07", sha256="0" * 64),
    wire.Rejected(entry="f.cam-07", reason="not a photograph"),
    wire.Enrol(node="pi-03", public="a" * 40),
    wire.EnrolDone(),
    wire.Enrolled(controller="a" * 40, control="tcp://10.0.0.1:5701", bulk="tcp://10.0.0.1:5702"),
    wire.NotEnrolled(reason="the code is for pi-03"),
    wire.Recover(recovery_id="r", rungs=("reopen",)),
    wire.RecoverStep(recovery_id="r", camera="cam-07", rung="usb_reset", outcome="begun"),
    wire.View(on=True, every_ms=500),
    wire.ViewState(camera="cam-07", on=False, text="the body has no live view"),
    wire.WriteOff(take_id="S012-E07-1", why="the card was lost"),
    wire.SettingsRead(camera="cam-07", settings=wire.Exposure(iso="200")),
    wire.Identify(request_id="i", signs=3),
    wire.Focus(request_id="i", drive="nearer", step=2),
    wire.BodyActed(request_id="i", camera="cam-07", outcome="done", text="moved nearer by 2"),
    wire.Preview(camera="cam-07", number=3, size=5, offset=0, data=b"x" * wire.CHUNK_BYTES),
]


def decoder_of(message):
    return next(decoder for decoder, union in DECODERS.items() if isinstance(message, union))


def as_dict(message):
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message))


def encode(value):
    return msgspec.msgpack.encode(value)


def test_every_message_has_an_example():
    kinds = set(wire.AnyMessage.__args__)
    assert kinds == {type(message) for message in EXAMPLES}


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
class TestEach:
    def test_survives_the_wire(self, message):
        assert wire.decode(wire.encode(message), decoder_of(message)) == message

    def test_is_refused_on_every_other_channel(self, message):
        for decoder in DECODERS:
            if decoder is not decoder_of(message):
                with pytest.raises(Malformed):
                    wire.decode(wire.encode(message), decoder)

    def test_with_an_unknown_field_is_refused(self, message):
        with pytest.raises(Malformed, match="unknown field `extra`"):
            wire.decode(encode(as_dict(message) | {"extra": 1}), decoder_of(message))

    @pytest.mark.parametrize("version", [0, 1, -1, 10**9])
    def test_of_another_version_is_refused(self, message, version):
        with pytest.raises(WrongVersion):
            wire.decode(encode(as_dict(message) | {"v": version}), decoder_of(message))

    def test_without_a_version_is_refused(self, message):
        fields = as_dict(message)
        del fields["v"]
        with pytest.raises(Malformed, match="version"):
            wire.decode(encode(fields), decoder_of(message))

    def test_fits_its_socket(self, message):
        bulk = isinstance(message, wire.NodeBulk | wire.ControllerBulk)
        wire.encode(message, wire.BULK_LIMIT if bulk else wire.CONTROL_LIMIT)


@pytest.mark.parametrize("bad", ["", ".", "..", ".hidden", "a/b", "a\\b", "a b", "a\n", "-x", "é", "a" * 129])
def test_identifiers_are_safe_as_file_names(bad):
    with pytest.raises(Malformed):
        wire.decode(encode(as_dict(wire.Disarm(fire_id=bad))), wire.CONTROLLER_CONTROL)


@pytest.mark.parametrize("bad", ["", "../x", "a/b", "a\x00", "a\nb"])
def test_file_names_have_no_folders(bad):
    message = wire.Offer(entry="e", fire_id="f", take_id="t", camera="c", name=bad, sha256="0" * 64, bytes=9)
    with pytest.raises(Malformed):
        wire.decode(encode(as_dict(message)), wire.NODE_BULK)


def test_too_long_is_refused_both_ways():
    chunk = wire.Chunk(entry="e", offset=0, data=b"x" * 1000, last=True)
    with pytest.raises(Oversize):
        wire.encode(chunk, 500)
    with pytest.raises(Oversize):
        wire.decode(wire.encode(chunk), wire.NODE_BULK, 500)
    too_much = wire.Chunk(entry="e", offset=0, data=b"x" * (wire.CHUNK_BYTES + 1), last=True)
    with pytest.raises(Malformed):
        wire.decode(wire.encode(too_much), wire.NODE_BULK)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), decoder=st.sampled_from(list(DECODERS)))
def test_noise_is_refused_with_a_wire_error(data, decoder):
    try:
        message = wire.decode(data, decoder)
    except WireError:
        return
    assert isinstance(message, wire.Message)


@settings(max_examples=300, deadline=None)
@given(
    message=st.sampled_from(EXAMPLES[:18]),
    cut=st.integers(0, 400),
    place=st.integers(0, 399),
    byte=st.integers(0, 255),
)
def test_a_damaged_message_is_refused_or_still_one(message, cut, place, byte):
    data = bytearray(wire.encode(message))
    data[place % len(data)] = byte
    for damaged in (bytes(data), bytes(data[:cut])):
        try:
            assert isinstance(wire.decode(damaged, decoder_of(message)), wire.Message)
        except WireError:
            continue


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(message=st.sampled_from(EXAMPLES), value=junk, which=st.integers(0, 20))
def test_a_field_with_any_value_is_refused_or_within_its_type(message, value, which):
    fields = as_dict(message)
    name = sorted(fields)[which % len(fields)]
    try:
        found = wire.decode(encode(fields | {name: value}), decoder_of(message))
    except WireError:
        return
    assert wire.decode(wire.encode(found), decoder_of(message)) == found
