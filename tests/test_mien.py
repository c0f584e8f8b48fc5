"""The console script: light to start, clear when it cannot."""

import errno
import subprocess
import sys

import pytest
import typer

import mien


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mien", *arguments])
    try:
        mien.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_every_command_has_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in mien.COMMANDS:
        assert run(monkeypatch, name, "--help") == 0, name
        assert "Usage: mien " + name in capsys.readouterr().out


def test_the_overview_imports_no_command() -> None:
    code = "import sys, mien; sys.argv = ['mien']; mien.main(); print(sorted(set(sys.modules) & {%s}))"
    heavy = "'torch', 'cv2', 'numpy', 'sqlalchemy', 'zmq', 'open3d'"
    done = subprocess.run([sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_nodes_command_needs_the_node_extra_alone() -> None:
    """With everything that the `node` extra lacks made unimportable, the agent still imports."""
    code = """
import sys
for name in ("numpy", "cv2", "torch", "open3d", "sqlalchemy", "rich", "fastapi", "dask", "PIL"):
    sys.modules[name] = None
import camera_nodes.agent
import mien
sys.argv = ["mien", "node", "--help"]
mien.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if "rich" in done.stderr and done.returncode:  # typer itself may require rich
        code = code.replace('"rich", ', "")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout


def test_an_unknown_command_suggests_the_near_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "relaese") == mien.USAGE
    assert "did you mean mien release?" in capsys.readouterr().err


class Broken(Exception):
    exit_code = 3


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            "needs the package torch: pip install 'mien[dev]'",
        ),
        (Broken("cam-07  no reply in 2000 ms"), 3, "cam-07"),
        (OSError(errno.ENOSPC, "No space left on device", "scan.ply"), 4, "disk is full while writing scan.ply"),
        (OSError(errno.EEXIST, "File exists", "out.npz"), 4, "out.npz: File exists"),  # a file where a folder is wanted
        (OSError(errno.ENOTEMPTY, "Directory not empty", "out"), 4, "out: Directory not empty"),
        (OSError(errno.EROFS, "Read-only file system", "out"), 4, "out: Read-only file system"),
    ],
)
def test_an_error_becomes_its_message_and_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int, says: str
) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(mien, "load", lambda _: app)
    assert run(monkeypatch, "demo") == code
    assert says in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("importlib.import_module", missing)
    assert run(monkeypatch, "farm") == mien.USAGE
    assert "needs the package torch: pip install 'mien[farm]'" in capsys.readouterr().err
