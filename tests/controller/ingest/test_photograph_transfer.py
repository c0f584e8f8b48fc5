"""Whatever a node says on the bulk socket: what is stored is whole and recorded once, all else is refused by name."""

import random
import resource
from collections.abc import Callable
from typing import Any

import pytest

from camera_nodes import wire
from controller.rig_file import Rig
from controller.studio import Studio
from controller.takes.take_progress import TakeProgress


def fired_take(studio: Studio, session: str) -> TakeProgress:
    take = studio.records.plan(session, 1)
    studio.records.fired(take)
    tally = TakeProgress(take, [camera.name for camera in studio.rig.cameras])
    studio.events.open(tally)
    return tally


@pytest.fixture
def studio(home: Any, rig_of: Callable[[int], Rig]) -> Studio:
    return home.open(rig_of(2))


@pytest.fixture
def tally(home: Any, studio: Studio) -> TakeProgress:
    return fired_take(studio, studio.start_session(home.subject, "short"))


@pytest.fixture
def node(studio: Studio, speaker: Callable[..., Any]) -> Any:
    made = speaker(studio, "cam-00")
    assert isinstance(made.greet(), wire.Welcome)
    return made


def big_photo(jpeg: Callable[..., bytes], size: int) -> bytes:
    """A JPEG that decodes, followed by `size` bytes that a decoder passes over, as makers' notes may."""
    return jpeg() + random.Random(size).randbytes(size)


def test_a_photograph_is_stored_once_however_often_it_is_offered(
    studio: Studio, tally: TakeProgress, node: Any, jpeg: Callable[..., bytes]
) -> None:
    data = big_photo(jpeg, 3_000_000)
    stored = node.upload(tally.take, data)
    assert isinstance(stored, wire.Stored)
    assert studio.records.photographs(tally.take) == {"cam-00": stored.sha256}
    assert studio.store.open(stored.sha256).read() == data
    assert isinstance(node.upload(tally.take, data), wire.Stored)
    assert studio.ingest.stored == 1
    assert tally.frames == {"cam-00"}
    assert list(studio.settings.records.ingest.iterdir()) == []


def test_a_second_photograph_of_one_camera_is_rejected_and_spoils_nothing(
    studio: Studio, tally: TakeProgress, node: Any, jpeg: Callable[..., bytes]
) -> None:
    first = node.upload(tally.take, jpeg(1))
    second = node.upload(tally.take, jpeg(2), entry="another")
    assert isinstance(second, wire.Rejected)
    assert "already" in second.reason
    assert studio.records.photographs(tally.take) == {"cam-00": first.sha256}
    assert tally.faults == {}


def test_bytes_that_are_not_what_was_announced_are_asked_for_again_then_rejected(
    studio: Studio, tally: TakeProgress, node: Any, jpeg: Callable[..., bytes]
) -> None:
    answer = node.upload(tally.take, jpeg(1), sha256="0" * 64)
    assert isinstance(answer, wire.Rejected)
    assert "hash" in answer.reason
    assert "hash" in tally.faults["cam-00"]
    assert studio.records.photographs(tally.take) == {}


def test_a_flipped_bit_on_the_way_costs_a_second_transfer_and_nothing_else(
    studio: Studio, tally: TakeProgress, node: Any, jpeg: Callable[..., bytes]
) -> None:
    data = jpeg(1)
    offer = node.offer(tally.take, data)
    bad = bytes([data[0] ^ 1]) + data[1:]
    for piece in (bad, data):
        assert node.hear(wire.Want, bulk=True).offset == 0
        node.say(wire.Chunk(entry=offer.entry, offset=0, data=piece, last=True), bulk=True)
    assert node.hear(wire.Stored, bulk=True).sha256 == offer.sha256
    assert studio.records.photographs(tally.take) == {"cam-00": offer.sha256}
    assert tally.faults == {}


