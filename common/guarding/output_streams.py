"""The terminal that a command writes to: nothing that came from elsewhere is obeyed there.

Colours and the movements of a progress bar pass, and only where a person looks at a terminal; everything else that a
terminal would obey is written out (\\u001b), which in JSON is the same text again.
"""

import io
import re
import sys
from typing import TextIO

from common.guarding.safe_text import escaped_lines

# What rich writes: colours, the cursor up, to the first column, hidden and shown, a line erased.
_OWN = re.compile(r"(\x1b\[[0-9;]*m|\x1b\[\d*[A-D]|\x1b\[\d*G|\x1b\[\?25[lh]|\x1b\[[012]?K|\r)")


class GuardedStream(io.TextIOWrapper):
    """Takes the place of standard output or error."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        line_buffered, encoding = stream.line_buffering, stream.encoding
        super().__init__(stream.detach(), encoding, "backslashreplace", line_buffering=line_buffered)
        self._terminal = self.isatty()

    def write(self, text: str) -> int:
        if self._terminal:
            parts = _OWN.split(text)
            parts[::2] = map(escaped_lines, parts[::2])
            super().write("".join(parts))
        else:
            super().write(escaped_lines(text))
        return len(text)


def sanitise_standard_streams() -> None:
    """From now on what is written to standard output and error is guarded."""
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


def _guarded(stream: TextIO) -> TextIO:
    """Where a test or a caller has put something else in place, that stays."""
    return GuardedStream(stream) if type(stream) is io.TextIOWrapper else stream
