"""Every message between a camera node and the controller, version 2.

The protocol (who sends what, when, in which state) is specified in docs/wire.md.  Messages are msgpack maps with a
`type` and a version `v`.  An unknown type, an unknown field, a missing field, another version or a value out of
bounds is refused.  Two sockets: control (small, prompt) and bulk (photographs).

Times are integer nanoseconds of the controller's monotonic clock unless the name says otherwise.
"""

from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from camera_nodes.errors import Malformed, Oversize, WrongVersion
from common.photograph_facts import ClockError, Count, Id, PhotographFacts, Sha256

VERSION: Final = 2
CONTROL_LIMIT: Final = 64 * 1024  # bytes a control message may have
CHUNK_BYTES: Final = 256 * 1024  # photograph bytes in one Chunk; the last may be shorter
BULK_LIMIT: Final = CHUNK_BYTES + 4 * 1024  # bytes a bulk message may have
PREVIEW_LIMIT: Final = 4 * 1024 * 1024  # bytes a preview frame may have, in chunks
VIEW_LASTS_S: Final = 8.0  # a live view that nobody asks for again ends by itself after so long
UNKNOWN_NS: Final = 10**15
QUIET_AFTER_NS: Final = 12_000_000  # nothing is sent before this long after the exposure moment

Text = Annotated[str, Meta(max_length=1000)]
PublicKey = Annotated[str, Meta(pattern=r"\A[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")]  # CURVE, in Z85
Nanoseconds = Annotated[int, Meta(ge=-(2**62), le=2**62)]
Duration = Annotated[int, Meta(ge=0, le=10**15)]
Drift = Annotated[int, Meta(ge=-(10**7), le=10**7)]  # 1e-9
Percent = Annotated[int, Meta(ge=0, le=100)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=32)]
ClockSource = Literal["pings", "chrony", "ptp"]  # what the mapping between two machines' clocks comes from
Proof = Literal["strict"]  # see common/bounded/jpeg_integrity.py
Rung = Literal["reopen", "usb_reset", "power_cycle"]  # of the ladder by which a body is recovered, gentlest first
Rungs = Annotated[tuple[Rung, ...], Meta(min_length=1, max_length=3)]


class Message:
    """What all messages are: a map with a `type` and a version `v`."""

    __slots__ = ()


