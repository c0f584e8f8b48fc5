"""Signatures in the forms of minisign and of `ssh-keygen -Y`, by maintained libraries; anybody can check them.

    minisign -Vm manifest.json -p release.pub
    ssh-keygen -Y verify -f ALLOWED_SIGNERS -I NAME -n mien-release -s manifest.json.sig < manifest.json

An SSH signature states what it is for (its namespace), so that one for a selection is none for a manifest.
"""

import getpass
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import minisign
import sshsig
from sshsig.sshsig import SshsigSignature

from common.files.atomic_write import write_first, write_whole
from common.guarding.file_modes import open_mode
from processing.release.formats.errors import SignatureError

RELEASE, SELECTION = "mien-release", "mien-selection"  # namespaces of SSH signatures
STUDIO_KEY, STUDIO_PUBLIC = "release.key", "release.pub"  # in the studio's keys/, the second in its releases too
SSH_BEGINS = b"-----BEGIN SSH SIGNATURE-----"
_HASHES = (b"sha256", b"sha512")  # as OpenSSH takes them
_LARGEST = 65_536  # bytes of a key or a signature


@dataclass(frozen=True)
class PublicKey:
    """Whose signature counts."""

    #: As one line: base64 of minisign's, or 'ssh-ed25519 AAAA...'.
    text: str

    @property
    def is_ssh(self) -> bool:
        return " " in self.text

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """From a key's line, or a file of one or two lines. Raises SignatureError."""
        lines = [line for line in text.strip().splitlines() if line and not line.startswith(("#", "untrusted comment"))]
        try:
            (line,) = lines
            if line.startswith(("ssh-", "ecdsa-", "sk-")):
                return cls(sshsig.PublicKey.from_openssh_str(line).openssh_str())
            return cls(minisign.PublicKey.from_base64(line.strip()).to_base64().decode())
        except NotImplementedError:
            raise SignatureError("this kind of SSH key is not read here; use Ed25519 or RSA, or minisign") from None
        except (ValueError, minisign.Error):
            raise SignatureError("is no public key of minisign or OpenSSH") from None

    @classmethod
    def given(cls, key: str) -> "PublicKey":
        """A key as it was typed: itself, or the name of its file. Raises SignatureError."""
        try:
            path = Path(key)
            if " " not in key and path.is_file():
                return cls.parse(read_small(path, "the public key").decode("utf-8", "replace"))
            return cls.parse(key)
        except SignatureError as error:
            raise SignatureError(f"--signer {key}: {error}") from None


@dataclass(frozen=True)
class Signed:
    """A signature and what it was made with."""

    #: The file's, as in '.minisig'.
    ending: str
    #: The file's.
    content: bytes
    #: Of the secret that signed.
    key: PublicKey


def check(data: bytes, signature: bytes, key: PublicKey, namespace: str) -> None:
    """Raises SignatureError unless `key` signed just these bytes for this purpose."""
    if is_ssh(signature) != key.is_ssh:
        raise SignatureError(f"is a signature of {'OpenSSH' if is_ssh(signature) else 'minisign'}, the key is not")
    if key.is_ssh:
        by = ssh_signer(data, signature, namespace)
        if by != key:
            raise SignatureError(f"was signed with another key: {by.text}")
        return
    try:
        made = minisign.Signature.from_bytes(signature)
        minisign.PublicKey.from_base64(key.text).verify(data, made)
    except minisign.ParseError:
        raise SignatureError("is no signature of minisign") from None
    except minisign.VerifyError as error:
        if "identifiers" in str(error):
            raise SignatureError("was signed with another key") from None
        raise SignatureError("does not fit: these are not the bytes that were signed") from None


def ssh_signer(data: bytes, signature: bytes, namespace: str) -> PublicKey:
    """The key with which `ssh-keygen -Y sign -n NAMESPACE` signed these bytes. Raises SignatureError."""
    try:
        made = SshsigSignature.from_armored(signature)
        if bytes(made.hash_algo) not in _HASHES:
            raise SignatureError("is an SSH signature over a hash that OpenSSH does not take")
        if bytes(made.namespace) != namespace.encode():
            raise SignatureError(
                f"was signed for {bytes(made.namespace).decode('ascii', 'replace')!r}: sign with -n {namespace}"
            )
        return PublicKey(sshsig.check_signature(io.BytesIO(data), signature, namespace).openssh_str())
    except sshsig.InvalidSignature:
        raise SignatureError("does not fit: these are not the bytes that were signed") from None
    except NotImplementedError:
        raise SignatureError("is of a kind of SSH key that is not read here; use Ed25519 or RSA") from None
    except (ValueError, EOFError):  # base64, lengths, characters
        raise SignatureError("is no signature of OpenSSH") from None


