"""Keys are private, only enrolled nodes get in, and what they send wrongly stops nothing."""

import stat
import time

import msgspec
import pytest
import zmq

from camera_nodes import curve_keys, transport, wire
from camera_nodes.errors import KeyRefused


def test_keys_are_made_private_and_read_back(tmp_path):
    folder = tmp_path / "keys"
    made = curve_keys.make_keys(folder, "cam-07")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "cam-07.key").stat().st_mode) == 0o600
    assert curve_keys.load_keys(folder, "cam-07") == made
    assert curve_keys.load_public(folder / "cam-07.pub") == made.public
    assert made.secret not in repr(made)
    with pytest.raises(KeyRefused, match="exists already"):
        curve_keys.make_keys(folder, "cam-07")


def test_a_public_key_is_never_taken_for_an_option(tmp_path, monkeypatch):
    draws = iter([(b"-" + b"a" * 39, b"s" * 40), (b"a" * 40, b"s" * 40)])
    monkeypatch.setattr(transport.zmq, "curve_keypair", lambda: next(draws))
    assert curve_keys.make_keys(tmp_path / "keys", "cam-07").public == "a" * 40


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_file_open_to_others_is_refused(tmp_path, mode):
    curve_keys.make_keys(tmp_path / "keys", "cam-07")
    (tmp_path / "keys" / "cam-07.key").chmod(mode)
    with pytest.raises(KeyRefused, match="chmod 600"):
        curve_keys.load_keys(tmp_path / "keys", "cam-07")


def test_an_open_folder_is_refused(tmp_path):
    curve_keys.make_keys(tmp_path / "keys", "cam-07")
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(KeyRefused, match="chmod 700"):
        curve_keys.load_keys(tmp_path / "keys", "cam-07")


@pytest.mark.parametrize("text", ["", "public = x\nsecret = y\n", "\x00\xff", "public = " + "a" * 40])
def test_a_malformed_key_file_is_refused(tmp_path, text):
    curve_keys.make_keys(tmp_path / "keys", "cam-07")
    (tmp_path / "keys" / "cam-07.key").write_text(text)
    with pytest.raises(KeyRefused, match="not a key file"):
        curve_keys.load_keys(tmp_path / "keys", "cam-07")


def test_halves_of_two_pairs_are_refused(tmp_path):
    folder = tmp_path / "keys"
    one, other = curve_keys.make_keys(folder, "one"), curve_keys.make_keys(folder, "other")
    (folder / "one.key").write_text(f"public = {one.public}\nsecret = {other.secret}\n")
    with pytest.raises(KeyRefused, match="does not belong"):
        curve_keys.load_keys(folder, "one")


@pytest.mark.parametrize("name", ["", "../x", ".x", "a/b", "a b", "x" * 65])
def test_a_name_that_is_no_name_is_refused(tmp_path, name):
    with pytest.raises(KeyRefused):
        curve_keys.make_keys(tmp_path / "keys", name)
    with pytest.raises(KeyRefused):
        curve_keys.AllowList(tmp_path / "keys").add(name, "a" * 40)


def test_the_allow_list_follows_its_folder(tmp_path):
    ours, theirs = curve_keys.AllowList(tmp_path / "keys"), curve_keys.AllowList(tmp_path / "keys")
    key = curve_keys.make_keys(tmp_path / "node", "cam-07").public
    assert ours.name_of(key) is None
    theirs.add("cam-07", key)
    assert ours.name_of(key) == "cam-07"
    assert ours.names() == ["cam-07"]
    with pytest.raises(KeyRefused, match="enrolled as cam-07"):
        ours.add("cam-08", key)
    theirs.remove("cam-07")
    assert ours.name_of(key) is None


@pytest.fixture
def dealer(studio):
    """An enrolled node's bare socket, for sending what no agent would."""
    context = zmq.Context()
    made = []

    def connect(name="cam-00", server=None, limit=wire.CONTROL_LIMIT):
        pair = curve_keys.ensure_keys(studio.keys_folder, name)
        studio.allowed.add(name, pair.public)
        endpoint = studio.control if limit == wire.CONTROL_LIMIT else studio.bulk
        made.append(transport.connect_dealer(context, endpoint, pair, server or studio.keys.public, limit=limit))
        if server is None:
            assert made[-1].poll(5000, zmq.POLLOUT)
        return made[-1]

    yield connect
    for socket in made:
        socket.close()
    context.term()


def still_answers(dealer):
    """A node that has not said Hello is told so: an answer, whatever it is."""
    dealer.send(wire.encode(wire.Ping(seq=7, t1_ns=1)))
    return bool(dealer.poll(5000))


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"\xc1"],
        [b"a", b"b"],
        [msgspec.msgpack.encode({"type": "ping", "v": wire.VERSION + 1, "seq": 1, "t1_ns": 1})],
        [msgspec.msgpack.encode({"type": "ping", "v": wire.VERSION, "seq": 1, "t1_ns": 1, "x": 1})],
        [wire.encode(wire.Fire(fire_id="f", take_id="t", at_ns=1))],
    ],
    ids=["empty", "noise", "two frames", "version", "field", "a controller's message"],
)
def test_bad_messages_are_noted_with_their_sender_and_stop_nothing(studio, dealer, frames):
    socket = dealer()
    socket.send_multipart(frames)
    studio.until(lambda: len(studio.bad) == 1)
    assert studio.bad[0].node == "cam-00"
    assert still_answers(socket)


def test_an_oversized_message_costs_the_sender_its_connection_and_nobody_else(studio, dealer):
    good, bad = dealer("cam-00"), dealer("cam-01")
    monitor = transport.Monitor(bad)
    bad.send(b"x" * (wire.CONTROL_LIMIT + 1))
    events = []
    studio.until(lambda: events.extend(monitor.events()) or "down" in events)
    assert still_answers(good)
    assert studio.bad == []
    monitor.close()


def test_the_wrong_controller_is_not_spoken_to(studio, dealer, tmp_path):
    other = curve_keys.make_keys(tmp_path / "other", "controller")
    socket = dealer(server=other.public)
    assert not socket.poll(500, zmq.POLLOUT)
    assert studio.seen == []


def test_a_plaintext_client_gets_nothing(studio, dealer):
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.setsockopt(zmq.LINGER, 0)
    plain.connect(studio.control)
    plain.send(wire.encode(wire.Ping(seq=1, t1_ns=1)))
    assert not plain.poll(500)
    plain.close()
    context.term()
    assert studio.seen == []
    assert studio.bad == []
    assert still_answers(dealer())


def test_a_node_struck_off_is_not_heard_on_its_old_connection(studio, dealer):
    socket = dealer()
    assert still_answers(socket)
    studio.allowed.remove("cam-00")
    time.sleep(0.01)
    socket.send(wire.encode(wire.Ping(seq=8, t1_ns=1)))
    studio.until(lambda: len(studio.bad) == 1)
    assert studio.bad[0].node == ""


def test_without_an_authenticator_nobody_is_let_in(tmp_path):
    context = zmq.Context()
    keys = curve_keys.make_keys(tmp_path / "keys", "controller")
    router, endpoint = transport.bind_router(context, "tcp://127.0.0.1:*", keys, limit=wire.CONTROL_LIMIT)
    node = curve_keys.make_keys(tmp_path / "keys", "cam-00")
    dealer = transport.connect_dealer(context, endpoint, node, keys.public, limit=wire.CONTROL_LIMIT)
    transport.send(dealer, wire.Ping(seq=1, t1_ns=1), limit=wire.CONTROL_LIMIT)
    assert not router.poll(500)
    dealer.close()
    router.close()
    context.term()
