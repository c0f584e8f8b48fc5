"""Whatever an enrolled node says, in whatever order and however often: the service goes on and the records stand.

A real studio, real sockets and keys. One node lies; another, honest one must be answered as before, and nothing of its
camera's may have changed.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from camera_nodes import wire
from controller.rig_file import Rig
from controller.studio import Studio
from controller.takes.take_progress import TakeProgress
from db.engine import reading

FUZZ = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LIAR, HONEST = "cam-00", "cam-01"


@pytest.fixture
def studio(home: Any, rig_of: Callable[[int], Rig]) -> Studio:
    return home.open(rig_of(2))


@pytest.fixture
def tally(home: Any, studio: Studio) -> TakeProgress:
    session = studio.start_session(home.subject, "short")
    take = studio.records.plan(session, 1)
    studio.records.fired(take)
    tally = TakeProgress(take, [camera.name for camera in studio.rig.cameras])
    studio.events.open(tally)
    return tally


@pytest.fixture
def honest(studio: Studio, tally: TakeProgress, speaker: Callable[..., Any], jpeg: Callable[..., bytes]) -> Any:
    made = speaker(studio, HONEST)
    assert isinstance(made.greet(), wire.Welcome)
    assert isinstance(made.upload(tally.take, jpeg(1)), wire.Stored)
    return made


@pytest.fixture
def liar(studio: Studio, speaker: Callable[..., Any]) -> Any:
    made = speaker(studio, LIAR)
    assert isinstance(made.greet(), wire.Welcome)
    return made


def unharmed(studio: Studio, tally: TakeProgress, honest: Any, seq: int) -> None:
    """The honest node is answered on both sockets, and what it brought is as it was."""
    honest.say(wire.Ping(seq=seq, t1_ns=5))
    pong = honest.hear(wire.Pong)
    assert pong is not None
    assert pong.seq == seq
    assert HONEST not in tally.faults
    assert studio.link.owner(HONEST) == honest.node
    with reading(studio.engine) as tx:
        states = dict(tx.execute(text("select code, state from take")).all())
    assert states == {tally.take: "fired"}
    assert HONEST in studio.records.photographs(tally.take)


identifiers = st.sampled_from(["cam-00", "cam-01", "node-cam-00", "node-cam-01", "S001-1-E01-1", "S999-1-E01-1", "f.1"])
kinds = [*wire.NodeControl.__args__, *wire.NodeBulk.__args__]


def fields_of(kind: type) -> st.SearchStrategy[dict[str, Any]]:
    """Messages of one kind whose fields are right, at their bounds, or of another type."""
    odd = (
        st.none()
        | st.booleans()
        | st.sampled_from([0, 1, -1, 2**31, 2**53, 2**62, -(2**62), 2**63])
        | st.floats()
        | st.text(max_size=20)
        | st.sampled_from(["", "\x00", "a\nb", "x" * 1000, "../../x", "0" * 64])
        | st.binary(max_size=300)
        | identifiers
    )
    fields: dict[str, st.SearchStrategy[Any]] = {
        field.encode_name: st.one_of(sensible(field.encode_name), sensible(field.encode_name), odd)
        for field in msgspec.structs.fields(kind)
    }
    return st.fixed_dictionaries(
        fields | {"type": st.just(kind.__struct_config__.tag), "v": st.sampled_from([1, 1, 1, 2])}
    )


def sensible(name: str) -> st.SearchStrategy[Any]:
    """A value that would pass for this field, so that the message gets deep into the service."""
    if name in ("camera", "node", "take_id", "fire_id", "entry"):
        return identifiers
    if name == "sha256":
        return st.sampled_from([hashlib.sha256(bytes([i])).hexdigest() for i in range(3)])
    if name in ("serial", "model", "url", "software", "text", "code", "reason", "name"):
        return st.sampled_from(["ok", "a.jpg", "\x1b[2J", "é"])
    if name in ("reasons", "warnings", "capabilities"):
        return st.lists(st.just("why"), max_size=3)
    if name in ("last", "missed"):
        return st.booleans()
    if name == "data":
        return st.binary(max_size=50)
    if name == "state":
        return st.sampled_from(["idle", "armed"])
    if name == "exposure_source":
        return st.sampled_from([None, "simulated"])
    return st.integers(0, 10**6)


noise = st.binary(max_size=400)
made_up = st.sampled_from(kinds).flatmap(fields_of).map(msgspec.msgpack.encode)
nested = st.recursive(st.integers(-9, 9), lambda inner: st.lists(inner, max_size=4), max_leaves=40).map(
    msgspec.msgpack.encode
)
messages = st.lists(st.tuples(st.booleans(), noise | made_up | made_up | made_up | nested), min_size=1, max_size=25)


def push(node: Any, bulk: bool, frames: list[bytes]) -> None:
    socket = node.bulk if bulk else node.control
    assert socket.poll(30_000, zmq.POLLOUT), "the connection is gone"
    socket.send_multipart(frames)


@pytest.fixture
def no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends so much nonsense is let go (test_port_guard); here it is read, all of it."""
    monkeypatch.setattr("controller.node_links.connection_guard.BAD", 1e12)
    monkeypatch.setattr("controller.node_links.connection_guard.BAD_BURST", 1e12)


