"""Frames are shown whole or not at all; focus is measured as it should be; a fire ends live view, unhurt by it."""

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import until
from PIL import Image, ImageFilter

from camera_nodes import wire
from controller.cameras import live_view
from controller.cameras.focus_measure import focus_measure
from controller.cameras.live_view import LiveViewer
from controller.errors import FrameRejected, SessionError
from controller.rig_file import Rig

WAIT_S = 60.0


def picture(seed: int, blur: float = 0.0, gain: float = 1.0, size: tuple[int, int] = (160, 120)) -> bytes:
    """Patches of many sizes, as skin and hair have detail of many sizes."""
    rng = np.random.default_rng(seed)
    field = np.full(size[::-1], 100.0)
    for step in (2, 5, 11):
        small = rng.normal(0, 25, (size[1] // step + 1, size[0] // step + 1))
        field += np.kron(small, np.ones((step, step)))[: size[1], : size[0]]
    image = Image.fromarray(np.clip(field * gain, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(blur))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


# --- the measure


@given(seed=st.integers(0, 1000), blurs=st.lists(st.sampled_from([0.0, 0.7, 1.5, 3.0, 6.0]), min_size=2, unique=True))
@settings(max_examples=30, deadline=None)
def test_more_blur_is_always_less_focus(seed: int, blurs: list[float]) -> None:
    found = [focus_measure(picture(seed, blur))[0] for blur in sorted(blurs)]
    assert found == sorted(found, reverse=True)


@given(seed=st.integers(0, 1000), gain=st.floats(0.5, 1.2))
@settings(max_examples=30, deadline=None)
def test_exposure_is_no_focus(seed: int, gain: float) -> None:
    plain, other = focus_measure(picture(seed, 1.0))[0], focus_measure(picture(seed, 1.0, gain))[0]
    assert other == pytest.approx(plain, rel=0.25)  # a blur of one pixel costs nine tenths
    assert focus_measure(picture(seed, 3.0))[0] < 0.5 * min(plain, other)


def test_the_middle_counts() -> None:
    sharp, flat = np.asarray(Image.open(io.BytesIO(picture(1)))), np.full((120, 160), 100, np.uint8)
    flat[30:90, 40:120] = sharp[30:90, 40:120]
    stream = io.BytesIO()
    Image.fromarray(flat).save(stream, "JPEG", quality=90)
    assert focus_measure(stream.getvalue())[0] == pytest.approx(focus_measure(picture(1))[0], rel=0.05)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", picture(1)[:500], b"GIF89a" + bytes(100), bytes(100)])
def test_what_is_no_picture_is_named(data: bytes) -> None:
    with pytest.raises(FrameRejected):
        focus_measure(data)


def test_a_picture_of_a_colour_is_measured_too() -> None:
    grey = Image.open(io.BytesIO(picture(2)))
    stream = io.BytesIO()
    grey.convert("RGB").save(stream, "JPEG", quality=90)
    assert focus_measure(stream.getvalue())[0] == pytest.approx(focus_measure(picture(2))[0], rel=0.1)


# --- frames


class Wire:
    """Where a Viewer's messages go."""

    def __init__(self) -> None:
        self.told: list[tuple[tuple[str, ...], wire.Message]] = []
        self.busy = ""
        self.viewer = LiveViewer(["cam-00", "cam-01"], self.tell, lambda: self.busy)

    def tell(self, cameras: Any, message: wire.Message) -> dict[str, str]:
        self.told.append((tuple(cameras), message))
        return {"cam-01": "no node announces it"} if "cam-01" in cameras else {}


def pieces(number: int, jpeg: bytes, size: int = 700) -> list[wire.Preview]:
    return [
        wire.Preview(camera="cam-00", number=number, size=len(jpeg), offset=at, data=jpeg[at : at + size])
        for at in range(0, len(jpeg), size)
    ]


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_is_lost_repeated_or_exchanged_a_frame_is_whole_or_not_shown(data: st.DataObject) -> None:
    frames = {number: picture(number, size=(48, 32)) for number in range(3)}
    sent = [piece for number, jpeg in frames.items() for piece in pieces(number, jpeg)]
    order = data.draw(st.lists(st.integers(0, len(sent) - 1), max_size=3 * len(sent)))
    viewer = Wire().viewer
    for index in order:
        viewer.piece(sent[index])
        shown = viewer.jpeg("cam-00")
        assert shown is None or shown in frames.values()


def test_in_order_the_newest_is_shown_and_the_best_is_kept() -> None:
    viewer = Wire().viewer
    for number, blur in enumerate((3.0, 0.0, 1.5)):
        for piece in pieces(number, picture(7, blur)):
            viewer.piece(piece)
        (seen,) = viewer.ask(["cam-00"])
        assert (seen.frame, seen.width, seen.height) == (number, 160, 120)
    assert seen.best == pytest.approx(focus_measure(picture(7, 0.0))[0])
    assert seen.relative == pytest.approx(seen.focus / seen.best)
    assert seen.relative < 1
    viewer.end(["cam-00"])
    assert viewer.jpeg("cam-00") is None


def test_a_frame_that_does_not_decode_is_told_and_the_next_one_is_shown() -> None:
    viewer = Wire().viewer
    for number, jpeg in enumerate((b"\xff\xd8 nonsense", picture(1))):
        for piece in pieces(number, jpeg):
            viewer.piece(piece)
        (seen,) = viewer.look(["cam-00"])
        assert bool(seen.problem) == (number == 0)


def test_an_old_frame_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = Wire().viewer
    for piece in pieces(1, picture(1)):
        viewer.piece(piece)
    assert viewer.jpeg("cam-00")
    monkeypatch.setattr(live_view, "FORGET_S", 0.0)
    assert viewer.jpeg("cam-00") is None
    assert viewer.look(["cam-00"])[0].problem == "no frame yet"


def test_nobody_is_asked_during_a_fire() -> None:
    far = Wire()
    far.busy = "A take is being fired; wait for it"
    assert {seen.problem for seen in far.viewer.ask()} == {far.busy}
    far.viewer.end()
    assert far.told == []
    far.busy = ""
    assert [seen.problem for seen in far.viewer.ask()] == ["no frame yet", "no node announces it"]
    assert far.told == [(("cam-00", "cam-01"), wire.View(on=True, every_ms=500))]
    with pytest.raises(SessionError, match="cam-77"):
        far.viewer.ask(["cam-77"])


def test_a_nodes_reason_is_shown_until_a_frame_comes() -> None:
    viewer = Wire().viewer
    viewer.state(wire.ViewState(camera="cam-00", on=False, text="this body gives no live view over PTP"))
    assert viewer.look(["cam-00"])[0].problem == "this body gives no live view over PTP"
    for piece in pieces(1, picture(1)):
        viewer.piece(piece)
    assert viewer.look(["cam-00"])[0].problem == ""


# --- with real nodes


def test_focus_of_two_cameras_over_the_wire_and_a_fire_in_the_middle(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path
) -> None:
    studio = home.open(rig_of(2))
    fleet.start(studio, {"cam-00": sim_url(0, photos), "cam-01": sim_url(1, photos, defocus=4)})
    studio.wait_for_cameras(WAIT_S)
    session = studio.start_session(home.subject, "short")
    viewer, stop = studio.maintenance.viewer, threading.Event()
    newest: dict[str, Any] = {}

    def look() -> None:
        while not stop.wait(0.1):
            for seen in viewer.ask(every_ms=100):
                newest[seen.camera] = seen

    looking = threading.Thread(target=look)
    looking.start()
    try:
        until(lambda: len(newest) == 2 and all(seen.frame for seen in newest.values()))
        sharp, soft = newest["cam-00"].focus, newest["cam-01"].focus
        assert sharp > 3 * soft
        for expression in ("neutral", "smile"):
            result = studio.fire(session, expression)
            assert result.kept, result.message
            assert result.frames == 2
            frame = newest["cam-00"].frame
            until(lambda frame=frame: (newest["cam-00"].frame or 0) > frame)  # it comes back by itself
    finally:
        stop.set()
        looking.join()
    viewer.end()
    until(lambda: viewer.jpeg("cam-00") is None)
