"""The table of camera models as a page for people: docs/camera-models.md is this text."""

from collections.abc import Iterator
from typing import Any

from camera_nodes.camera_models.models import BodyModels, ClockSetting, ModelEntry

_HEAD = """\
# What the table of camera models says

Made by `mien camera models --markdown` from `camera_nodes/camera_models/data/body_models.toml`. How a node
goes by it, and how to add what your own bodies do: [the operators' guide](operators.md#what-each-models-table-says).

Every entry says what its sources say, in our own words, and nothing more; what is not said is as for any body.
"""
_WORDS = {
    "file_s": "waits so long for a photograph: {} s", "settle_s": "a setting may take {} s",
    "busy_s": "may be busy for {} s", "init_s": "may take {} s to connect", "quiet_s": "its events are over after {} s",
    "between_s": "at least {} s from one release to the next",
}  # fmt: skip
_SWITCHES = {
    ("same_stem", False): "raw file and JPEG have unlike names", ("ram_only", True): "photographs in memory alone",
    ("cached_settings", True): "settings are read back over a new connection alone",
    ("deletes", False): "files cannot be deleted", ("releases", False): "not released over the cable",
    ("same_stem", True): "raw file and JPEG have one stem", ("ram_only", False): "photographs on the card",
    ("cached_settings", False): "settings are read back as they are", ("deletes", True): "files can be deleted",
    ("releases", True): "released over the cable",
}  # fmt: skip
_ORDERS = {"raw_first": "raw file first", "jpeg_first": "JPEG first", "either": "raw file or JPEG first"}


def page(models: BodyModels) -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *(line for entry in models.entries for line in _section(entry))])


def facts(entry: ModelEntry) -> Iterator[str]:
    """What an entry sets, in words."""
    for key, value in entry.values.items():
        yield _fact(key, value)


def _section(entry: ModelEntry) -> Iterator[str]:
    yield f"## {entry.name}\n"
    yield f"Models: {', '.join(f'`{pattern}`' for pattern in entry.match)}\n"
    for fact in facts(entry):
        yield f"- {fact}"
    if entry.values:
        yield ""
    if entry.notes:
        yield f"{entry.notes}\n"
    yield "Sources:\n"
    for source in entry.sources:
        yield f"- [{_place(source.url)}]({source.url}): {source.says}"
    yield ""


def _fact(key: str, value: Any) -> str:
    if key in _WORDS:
        return _WORDS[key].format(f"{value:g}")
    if isinstance(value, bool):
        return _SWITCHES[key, value]
    if key == "order":
        return _ORDERS[str(value)]
    if key == "card_target":
        choices = ", ".join(f"`{choice}`" for choice in value)
        return f"capture target for the card: {choices}" if choices else "no capture target known"
    if key == "clock_settings":
        return f"clock: {', '.join(_clock(setting) for setting in value) or 'none that can be read'}"
    return f"{key} = {value}"


def _clock(setting: ClockSetting) -> str:
    return f"`{setting.name}` ({'UTC' if setting.keeps == 'utc' else 'local time'})"


def _place(url: str) -> str:
    """ "gphoto/libgphoto2 issues/374", "gphoto/libgphoto2 config.c"."""
    parts = url.removeprefix("https://github.com/").split("/")
    if len(parts) > 4 and parts[2] == "blob":
        return f"{parts[0]}/{parts[1]} {parts[-1].partition('#')[0]}"
    return f"{'/'.join(parts[:2])} {'/'.join(parts[2:])}".strip()