@pytest.mark.usefixtures("no_guard")
def test_malformed_and_made_up_messages_change_nothing_of_anybody_elses(
    studio: Studio, tally: TakeProgress, honest: Any, liar: Any
) -> None:
    counted = [0]

    @FUZZ
    @given(messages, st.integers(1, 3))
    def talk(sent: list[tuple[bool, bytes]], copies: int) -> None:
        for bulk, data in sent:
            push(liar, bulk, [data] * copies if copies == 3 else [data])
        counted[0] += 1
        unharmed(studio, tally, honest, counted[0])

    talk()
    assert studio.link.refused_messages > 100


def test_words_of_a_node_cannot_steer_a_terminal_or_break_a_record(
    studio: Studio, tally: TakeProgress, liar: Any
) -> None:
    """PostgreSQL takes no NUL, and a terminal would obey an escape."""
    text = "card\x00full \x1b[2Jall is well\x1b]0;owned\x07 \u202egood"
    liar.say(wire.NodeFault(camera=LIAR, code="card_full", text=text, fire_id="f.1", take_id=tally.take))
    liar.greet(serial=text, model=text, url=text, fault=text)
    shown = [tally.faults[LIAR], *(item.text for item in studio.roster().discrepancies)]
    assert any("full" in line for line in shown)
    for line in shown:
        assert line.replace("\n", "").isprintable()


def test_a_photograph_for_a_take_that_was_never_fired_is_refused(
    studio: Studio, tally: TakeProgress, liar: Any, jpeg: Callable[..., bytes]
) -> None:
    """Not before its fire, and not after a fire that did not come to pass."""
    session = tally.take.rsplit("-E", 1)[0]
    take = studio.records.plan(session, 2)
    for _ in range(2):
        answer = liar.upload(take, jpeg(3))
        assert isinstance(answer, wire.Rejected)
        assert "never fired" in answer.reason
        if studio.records.take(take).state.value == "planned":
            studio.records.failed(take, "was not fired")
    assert studio.records.photographs(take) == {}


def test_oversized_messages_cost_the_liar_its_connection_alone(
    studio: Studio, tally: TakeProgress, honest: Any, liar: Any, jpeg: Callable[..., bytes]
) -> None:
    for number, (bulk, size) in enumerate(
        [(False, wire.CONTROL_LIMIT + 1), (True, wire.BULK_LIMIT + 1), (False, 8_000_000), (True, 64_000_000)]
    ):
        push(liar, bulk, [bytes(size)])
        unharmed(studio, tally, honest, number)
    push(liar, False, [b""] * 2000)
    unharmed(studio, tally, honest, 100)
    assert isinstance(liar.greet(), wire.Welcome)
    assert isinstance(liar.upload(tally.take, jpeg(2)), wire.Stored)


def test_replayed_messages_are_taken_once(
    studio: Studio, tally: TakeProgress, honest: Any, liar: Any, jpeg: Callable[..., bytes]
) -> None:
    """All that a node said in one take, said again in any order: nothing is doubled, nothing is overwritten."""
    data = jpeg(2)
    entry = {"entry": f"{tally.take}.f1.{LIAR}", "fire_id": f"{tally.take}.f1", "take_id": tally.take, "camera": LIAR}
    sha = hashlib.sha256(data).hexdigest()
    stamp = {name: entry[name] for name in ("fire_id", "take_id", "camera")}
    said = [
        (False, wire.Hello(node=liar.node, camera=LIAR, serial="1", model="m", url="u", software="s")),
        (False, wire.Ping(seq=1, t1_ns=1)),
        (False, wire.Armed(fire_id=stamp["fire_id"], camera=LIAR, clock_uncertainty_ns=1, free_bytes=1)),
        (False, wire.Stamps(**stamp, commanded_at_ns=10, released_at_ns=20, clock_uncertainty_ns=1)),
        (False, wire.Stamps(**stamp, commanded_at_ns=10, clock_uncertainty_ns=1, missed=True, reason="replay")),
        (False, wire.FrameSpooled(**entry, name="a.jpg", sha256=sha, bytes=len(data))),
        (True, wire.Offer(**entry, name="a.jpg", sha256=sha, bytes=len(data))),
        (True, wire.Chunk(entry=entry["entry"], offset=0, data=data, last=True)),
    ]
    push(liar, False, [wire.encode(said[3][1])])
    assert isinstance(liar.upload(tally.take, data), wire.Stored)
    before = (studio.records.photographs(tally.take), studio.ingest.stored)
    counted = [0]

    @settings(FUZZ, max_examples=30)
    @given(st.lists(st.sampled_from(said), min_size=1, max_size=20))
    def replay(chosen: list[tuple[bool, Any]]) -> None:
        for bulk, message in chosen:
            push(liar, bulk, [wire.encode(message)])
        counted[0] += 1
        unharmed(studio, tally, honest, counted[0])

    replay()
    assert isinstance(liar.upload(tally.take, data), wire.Stored)  # the last word: all replays are through
    assert (studio.records.photographs(tally.take), studio.ingest.stored) == before
    assert tally.stamps[LIAR].released_at_ns == 20
    assert LIAR not in tally.faults
    assert list(studio.settings.records.ingest.glob("*.part")) == []
