"""A card as rows of a table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from processing.learning.weights_file import LearnedCard


def card_rows(card: LearnedCard, standing: str | None, *, named: int) -> list[tuple[str, str]]:
    """What and its value, in the order in which a reader asks. named: subjects that are named one by one."""
    release = card.release
    people = {True: "synthetic: figures flatter", False: "people", None: "nobody says whether synthetic"}
    rows = [
        (
            "release",
            f"{release.get('name')} {release.get('version') or '(folder)'}; {people[release.get('synthetic')]}",
        ),
        ("trained on", _subjects(card.subjects, named)),
        ("held back", _subjects(card.held_back, named)),
    ]
    if card.model:
        rows.append(("face model", f"{card.model.get('name')} {card.model.get('version')}"))
    if standing is not None:
        rows.append(("in the records", standing))
    for title, said in (("figure", card.figures), ("made", card.made), ("setting", card.settings)):
        rows += [(f"{title}: {name}", value) for name, value in _flat(said)]
    rows += [(f"network: {name}", value) for name, value in _flat(card.architecture)]
    return rows


def _subjects(subjects: Sequence[str], named: int) -> str:
    more = f" and {len(subjects) - named} more" if len(subjects) > named else ""
    return f"{len(subjects)}: {', '.join(subjects[:named])}{more}" if subjects else "nobody"


def _flat(said: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in said.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        else:
            yield f"{before}{name}".replace("_", " "), _short(value)


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_short(one) for one in value[:12]) + (" ..." if len(value) > 12 else "")
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)[:120]
    return f"{value:.5g}"
