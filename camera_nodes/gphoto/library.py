"""libgphoto2 in this process: its module, its home, its drivers, and which body an address means.

The only importer of gphoto2.  Everything here is a process's own: libgphoto2 has one bus, one settings file and one set
of drivers a process, so a process has one camera.

- Home.  libgphoto2 keeps settings (the capture target, the name by which a body on the network knows this computer) in
  one file of the user, which each process reads once and writes whole.  Two nodes of one user would overwrite each
  other's, so each has a folder of its own, and HOME and XDG_CONFIG_HOME name it from the moment when the library loads.
- Drivers.  Connecting without being told the model, libgphoto2 opens all its drivers each time to list the models that
  they know, and from the second time on the process keeps the 7 MB.  Here the list is made once, in the process from
  which a computer's nodes are forked where there is one, and every connection names its model.
- Addresses.  Asked for a body on the network without a model, libgphoto2 opens the first USB body instead.
"""

import importlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from camera_nodes.errors import CameraFault, CameraMissing
from camera_nodes.usb import port as usb_port

log = logging.getLogger(__name__)

NETWORK = "ptpip:"  # begins the address of a body on the network
NETWORK_MODEL = "PTP/IP Camera"  # libgphoto2's name for any body that speaks PTP over TCP; it asks the body the rest
_ANY_USB = "usb:"  # libgphoto2's own entry for whichever body is first
_NOWHERE = Path("/nonexistent")  # no node's: settings are kept in memory, and nobody's file is rewritten
_home: Path | None = None
_models: Any = None  # the list of models, kept for the process's life


def use_gphoto_home(folder: Path) -> None:
    """Where libgphoto2 keeps its settings from its loading on; a node calls it before it opens its camera."""
    global _home
    _home = folder


def gphoto_home_beside(spool: Path) -> Path:
    """A node's own folder for libgphoto2, beside its spool, in which there are photographs alone."""
    return spool.absolute().with_name(f"{spool.name}.gphoto")


def preload() -> bool:
    """Import the library and list its models, for the processes forked from this one.  False where it is not there.

    It opens no bus and no camera; which bus there is, real or virtual, is decided by each process's own `load`.
    """
    try:
        gp = importlib.import_module("gphoto2")
    except ImportError:
        return False
    _known_models(gp)
    return True


def load(photos: str | None, url: str) -> Any:
    """The gphoto2 module, with the virtual bus when `photos` is not None ("" leaves the folder to VCAMERADIR).

    Raises CameraMissing when the virtual camera has no photograph to serve, CameraFault without gphoto2.
    """
    if photos is not None:
        folder = photos or os.environ.get("VCAMERADIR", "")
        if not folder or not any(Path(folder).glob("*.[jJ][pP]*[gG]")):
            raise CameraMissing(f"{url}: the virtual camera needs a folder with a JPEG: gphoto2:virtual?photos=DIR")
        os.environ["VCAMERADIR"] = folder
    else:
        os.environ.pop("VCAMERADIR", None)
    _settle()
    try:
        gp = importlib.import_module("gphoto2")
    except ImportError:
        raise CameraFault(f"{url} needs gphoto2: pip install 'mien[node]'") from None
    _choose_bus(gp, virtual=photos is not None)
    return gp


def _settle() -> None:
    """Give libgphoto2 its home.  os.environ is what its getenv sees."""
    home = _home if _home is not None and _private(_home) else _NOWHERE
    os.environ["HOME"] = os.environ["XDG_CONFIG_HOME"] = str(home)


def _private(folder: Path) -> bool:
    """Make the folder, for its owner alone.  False where there may be none."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        log.warning("%s cannot keep libgphoto2's settings (%s): they are forgotten at the end", folder, error.strerror)
        return False
    return True


def _choose_bus(gp: Any, *, virtual: bool) -> None:
    """Which port drivers are loaded.  The wheel has two sets and chooses at its import, which may be long past."""
    folder = Path(getattr(gp, "__file__", None) or "/").parent / "libgphoto2" / ("vusb" if virtual else "iolibs")
    if folder.is_dir():
        os.environ["IOLIBS"] = str(folder)


# --- addresses


def open_body(gp: Any, port: str, url: str) -> Any:
    """The body that an address means, as a gphoto2.Camera with model and port named, ready for its `init`.

    port: "" (the only USB body), "virtual", "port:1-1.4", "usb:001,004", "ptpip:HOST".
    Raises CameraMissing when nothing answers there, CameraFault when "" could mean several.
    """
    ports = gp.PortInfoList()
    ports.load()
    models = _known_models(gp)
    try:
        if port.startswith(NETWORK):
            model, path = NETWORK_MODEL, port
        else:
            place = usb_port.address_of(port) if usb_port.is_socket(port) else port
            model, path = _usb_body(_detected(models, ports), place, url)
        camera = gp.Camera()
        camera.set_abilities(models[models.lookup_model(model)])
        camera.set_port_info(ports[ports.lookup_path(path)])
    except gp.GPhoto2Error as error:
        raise CameraMissing(f"no camera answers at {url} ({error}): look at its cable and power") from None
    return camera


def _known_models(gp: Any) -> Any:
    global _models
    if _models is None or type(_models) is not gp.CameraAbilitiesList:
        _models = gp.CameraAbilitiesList()
        _models.load()
    return _models


def _detected(models: Any, ports: Any) -> dict[str, str]:
    """Model by port of the USB bodies there are."""
    found = models.detect(ports)
    items: Callable[[], Any] | None = getattr(found, "items", None)
    pairs = items() if items is not None else found
    return {str(path): str(model) for model, path in pairs if str(path).startswith(_ANY_USB)}


def _usb_body(found: Mapping[str, str], place: str, url: str) -> tuple[str, str]:
    """Model and port of the body at `place`, or of the only one."""
    each = {path: model for path, model in found.items() if path != _ANY_USB} or dict(found)
    if place in ("", "virtual"):
        if len(each) > 1:
            here = ", ".join(f"{model} at {path}" for path, model in sorted(each.items()))
            raise CameraFault(
                f"{url} means the only body, and there are {len(each)} ({here}): name its socket, as in"
                " gphoto2:port:1-1.4 (`mien doctor` lists them)"
            )
        for path, model in each.items():
            return model, path
        raise CameraMissing(f"no camera answers at {url}: look at its cable and power")
    if place not in each:
        raise CameraMissing(f"no camera answers at {url}: look at its cable and power, and that its USB mode is PTP")
    return each[place], place
