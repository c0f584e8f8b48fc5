"""Access protocol of a gated server, beside HTTP: the headers of its answers, and what an origin is."""

import httpx

from processing.release.formats.errors import AccessError

# Of a refusal: a word for programs.
REFUSAL_HEADER = "X-Mien-Refusal"
# Of the kinds of files that a grant allows, by commas.
ALLOWED_KINDS_HEADER = "X-Mien-Kinds"


def origin_of(url: str) -> str:
    """'https://host:8443/faces-3' -> 'https://host:8443'. Raises AccessError for what is no address of the web."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise AccessError("that is no address of a server (https://host)") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise AccessError("that is no address of a server (https://host)")
    port = parsed.port or {"http": 80, "https": 443}[parsed.scheme]
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{parsed.scheme}://{host}:{port}"
