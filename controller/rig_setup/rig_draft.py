"""A rig file begun from the nodes that answer: the cameras they announce, with what is left to be said as comments."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from common.guarding.safe_text import plain
from controller.rig_file import CAMERA_NAME

_HEAD = """\
# A rig file begun by `mien rig init` from the nodes that answered; `mien rig check` says what is wrong in it.
# To do: which cameras stand before the face (tier = "frontal"), whether the views count as you want them, how the
# cameras are set ([exposure]), the lights. docs/operators.md explains every key.
name = {name}

#[exposure]                     # before each take every camera is set to this; written as the bodies write it
#iso = "100"
#aperture = "11"
#shutter = "1/125"

#[lights]
#interface = "10.0.1.1"         # this server's address on the lights' network

#[scene.even]                   # universe 1: channels 1 to 12 full
#1 = {{ 1-12 = 255 }}
"""


@dataclass(frozen=True)
class AnnouncedCamera:
    """What a node says of its camera."""

    camera: str
    node: str
    serial: str = ""  # of the body; "" where it has none, or does not answer
    model: str = ""
    url: str = ""
    fault: str = ""  # why no body answers there
    battery_percent: int | None = None


def draft_rig(name: str, announced: Sequence[AnnouncedCamera]) -> str:
    """The text of a rig file that `mien rig check` passes, cameras in the order of their names' numbers.

    What cannot be a camera of the file as it is announced is a comment that says why.
    """
    lines = [_HEAD.format(name=json.dumps(plain(name), ensure_ascii=False))]
    names, serials, view = set[str](), dict[str, str](), 0
    for one in sorted(announced, key=lambda one: (_natural(one.camera), one.node)):
        why = ""
        if not CAMERA_NAME.fullmatch(one.camera):
            why = "no name for a camera: lower-case letters, digits, - and _, at most 32. Change it in its node.toml"
        elif one.camera in names:
            why = f"a second node announces {one.camera}: each camera has a name of its own"
        told = [f"node {plain(one.node)}", *([plain(one.model)] if one.model else [])]
        told += [f"battery {one.battery_percent} %"] if one.battery_percent is not None else []
        if why:
            lines += [f"#[[camera]]                     # {', '.join(told)}: {plain(one.camera)!r} is {why}", ""]
            continue
        names.add(one.camera)
        lines += ["[[camera]]", f"name = {json.dumps(one.camera)}".ljust(32) + f"# {', '.join(told)}", f"view = {view}"]
        lines += [_serial(one, serials), '#tier = "frontal"', ""]
        view += 1
    return "\n".join(lines)


def _serial(one: AnnouncedCamera, serials: dict[str, str]) -> str:
    if one.fault or not one.serial:
        return f'#serial = ""                    # {_short(one.fault) or "the body tells none: any may stand here"}'
    written = f"serial = {json.dumps(plain(one.serial), ensure_ascii=False)}"
    if one.serial in serials:
        return f"#{written.ljust(31)}# {serials[one.serial]} tells the same: look at both bodies"
    serials[one.serial] = one.camera
    return written


def _short(text: str) -> str:
    return plain(text)[:120]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
