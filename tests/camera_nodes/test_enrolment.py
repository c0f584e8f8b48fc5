"""A one-time code lets exactly one node in, under one name, once; whoever lacks it learns nothing and gets nowhere."""

import concurrent.futures
import contextlib
import json
import os
import socket
import subprocess
import sys

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from patience import run_patiently

from camera_nodes import curve_keys, enrolment, transport, wire
from camera_nodes.enrolment import Enrolment, derive_keys, full_address, join, new_code, read_code
from camera_nodes.errors import BadSettings, CodeRefused

LOOPBACK = "tcp://127.0.0.1:*"


@pytest.fixture
def studio(tmp_path):
    """open(...): an enrolment for pi-03 that waits in a thread, and what became of it."""
    pool = concurrent.futures.ThreadPoolExecutor()
    opened = []

    def begin(**options):
        made = Enrolment(tmp_path / "studio", "pi-03", LOOPBACK, **options).__enter__()
        opened.append((made, pool.submit(made.wait)))
        return opened[-1]

    yield begin
    for made, outcome in opened:
        made.withdraw()  # a test that failed half way leaves nobody waiting
        outcome.exception(30)
        made.__exit__(None, None, None)
    pool.shutdown()


def another_code(code):
    return next(other for other in iter(new_code, None) if other != code)


def test_a_code_lets_the_node_in_and_each_side_has_the_others_key(tmp_path, studio):
    made, outcome = studio(control="tcp://10.0.0.1:5701", bulk="tcp://10.0.0.1:5702")
    pinned = join(tmp_path / "node", "pi-03", made.endpoint, made.code.lower().replace("-", " "))
    joined = outcome.result(30)
    assert (joined.node, joined.replaced, pinned.replaced) == ("pi-03", False, False)
    assert curve_keys.AllowList(tmp_path / "studio").name_of(pinned.public) == "pi-03"
    assert joined.public == curve_keys.load_keys(tmp_path / "node", "pi-03").public == pinned.public
    controller = curve_keys.load_keys(tmp_path / "studio", "controller").public
    assert curve_keys.load_public(tmp_path / "node" / "controller.pub") == controller == pinned.controller
    assert (pinned.control, pinned.bulk) == ("tcp://10.0.0.1:5701", "tcp://10.0.0.1:5702")


def test_a_code_works_once(tmp_path, studio):
    made, outcome = studio()
    first = join(tmp_path / "node", "pi-03", made.endpoint, made.code)
    outcome.result(30)  # nobody reads the socket any more, and the command closes it
    with pytest.raises(CodeRefused, match=r"said no more|nobody answers"):
        join(tmp_path / "thief", "pi-03", made.endpoint, made.code, timeout_s=2)
    assert curve_keys.AllowList(tmp_path / "studio").names() == ["pi-03"]
    assert curve_keys.AllowList(tmp_path / "studio").name_of(first.public) == "pi-03"


def test_two_who_know_the_code_at_the_same_time_are_not_both_let_in(tmp_path, studio):
    """The first did not say yet that it is done: only it may ask again."""
    made, outcome = studio()
    ours, theirs = derive_keys(made.code)
    context = zmq.Context()
    keys = [curve_keys.make_keys(tmp_path / "two", name) for name in ("one", "other")]
    dealers = [
        transport.connect_dealer(context, made.endpoint, theirs, ours.public, limit=wire.CONTROL_LIMIT) for _ in keys
    ]
    answers = []
    for which in (0, 1, 0):
        assert dealers[which].poll(10_000, zmq.POLLOUT)
        transport.send(dealers[which], wire.Enrol(node="pi-03", public=keys[which].public), limit=wire.CONTROL_LIMIT)
        assert dealers[which].poll(10_000)
        answers.append(transport.receive_reply(dealers[which], wire.CONTROLLER_ENROLMENT, limit=wire.CONTROL_LIMIT))
    assert isinstance(answers[0], wire.Enrolled)
    assert answers[1] == wire.NotEnrolled(reason="this code has been used: make another")
    assert answers[2] == answers[0]
    transport.send(dealers[0], wire.EnrolDone(), limit=wire.CONTROL_LIMIT)
    assert outcome.result(30).public == keys[0].public
    for dealer in dealers:
        dealer.close()
    context.term()


def test_another_name_or_a_key_of_another_node_is_refused_in_words(tmp_path, studio):
    made, outcome = studio()
    with pytest.raises(CodeRefused, match=r"this code is for pi-03, not for pi-04"):
        join(tmp_path / "node", "pi-04", made.endpoint, made.code)
    taken = curve_keys.make_keys(tmp_path / "node", "pi-03").public
    curve_keys.AllowList(tmp_path / "studio").add("pi-05", taken)
    with pytest.raises(CodeRefused, match="enrolled as pi-05"):
        join(tmp_path / "node", "pi-03", made.endpoint, made.code)
    assert curve_keys.AllowList(tmp_path / "studio").names() == ["pi-05"]
    assert not (tmp_path / "node" / "controller.pub").exists()
    join(tmp_path / "fresh", "pi-03", made.endpoint, made.code)  # the code is still good for its node
    assert outcome.result(30).node == "pi-03"


def test_a_wrong_code_is_refused_at_the_handshake_and_after_some_the_right_one_is_worth_nothing(tmp_path, studio):
    made, outcome = studio(attempts=3)
    for _ in range(3):
        with pytest.raises(CodeRefused, match="does not take this code"):
            join(tmp_path / "node", "pi-03", made.endpoint, another_code(made.code))
    with pytest.raises(CodeRefused, match="too many wrong codes"):
        outcome.result(30)
    assert curve_keys.AllowList(tmp_path / "studio").names() == []


