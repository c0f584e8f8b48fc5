"""libgphoto2 in a node's process: settings of its own, and the body that the address means, over USB and network."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from patience import run_patiently

from camera_nodes.backends import make_camera
from camera_nodes.errors import BadAddress, CameraFault, CameraMissing
from camera_nodes.gphoto import library as gphoto_library
from camera_nodes.sim_camera import built_in_photo

RESPONDER = Path(__file__).resolve().parents[4] / "shared" / "tools" / "cameras" / "ptpip_body.py"
NETWORK_BODY = "127.0.0.93"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "0.jpg").write_bytes(built_in_photo("served"))
    return folder


def python(code: str, home: Path, *arguments: object) -> Any:
    """What a process of its own prints as JSON in its last line; libgphoto2 is a process's own."""
    environment = {name: value for name, value in os.environ.items() if name not in ("XDG_CONFIG_HOME", "VCAMERADIR")}
    words = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = run_patiently(words, env=environment | {"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


SETS_TARGET = """
import json, os, sys
from pathlib import Path
from camera_nodes.gphoto import library
from camera_nodes.gphoto_camera import _import_gphoto2
photos, home, target = sys.argv[1:]
if home:
    library.use_gphoto_home(library.gphoto_home_beside(Path(home)))
gp = _import_gphoto2(photos, "gphoto2:virtual")
camera = library.open_body(gp, "virtual", "gphoto2:virtual")
camera.init()
before = camera.get_single_config("capturetarget").get_value()
widget = camera.get_single_config("capturetarget")
widget.set_value(target)
camera.set_single_config("capturetarget", widget)
print(json.dumps([before, camera.get_single_config("capturetarget").get_value()]))
"""


def test_two_nodes_of_one_user_do_not_rewrite_each_others_settings(photos: Path, tmp_path: Path) -> None:
    user = tmp_path / "user"
    user.mkdir()
    spools = [tmp_path / "spool" / name for name in ("cam-00", "cam-01")]
    card, ram = "Memory card", "Internal RAM"
    assert python(SETS_TARGET, user, photos, spools[0], card)[1] == card
    assert python(SETS_TARGET, user, photos, spools[1], ram)[1] == ram
    assert python(SETS_TARGET, user, photos, spools[0], card) == [card, card]  # as it was left, not as the other's
    assert python(SETS_TARGET, user, photos, spools[1], ram) == [ram, ram]
    assert list(user.iterdir()) == []  # and the user's own are nobody's
    for spool in spools:
        home = gphoto_library.gphoto_home_beside(spool)
        assert home.stat().st_mode & 0o777 == 0o700
        assert any(path.name == "settings" for path in home.rglob("*"))
        assert not spool.exists()  # nothing of it lies among photographs


def test_without_a_node_nobodys_settings_are_read_or_written(photos: Path, tmp_path: Path) -> None:
    user = tmp_path / "user"
    for folder in (user / ".config" / "gphoto", user / ".gphoto"):
        folder.mkdir(parents=True)
        (folder / "settings").write_text("ptp2=capturetarget=card\n")
    before, after = python(SETS_TARGET, user, photos, "", "Internal RAM")
    assert (before, after) == ("Internal RAM", "Internal RAM")
    for folder in (user / ".config" / "gphoto", user / ".gphoto"):
        assert (folder / "settings").read_text() == "ptp2=capturetarget=card\n"


def test_a_home_that_cannot_be_made_keeps_no_camera_from_opening(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "cam-00.gphoto").write_text("a file is in the way")
    user = tmp_path / "user"
    user.mkdir()
    assert python(SETS_TARGET, user, photos, tmp_path / "cam-00", "Memory card")[1] == "Memory card"


def test_a_bus_is_chosen_after_the_import_too(photos: Path, tmp_path: Path) -> None:
    """The process that the nodes are forked from has imported the library before any bus was wanted."""
    code = """
import json, os, sys
from camera_nodes.gphoto import library
assert library.preload() and "VCAMERADIR" not in os.environ
found = []
for photos in (None, sys.argv[1]):
    read, write = os.pipe()
    if os.fork() == 0:
        gp = library.load(photos, "gphoto2:")
        ports = gp.PortInfoList()
        ports.load()
        os.write(write, json.dumps([ports[i].get_path() for i in range(ports.count())]).encode())
        os._exit(0)
    os.wait()
    found.append(json.loads(os.read(read, 4096)))
print(json.dumps(found))
"""
    real, virtual = python(code, tmp_path, photos)
    assert "ptpip:" in real
    assert virtual == ["usb:001,001"]


def test_a_connection_made_anew_costs_no_memory(photos: Path, tmp_path: Path) -> None:
    """Left to itself, libgphoto2 lists all models that it knows at each connection: 7 MB from the second one on."""
    code = """
import json, sys
from pathlib import Path
from camera_nodes.gphoto import library
library.preload()
gp = library.load(sys.argv[1], "gphoto2:virtual")
def kilobytes():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))
before = 0
for again in range(6):
    camera = library.open_body(gp, "virtual", "gphoto2:virtual")
    camera.init()
    before = before or kilobytes()
    camera.exit()
    del camera
print(json.dumps(kilobytes() - before))
"""
    assert python(code, tmp_path, photos) < 1000


# --- addresses


class Library:
    """As much of gphoto2 as an address needs: bodies by port."""

    class GPhoto2Error(Exception): ...

    def __init__(self, **bodies: str) -> None:
        self.bodies = {port.replace("_", ",").replace("usb", "usb:"): model for port, model in bodies.items()}
        self.Camera = lambda: SimpleNamespace(
            set_abilities=lambda model: self.named.append(model), set_port_info=lambda port: self.named.append(port)
        )
        self.named: list[str] = []
        library = self

        class Ports:
            def load(self) -> None: ...

            def lookup_path(self, path: str) -> str:
                if not path.startswith(("usb:", "ptpip:")):
                    raise library.GPhoto2Error("[-5] Unknown port")
                return path

            def __getitem__(self, path: str) -> str:
                return path

        class Models:
            def load(self) -> None: ...

            def detect(self, _ports: Ports) -> list[tuple[str, str]]:
                everything = {"usb:": "Any", **library.bodies, "disk:/media/card": "Mass Storage Camera"}
                return [(model, port) for port, model in everything.items()]

            def lookup_model(self, model: str) -> str:
                return model

            def __getitem__(self, model: str) -> str:
                return model

        self.PortInfoList, self.CameraAbilitiesList = Ports, Models


def opened(library: Library, port: str) -> list[str]:
    gphoto_library.open_body(library, port, f"gphoto2:{port}")
    return library.named


def test_the_body_opened_is_the_one_asked_for() -> None:
    both = {"usb001_004": "Canon EOS R5", "usb001_007": "Nikon Z8"}
    assert opened(Library(**both), "usb:001,007") == ["Nikon Z8", "usb:001,007"]
    assert opened(Library(**both), "usb:001,004") == ["Canon EOS R5", "usb:001,004"]
    assert opened(Library(usb001_007="Nikon Z8"), "") == ["Nikon Z8", "usb:001,007"]
    # A body on the network is that one, whatever is plugged in here.
    assert opened(Library(**both), "ptpip:10.0.0.7") == [gphoto_library.NETWORK_MODEL, "ptpip:10.0.0.7"]
    assert opened(Library(), "ptpip:10.0.0.7") == [gphoto_library.NETWORK_MODEL, "ptpip:10.0.0.7"]


@pytest.mark.parametrize("port", ["usb:", "ptpip:", "usb:1", "ptpip:10.0.0.7/", "serial:/dev/ttyS0", "ptpip: "])
def test_an_address_that_names_no_one_body_is_refused(port: str) -> None:
    with pytest.raises(BadAddress, match="the port is"):
        make_camera(f"gphoto2:{port}")


def test_addresses_of_bodies() -> None:
    for port in ("usb:001,004", "port:1-1.4", "ptpip:10.0.0.7", "ptpip:camera-7.studio:15741", "virtual", ""):
        assert make_camera(f"gphoto2:{port}?keep=1")


def test_another_body_is_never_taken_in_its_place() -> None:
    library = Library(usb001_004="Canon EOS R5")
    with pytest.raises(CameraMissing, match=r"no camera answers at gphoto2:usb:001,009.*cable and power"):
        opened(library, "usb:001,009")
    with pytest.raises(CameraMissing, match="no camera answers"):
        opened(library, "serial:/dev/ttyS0")
    assert library.named == []


def test_the_only_body_is_not_any_of_several() -> None:
    library = Library(usb001_004="Canon EOS R5", usb001_007="Nikon Z8")
    with pytest.raises(CameraFault, match=r"there are 2 \(Canon EOS R5 at usb:001,004, Nikon Z8 at usb:001,007\)"):
        opened(library, "")
    assert library.named == []


def test_a_socket_is_looked_up_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(usb001_004="Canon EOS R5", usb001_007="Nikon Z8")
    monkeypatch.setattr(gphoto_library.usb_port, "address_of", lambda _port: "usb:001,007")
    assert opened(library, "port:1-1.4") == ["Nikon Z8", "usb:001,007"]


def test_a_body_on_the_network_is_opened_with_another_on_usb(photos: Path, tmp_path: Path) -> None:
    """libgphoto2's own drivers for both: asked for the network without a model, it opens the USB body."""
    if not RESPONDER.exists():
        pytest.skip("there is no responder of bodies on the network here")
    buses = tmp_path / "buses"
    buses.mkdir()
    import gphoto2

    for driver in ("vusb/vusb.so", "iolibs/ptpip.so"):
        (buses / Path(driver).name).symlink_to(Path(gphoto2.__file__).parent / "libgphoto2" / driver)
    body = subprocess.Popen(
        [sys.executable, str(RESPONDER), NETWORK_BODY, str(tmp_path / "body")], stderr=subprocess.DEVNULL
    )
    code = """
import json, os, sys, warnings
from camera_nodes.gphoto import library
gp = library.load(sys.argv[1], "gphoto2:")
os.environ["IOLIBS"] = sys.argv[2]  # both buses at once
found = []
for port in ("ptpip:" + sys.argv[3], "virtual"):
    camera = library.open_body(gp, port, "gphoto2:" + port)
    camera.init()
    found.append([camera.get_single_config("cameramodel").get_value(), camera.get_port_info().get_path()])
    camera.exit()
print(json.dumps(found))
"""
    try:
        wait_for(NETWORK_BODY, 15740, body)
        network, usb = python(code, tmp_path, photos, buses, NETWORK_BODY)
    finally:
        body.kill()
        body.wait()
    assert network == ["Canon EOS 5D Mark IV", f"ptpip:{NETWORK_BODY}"]
    assert usb[1] == "usb:001,001"


def wait_for(host: str, port: int, process: "subprocess.Popen[bytes]") -> None:
    """Until something listens there."""
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return
    pytest.fail("the responder has ended")
