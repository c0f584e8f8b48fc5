"""`mien rig status` and `mien rig preflight`: the bar first, faults in a line each, and what to do about them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from controller.api.app import make_console
from controller.client import StudioClient
from controller.commands import rig
from controller.rig_file import Rig
from controller.studio import Studio

TOKEN = "secret-token"


@pytest.fixture
def studio(home: Any, rig_of: Callable[..., Rig]) -> Studio:
    opened: Studio = home.open(rig_of(3, arm_timeout_ms=200.0, clock_patience_s=0.1))
    return opened


@pytest.fixture
def mien(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    app = make_console(studio, TOKEN)

    class Client(StudioClient):
        def __init__(self, _home: Any = None) -> None:
            """No address to look up."""

        def _call(self, method: str, path: str, body: Any, patience_s: float = 0.0) -> dict[str, Any]:
            del patience_s

            async def once() -> httpx.Response:
                transport = httpx.ASGITransport(app)
                async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                    given = {} if body is None else {"json": body}
                    return await client.request(method, path, headers={"Authorization": f"Bearer {TOKEN}"}, **given)

            found: dict[str, Any] = asyncio.run(once()).json()
            return found

    monkeypatch.setattr("controller.client.StudioClient", Client)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(rig.app, list(words))


def test_the_bar_comes_first_then_each_fault_with_what_to_do(
    studio: Studio, mien: Callable[..., Result], home: Any
) -> None:
    lines = mien("status").output.splitlines()
    assert lines[0] == "NO SESSION: 3 cameras not here"
    assert lines[1] == "  FAULT  cam-00, cam-01, cam-02: no node has announced them since the studio started"
    assert lines[2].endswith("set aside:  mien rig aside cam-00 cam-01 cam-02 --reason '...'")
    assert "  look   no preflight since the studio was started" in lines
    assert not [line for line in lines if line.startswith("  cam-00  ")]  # it is told of above
    studio.start_session(home.subject, "short")
    assert mien("status").output.splitlines()[0] == "CANNOT FIRE: 3 cameras not here"


def test_programs_read_the_bar_and_the_faults(studio: Studio, mien: Callable[..., Result]) -> None:
    del studio
    told = json.loads(mien("status", "--json").output)
    assert told["bar"]["word"] == "NO SESSION"
    assert told["faults"]["never_seen"]["cameras"] == ["cam-00", "cam-01", "cam-02"]
    assert told["faults"]["calibration"]["remedy"]["action"] == "calibrate"
    assert [fault["rank"] for fault in told["faults"].values()] == list(range(len(told["faults"])))
    assert (told["ready"], told["expected"]) == (0, 3)


def test_each_fault_of_a_preflight_says_what_to_do(studio: Studio, mien: Callable[..., Result]) -> None:
    del studio
    answer = mien("preflight")
    assert answer.exit_code == 3
    lines = answer.output.splitlines()
    faults = [line for line in lines if line.startswith("  FAULT")]
    assert len(faults) == len([line for line in lines if line.strip().startswith("do: ")]) == 2
    assert lines[-1].strip() or lines[-2].strip()
    assert "do: Photograph the board, then calibrate:  mien rig calibration FILE" in answer.output
    told = json.loads(mien("preflight", "--json").output)
    for check in told["checks"]:
        assert ("remedy" in check) == (check["level"] != "ok"), check