@pytest.mark.parametrize("kind", ["truncated", "text", "empty"])
def test_what_is_no_photograph_is_rejected_with_the_reason(
    studio: Studio, tally: TakeProgress, node: Any, jpeg: Callable[..., bytes], kind: str
) -> None:
    data = {"truncated": jpeg(1, (640, 480))[:-4000], "text": b"hello " * 50, "empty": b""}[kind]
    answer = node.upload(tally.take, data)
    assert isinstance(answer, wire.Rejected)
    assert answer.reason in tally.faults["cam-00"]
    assert studio.records.photographs(tally.take) == {}


def test_a_broken_transfer_goes_on_where_it_stopped(
    studio: Studio, tally: TakeProgress, node: Any, jpeg: Callable[..., bytes]
) -> None:
    data = big_photo(jpeg, 2 * wire.CHUNK_BYTES)
    offer = node.offer(tally.take, data)
    assert node.hear(wire.Want, bulk=True).offset == 0
    node.say(wire.Chunk(entry=offer.entry, offset=0, data=data[: wire.CHUNK_BYTES], last=False), bulk=True)
    again = node.hear(wire.Want, bulk=True)  # the studio asks by itself when nothing moves
    assert again.offset == wire.CHUNK_BYTES
    studio.ingest.stop()  # and a studio that was stopped in between finds what it had
    assert [path.stat().st_size for path in studio.settings.records.ingest.iterdir()] == [wire.CHUNK_BYTES]


def test_nobody_delivers_for_another_camera_or_an_unknown_take(
    studio: Studio, tally: TakeProgress, node: Any, speaker: Callable[..., Any], jpeg: Callable[..., bytes]
) -> None:
    other = speaker(studio, "cam-01")
    other.greet()
    node.offer(tally.take, jpeg(1), camera="cam-01")
    assert node.hear(wire.Want, bulk=True, patience_s=0.5) is None
    answer = node.upload("S999-1-E01-1", jpeg(1))
    assert isinstance(answer, wire.Rejected)
    assert "S999-1-E01-1" in answer.reason


def test_rubbish_on_both_sockets_does_not_stop_the_service(
    studio: Studio, tally: TakeProgress, node: Any, jpeg: Callable[..., bytes]
) -> None:
    draw = random.Random(5)
    for size in (0, 1, 7, 400, 4000):
        node.control.send(draw.randbytes(size))
        node.bulk.send(draw.randbytes(size))
    node.control.send(wire.encode(wire.Ping(seq=1, t1_ns=1)).replace(b"\xa1v\x02", b"\xa1v\x63"))
    node.bulk.send_multipart([b"a", b"b"])
    node.say(wire.Chunk(entry="nobody.asked", offset=0, data=b"x", last=True), bulk=True)
    node.say(wire.Ping(seq=7, t1_ns=123))
    pong = node.hear(wire.Pong)
    assert (pong.seq, pong.t1_ns) == (7, 123)
    assert pong.t2_ns <= pong.t3_ns
    assert isinstance(node.upload(tally.take, jpeg(1)), wire.Stored)
    assert studio.link.refused_messages >= 6


def test_memory_stays_flat_whatever_a_photograph_weighs(
    studio: Studio, tally: TakeProgress, node: Any, jpeg: Callable[..., bytes]
) -> None:
    node.upload(tally.take, jpeg(1))
    take = fired_take(studio, tally.take.rsplit("-E", 1)[0]).take
    data = big_photo(jpeg, 60_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert isinstance(node.upload(take, data), wire.Stored)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 25_000  # kB


def test_nothing_is_asked_for_while_held(
    studio: Studio, tally: TakeProgress, node: Any, jpeg: Callable[..., bytes]
) -> None:
    studio.ingest.hold()
    node.offer(tally.take, jpeg(1))
    assert node.hear(wire.Want, bulk=True, patience_s=0.6) is None
    studio.ingest.go_on()
    assert node.hear(wire.Want, bulk=True) is not None
