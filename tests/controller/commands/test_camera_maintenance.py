"""`mien rig recover`, `view` and `write-off` as an operator types them, against a served studio and real nodes."""

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from patience import until
from PIL import Image
from typer.testing import CliRunner, Result

from camera_nodes import wire
from controller.api.app import make_console, write_address
from controller.client import StudioRefusal
from controller.commands import rig
from controller.commands.live_view_table import worst_first
from controller.rig_file import Rig

WAIT_S = 60.0


@pytest.fixture
def serve(home: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], str]]:
    """serve(studio): its console on a socket of its own, as `mien studio serve` has it; the console's address."""
    monkeypatch.setenv("COLUMNS", "100")
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(studio: Any) -> str:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        app = make_console(studio, write_address(home.folder, port))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{port}"

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def mien(home: Any) -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(rig.app, [*words, "--home", str(home.folder)])


def test_recover_tells_each_step_and_ends_with_what_came_of_it(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path,
    serve: Callable[[Any], str], mien: Callable[..., Result],
) -> None:  # fmt: skip
    studio = home.open(rig_of(2))
    fleet.start(studio, {"cam-00": sim_url(0, photos, stuck_until="usb_reset"), "cam-01": sim_url(1, photos)})
    until(lambda: set(studio.link.nodes()) == {"cam-00", "cam-01"} and "cam-01" in studio.roster().ready)
    serve(studio)
    answer = mien("recover", "cam-00")
    assert answer.exit_code == 0, answer.output
    lines = answer.output.splitlines()
    assert lines[0] == "cam-00  reopening it ..."
    assert lines[1].startswith("cam-00  reopening it did not help: sim:")
    assert lines[2] == "cam-00  USB reset ..."
    assert lines[3] == (
        "cam-00  it answers: Simulated camera SIM000000, after a reset of the simulated socket"
    )  # fmt: skip
    answer = mien("recover", "cam-00", "--by", "reopen")
    assert answer.output.splitlines()[-1] == (
        "warning: cam-00 was recovered twice in the last 12 hours: change its cable or set it aside"
    )
    told = json.loads(mien("recover", "cam-01", "--json").output)
    assert [(step["rung"], step["outcome"]) for step in told["steps"]] == [("reopen", "begun"), ("reopen", "answers")]
    assert (told["answers"], told["often"]) == (True, "")
    assert "warning: cam-00 was recovered 2 times" not in mien("status").output
    assert "warning: cam-00 was recovered twice in the last 12 hours" in mien("status").output


def test_a_body_that_does_not_come_back_is_exit_code_3(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, photos: Path, serve: Callable[[Any], str],
    mien: Callable[..., Result],
) -> None:  # fmt: skip
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    studio = home.open(rig_of(1))
    fleet.start(studio, {"cam-00": f"gphoto2:virtual?photos={photos}"})
    studio.wait_for_cameras(WAIT_S)
    serve(studio)
    answer = mien("recover", "cam-00", "--by", "usb_reset", "--by", "power_cycle")
    assert answer.exit_code == 3
    assert "cam-00  USB reset is not possible here: gphoto2:virtual" in answer.output
    assert "can be reopened, no more" in answer.output
    assert answer.output.splitlines()[-1].startswith("cam-00  given up: the body does not answer")
    answer = mien("recover", "cam-00")  # which closed it: it is opened again
    assert answer.exit_code == 0
    assert "it answers: " in answer.output
    refused = "this body gives no live view over PTP"  # as soon as its node has said so
    answer = until(lambda: told if refused in (told := mien("view", "cam-00", "--seconds", "2")).output else None)
    assert answer.exit_code == 3


def test_identify_and_focus_say_what_was_done_and_which_camera_could_not(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path,
    serve: Callable[[Any], str], mien: Callable[..., Result],
) -> None:  # fmt: skip
    studio = home.open(rig_of(2))
    fleet.start(studio, {"cam-00": sim_url(0, photos, defocus=2)})
    until(lambda: "cam-00" in studio.roster().ready)
    serve(studio)
    answer = mien("identify", "cam-00")
    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith("cam-00  its live view goes on and off: listen for the mirror")
    answer = mien("identify", "cam-01")
    assert isinstance(answer.exception, StudioRefusal)
    assert (answer.exception.exit_code, str(answer.exception)[:8]) == (3, "cam-01: ")
    told = json.loads(mien("focus", "cam-00", "--drive", "nearer", "--step", "2", "--json").output)
    assert told == {"camera": "cam-00", "told": "nearer by 2"}
    assert mien("focus", "cam-00", "--step", "4").exit_code == 2
    assert mien("focus", "cam-00").output == "cam-00  autofocus has found its focus\n"


