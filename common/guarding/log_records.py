"""Log lines that nobody else can write: one record begins one line, whatever a node, a file or a peer has said.

As text for people, or as JSON for machines; which fire, take and camera a record is about: `log_fields`.
"""

import logging
import sys
from collections.abc import Mapping
from typing import ClassVar, TextIO

from common.guarding.json_log_records import JsonLogFormatter
from common.guarding.log_fields import LogFormat
from common.guarding.safe_text import plain_lines
from common.guarding.secret_masking import masked

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FURTHER = "    | "


class SafeLogFormatter(logging.Formatter):
    """A formatter whose records begin a line once: further lines are indented, tracebacks too. Secrets are masked."""

    form: ClassVar[LogFormat] = LogFormat.TEXT

    def format(self, record: logging.LogRecord) -> str:
        head, *further = plain_lines(masked(super().format(record))).split("\n")
        return "\n".join([head, *(_FURTHER + line for line in further)])


def log_to(
    stream: TextIO | None = None,
    level: int = logging.INFO,
    fmt: str = FORMAT,
    form: LogFormat = LogFormat.TEXT,
) -> None:
    """Let everything that is logged from `level` on go to `stream` (stderr), guarded. fmt: of text."""
    root = logging.getLogger()
    if root.handlers:  # somebody else's program, or called before
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(form, fmt, {}))
    root.setLevel(level)
    root.addHandler(handler)


def log_as_camera(camera: str) -> None:
    """From now on this process is one camera's: every line says which."""
    for handler in logging.getLogger().handlers:
        form = getattr(handler.formatter, "form", LogFormat.TEXT)
        handler.setFormatter(_formatter(form, f"%(asctime)s {camera} %(levelname)s %(message)s", {"camera": camera}))


def _formatter(form: LogFormat, fmt: str, fixed: Mapping[str, str]) -> logging.Formatter:
    if form is LogFormat.TEXT:
        return SafeLogFormatter(fmt)
    return JsonLogFormatter(fixed)
