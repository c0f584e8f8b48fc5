"""Certificates for a farm of several machines, and what Dask wants to know of them.

Whoever may speak to a Dask scheduler may run any code on its workers. With TLS scheduler, workers and daemons take in
only those who show a certificate of the farm's own authority.

    <home>/keys/farm/ca.pem ca-key.pem          the authority; its key stays here
    <home>/keys/farm/NAME/ca.pem cert.pem key.pem    one machine's: copied there, named by --tls
    ~/.local/share/mien/farm-here/...                a user's own, for a scheduler on the same machine: nobody names it
"""

import ipaddress
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from distributed.security import Security
from platformdirs import user_data_path

from common.files.atomic_write import write_whole
from common.files.secret_files import NoSecret, check_private
from common.guarding.certificates import Holder, certificate, certificate_pem, key_pem, new_key
from db.errors import SettingsError

FILES = ("ca.pem", "cert.pem", "key.pem")
DAYS = 3650


def issue(folder: Path, name: str) -> Path:
    """A certificate for a machine called `name`, in a folder of that name; the authority is made at the first call.

    Raises SettingsError for a name that is no file name, or that has a certificate already.
    """
    if not name or name.startswith(".") or not name.replace("-", "").replace(".", "").isalnum():
        raise SettingsError(f"'{name}' cannot name a machine: use letters, digits, '-' and '.'")
    place = folder / name
    if place.exists():
        raise SettingsError(f"{place} has a certificate already; remove it to make another")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / "ca-key.pem").exists():
        farm = Holder("Mien farm", new_key())
        authority = certificate(farm, farm, DAYS, authority=True)
        write_whole(folder / "ca.pem", certificate_pem(authority), durable=False)
        write_whole(folder / "ca-key.pem", key_pem(farm.key), mode=0o600, durable=False)
    signer = serialization.load_pem_private_key((folder / "ca-key.pem").read_bytes(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    machine = Holder(name, new_key())
    made = certificate(machine, Holder("Mien farm", signer), DAYS, authority=False)
    making = folder / f".{name}.{os.getpid()}"
    making.mkdir(mode=0o700)
    write_whole(making / "ca.pem", (folder / "ca.pem").read_bytes(), durable=False)
    write_whole(making / "key.pem", key_pem(machine.key), mode=0o600, durable=False)
    write_whole(making / "cert.pem", certificate_pem(made), durable=False)
    making.rename(place)
    return place


def security(folder: str | Path | None) -> Security | None:
    """Dask's security of a machine's folder; None for none. Raises SettingsError when a file is missing."""
    if folder is None:
        return None
    place = Path(folder)
    missing = [name for name in FILES if not (place / name).is_file()]
    if missing:
        raise SettingsError(f"{place} lacks {', '.join(missing)}; mien farm keys NAME makes such a folder")
    key = place / "key.pem"
    try:
        check_private(key)
    except NoSecret as error:
        raise SettingsError(f"{key} is open to other users (mode {error.mode:o}): chmod 600 {key}") from None
    files: dict[str, Any] = {"tls_ca_file": str(place / "ca.pem"), "require_encryption": True}
    for role in ("client", "scheduler", "worker"):
        files |= {f"tls_{role}_cert": str(place / "cert.pem"), f"tls_{role}_key": str(place / "key.pem")}
    return Security(**files)


def credentials(scheduler: str, tls: str | Path | None) -> str | None:
    """The folder of certificates for a scheduler's address: the given one; on this machine, else, this user's own.

    On loopback any user of the machine may knock, so that a scheduler there speaks TLS whether it is asked to or not.
    None: a scheduler of another machine, in the clear.
    """
    if tls is not None:
        return str(tls)
    host = scheduler.partition("://")[2] or scheduler
    return str(own()) if is_here(host) or is_here(host.rpartition(":")[0]) else None


def own() -> Path:
    """This user's certificates for a scheduler on this machine; made at the first call, kept to their owner."""
    folder = user_data_path("mien") / "farm-here"
    place = folder / "here"
    if not place.exists():
        with suppress(SettingsError):  # another process was faster
            issue(folder, "here")
    for private in (folder, place, place / "key.pem"):
        try:
            check_private(private, owners=(os.geteuid(),))
        except NoSecret:
            raise SettingsError(f"{private} is not this user's alone; remove {folder}, and it is made anew") from None
    return place


def is_here(host: str) -> bool:
    """Whether only this machine reaches that address."""
    host = host.strip("[]")
    with suppress(ValueError, OSError):
        return host == "::1" or (bool(host) and ipaddress.ip_address(socket.gethostbyname(host)).is_loopback)
    return False


def address(scheduler: str, tls: str | Path | None) -> str:
    """The scheduler's address as it is spoken to: tls:// where there are certificates. Raises SettingsError."""
    scheme, colon, rest = scheduler.partition("://")
    if not colon:
        scheme, rest = "tcp", scheduler
    if scheme not in ("tcp", "tls"):
        raise SettingsError(f"'{scheduler}' is no scheduler's address; write tcp://host:8786 or tls://host:8786")
    if scheme == "tls" and tls is None:
        raise SettingsError(f"{scheduler} wants certificates: --tls FOLDER, or tls in [farm]; see mien farm keys")
    return f"{'tls' if tls else 'tcp'}://{rest}"
