"""Passkeys: what is asked of a browser's authenticator, and its answer proven by the `webauthn` library.

A passkey is for the name under which the console was opened: localhost on the studio's own machine, its name in the
network on others. Browsers take no passkey for a bare address as 10.0.0.1.
"""

import ipaddress
import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from controller.errors import ControllerError
from db.engine import utc_now
from db.models import Account, Passkey

CHALLENGE_S = 300.0
MOST = 500  # challenges that are open at a time


class PasskeyRefused(ControllerError):
    """An answer that is not of a passkey that was asked for."""

    exit_code = 2


@dataclass(frozen=True)
class Place:
    """Under which name and origin a browser sees the console."""

    host: str  # as in localhost
    origin: str  # as in http://localhost:5780

    def require_name(self) -> None:
        """Raises PasskeyRefused where browsers take no passkeys."""
        try:
            ipaddress.ip_address(self.host.strip("[]"))
        except ValueError:
            return
        raise PasskeyRefused(
            f"Browsers keep no passkey for a bare address ({self.host}): open the console by its name, as in "
            "http://localhost:5780 on the studio's own machine"
        )


class Challenges:
    """Numbers that an authenticator must sign: each for one purpose, once, for some minutes. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def make(self, purpose: str) -> bytes:
        """A new one."""
        challenge = secrets.token_bytes(32)
        with self._lock:
            self._open[bytes_to_base64url(challenge)] = (purpose, time.monotonic() + CHALLENGE_S)
            while len(self._open) > MOST:
                self._open.popitem(last=False)
        return challenge

    def take(self, answer: Mapping[str, Any], purpose: str) -> bytes:
        """The challenge that a browser's answer says it signed. Raises PasskeyRefused for one that is not open."""
        try:
            told = json.loads(base64url_to_bytes(answer["response"]["clientDataJSON"]))
            given = str(told["challenge"])
        except (KeyError, TypeError, ValueError, RecursionError):
            raise PasskeyRefused("This is no answer of a passkey") from None
        with self._lock:
            found = self._open.pop(given, None)
        if found is None or found[0] != purpose or found[1] < time.monotonic():
            raise PasskeyRefused("That took too long, or was tried twice: try again")
        return base64url_to_bytes(given)


def ask_to_make(challenges: Challenges, place: Place, account: Account, present: Sequence[Passkey]) -> dict[str, Any]:
    """What navigator.credentials.create() is given. Raises PasskeyRefused for an address without a name."""
    place.require_name()
    options = generate_registration_options(
        rp_id=place.host,
        rp_name="Mien studio",
        user_name=account.name,
        user_id=bytes.fromhex(account.handle),
        challenge=challenges.make(f"make {account.id} {place.host}"),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(base64url_to_bytes(key.credential)) for key in present],
    )
    return dict(json.loads(options_to_json(options)))


def made(challenges: Challenges, place: Place, account: Account, answer: Mapping[str, Any], label: str) -> Passkey:
    """The passkey that a browser made. Raises PasskeyRefused."""
    challenge = challenges.take(answer, f"make {account.id} {place.host}")
    try:
        proven = verify_registration_response(
            credential=dict(answer),
            expected_challenge=challenge,
            expected_rp_id=place.host,
            expected_origin=place.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise PasskeyRefused("This passkey cannot be kept: its answer does not hold") from error
    return Passkey(
        credential=bytes_to_base64url(proven.credential_id),
        public_key=proven.credential_public_key,
        sign_count=proven.sign_count,
        host=place.host,
        label=label,
        created_at=utc_now(),
        last_used_at=None,
    )


def ask_to_sign(challenges: Challenges, place: Place) -> dict[str, Any]:
    """What navigator.credentials.get() is given: any passkey of this place; it names its account itself."""
    place.require_name()
    options = generate_authentication_options(
        rp_id=place.host,
        challenge=challenges.make(f"sign {place.host}"),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return dict(json.loads(options_to_json(options)))


def signed(challenges: Challenges, place: Place, answer: Mapping[str, Any], key: Passkey | None) -> int:
    """How often the authenticator has signed by now. key: None for a passkey of nobody. Raises PasskeyRefused."""
    challenge = challenges.take(answer, f"sign {place.host}")
    if key is None or key.host != place.host:
        raise PasskeyRefused("This passkey opens nothing here")
    try:
        proven = verify_authentication_response(
            credential=dict(answer),
            expected_challenge=challenge,
            expected_rp_id=place.host,
            expected_origin=place.origin,
            credential_public_key=key.public_key,
            credential_current_sign_count=key.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise PasskeyRefused("This passkey opens nothing here") from error
    return proven.new_sign_count
