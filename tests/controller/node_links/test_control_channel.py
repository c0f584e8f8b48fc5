"""Who is let in, under which name, and that the roster tells the operator about everybody else."""

from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytest

from camera_nodes import wire
from controller.errors import RigNotReady, SessionError
from controller.rig_file import Rig


def kinds(studio: Any) -> dict[str, str]:
    return {item.camera: item.kind for item in studio.roster().discrepancies}


def test_an_unknown_key_never_gets_a_word_in(
    home: Any, rig_of: Callable[[int], Rig], speaker: Callable[..., Any]
) -> None:
    studio = home.open(rig_of(1))
    stranger = speaker(studio, "cam-00", enrol=False)
    assert not stranger.control.poll(1500, 2)  # POLLOUT: the handshake is never finished
    assert kinds(studio) == {"cam-00": "missing"}
    friend = speaker(studio, "cam-00")
    assert isinstance(friend.greet(), wire.Welcome)
    assert kinds(studio) == {}


def test_names_are_held_to_the_keys_and_the_rig_file(
    home: Any, rig_of: Callable[[int], Rig], speaker: Callable[..., Any]
) -> None:
    studio = home.open(rig_of(2))
    first, second = speaker(studio, "cam-00"), speaker(studio, "cam-01")
    assert second.greet(node=first.node).code == "wrong_key"
    assert second.greet(camera="cam-77").code == "unknown_camera"
    assert isinstance(first.greet(), wire.Welcome)
    assert second.greet(camera="cam-00").code == "duplicate"
    assert kinds(studio) == {"cam-00": "duplicate", "cam-01": "missing", "cam-77": "unknown"}


def test_every_code_of_a_refusal_is_one_that_is_sent() -> None:
    """The four that the tests here hear; a node that is refused for another reason would not know what to do."""
    (hint,) = (get_type_hints(wire.Refused)["code"],)
    assert set(get_args(hint)) == {"hello_first", "unknown_camera", "wrong_key", "duplicate"}


def test_who_has_not_said_hello_is_told_to(
    home: Any, rig_of: Callable[[int], Rig], speaker: Callable[..., Any]
) -> None:
    studio = home.open(rig_of(1))
    node = speaker(studio, "cam-00")
    node.say(wire.Status(camera="cam-00", state="idle", free_bytes=1, spooled=0, spooled_bytes=0))
    assert node.hear(wire.Refused).code == "hello_first"


def test_nothing_is_fired_without_the_whole_rig_and_no_attempt_is_used_up(
    home: Any, rig_of: Callable[[int], Rig], speaker: Callable[..., Any]
) -> None:
    studio = home.open(rig_of(2))
    session = studio.start_session(home.subject, "short")
    speaker(studio, "cam-00").greet()
    with pytest.raises(RigNotReady, match=r"(?s)1 of 2.*cam-01"):
        studio.fire(session, "neutral")
    assert studio.state_of(session).takes == ()
    with pytest.raises(SessionError, match="no take yet"):
        studio.retake(session, "neutral")


def test_a_node_that_does_not_answer_arm_is_a_named_fault_and_nobody_fires(
    home: Any, rig_of: Callable[..., Rig], speaker: Callable[..., Any]
) -> None:
    studio = home.open(rig_of(2, arm_timeout_ms=400.0))
    session = studio.start_session(home.subject, "short")
    willing, deaf = speaker(studio, "cam-00"), speaker(studio, "cam-01")
    willing.greet()
    deaf.greet()
    import threading

    results: list[Any] = []
    firing = threading.Thread(target=lambda: results.append(studio.fire(session, "neutral")))
    firing.start()
    arm = willing.hear(wire.Arm)
    willing.say(wire.Armed(fire_id=arm.fire_id, camera="cam-00", clock_uncertainty_ns=1, free_bytes=1))
    assert willing.hear(wire.Disarm | wire.Fire).fire_id == arm.fire_id
    firing.join()
    result = results[0]
    assert result.state == "failed"
    assert result.faults == {"cam-01": "no reply in 400 ms"}
    assert result.message.startswith(f"Take {result.take} was not fired: 1 of 2 cameras failed.\n  cam-01  no reply")
    assert f"mien session retake {session}-E01" in result.message
    assert studio.records.take(result.take).problem == result.message
