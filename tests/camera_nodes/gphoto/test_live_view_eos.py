"""libgphoto2's own EOS driver gives frames, and the body's mirror is down before it shoots."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import Patience, run_patiently

BODY = Path(__file__).resolve().parents[4] / "shared" / "tools" / "cameras" / "ptpip_body.py"
HERE = Path(__file__).resolve().parent
OUTPUT, MODE = 0xD1B0, 0xD1B1  # EVFOutputDevice and EVFMode: where the live view goes, whether there is one
# The responder lacks live view: EOS command 0x9153 (GetViewFinderData), answered only while the output is the host.
FRAME = """
        if code == 0x9153:
            if not self.props[EVF] & 2: return BUSY, (), None
            jpeg = picture(0, "x.JPG")
            note(preview=len(jpeg), output=self.props[EVF])
            return OK, (), struct.pack("<II", 8 + len(jpeg), 1) + jpeg
"""


def body_with_live_view() -> str:
    text = BODY.read_text()
    for old, new in (
        ("0x9128, 0x9129]", "0x9128, 0x9129, 0x9153]"),
        ("EVF: 0}", f"EVF: 0, {MODE}: 0}}"),
        ("        if code == 0x1015 ", f"{FRAME}        if code == 0x1015 "),
    ):
        if old not in text:
            pytest.skip("the responder has changed")
        text = text.replace(old, new, 1)
    return text


@pytest.mark.skipif(not BODY.exists(), reason="no EOS responder beside this checkout")
def test_frames_come_and_the_mirror_is_down_before_the_shot(tmp_path: Path) -> None:
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    address = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.7"
    (tmp_path / "body.py").write_text(body_with_live_view())
    environment = os.environ | {"SECONDS_MAX": "120"}
    body = subprocess.Popen([sys.executable, tmp_path / "body.py", address, tmp_path / "eos"], env=environment)
    try:
        patience = Patience(30)
        while not patience.spent():
            with socket.socket() as probe:
                if probe.connect_ex((address, 15740)) == 0:
                    break
            time.sleep(0.05)
        done = run_patiently([sys.executable, HERE / "eos_live_view.py", address])
    finally:
        body.kill()
        body.wait()
    assert done.returncode == 0, done.stderr
    ledger = [json.loads(line) for line in (tmp_path / "eos" / "ledger.jsonl").read_text().splitlines()]
    assert json.loads(done.stdout)["frames"] == [entry["preview"] for entry in ledger if "preview" in entry]
    shot = next(index for index, entry in enumerate(ledger) if "exposed" in entry)
    outputs = [entry["to"] for entry in ledger[:shot] if entry.get("set") == f"{OUTPUT:04x}"]
    assert outputs[0] & 2  # live view went to the host
    assert outputs[-1] == 0  # and was over before the exposure