class _Versioned(Message, Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """`v` has a default for the writer; the reader refuses a message without it."""

    v: Literal[2] = VERSION


class _OfPhotograph(PhotographFacts, Message, frozen=True, kw_only=True, tag_field="type"):
    """A message that carries what is known of a photograph, and is versioned as the others are."""

    v: Literal[2] = VERSION


class Exposure(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Camera settings of a take, as the camera writes them ("1/125", "f/8", "200").  None leaves one as it is."""

    shutter: Text | None = None
    aperture: Text | None = None
    iso: Text | None = None
    white_balance: Text | None = None
    image_format: Text | None = None
    focus_mode: Text | None = None


# --- control, node to controller -----------------------------------------------------------------------------------


class Hello(_Versioned, frozen=True, tag="hello"):
    """First message after each connection, and again when the camera changes.  Answered by Welcome or Refused.

    `node` is the name under which the node's key is enrolled, `camera` the rig's name of the camera ("cam-07").
    `serial` and `model` are empty while no camera answers; `fault` then says why.
    `lag_ns`: shutter lag from the node's settings, if any (command to exposure).  `disk` names the disk under the
    spool: nodes that say the same share its room; empty when the node cannot tell.
    """

    node: Id
    camera: Id
    serial: Text
    model: Text
    url: Text
    software: Text
    capabilities: Texts = ()  # of CAPABILITIES
    lag_ns: Duration | None = None
    spooled: Count = 0  # photographs waiting in the spool
    disk: Text = ""
    fault: Text | None = None


CAPABILITIES: Final = (
    "exposed_at",  # Stamps carry the true exposure moment
    "settings",  # exposure settings are applied and read back
    "battery",  # the battery's charge is known
    "realtime",  # the fire wait runs at real-time priority
)


class Ping(_Versioned, frozen=True, tag="ping"):
    """Clock question: `t1_ns` is the node's own clock at sending.  Also the node's sign of life."""

    seq: Count
    t1_ns: Nanoseconds


class Armed(_Versioned, frozen=True, tag="armed"):
    """The camera is ready to be fired."""

    fire_id: Id
    camera: Id
    clock_uncertainty_ns: Duration
    free_bytes: Count
    battery_percent: Percent | None = None
    photos_left: Count | None = None
    focus_mode: Text | None = None  # as the body writes it
    warnings: Texts = ()
    body_clock_error_ms: ClockError | None = (
        None  # the body's clock face, read as UTC, minus UTC, as far as it is known
    )


class Arming(_Versioned, frozen=True, tag="arming"):
    """The camera needs longer than usual to get ready: wait `patience_ns` more from now.  `doing` says why."""

    fire_id: Id
    camera: Id
    doing: Text
    patience_ns: Duration


class ArmRefused(_Versioned, frozen=True, tag="arm_refused"):
    """The camera cannot be fired; every reason is listed, in words."""

    fire_id: Id
    camera: Id
    reasons: Texts
    clock_uncertainty_ns: Duration | None = None


class Stamps(_Versioned, frozen=True, tag="stamps"):
    """What the node did in the window; sent QUIET_AFTER_NS or more after it, and again after a reconnection.

    commanded_at_ns: when the command was to go out (Fire.at_ns - Fire.lag_ns).
    released_at_ns: when it did go out; None when missed.  exposed_at_ns: true exposure moment where it is known,
    from `exposure_source`.  clock_uncertainty_ns: of the mapping between the clocks at that moment, UNKNOWN_NS when
    there was none (then it is missed); `clock_source` says where the mapping is from, `clock_offset_ns` what it was at
    the Fire (controller minus node), `clock_drift_ppb` how fast that grows.
    missed: the shutter was not released; `reason` says why.
    """

    fire_id: Id
    take_id: Id
    camera: Id
    commanded_at_ns: Nanoseconds
    clock_uncertainty_ns: Duration
    clock_source: ClockSource = "pings"
    clock_offset_ns: Nanoseconds | None = None
    clock_drift_ppb: Drift | None = None
    released_at_ns: Nanoseconds | None = None
    exposed_at_ns: Nanoseconds | None = None
    exposure_source: Literal["simulated", "hot_shoe"] | None = None
    missed: bool = False
    reason: Text = ""


class FrameSpooled(_OfPhotograph, frozen=True, tag="frame_spooled"):
    """The photograph is safe on the node's disk under the name `entry`, which Offer, Want and Stored use too.

    Sent once the body is free for the next exposure; the raw file, where there is one, is told the same way.
    """


class NodeFault(_Versioned, frozen=True, tag="node_fault"):
    """Something failed on the node.  With a fire_id: that fire brings no photograph from this camera, or not yet.

    `code`: camera_missing, camera_busy, camera_fault, card_full, battery_low, photo_missing, raw_missing,
    settings_refused, release_fault, system_time, spool_full, spool_fault, rejected; photo_damaged (the file is on the
    card and not whole), stray (a file that is no exposure's), written_off (an exposure given up), not_deleted,
    capture_target (photographs would not be kept on the card), unresolved.
    """

    camera: Id
    code: Id
    text: Text
    fire_id: Id | None = None
    take_id: Id | None = None


class Status(_Versioned, frozen=True, tag="status"):
    """How the node is, every few seconds and after each change of state; never in the window."""

    camera: Id
    state: Literal["no_camera", "idle", "arming", "armed", "firing", "exposed"]
    free_bytes: Count
    spooled: Count
    spooled_bytes: Count
    clock_uncertainty_ns: Duration | None = None
    clock_source: ClockSource = "pings"
    clock_offset_ns: Nanoseconds | None = None  # controller minus node
    clock_drift_ppb: Drift | None = None
    round_trip_ns: Duration | None = None  # best of the last minute
    battery_percent: Percent | None = None
    photos_left: Count | None = None
    unresolved: Text = ""  # the take of the oldest exposure that has given no photograph and is not written off
    strays: Count = 0  # files in the tray: what the camera had and no exposure made


class RecoverStep(_Versioned, frozen=True, tag="recover_step"):
    """What a Recover has come to, as it happens.  `last` ends it: then `outcome` says how it ended.

    `rung` is empty while none has been tried.  outcome: begun (this rung is being tried), failed (tried, and the body
    does not answer), impossible (not to be had here; `text` says why), answers (the body answers again), refused (not
    now, nothing was tried), given_up (no rung is left).
    """

    recovery_id: Id
    camera: Id
    outcome: Literal["begun", "failed", "impossible", "answers", "refused", "given_up"]
    rung: Rung | Literal[""] = ""
    text: Text = ""
    last: bool = False


class ViewState(_Versioned, frozen=True, tag="view_state"):
    """Live view began or ended, or why there is none.  Sent when that changes."""

    camera: Id
    on: bool
    text: Text = ""


# --- control, controller to node -----------------------------------------------------------------------------------


class Welcome(_Versioned, frozen=True, tag="welcome"):
    """The node is known.  `clock_id` names the controller's clock: a new one makes the node forget its estimate."""

    clock_id: Id
    uploads: bool  # as if UploadOk (True) or UploadHold (False) had followed


class Refused(_Versioned, frozen=True, tag="refused"):
    """The node is not taken: unknown or duplicate camera, key enrolled under another name, or no Hello yet.

    After code "hello_first" the node says Hello at once; after any other it tries again some seconds later.
    """

    code: Literal["hello_first", "unknown_camera", "wrong_key", "duplicate"]
    reason: Text


class Pong(_Versioned, frozen=True, tag="pong"):
    """Answer to Ping: its `seq` and `t1_ns`, when it came in and when this left, by the controller's clock.

    Where the rig file trusts a daemon with the machines' system time: the system time (UNIX, ns) at t3_ns, how wrong it
    can be, and by which daemon.  The three come together or not at all.
    """

    seq: Count
    t1_ns: Nanoseconds
    t2_ns: Nanoseconds
    t3_ns: Nanoseconds
    real_ns: Nanoseconds | None = None
    real_error_ns: Duration | None = None
    real_source: Literal["chrony", "ptp"] | None = None


class Arm(_Versioned, frozen=True, tag="arm"):
    """Get ready.  Answered by Armed or ArmRefused.  An armed camera disarms itself after `expires_ns` without Fire."""

    fire_id: Id
    take_id: Id
    exposure: Exposure = Exposure()
    max_clock_uncertainty_ns: Duration = 500_000
    min_battery_percent: Percent = 5
    expires_ns: Duration = 25_000_000_000
    allow_ram: bool = False  # a body that does not keep its photographs on its card is armed all the same


class Fire(_Versioned, frozen=True, tag="fire"):
    """Expose at `at_ns`: the command goes out at at_ns - lag_ns.  Obeyed once per fire_id and never late."""

    fire_id: Id
    take_id: Id
    at_ns: Nanoseconds
    lag_ns: Duration = 0


class Disarm(_Versioned, frozen=True, tag="disarm"):
    """Forget the Arm (and a Fire whose moment has not come)."""

    fire_id: Id
    why: Text = ""


class WriteOff(_Versioned, frozen=True, tag="write_off"):
    """Give up the exposure of this take that has given no photograph yet: the camera may be armed again.

    If its file comes after all, it is filed in its take where its capture time proves it, else it is a stray.
    """

    take_id: Id
    why: Text = ""


class UploadOk(_Versioned, frozen=True, tag="upload_ok"):
    """The spool may be emptied."""


class UploadHold(_Versioned, frozen=True, tag="upload_hold"):
    """Send nothing on the bulk socket until UploadOk."""


class Recover(_Versioned, frozen=True, tag="recover"):
    """Get the body to answer again by these rungs, in this order.  Answered by RecoverSteps, once per recovery_id.

    Refused while a fire is near (arming, armed, firing); while it goes on every Arm is refused.
    """

    recovery_id: Id
    rungs: Rungs = ("reopen", "usb_reset", "power_cycle")


class View(_Versioned, frozen=True, tag="view"):
    """Live view: a Preview every `every_ms` until VIEW_LASTS_S after the last of these; `on=False` ends it at once.

    Arm and UploadHold end it too.
    """

    on: bool
    every_ms: Annotated[int, Meta(ge=100, le=10_000)] = 500


# --- bulk ----------------------------------------------------------------------------------------------------------


class Offer(_OfPhotograph, frozen=True, tag="offer"):
    """Node to controller: a photograph waits in the spool.  Repeated until it is Stored or Rejected.

    Its body_clock_error_ms is against the node's UTC.
    """

    utc_ns: Nanoseconds | None = None  # the node's UTC (UNIX) minus the controller's clock; None: not known there yet
    proof: Proof | None = None  # the node has read every code of the JPEG of this hash and found nothing wrong with it


class Want(_Versioned, frozen=True, tag="want"):
    """Controller to node: send `credit` chunks of this entry from byte `offset` on.

    It replaces an earlier Want of the same entry, so it also resumes after a loss: ask again from the byte you have.
    """

    entry: Id
    offset: Count
    credit: Annotated[int, Meta(ge=1, le=64)]


class Chunk(_Versioned, frozen=True, tag="chunk"):
    """Node to controller: bytes of a photograph; `last` with its final byte."""

    entry: Id
    offset: Count
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]
    last: bool


class Stored(_Versioned, frozen=True, tag="stored"):
    """Controller to node: verified, proven whole, filed and committed.  Only now the node deletes its copy."""

    entry: Id
    sha256: Sha256


class Rejected(_Versioned, frozen=True, tag="rejected"):
    """Controller to node: the bytes are whole but of no use (not a photograph).  Kept aside, not offered again."""

    entry: Id
    reason: Text


class Preview(_Versioned, frozen=True, tag="preview"):
    """Node to controller: a piece of a live view frame, a JPEG of `size` bytes; in order, sent once and not again."""

    camera: Id
    number: Count  # of the frame, since the node was started
    size: Annotated[int, Meta(ge=1, le=PREVIEW_LIMIT)]
    offset: Count
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]


# --- enrolment: a socket of its own, open only while a one-time code is ---------------------------------------------


class Enrol(_Versioned, frozen=True, tag="enrol"):
    """Node to studio: this is my name, and the public half of the keys that I shall connect with."""

    node: Id
    public: PublicKey
    software: Text = ""


class Enrolled(_Versioned, frozen=True, tag="enrolled"):
    """Studio to node: you are on the allow-list; pin this key.  The addresses may be empty."""

    controller: PublicKey
    control: Text = ""
    bulk: Text = ""


class NotEnrolled(_Versioned, frozen=True, tag="not_enrolled"):
    """Studio to node: the code is right and this request is not."""

    reason: Text


class EnrolDone(_Versioned, frozen=True, tag="enrol_done"):
    """Node to studio: the key is pinned; the socket may close."""


# --- encoding ------------------------------------------------------------------------------------------------------

NodeControl = (
    Hello | Ping | Armed | Arming | ArmRefused | Stamps | FrameSpooled | NodeFault | Status | RecoverStep | ViewState
)
ControllerControl = Welcome | Refused | Pong | Arm | Fire | Disarm | WriteOff | UploadOk | UploadHold | Recover | View
NodeBulk = Offer | Chunk | Preview
ControllerBulk = Want | Stored | Rejected
NodeEnrolment = Enrol | EnrolDone
ControllerEnrolment = Enrolled | NotEnrolled
AnyMessage = NodeControl | ControllerControl | NodeBulk | ControllerBulk | NodeEnrolment | ControllerEnrolment


NODE_CONTROL: Final = msgspec.msgpack.Decoder(NodeControl)  # what a controller reads on its control socket
CONTROLLER_CONTROL: Final = msgspec.msgpack.Decoder(ControllerControl)  # what a node reads there
NODE_BULK: Final = msgspec.msgpack.Decoder(NodeBulk)
CONTROLLER_BULK: Final = msgspec.msgpack.Decoder(ControllerBulk)
NODE_ENROLMENT: Final = msgspec.msgpack.Decoder(NodeEnrolment)
CONTROLLER_ENROLMENT: Final = msgspec.msgpack.Decoder(ControllerEnrolment)


class _Version(Struct):
    v: int


_encoder = msgspec.msgpack.Encoder()
_version = msgspec.msgpack.Decoder(_Version)
_M = TypeVar("_M")


def encode(message: Message, limit: int = BULK_LIMIT) -> bytes:
    """The message as bytes.  Raises Oversize beyond `limit` bytes."""
    data = _encoder.encode(message)
    if len(data) > limit:
        raise Oversize(f"a {type(message).__name__} of {len(data)} bytes; the limit is {limit}")
    return data


def decode(data: bytes | memoryview, decoder: msgspec.msgpack.Decoder[_M], limit: int = BULK_LIMIT) -> _M:
    """The message in `data`, one of those that `decoder` (NODE_CONTROL, ...) reads.

    Raises Oversize, WrongVersion (also when the version is missing) or Malformed.  Never anything else.
    """
    if len(data) > limit:
        raise Oversize(f"a message of {len(data)} bytes; the limit is {limit}")
    try:
        version = _version.decode(data).v
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"no message with a version: {error}") from None
    if version != VERSION:
        raise WrongVersion(f"the other side speaks version {version} of the protocol, this side {VERSION}: update one")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from None
