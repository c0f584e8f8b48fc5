"""Compiled loops where nothing can be written."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOOP = "from processing.geometry.compilation import compiled\n@compiled\ndef f(x):\n    return x + 1\nprint(f(2))\n"


def test_where_no_code_can_be_kept_it_is_compiled_each_time(tmp_path: Path) -> None:
    """A program from standard input has no file to keep its code beside, and this user no cache folder."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/proc/nowhere", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-"], input=LOOP, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