def test_view_prints_a_line_a_second_keeps_frames_and_sorts_the_worst_first(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path, tmp_path: Path,
    serve: Callable[[Any], str], mien: Callable[..., Result],
) -> None:  # fmt: skip
    studio = home.open(rig_of(3))
    fleet.start(
        studio, {"cam-00": sim_url(0, photos), "cam-01": sim_url(1, photos, defocus=2), "cam-02": sim_url(2, photos)}
    )
    studio.wait_for_cameras(WAIT_S)
    address = serve(studio)
    words = ("view", "cam-01", "--seconds", "3", "--every", "100", "--save", str(tmp_path / "frames"))
    one = until(lambda: seen if "100% of its best" in (seen := mien(*words)).output else None)
    assert one.exit_code == 0, one.output
    assert len(one.output.splitlines()) == 3
    assert "cam-01  focus " in one.output.splitlines()[-1]
    assert "100% of its best" in one.output
    with Image.open(tmp_path / "frames" / "cam-01.jpg") as frame:
        assert frame.size == (160, 112)
    every = mien("view", "--all", "--seconds", "3")
    assert "Live view: 3 of 3 cameras, worst focus first" in every.output
    told = [
        json.loads(line) for line in mien("view", "cam-00", "cam-01", "--seconds", "3", "--json").output.splitlines()
    ]
    assert [second["second"] for second in told] == [1, 2, 3]
    sharp, soft = told[-1]["cameras"]
    assert sharp["focus"] > 2 * soft["focus"]
    studio.maintenance.viewer.ask(["cam-00"])
    until(lambda: studio.maintenance.viewer.jpeg("cam-00"))
    path = f"{address}/api/rig/cameras/cam-00/preview.jpg"
    assert httpx.get(path).status_code == 401  # a face may be in it
    token = json.loads((home.folder / "console.json").read_text())["token"]
    shown = httpx.get(path, headers={"Authorization": f"Bearer {token}"})
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(shown.content)).size == (160, 112)
    for words in (["view"], ["view", "cam-00", "--all"]):
        assert mien(*words).exit_code == 2


def test_worst_focus_comes_first_and_no_frame_before_it() -> None:
    seen = [
        {"camera": name, "relative": relative}
        for name, relative in (("cam-02", 1.0), ("cam-00", 0.4), ("cam-03", None), ("cam-01", 0.9))
    ]
    assert [one["camera"] for one in worst_first(seen)] == ["cam-03", "cam-00", "cam-01", "cam-02"]


def test_write_off_and_what_the_nodes_told_are_shown(
    home: Any, rig_of: Callable[..., Rig], speaker: Callable[..., Any], serve: Callable[[Any], str],
    mien: Callable[..., Result],
) -> None:  # fmt: skip
    studio = home.open(rig_of(1))
    serve(studio)
    node = speaker(studio, "cam-00")
    node.greet()
    base = {"camera": "cam-00", "state": "idle", "free_bytes": 1, "spooled": 0, "spooled_bytes": 0}
    node.say(wire.Status(**base, unresolved="S001-1-E03-1", strays=1))
    node.say(wire.NodeFault(camera="cam-00", code="unresolved", text="no file within 30 s", take_id="S001-1-E03-1"))
    until(lambda: studio.maintenance.faults.faults("cam-00"))
    shown = mien("status").output
    assert "cam-00  the photograph of S001-1-E03-1 has not come" in shown
    assert "1 file belongs to no take" in shown
    assert "Told lately by the nodes:" in shown
    assert "unresolved: no file within 30 s" in shown
    answers = threading.Thread(target=lambda: node.hear(wire.WriteOff) and node.say(wire.Status(**base)))
    answers.start()
    answer = mien("write-off", "cam-00", "--reason", "the card was lost")
    answers.join(WAIT_S)
    assert answer.exit_code == 0, answer.output
    assert answer.output == "cam-00: the photograph of S001-1-E03-1 is written off; the camera can be armed again.\n"
    again = mien("write-off", "cam-00")
    assert again.exit_code != 0
    assert "nothing to write off" in str(again.exception)