def test_noise_and_plaintext_cost_no_attempt(tmp_path, studio):
    made, outcome = studio(attempts=1)
    port = int(made.endpoint.rpartition(":")[2])
    for data in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(data)
            raw.settimeout(0.3)
            with contextlib.suppress(OSError):  # it hangs up, or waits for more
                while raw.recv(4096):
                    pass
    join(tmp_path / "node", "pi-03", made.endpoint, made.code)
    assert outcome.result(30).node == "pi-03"


def test_a_false_studio_that_lacks_the_code_is_not_believed(tmp_path):
    """Whoever answers at the address without the code can neither read the node's key nor plant its own."""
    with Enrolment(tmp_path / "false", "pi-03", LOOPBACK) as false, concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(false.wait)
        with pytest.raises(CodeRefused, match="does not take this code"):
            join(tmp_path / "node", "pi-03", false.endpoint, another_code(false.code))
        false.withdraw()
        assert isinstance(waiting.exception(30), CodeRefused)
    assert not (tmp_path / "node" / "controller.pub").exists()


def test_a_code_expires(studio):
    _made, outcome = studio(life_s=0.05)
    with pytest.raises(CodeRefused, match="nobody came with the code for pi-03"):
        outcome.result(30)


def test_a_new_key_replaces_the_old_one_and_says_so(tmp_path, studio):
    old = curve_keys.make_keys(tmp_path / "old", "pi-03").public
    allowed = curve_keys.AllowList(tmp_path / "studio")
    allowed.add("pi-03", old)
    made, outcome = studio()
    pinned = join(tmp_path / "node", "pi-03", made.endpoint, made.code)
    assert outcome.result(30).replaced
    assert allowed.name_of(old) is None
    assert allowed.key_of("pi-03") == pinned.public


@given(st.integers(0, 2**55 - 1), st.integers(0, 11), st.sampled_from(enrolment._LETTERS))
def test_a_code_reads_back_and_most_slips_are_noticed_before_an_attempt_is_spent(number, place, letter):
    letters = "".join(enrolment._LETTERS[number >> 5 * i & 31] for i in range(11))
    code = letters + enrolment._check_letter(letters)
    spoken = code.replace("0", "o").replace("1", "l")
    assert read_code(f" {spoken[:4]}-{spoken[4:8]} {spoken[8:]} ") == code
    slipped = code[:place] + letter + code[place + 1 :]
    try:
        assert read_code(slipped) == slipped
    except CodeRefused as refusal:
        assert "mistyped" in str(refusal)  # noqa: PT017
        assert slipped != code


def test_most_single_slips_are_noticed():
    codes = [new_code() for _ in range(20)]
    assert len(set(codes)) == 20
    passed = tried = 0
    for code in (read_code(text) for text in codes):
        for place in range(12):
            for letter in enrolment._LETTERS:
                if letter != code[place]:
                    tried += 1
                    try:
                        read_code(code[:place] + letter + code[place + 1 :])
                        passed += 1
                    except CodeRefused:
                        pass
    assert passed / tried < 0.06  # one in 32 is expected


@pytest.mark.parametrize("text", ["", "K7QM", "K7QM-2RXP-9D4", "K7QM-2RXP-9D4U", "K7QM-2RXP-9D4T-1111", "é" * 12])
def test_what_is_no_code_is_refused(text):
    with pytest.raises(CodeRefused):
        read_code(text)


def test_addresses():
    assert full_address("10.0.0.1") == "tcp://10.0.0.1:5703"
    assert full_address("tcp://studio:9") == "tcp://studio:9"
    for bad in ("", "tcp://", ":5703", "a:b"):
        with pytest.raises(BadSettings):
            full_address(bad)
    assert enrolment.listen_address("", "tcp://10.0.0.1:5701") == "tcp://10.0.0.1:5703"
    assert enrolment.listen_address("", "") == "tcp://127.0.0.1:5703"
    assert enrolment.listen_address("10.1.1.1:7", "tcp://10.0.0.1:5701") == "tcp://10.1.1.1:7"


def test_the_two_commands_meet(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "studio.toml").write_text('[studio]\ncontrol = "tcp://127.0.0.1:5701"\nbulk = "tcp://127.0.0.1:5702"\n')
    command = [sys.executable, "-c", "import mien; mien.main()", "node", "enrol", "pi-03", "--json"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    at_studio = subprocess.Popen(
        [*command, "--keys", str(home / "keys"), "--listen", "127.0.0.1:*"],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        assert at_studio.stdout is not None
        shown = json.loads(at_studio.stdout.readline())
        place = ["--keys", str(tmp_path / "node"), "--studio", shown["endpoint"]]
        wrong = run_patiently([*command, *place, "--code", "AAAA"])
        assert wrong.returncode == 3
        assert "no code" in wrong.stderr
        done = run_patiently([*command, *place], input=shown["code"])
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout.splitlines()[-1].removeprefix("Code: "))
        assert answer["control"] == "tcp://127.0.0.1:5701"
        assert json.loads(at_studio.stdout.readline()) == {
            "node": "pi-03", "public": answer["public"], "replaced": False,
        }  # fmt: skip
        assert at_studio.wait(600) == 0
    finally:
        at_studio.kill()
        at_studio.wait()
        at_studio.stdout.close()
