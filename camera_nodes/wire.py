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
Drive = Literal["auto", "nearer", "farther"]  # of the lens: by the body's autofocus, or by a step
Rungs = Annotated[tuple[Rung, ...], Meta(min_length=1, max_length=3)]


class Message:
    """What all messages are: a map with a `type` and a version `v`."""

    __slots__ = ()


class _Versioned(Message, Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """`v` has a default for the writer; the reader refuses a message without it."""

    v: Literal[2] = VERSION  # of the protocol


class _OfPhotograph(PhotographFacts, Message, frozen=True, kw_only=True, tag_field="type"):
    """A message that carries what is known of a photograph, and is versioned as the others are."""

    v: Literal[2] = VERSION


class Exposure(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Camera settings of a take, as the camera writes them ("1/125", "f/8", "200").  None leaves one as it is."""

    shutter: Text | None = None  # "1/125"
    aperture: Text | None = None  # "f/8"
    iso: Text | None = None  # "200"
    white_balance: Text | None = None  # "Flash"
    image_format: Text | None = None  # "RAW + Large"
    focus_mode: Text | None = None  # "Manual"


# --- control, node to controller -----------------------------------------------------------------------------------


class Hello(_Versioned, frozen=True, tag="hello"):
    """First message after each connection, and again when the camera changes.  Answered by Welcome or Refused."""

    node: Id  # the name under which the node's key is enrolled
    camera: Id  # the rig's name of the camera ("cam-07")
    serial: Text  # empty while no camera answers; `fault` then says why
    model: Text  # likewise
    url: Text  # the camera's address
    software: Text  # of the node, with its version
    capabilities: Texts = ()  # of CAPABILITIES
    lag_ns: Duration | None = None  # shutter lag from the node's settings, if any (command to exposure)
    spooled: Count = 0  # photographs waiting in the spool
    # "COMPUTER/BOOT:DEVICE", the disk under the spool: nodes that say the same share its room, those that agree up to
    # the last colon the computer (older nodes tell no name: "BOOT:DEVICE"); empty when the node cannot tell
    disk: Text = ""
    fault: Text | None = None  # why no camera answers


CAPABILITIES: Final = (
    "exposed_at",  # Stamps carry the true exposure moment
    "settings",  # exposure settings are applied and read back
    "battery",  # the battery's charge is known
    "realtime",  # the fire wait runs at real-time priority
)


class Ping(_Versioned, frozen=True, tag="ping"):
    """Clock question, and the node's sign of life."""

    seq: Count  # which question
    t1_ns: Nanoseconds  # the node's own clock at sending


class Armed(_Versioned, frozen=True, tag="armed"):
    """The camera is ready to be fired."""

    fire_id: Id  # of the Arm
    camera: Id  # the rig's name of the camera
    clock_uncertainty_ns: Duration  # of the mapping between the clocks
    free_bytes: Count  # on the spool's disk
    battery_percent: Percent | None = None  # charge
    photos_left: Count | None = None  # that its cards still take
    focus_mode: Text | None = None  # as the body writes it
    warnings: Texts = ()  # what was asked of the camera and is not in its power
    body_clock_error_ms: ClockError | None = (
        None  # the body's clock face, read as UTC, minus UTC, as far as it is known
    )


class SettingsRead(_Versioned, frozen=True, tag="settings_read"):
    """What the body is set to, read back at an arming; after Armed where it is news, and after each Welcome."""

    camera: Id  # the rig's name of the camera
    settings: Exposure  # None: the body has no such setting


class Arming(_Versioned, frozen=True, tag="arming"):
    """The camera needs longer than usual to get ready."""

    fire_id: Id  # of the Arm
    camera: Id  # the rig's name of the camera
    doing: Text  # why
    patience_ns: Duration  # to wait from now on


class ArmRefused(_Versioned, frozen=True, tag="arm_refused"):
    """The camera cannot be fired."""

    fire_id: Id  # of the Arm
    camera: Id  # the rig's name of the camera
    reasons: Texts  # every one of them, in words
    clock_uncertainty_ns: Duration | None = None  # as in Armed, where it is known


class Stamps(_Versioned, frozen=True, tag="stamps"):
    """What the node did in the window; sent QUIET_AFTER_NS or more after it, and again after a reconnection."""

    fire_id: Id  # of the Fire
    take_id: Id  # of the Fire
    camera: Id  # the rig's name of the camera
    commanded_at_ns: Nanoseconds  # when the command was to go out (Fire.at_ns - Fire.lag_ns)
    # of the mapping between the clocks then; UNKNOWN_NS: there was none, and it is missed
    clock_uncertainty_ns: Duration
    clock_source: ClockSource = "pings"  # where that mapping is from
    clock_offset_ns: Nanoseconds | None = None  # what it was at the Fire: controller minus node
    clock_drift_ppb: Drift | None = None  # how fast that grows
    released_at_ns: Nanoseconds | None = None  # when the command did go out; None when missed
    exposed_at_ns: Nanoseconds | None = None  # true exposure moment, where it is known
    exposure_source: Literal["simulated", "hot_shoe"] | None = None  # what that was seen by
    missed: bool = False  # the shutter was not released
    reason: Text = ""  # why it was not


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

    camera: Id  # the rig's name of the camera
    code: Id  # see above
    text: Text  # in words
    fire_id: Id | None = None  # which fire
    take_id: Id | None = None  # the take that it is about


class Status(_Versioned, frozen=True, tag="status"):
    """How the node is, every few seconds and after each change of state; never in the window."""

    camera: Id  # the rig's name of the camera
    state: Literal["no_camera", "idle", "arming", "armed", "firing", "exposed"]  # see docs/wire.md
    free_bytes: Count  # on the spool's disk
    spooled: Count  # files waiting in the spool
    spooled_bytes: Count  # their bytes
    clock_uncertainty_ns: Duration | None = None  # of the mapping between the clocks
    clock_source: ClockSource = "pings"  # where that is from
    clock_offset_ns: Nanoseconds | None = None  # controller minus node
    clock_drift_ppb: Drift | None = None  # how fast the offset grows
    round_trip_ns: Duration | None = None  # best of the last minute
    battery_percent: Percent | None = None  # charge
    photos_left: Count | None = None  # that its cards still take
    unresolved: Text = ""  # the take of the oldest exposure that has given no photograph and is not written off
    strays: Count = 0  # files in the tray: what the camera had and no exposure made


class RecoverStep(_Versioned, frozen=True, tag="recover_step"):
    """What a Recover has come to, as it happens.  `last` ends it: then `outcome` says how it ended.

    `rung` is empty while none has been tried.  outcome: begun (this rung is being tried), failed (tried, and the body
    does not answer), impossible (not to be had here; `text` says why), answers (the body answers again), refused (not
    now, nothing was tried), given_up (no rung is left).
    """

    recovery_id: Id  # the Recover's
    camera: Id  # the rig's name of the camera
    outcome: Literal["begun", "failed", "impossible", "answers", "refused", "given_up"]  # see above
    rung: Rung | Literal[""] = ""  # empty while none has been tried
    text: Text = ""  # in words
    last: bool = False  # nothing follows


class ViewState(_Versioned, frozen=True, tag="view_state"):
    """Live view began or ended, or why there is none.  Sent when that changes."""

    camera: Id  # the rig's name of the camera
    on: bool  # there are Previews
    text: Text = ""  # why there are none


class BodyActed(_Versioned, frozen=True, tag="body_acted"):
    """What an Identify or a Focus has come to.  `text` says what was done, or why nothing was."""

    request_id: Id  # of the request
    camera: Id  # the rig's name of the camera
    outcome: Literal["done", "impossible", "refused", "failed"]  # impossible: this body cannot; refused: not now
    text: Text = ""  # in words


# --- control, controller to node -----------------------------------------------------------------------------------


class Welcome(_Versioned, frozen=True, tag="welcome"):
    """The node is known."""

    clock_id: Id  # names the controller's clock: a new one makes the node forget its estimate
    uploads: bool  # as if UploadOk (True) or UploadHold (False) had followed


class Refused(_Versioned, frozen=True, tag="refused"):
    """The node is not taken: unknown or duplicate camera, key enrolled under another name, or no Hello yet.

    After code "hello_first" the node says Hello at once; after any other it tries again some seconds later.
    """

    code: Literal["hello_first", "unknown_camera", "wrong_key", "duplicate"]  # what is wrong
    reason: Text  # in words


class Pong(_Versioned, frozen=True, tag="pong"):
    """Answer to Ping.

    The last three come together or not at all: where the rig file trusts a daemon with the machines' system time.
    """

    seq: Count  # the Ping's
    t1_ns: Nanoseconds  # the Ping's
    t2_ns: Nanoseconds  # when the Ping came in, by the controller's clock
    t3_ns: Nanoseconds  # when this left
    real_ns: Nanoseconds | None = None  # system time (UNIX) at t3_ns
    real_error_ns: Duration | None = None  # how wrong that can be
    real_source: Literal["chrony", "ptp"] | None = None  # the daemon that says so


class Arm(_Versioned, frozen=True, tag="arm"):
    """Get ready.  Answered by Armed or ArmRefused.  An armed camera disarms itself after `expires_ns` without Fire."""

    fire_id: Id  # names the fire
    take_id: Id  # the take's code
    exposure: Exposure = Exposure()  # settings to apply
    max_clock_uncertainty_ns: Duration = 500_000  # above it the camera is not armed
    min_battery_percent: Percent = 5  # below it neither
    expires_ns: Duration = 25_000_000_000  # without a Fire in this time the camera disarms itself
    allow_ram: bool = False  # a body that does not keep its photographs on its card is armed all the same


class Fire(_Versioned, frozen=True, tag="fire"):
    """Expose.  Obeyed once per fire_id and never late."""

    fire_id: Id  # the Arm's
    take_id: Id  # the Arm's
    at_ns: Nanoseconds  # the moment of the exposure
    lag_ns: Duration = 0  # the camera's shutter lag: the command goes out at at_ns - lag_ns


class Disarm(_Versioned, frozen=True, tag="disarm"):
    """Forget the Arm (and a Fire whose moment has not come)."""

    fire_id: Id  # the Arm's
    why: Text = ""  # in words


class WriteOff(_Versioned, frozen=True, tag="write_off"):
    """Give up the exposure of this take that has given no photograph yet: the camera may be armed again.

    If its file comes after all, it is filed in its take where its capture time proves it, else it is a stray.
    """

    take_id: Id  # whose exposure
    why: Text = ""  # in words


class UploadOk(_Versioned, frozen=True, tag="upload_ok"):
    """The spool may be emptied."""


class UploadHold(_Versioned, frozen=True, tag="upload_hold"):
    """Send nothing on the bulk socket until UploadOk."""


class Recover(_Versioned, frozen=True, tag="recover"):
    """Get the body to answer again by these rungs, in this order.  Answered by RecoverSteps, once per recovery_id.

    Refused while a fire is near (arming, armed, firing); while it goes on every Arm is refused.
    """

    recovery_id: Id  # names the recovery
    rungs: Rungs = ("reopen", "usb_reset", "power_cycle")  # to be tried in this order


class View(_Versioned, frozen=True, tag="view"):
    """Live view: a Preview every `every_ms` until VIEW_LASTS_S after the last of these; `on=False` ends it at once.

    Arm and UploadHold end it too.
    """

    on: bool  # False ends it at once
    every_ms: Annotated[int, Meta(ge=100, le=10_000)] = 500  # from one Preview to the next


class Identify(_Versioned, frozen=True, tag="identify"):
    """Let the body give signs by which a person finds it.  Answered by BodyActed, once per request_id."""

    request_id: Id  # names the request
    signs: Annotated[int, Meta(ge=1, le=10)] = 3  # how many


class Focus(_Versioned, frozen=True, tag="focus"):
    """Move the lens; until that is over every Arm is refused.  Answered by BodyActed, once per request_id."""

    request_id: Id  # names the request
    drive: Drive = "auto"  # which way
    step: Annotated[int, Meta(ge=1, le=3)] = 1  # how far nearer or farther, 1 the least; nothing to autofocus


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

    entry: Id  # of the Offer
    offset: Count  # from this byte on
    credit: Annotated[int, Meta(ge=1, le=64)]  # so many Chunks


class Chunk(_Versioned, frozen=True, tag="chunk"):
    """Node to controller: bytes of a photograph."""

    entry: Id  # of the Offer
    offset: Count  # of the first of them
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]  # the bytes
    last: bool  # the final one is among them


class Stored(_Versioned, frozen=True, tag="stored"):
    """Controller to node: verified, proven whole, filed and committed.  Only now the node deletes its copy."""

    entry: Id  # of the Offer
    sha256: Sha256  # of what was stored


class Rejected(_Versioned, frozen=True, tag="rejected"):
    """Controller to node: the bytes are whole but of no use (not a photograph).  Kept aside, not offered again."""

    entry: Id  # of the Offer
    reason: Text  # why it is of no use


class Preview(_Versioned, frozen=True, tag="preview"):
    """Node to controller: a piece of a live view frame, a JPEG; in order, sent once and not again."""

    camera: Id  # the rig's name of the camera
    number: Count  # of the frame, since the node was started
    size: Annotated[int, Meta(ge=1, le=PREVIEW_LIMIT)]  # bytes of the whole frame
    offset: Count  # of the first byte here
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]  # the bytes


