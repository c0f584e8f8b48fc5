"""Which computer this is, as nodes tell the studio: its name, and its boot, since names repeat."""

import socket
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")  # no two computers have the same; host names may be


def computer_id(name: str = "") -> str:
    """ "pi-05/1d2c...": the computer's name (its host name by default) and its boot; "" where that cannot be told."""
    try:
        boot = BOOT.read_text().strip()
    except OSError:
        return ""
    return f"{(name or socket.gethostname()).replace('/', '-').replace(':', '-')}/{boot}"


def computer_name(computer: str) -> str:
    """The name in a computer_id; "" where it has none, as those of older nodes."""
    return computer.rpartition("/")[0]
