"""Files from elsewhere, mutated: no reader dies, hangs, takes a gigabyte, or raises what is not ours.

MIEN_FUZZ_S says for how many seconds each reader is tried: MIEN_FUZZ_S=1800 for half an hour each.
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from patience import run_patiently

HERE = Path(__file__).parent
SECONDS = float(os.environ.get("MIEN_FUZZ_S", "5"))


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tests_bounded_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


READERS = _load("readers").READERS


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.parametrize("name", sorted(READERS))
def test_mutated_files(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "fuzz.py"), name, str(SECONDS), str(tmp_path)]
    done = run_patiently(command)
    said = (done.stdout + done.stderr)[-6000:]
    assert done.returncode == 0, f"{name} ended with {done.returncode}; the file is in {tmp_path / name}\n{said}"
    print(done.stdout.strip())


@pytest.mark.parametrize("name", sorted(READERS))
def test_whole_files_are_read(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    for beside, content in reader.beside().items():
        (tmp_path / beside).write_bytes(content)
    for data in reader.files():
        (tmp_path / reader.name).write_bytes(data)
        reader.read(tmp_path / reader.name)


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_pipe_holds_nobody_up(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    if name in ("focus", "leaving-jpeg", "colour-profile") or name.startswith("release-"):
        pytest.skip("is given bytes, or files of a manifest")
    for beside, content in reader.beside().items():
        (tmp_path / beside).write_bytes(content)
    os.mkfifo(tmp_path / reader.name)
    try:
        reader.read(tmp_path / reader.name)
    except Exception as error:  # whose it is, is what is asked; a file that cannot be opened may be told as such
        assert isinstance(error, OSError) or isinstance(getattr(error, "exit_code", None), int), repr(error)  # noqa: PT017
