"""Words that came from a node, made fit for a terminal, a page and a database."""

from collections.abc import Mapping

from common.guarding.safe_text import plain

__all__ = ["by_reason", "plain"]


def by_reason(texts: Mapping[str, str]) -> list[str]:
    """What is said of cameras, each reason once: "cam-01, cam-07: ISO 100 instead of 200"."""
    cameras: dict[str, list[str]] = {}
    for camera, text in texts.items():
        cameras.setdefault(text, []).append(camera)
    return [f"{', '.join(names)}: {text}" for text, names in cameras.items()]