def is_ssh(signature: bytes) -> bool:
    """Whether a signature is in OpenSSH's form, not minisign's."""
    return signature.lstrip().startswith(SSH_BEGINS)


def sign(data: bytes, key: Path, namespace: str, about: str) -> Signed:
    """Sign with a secret key of minisign, or of OpenSSH by `ssh-keygen -Y sign`. about: what is signed, in words.

    The same key and bytes give the same signature. Raises SignatureError.
    """
    secret = read_small(key, "the key to sign with")
    if b"PRIVATE KEY" not in secret and open_mode(key) is not None:  # ssh-keygen looks at its own
        raise SignatureError(f"{key} can be read by others; run chmod 600 {key}")
    if b"PRIVATE KEY" in secret or secret.startswith(b"ssh-"):
        content = _ssh_keygen("-Y", "sign", "-f", str(key), "-n", namespace, given=data)
        return Signed(".sig", content, ssh_signer(data, content, namespace))
    with _minisign_key(key, secret) as opened:
        public = opened.get_public_key()
        made = opened.sign(data, untrusted_comment=f"signature of {about}", trusted_comment=about)
    return Signed(".minisig", bytes(made) + b"\n", PublicKey(public.to_base64().decode()))


def public_of(key: Path) -> PublicKey:
    """The public key of a secret one. Raises SignatureError."""
    secret = read_small(key, "the key to sign with")
    if b"PRIVATE KEY" in secret:
        return PublicKey.parse(_ssh_keygen("-y", "-f", str(key)).decode())
    if secret.startswith(b"ssh-"):  # an agent holds the secret
        return PublicKey.parse(secret.decode())
    with _minisign_key(key, secret, unlock=False) as opened:
        if opened.is_encrypted():
            return PublicKey.parse(read_small(key.with_suffix(".pub"), "its public key").decode())
        return PublicKey(opened.get_public_key().to_base64().decode())


def studio_key(keys: Path) -> Path:
    """The studio's own Ed25519 key for releases, made at its first use, for its owner alone; in minisign's form."""
    path = keys / STUDIO_KEY
    if not path.exists():
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        pair = minisign.KeyPair.generate()
        pair.secret_key.untrusted_comment = "Mien: secret key for the releases of this studio"
        write_first(path, bytes(pair.secret_key) + b"\n", mode=0o600)
    public = keys / STUDIO_PUBLIC
    if not public.exists():
        write_whole(public, public_file(public_of(path)))
    return path


def public_file(key: PublicKey) -> str:
    """A public key as a file, as minisign and OpenSSH read it."""
    return f"{key.text}\n" if key.is_ssh else f"untrusted comment: public key of the studio\n{key.text}\n"


def read_small(path: Path, what: str) -> bytes:
    """A key or a signature, once (a pipe will do). Raises SignatureError."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise SignatureError(f"{what}, {path}, cannot be read: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise SignatureError(f"{what}, {path}, is too large to be one")
    return data


def _minisign_key(key: Path, secret: bytes, *, unlock: bool = True) -> minisign.SecretKey:
    try:
        opened = minisign.SecretKey.from_bytes(secret)
        if unlock and opened.is_encrypted():
            if not sys.stdin.isatty():
                raise SignatureError(f"{key} has a passphrase and nobody is here to type it: sign at a terminal")
            opened.decrypt(getpass.getpass(f"Passphrase of {key}: "))
        return opened
    except minisign.Error as error:
        raise SignatureError(f"{key} is no secret key of minisign or OpenSSH ({error})") from None


def _ssh_keygen(*arguments: str, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(["ssh-keygen", *arguments], input=given, capture_output=True, check=True)
    except FileNotFoundError:
        raise SignatureError("signing with an SSH key needs ssh-keygen (OpenSSH 8.2 or newer)") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SignatureError(f"ssh-keygen could not sign: {said[-1] if said else 'no reason given'}") from None
    return done.stdout
