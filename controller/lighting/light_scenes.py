"""Light scenes as the rig file writes them: levels by DMX channel, in one or more universes.

[scene.cross]
1 = { 1-12 = 255, 13 = 128 }       # universe 1: channels 1 to 12 full, channel 13 half; all others dark
2 = { 1-512 = 64 }
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from common.configuration.loader import Refusal
from controller.errors import ConfigurationError

CHANNELS = 512
FULL = 255
LAST_UNIVERSE = 63_999  # ANSI E1.31-2018, section 6.2.7
Levels = tuple[int, ...]


@dataclass(frozen=True)
class Scene:
    """A look of the lights."""

    name: str  # as the rig file has it
    # universe -> (first channel, last channel, level 0..255), in the order written
    ranges: Mapping[int, tuple[tuple[int, int, int], ...]]

    def levels(self, universe: int) -> Levels:
        """All 512 levels of a universe; what the scene does not name is dark. A later range wins over an earlier."""
        values = [0] * CHANNELS
        for first, last, level in self.ranges.get(universe, ()):
            values[first - 1 : last] = [level] * (last - first + 1)
        return tuple(values)

    def record(self) -> dict[str, dict[str, int]]:
        """The scene as it is kept with a take, in the rig file's own words."""
        return {
            str(universe): {_channels(first, last): level for first, last, level in ranges}
            for universe, ranges in sorted(self.ranges.items())
        }


@dataclass(frozen=True)
class LightsEntry:
    """`[lights]`: how scenes are sent (sACN, E1.31 over multicast)."""

    # this server's address on the lights' network; empty takes the one that the system routes multicast to
    interface: str = ""
    # of sACN: the higher source wins
    priority: Annotated[int, Meta(ge=0, le=200, description="a priority of sACN, 0 to 200")] = 100
    # from the first packet of a scene to the earliest fire
    settle_ms: Annotated[float, Meta(ge=0, le=10_000, description="0 to 10000")] = 150.0
    # the scene between takes, dark if empty
    between: str = ""


def parse_scene(name: str, table: object, place: str) -> Scene:
    """A `[scene.NAME]` table; `place` names it in messages. Raises ConfigurationError."""
    scene, faults = examine_scene(name, table)
    for fault in faults:
        raise ConfigurationError(f"{place}{fault.text}")
    return scene


def examine_scene(name: str, table: object) -> tuple[Scene, list[Refusal]]:
    """A `[scene.NAME]` table as far as it can be read, and all that is wrong with it; texts go on after its name."""
    if not isinstance(table, Mapping) or not table:
        return Scene(name, {}), [Refusal((), ": needs a universe, as in  1 = { 1-12 = 255 }")]
    ranges, faults = {}, []
    for key, channels in table.items():
        if not key.isdecimal() or not 1 <= int(key) <= LAST_UNIVERSE:
            faults.append(Refusal((key,), f": {key!r} is not a universe; they are 1 to {LAST_UNIVERSE}"))
        elif not isinstance(channels, Mapping):
            wanted = "must be a table, as in  { 1-12 = 255, 13 = 128 }"
            faults.append(Refusal((key,), f": universe {key} {wanted}"))
        else:
            found = [(span, _range(span, level)) for span, level in channels.items()]
            faults += [
                Refusal((key, span), f", universe {key}: {said}") for span, said in found if isinstance(said, str)
            ]
            ranges[int(key)] = tuple(said for _, said in found if not isinstance(said, str))
    return Scene(name, ranges), faults


def format_scene(scene: Scene) -> list[str]:
    """Lines that parse_scene takes back unchanged."""
    lines = [f"[scene.{scene.name}]"]
    for universe, ranges in sorted(scene.ranges.items()):
        told = ", ".join(f"{_channels(first, last)} = {level}" for first, last, level in ranges)
        lines.append(f"{universe} = {{ {told} }}")
    return lines


def _range(span: str, level: object) -> tuple[int, int, int] | str:
    """First and last channel and their level, or what is wrong with them."""
    found = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", span)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= CHANNELS:
        return f"{span!r} is no channel or range of channels from 1 to {CHANNELS}"
    if type(level) is not int or not 0 <= level <= FULL:
        return f"channel {span} has level {level!r}; levels are 0 to {FULL}"
    return first, last, level


def _channels(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
