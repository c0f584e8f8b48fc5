"""Tokens that open something: 256 bits of chance, of which the records keep the SHA-256 alone."""

import hashlib
import secrets


def new_token() -> str:
    """For a cookie or a link."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a token. Plain SHA-256: there is nothing to guess."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
