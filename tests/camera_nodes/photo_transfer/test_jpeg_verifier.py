"""The prover: one a machine, asked and never waited for; whatever happens to it, a node goes on without."""

import io
import os
import select
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from camera_nodes import wire
from camera_nodes.photo_transfer import jpeg_verifier as module
from camera_nodes.photo_transfer.jpeg_verifier import JpegVerifier, verify_jpeg, was_verified
from camera_nodes.sim_camera import built_in_photo

GOOD = built_in_photo("prover")


def entry(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).mkdir()
    (folder / name / "photo").write_bytes(data)
    return folder / name / "photo"


def answer(prover: JpegVerifier) -> tuple[Path, str, str]:
    while (found := prover.answer()) is None:
        assert select.select([prover.fileno()], [], [], 60)[0], "the prover says nothing"
    return found


@pytest.fixture
def make() -> Iterator[Callable[..., JpegVerifier]]:
    """make() -> Prover of a name of this test's own."""
    name, made = f"\0mien-test-{uuid.uuid4()}", []

    def one(**options: float) -> JpegVerifier:
        made.append(JpegVerifier(name, **options))
        return made[-1]

    yield one
    for each in made:
        if each._child:
            os.kill(each._child, signal.SIGKILL)
            os.waitpid(each._child, 0)
            each._child = 0
        each.close()


def test_photographs_are_told_apart_and_the_answer_is_kept(tmp_path: Path, make: Callable[..., JpegVerifier]) -> None:
    prover = make()
    good, bad = entry(tmp_path, "good", GOOD), entry(tmp_path, "bad", GOOD[: len(GOOD) // 2])
    assert prover.ask(good)
    assert not prover.ask(bad)  # one at a time
    assert answer(prover) == (good, "whole", "")
    assert was_verified(good)
    assert prover.ask(bad)
    path, kind, flaw = answer(prover)
    assert (path, kind) == (bad, "damaged")
    assert "cut short" in flaw
    assert not was_verified(bad)
    assert prover.ask(tmp_path / "nothing" / "photo")
    assert answer(prover)[1] == "unknown"


def test_the_nodes_of_a_machine_share_one(tmp_path: Path, make: Callable[..., JpegVerifier]) -> None:
    provers = [make() for _ in range(5)]
    for number, prover in enumerate(provers):
        assert prover.ask(entry(tmp_path, str(number), GOOD))
    assert [answer(prover)[1] for prover in provers] == ["whole"] * 5
    assert sum(bool(prover._child) for prover in provers) == 1


def test_a_prover_that_dies_takes_nothing_along(tmp_path: Path, make: Callable[..., JpegVerifier]) -> None:
    prover = make()
    photo = entry(tmp_path, "a", GOOD)
    assert prover.ask(photo)
    answer(prover)
    os.kill(prover._child, signal.SIGSTOP)
    assert prover.ask(photo)
    os.kill(prover._child, signal.SIGKILL)
    assert answer(prover) == (photo, "unknown", "")  # this photograph is left to the studio
    assert prover.fileno() is None
    assert not prover.busy


def test_an_idle_prover_ends_and_the_next_question_starts_another(
    tmp_path: Path, make: Callable[..., JpegVerifier]
) -> None:
    prover = make(idle_s=0.05)
    photo = entry(tmp_path, "a", GOOD)
    assert prover.ask(photo)
    assert answer(prover)[1] == "whole"
    first = prover._child
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert prover.answer() is None
    assert prover.fileno() is None
    assert prover.ask(photo)
    assert answer(prover)[1] == "whole"
    assert prover._child not in (0, first)


def test_a_stranger_under_the_name_is_not_believed(
    tmp_path: Path, make: Callable[..., JpegVerifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    prover = make()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.bind(prover._name)
        stranger.listen()
        monkeypatch.setattr(module, "_user_of", lambda _: os.getuid() + 1)
        assert not prover.ask(entry(tmp_path, "a", GOOD))
    assert not prover.busy


def test_without_the_decoder_nothing_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    prover = JpegVerifier()
    assert not prover.ask(entry(tmp_path, "a", GOOD))
    prover.close()


def test_a_progressive_photograph_is_left_to_the_studio(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.linear_gradient("L").save(stream, "JPEG", progressive=True)
    assert verify_jpeg(entry(tmp_path, "a", stream.getvalue())) == "unknown"


def test_an_offer_says_that_its_photograph_was_proven(studio, start_node):
    """And one that could not wait for that is made again with the proof."""
    studio.store_after = False
    start_node("sim:lag_ms=20&jitter_ms=0&seed=3")
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    studio.fire("cam-00", "f1", lag_ms=20.0)
    spooled = studio.wait(wire.FrameSpooled)
    offer = studio.wait(wire.Offer, lambda offer: offer.proof is not None)
    assert (offer.proof, offer.sha256, offer.utc_ns is not None) == ("strict", spooled.sha256, True)


def test_a_damaged_photograph_is_offered_without_a_proof(studio, start_node, tmp_path):
    picture = io.BytesIO()
    Image.effect_noise((400, 300), 60).save(picture, "JPEG", quality=90)
    whole = picture.getvalue()
    middle = len(whole) // 2
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0.jpg").write_bytes(whole[:middle] + bytes(4096) + whole[middle + 4096 :])  # a lost block
    start_node(f"sim:lag_ms=20&jitter_ms=0&seed=3&photos={tmp_path / 'photos'}")
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    studio.fire("cam-00", "f1", lag_ms=20.0)
    studio.wait(wire.FrameSpooled)
    studio.wait(wire.Offer)
    studio.until(lambda: studio.stored)
    assert all(message.proof is None for _, message, _ in studio.seen if isinstance(message, wire.Offer))
