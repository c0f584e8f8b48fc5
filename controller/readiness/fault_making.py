"""How a fault is put together: its id from cause and place, its weight from the table of causes."""

import re
from collections.abc import Callable, Mapping, Sequence

from controller.readiness.causes import CAUSES
from controller.readiness.fault import Fault, Remedy, Weight
from controller.readiness.places import names

_UNFIT = re.compile(r"[^a-z0-9]+")


def fault(
    cause: str,
    text: str,
    short: str,
    remedy: Remedy | None = None,
    *,
    place: str = "",
    cameras: Sequence[str] = (),
    weight: Weight | None = None,
) -> Fault:
    """place: where, as the operator reads it; with the cause it makes the id. weight: the cause's own by default."""
    where = _UNFIT.sub("-", place.lower()).strip("-")
    return Fault(
        id=f"{cause}:{where}" if where else cause,
        cause=cause,
        weight=CAUSES[cause] if weight is None else weight,
        text=text,
        short=short,
        place=place,
        cameras=tuple(cameras),
        remedy=remedy,
    )


def figure(
    cause: str,
    figures: Mapping[str, float],
    form: Callable[[float], str],
    limit: str,
    what: tuple[str, Callable[[Mapping[str, float]], str]],
    remedy: Callable[[tuple[str, ...]], Remedy],
) -> Fault:
    """Cameras whose figure is beyond its limit, the worst by name: "cam-07: battery 12 %, 25 % are needed".

    figures: of those cameras, in order of view. what: of what it is, and how to find the worst of them (min, max).
    """
    name, worst_of = what
    worst = worst_of(figures)
    told = f"{worst}: {name} {form(figures[worst])}, {limit}"
    others = [camera for camera in figures if camera != worst]
    text = f"{told}; also {names(others)}" if others else told
    short = f"{worst} {name} {form(figures[worst])}"
    if others:
        short += f" (and {len(others)} more)"
    return fault(cause, text, short, remedy(tuple(figures)), cameras=tuple(figures))


def least(figures: Mapping[str, float]) -> str:
    """The camera that has least."""
    return min(figures, key=lambda camera: figures[camera])


def most(figures: Mapping[str, float]) -> str:
    """The camera that has most."""
    return max(figures, key=lambda camera: figures[camera])
