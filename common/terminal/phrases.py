"""Phrases of messages to people: names listed, and names grouped by what is said of them."""

from collections.abc import Iterable, Mapping, Sequence


def listed(names: Sequence[str], shown: int = 8, separator: str = ", ") -> str:
    """The first names, and how many more there are: "cam-01, cam-07 and 3 more"."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{separator.join(names[:shown])}{more}"


def grouped(said: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Names by what is said of them, each text once, in the order in which they come. said: (name, text) pairs."""
    names: dict[str, list[str]] = {}
    for name, text in said:
        names.setdefault(text, []).append(name)
    return names


def by_reason(texts: Mapping[str, str]) -> list[str]:
    """What is said of names, each reason once: "cam-01, cam-07: ISO 100 instead of 200". texts: by name."""
    return [f"{', '.join(names)}: {text}" for text, names in grouped(texts.items()).items()]
