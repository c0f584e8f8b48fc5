"""Secrets in what is about to be said: passwords in addresses, keys after their names, secrets of the environment."""

import os
import re
from collections.abc import Mapping

MASK = "***"
_SHORTEST = 6  # of the environment's values: a shorter one would blank ordinary words
_IN_ADDRESS = re.compile(r"(//[^\s/:@'\"]*:)[^\s'\"]+(@)")
_NAMED = re.compile(
    r"(?i)\b([\w-]*(?:password|passwd|secret|token|access_?key|api_?key|credential|signature)[\w-]*[\"']?\s*[=:]\s*[\"']?)"
    r"(?![\s\"']|\*\*\*)[^\s&;,\"']+"
)
_SECRET_NAME = re.compile(r"(?i)password|passwd|secret|token|credential|(^|_)key($|_)|apikey|access_key_id")


def masked(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` without the secrets that can be told from their place or from the environment.

    The last guard: whoever makes a message leaves them out to begin with.
    """
    for name, value in (os.environ if environment is None else environment).items():
        if len(value) >= _SHORTEST and _SECRET_NAME.search(name):
            text = text.replace(value, MASK)
    return _NAMED.sub(rf"\g<1>{MASK}", masked_address(text))


def masked_address(text: str) -> str:
    """`text` with the passwords of the addresses in it (scheme://user:password@host) left out, wherever they end."""
    return _IN_ADDRESS.sub(rf"\g<1>{MASK}\g<2>", text)


def holds_password(address: str) -> bool:
    """Whether an address carries a password or a key."""
    return masked(address, {}) != address
