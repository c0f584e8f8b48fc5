"""Remedies: what an operator does about each kind of fault, in words, by a button and by a command."""

from collections.abc import Sequence

from controller.readiness.fault import Remedy
from controller.rig_file import DEFAULT_PROFILE

LOOK_AGAIN = "run the preflight"


def aside_command(cameras: Sequence[str]) -> str:
    """As in `mien rig aside cam-07 --reason '...'`."""
    return f"mien rig aside {' '.join(cameras)} --reason '...'"


def preflight(text: str, profile: str) -> Remedy:
    """Something that the next arming of the rig shows."""
    option = "" if profile == DEFAULT_PROFILE else f" --profile {profile}"
    return Remedy(text, "preflight", (), f"mien rig preflight{option}")


def computer_off(name: str, cameras: tuple[str, ...]) -> Remedy:
    """No camera of a computer is heard."""
    text = f"Look at the power and the network cable of {name}. To go on without: set aside"
    return Remedy(text, "aside", cameras, aside_command(cameras))


def hub_gone(hub: str, name: str, cameras: tuple[str, ...]) -> Remedy:
    """No body of a hub answers."""
    text = f"Look at the power and the cable of hub {hub} at {name}. To go on without: set them aside"
    return Remedy(text, "aside", cameras, aside_command(cameras))


def node_gone(name: str, cameras: tuple[str, ...]) -> Remedy:
    """A node is not heard, but its computer is."""
    which = f"pkill -x {cameras[0]}" if len(cameras) == 1 else "systemctl restart mien-nodes"
    return Remedy(
        f"Start it again on {name}:  {which}. To go on without: set aside", "aside", cameras, aside_command(cameras)
    )


def never_seen(cameras: tuple[str, ...]) -> Remedy:
    """No node has announced them."""
    text = (
        "Switch on their computers, and look whether mien-nodes runs there and is enrolled. To go on without: set aside"
    )
    return Remedy(text, "aside", cameras, aside_command(cameras))


def recover(text: str, cameras: tuple[str, ...]) -> Remedy:
    """A body that may answer again by itself being asked."""
    return Remedy(text, "recover", cameras, "; ".join(f"mien rig recover {camera}" for camera in cameras[:3]))


def body(text: str, cameras: tuple[str, ...]) -> Remedy:
    """Something at the body itself; without it the rig goes on with the camera aside."""
    return Remedy(text, "aside", cameras, aside_command(cameras))


def retake(text: str, reference: str) -> Remedy:
    """The last take once more."""
    return Remedy(text, "retake", (), f"mien session retake {reference}")
