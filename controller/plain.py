"""Words that came from a node, made fit for a terminal, a page and a database."""

import re
from collections.abc import Mapping

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """`text` with every control character as "?": PostgreSQL stores no NUL, and a terminal would obey an escape."""
    return _CONTROL.sub("?", text)


def by_reason(texts: Mapping[str, str]) -> list[str]:
    """What is said of cameras, each reason once: "cam-01, cam-07: ISO 100 instead of 200"."""
    cameras: dict[str, list[str]] = {}
    for camera, text in texts.items():
        cameras.setdefault(text, []).append(camera)
    return [f"{', '.join(names)}: {text}" for text, names in cameras.items()]
