"""Numbers and lines of mesh files that are text."""

from collections.abc import Iterable
from typing import BinaryIO

from common.bounded.limits import MAX_LINE_BYTES


class LineTooLong(ValueError):
    """A line of more than MAX_LINE_BYTES."""


class TextLines:
    """A text file's lines, numbered; blank ones are passed over. Ends of lines: LF, CR LF, or CR alone."""

    def __init__(self, file: BinaryIO, number: int = 0) -> None:
        self._file = file
        self._pending: list[bytes] = []
        self._begun = b""
        #: Of the line read last.
        self.number = number

    def words(self) -> list[bytes]:
        """Of the next line that has any; none at the end. Raises LineTooLong."""
        while line := self.line():
            if words := line.split():
                return words
        return []

    def line(self) -> bytes:
        """The next line with its end; empty at the end of the file. Raises LineTooLong."""
        line = self._pending.pop() if self._pending else self._next()
        if len(line) > MAX_LINE_BYTES:
            raise LineTooLong(f"is longer than {MAX_LINE_BYTES:,} bytes")
        self.number += bool(line)
        return line

    def _next(self) -> bytes:
        line = self._begun + self._file.readline(MAX_LINE_BYTES + 1 - len(self._begun))
        self._begun = b""
        if b"\r" not in line or len(parts := line.splitlines(keepends=True)) == 1:
            return line
        if len(line) > MAX_LINE_BYTES and not parts[-1].endswith((b"\r", b"\n")):
            self._begun = parts.pop()
        self._pending = parts[:0:-1]
        return parts[0]


def numbers(words: Iterable[bytes]) -> list[float]:
    """Raises ValueError for what is none. Those that are not finite in any spelling: nan, -nan(ind), 1.#QNAN, inf."""
    words = list(words)
    try:
        found = list(map(float, words))
    except ValueError:
        return [_number(word) for word in words]
    if any(b"_" in word for word in words):  # Python's own
        raise ValueError("a number with an underscore")
    return found


def _number(word: bytes) -> float:
    low = word.lower().lstrip(b"+-")
    if low.startswith((b"nan", b"1.#qnan", b"1.#ind", b"1.#snan")):
        return float("nan")
    return float("inf") if low.startswith(b"1.#inf") else float(word)