# --- enrolment: a socket of its own, open only while a one-time code is ---------------------------------------------


class Enrol(_Versioned, frozen=True, tag="enrol"):
    """Node to studio: this is my name, and the public half of the keys that I shall connect with."""

    node: Id  # the name
    public: PublicKey  # the key
    software: Text = ""  # of the node, with its version


class Enrolled(_Versioned, frozen=True, tag="enrolled"):
    """Studio to node: you are on the allow-list."""

    controller: PublicKey  # the controller's key, to be pinned
    control: Text = ""  # endpoint; may be empty
    bulk: Text = ""  # endpoint; may be empty


class NotEnrolled(_Versioned, frozen=True, tag="not_enrolled"):
    """Studio to node: the code is right and this request is not."""

    reason: Text  # in words


class EnrolDone(_Versioned, frozen=True, tag="enrol_done"):
    """Node to studio: the key is pinned; the socket may close."""


# --- encoding ------------------------------------------------------------------------------------------------------

NodeControl = (
    Hello | Ping | Armed | Arming | ArmRefused | Stamps | FrameSpooled | NodeFault | Status | RecoverStep
    | ViewState | BodyActed | SettingsRead
)  # fmt: skip
ControllerControl = (
    Welcome | Refused | Pong | Arm | Fire | Disarm | WriteOff | UploadOk | UploadHold | Recover | View
    | Identify | Focus
)  # fmt: skip
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
