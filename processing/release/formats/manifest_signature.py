"""Signature of a release's manifest: unsigned, wrong, by somebody else, or good.

`release.pub` in the release names the key that its studio signed it with. It tells versions of one studio from those of
another; whether it is that studio's, only a key that was published elsewhere can say (`--signer`).
"""

import os
from dataclasses import dataclass
from pathlib import Path

from common.bounded.files import open_regular_file
from common.files.atomic_write import write_new
from processing.release.formats.errors import SignatureError
from processing.release.formats.manifest import MANIFEST, SIGNATURES, Manifest
from processing.release.formats.released_files import PUBLIC_KEY
from processing.release.formats.signing import (
    RELEASE,
    PublicKey,
    check,
    is_ssh,
    public_of,
    sign,
    ssh_signer,
)

_LARGEST = 65_536  # bytes of a signature


@dataclass(frozen=True)
class SignatureState:
    """Whether a release is signed, and by whom."""

    #: The public key whose signature holds.
    signed_by: str | None = None
    #: (file, why it does not hold).
    problems: tuple[tuple[str, str], ...] = ()
    #: Whether it is signed with no key here to check it by.
    unchecked: bool = False


def check_signature(folder: Path, manifest: Manifest, signer: str | None = None) -> SignatureState:
    """Hold the signatures beside a manifest against it. signer: a public key or its file, as published.

    Without it a signature is held against the key that the release itself names. Raises SignatureError for a `signer`
    that is no key, and nothing for what is wrong with the release.
    """
    wanted = PublicKey.given(signer) if signer else None
    data, named = _bytes(folder / MANIFEST) or b"", _named(folder, manifest)
    made = {name: content for name in SIGNATURES if (content := _bytes(folder / name)) is not None}
    if not made:
        if wanted is not None:
            return SignatureState(problems=((MANIFEST, f"is not signed; it should be, with {wanted.text}"),))
        if named is not None:
            return SignatureState(problems=((MANIFEST, f"lost its signature: {PUBLIC_KEY.path} names {named.text}"),))
        return SignatureState()
    if wanted is None:
        return _by_its_own_key(data, made, named)
    reasons = []
    for name, content in made.items():
        why = _refusal(data, content, wanted)
        if why is None:
            return SignatureState(wanted.text)
        other = f"; it is good for {named.text}" if named and _refusal(data, content, named) is None else ""
        reasons.append((name, f"is not by {wanted.text}: {why}{other}"))
    return SignatureState(problems=tuple(reasons))


def sign_release(folder: Path, manifest: Manifest, key: Path) -> str:
    """Sign the manifest of a release that is there; the public key. Raises SignatureError where it was signed already,
    or names another key of the same kind as its studio's.
    """
    data, named, public = _bytes(folder / MANIFEST), _named(folder, manifest), public_of(key)
    if data is None:
        raise SignatureError(f"{folder / MANIFEST} cannot be read")
    if named is not None and named.is_ssh == public.is_ssh and named != public:
        raise SignatureError(f"{folder} is its studio's, whose key is {named.text}; sign with that one")
    signed = sign(data, key, RELEASE, f"{manifest.name} {manifest.version}")
    path = folder / f"{MANIFEST}{signed.ending}"
    try:
        write_new(path, signed.content)
    except FileExistsError:
        raise SignatureError(f"{path} is there; move it away to sign anew") from None
    except OSError as error:
        raise SignatureError(f"{path} cannot be written: {error.strerror}") from None
    return signed.key.text


def _by_its_own_key(data: bytes, made: dict[str, bytes], named: PublicKey | None) -> SignatureState:
    signed_by, problems = None, []
    for name, content in made.items():
        try:
            if is_ssh(content):  # has its key in it
                by = ssh_signer(data, content, RELEASE)
                if named is not None and named.is_ssh and by != named:
                    raise SignatureError(f"was signed with another key than {PUBLIC_KEY.path} names: {by.text}")
            elif named is None or named.is_ssh:
                continue
            else:
                check(data, content, named, RELEASE)
                by = named
            signed_by = signed_by or by.text
        except SignatureError as error:
            problems.append((name, str(error)))
    return SignatureState(signed_by, tuple(problems), unchecked=signed_by is None and not problems)


def _refusal(data: bytes, signature: bytes, key: PublicKey) -> str | None:
    try:
        check(data, signature, key, RELEASE)
    except SignatureError as error:
        return str(error)
    return None


def _named(folder: Path, manifest: Manifest) -> PublicKey | None:
    """The key in the release, as far as its manifest has it."""
    if PUBLIC_KEY.path not in manifest.by_path:
        return None
    try:
        return PublicKey.parse((_bytes(folder / PUBLIC_KEY.path) or b"").decode("utf-8", "replace"))
    except SignatureError:
        return None  # changed or missing: verify says so


def _bytes(path: Path) -> bytes | None:
    """A small file that is no link; None where it is not there."""
    try:
        with os.fdopen(open_regular_file(path, follow=False), "rb") as file:
            return file.read() if path.name == MANIFEST else file.read(_LARGEST)
    except OSError:
        return None
