"""Log lines that nobody else can write: one record begins one line, whatever a node, a file or a peer has said."""

import logging
import sys
from typing import TextIO

from common.guarding.safe_text import plain_lines
from common.guarding.secret_masking import masked

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FURTHER = "    | "


class SafeLogFormatter(logging.Formatter):
    """A formatter whose records begin a line once: further lines are indented, tracebacks too. Secrets are masked."""

    def format(self, record: logging.LogRecord) -> str:
        head, *further = plain_lines(masked(super().format(record))).split("\n")
        return "\n".join([head, *(_FURTHER + line for line in further)])


def log_to(stream: TextIO | None = None, level: int = logging.INFO, fmt: str = FORMAT) -> None:
    """Let everything that is logged from `level` on go to `stream` (stderr), guarded."""
    root = logging.getLogger()
    if root.handlers:  # somebody else's program, or called before
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(SafeLogFormatter(fmt))
    root.setLevel(level)
    root.addHandler(handler)
