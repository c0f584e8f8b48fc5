"""The body of a PLY file (Turk 1994), as text or binary in either order of bytes: rows of its elements.

What is not asked for is passed over, whatever it is: an element, a property, a list before or after the wanted one.
"""

import mmap
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from common.array_types import Ints64
from common.bounded.limits import MAX_FACES, MAX_POLYGON
from processing.files.mesh_text import LineTooLong, TextLines, numbers
from processing.files.ply_header import CORNER_LISTS, PlyElement, PlyError, PlyHeader

Data = bytes | mmap.mmap
_PADDING = b" \t\r\n\0"


@dataclass(frozen=True, eq=False)
class PlyRows:
    """What a PLY file says of the rows of an element."""

    #: Name of each property that is no list -> (N,).
    columns: dict[str, NDArray[Any]]
    #: (N,) corners of each row and all of them, one row after another; empty for an element without.
    corner_counts: Ints64
    corners: NDArray[Any]
    #: Where a row (from 0) stands: 'line 12', 'face 3 (byte 451)'.
    place: Callable[[int], str]


_NONE = np.zeros(0, np.int64)


def read_ply_rows(file: BinaryIO, data: Data, header: PlyHeader) -> dict[str, PlyRows]:
    """Vertices and faces. Raises PlyError, with line or row and byte, for a body that is not what the header says.

    data: all of the file.
    """
    wanted = ("vertex", "face")
    if header.form == "ascii":
        file.seek(header.start)
        return _TextBody(file, header).rows(wanted)
    return _BinaryBody(data, header).rows(wanted)


def _refuse_lengths(where: str, name: str, length: int) -> None:
    """Raises PlyError for a list that is no polygon's."""
    if not 0 <= length <= MAX_POLYGON:
        raise PlyError(where, f"its list {name} has {length:,} items; at most {MAX_POLYGON:,} are read")
    if name in CORNER_LISTS and length < 3:
        raise PlyError(where, f"a face has {length} corners")


class _TextBody:
    def __init__(self, file: BinaryIO, header: PlyHeader) -> None:
        self.lines, self.elements = TextLines(file, header.lines), header.elements

    def rows(self, wanted: tuple[str, ...]) -> dict[str, PlyRows]:
        found: dict[str, PlyRows] = {}
        try:
            for element in self.elements:
                read = self._with_lists if element.has_list else self._plain
                rows = read(element) if element.properties else None
                if rows is not None and element.name in wanted:
                    found[element.name] = rows
            if self.lines.words():
                last = self.elements[-1]
                raise PlyError(
                    self._here(), f"it goes on after the last of the {last.count:,} {last.many} of its header"
                )
        except LineTooLong as error:
            raise PlyError(self._here(), str(error)) from None
        return found

    def _here(self) -> str:
        return f"line {self.lines.number:,}"

    def _words(self, element: PlyElement, row: int) -> list[bytes]:
        words = self.lines.words()
        if not words:
            raise PlyError(self._here(), f"it is cut short: it has {row:,} of {element.count:,} {element.many}")
        return words

    def _wrong(self, element: PlyElement, row: int, words: list[bytes], why: str) -> NoReturn:
        here = self._here()
        last = row + 1 == element.count or not self.lines.words()
        what = "it is cut short or damaged" if last else f"it cannot be read as one of its {element.many}"
        said = b" ".join(words)[:60].decode("utf-8", "replace")
        raise PlyError(here, f"{what} ({row:,} of {element.count:,} {element.many} are whole; {why}): {said!r}")

    def _plain(self, element: PlyElement) -> PlyRows:
        width = len(element.properties)
        values, places = array("d"), array("I")
        for row in range(element.count):
            words = self._words(element, row)
            places.append(self.lines.number)
            try:
                if len(words) != width:
                    raise ValueError(f"{len(words)} numbers, not {width}")
                values.extend(numbers(words))
            except (ValueError, OverflowError) as error:
                self._wrong(element, row, words, _why(error))
        table = np.frombuffer(values, np.float64).reshape(-1, width) if values else np.zeros((0, width))
        columns: dict[str, NDArray[Any]] = {}
        for k, one in enumerate(element.properties):
            columns[one.name] = _as_declared(table[:, k], one.letters, lambda row: f"line {places[row]:,}", one.name)
        return PlyRows(columns, _NONE, _NONE, lambda row: f"line {places[row]:,}")

    def _with_lists(self, element: PlyElement) -> PlyRows:
        counts, corners, places = array("q"), array("q"), array("I")
        values: dict[str, array[float]] = {p.name: array("d") for p in element.properties if not p.length_letters}
        for row in range(element.count):
            words = self._words(element, row)
            places.append(self.lines.number)
            at = 0
            try:
                for name, _, of_list in element.properties:
                    if not of_list:
                        values[name].extend(numbers([words[at]]))
                        at += 1
                        continue
                    length = int(words[at])
                    _refuse_lengths(self._here(), name, length)
                    items = words[at + 1 : at + 1 + length]
                    if len(items) < length:
                        raise ValueError(f"{len(items)} of {length} in its list {name}")
                    if name in CORNER_LISTS:
                        corners.extend(map(int, items))
                        counts.append(length)
                    at += 1 + length
                if at != len(words):
                    raise ValueError(f"{len(words)} numbers, not {at}")
            except PlyError:
                raise
            except (ValueError, IndexError, OverflowError) as error:
                self._wrong(element, row, words, _why(error))
            if len(corners) > 3 * MAX_FACES:
                raise PlyError(self._here(), f"it has more than {MAX_FACES:,} triangles")
        columns: dict[str, NDArray[Any]] = {name: np.array(found) for name, found in values.items()}
        place: Callable[[int], str] = lambda row: f"line {places[row]:,}"  # noqa: E731
        return PlyRows(columns, np.array(counts, np.int64), np.array(corners, np.int64), place)


def _why(error: Exception) -> str:
    return "a number is missing" if isinstance(error, IndexError) else str(error)[:80]


def _as_declared(values: NDArray[np.float64], letters: str, place: Callable[[int], str], name: str) -> NDArray[Any]:
    """A column in the type that the header says. Raises PlyError for a number that does not fit it."""
    kind = np.dtype(letters)
    if kind.kind == "f":
        return values
    limits = np.iinfo(kind)
    wrong = ~((values >= limits.min) & (values <= limits.max) & (values == np.rint(values)))
    if wrong.any():
        row = int(wrong.argmax())
        raise PlyError(place(row), f"its {name} is {values[row]:g}; the header says whole numbers up to {limits.max:,}")
    return values.astype(kind)


class _BinaryBody:
    def __init__(self, data: Data, header: PlyHeader) -> None:
        self.data, self.header, self.order = data, header, header.order

    def rows(self, wanted: tuple[str, ...]) -> dict[str, PlyRows]:
        found: dict[str, PlyRows] = {}
        at = self.header.start
        for element in self.header.elements:
            rows, at = self._element(element, at)
            if element.name in wanted:
                found[element.name] = rows
        for start in range(at, len(self.data), 1 << 20):
            if self.data[start : start + (1 << 20)].strip(_PADDING):
                last = self.header.elements[-1]
                more = f"it goes on for {len(self.data) - at:,} bytes after the last of the {last.count:,} {last.many}"
                raise PlyError(f"byte {at:,}", f"{more} of its header")
        return found

    def _element(self, element: PlyElement, start: int) -> tuple[PlyRows, int]:
        """Its rows, and the byte behind them."""
        fixed = self._fixed_rows(element, start)
        if fixed is None or (element.has_list and len(fixed[0]) < element.count):  # cut, or later lists are shorter
            return _Walk(self.data, element, start, self.order).rows()
        rows, lengths = fixed
        if len(rows) < element.count:
            self._cut(element, start, len(rows), rows.dtype.itemsize)

        def place(row: int) -> str:
            return f"{element.name} {row + 1:,} (byte {start + row * rows.dtype.itemsize:,})"

        columns = {p.name: rows[p.name] for p in element.properties if not p.length_letters}
        corners = next((name for name in lengths if name in CORNER_LISTS), None)
        if corners is None:
            return PlyRows(columns, _NONE, _NONE, place), start + rows.nbytes
        counts = np.full(len(rows), lengths[corners])
        return PlyRows(columns, counts, rows[corners].ravel(), place), start + rows.nbytes

    def _fixed_rows(self, element: PlyElement, start: int) -> tuple[NDArray[Any], dict[str, int]] | None:
        """The whole rows that are there, and the length of each list; None where lists are not all as the first's."""
        if not element.has_list or not element.count:
            kind = element.row_type(self.order) if not element.has_list else np.dtype([])
            lengths: dict[str, int] = {}
        else:
            first = _Walk(self.data, element, start, self.order)
            first.one_row(start, 0)
            lengths = dict(first.lengths)
            fields: list[Any] = []
            for name, letters, of_list in element.properties:
                if of_list:
                    fields.append((f"{name}#", self.order + of_list))
                fields.append((name, self.order + letters, (lengths[name],) if of_list else ()))
            kind = np.dtype(fields)
        if not kind.itemsize:
            return np.zeros(element.count if not element.has_list else 0, kind), lengths
        there = max(0, len(self.data) - start) // kind.itemsize
        rows = np.frombuffer(self.data, kind, min(element.count, there), start if there else 0)
        same = all((rows[f"{name}#"] == length).all() for name, length in lengths.items())
        return (rows, lengths) if same else None

    def _cut(self, element: PlyElement, start: int, there: int, size: int) -> NoReturn:
        where = f"{element.name} {there + 1:,} (byte {start + there * size:,})"
        raise PlyError(where, f"it is cut short: it has {there:,} of {element.count:,} {element.many}")


class _Walk:
    """Rows of an element whose lists differ in length, one after another."""

    def __init__(self, data: Data, element: PlyElement, start: int, order: str) -> None:
        self.data, self.element, self.start, self.order = data, element, start, order
        self.fields = [
            (
                p.name,
                np.dtype(order + p.letters).itemsize,
                np.dtype(order + (p.length_letters or "u1")),
                bool(p.length_letters),
            )
            for p in element.properties
        ]
        self.byte_order: Any = "big" if order == ">" else "little"
        #: Of the lists of the last row that was looked at.
        self.lengths: dict[str, int] = {}
        self.offsets: dict[str, array[int]] = {p.name: array("q") for p in element.properties}

    def one_row(self, at: int, row: int) -> int:
        """The byte behind the row that begins at this one. Raises PlyError."""
        begin, end = at, len(self.data)
        for name, size, length_type, of_list in self.fields:
            length = 1
            if of_list:
                raw = self.data[at : at + length_type.itemsize]
                length = int.from_bytes(raw, self.byte_order, signed=length_type.kind == "i")
                at += length_type.itemsize
                if at <= end:
                    where = f"{self.element.name} {row + 1:,} (byte {begin:,})"
                    _refuse_lengths(where, name, length)
                self.lengths[name] = length
            self.offsets[name].append(at)
            at += length * size
        if at > end:
            where = f"{self.element.name} {row + 1:,} (byte {begin:,})"
            what = f"it is cut short: it has {row:,} of {self.element.count:,} {self.element.many}"
            raise PlyError(where, what)
        return at

    def rows(self) -> tuple[PlyRows, int]:
        """All of them, and the byte behind them. Raises PlyError."""
        at, total = self.start, 0
        begins, counts = array("q"), array("q")
        corner_list = next((p for p in self.element.properties if p.name in CORNER_LISTS and p.length_letters), None)
        for row in range(self.element.count):
            begins.append(at)
            at = self.one_row(at, row)
            if corner_list is not None:
                counts.append(self.lengths[corner_list.name])
                total += counts[-1]
                if total > 3 * MAX_FACES:
                    raise PlyError(f"face {row + 1:,}", f"it has more than {MAX_FACES:,} triangles")
        columns = {
            p.name: self._gather(np.array(self.offsets[p.name]), p.letters, 1)[:, 0]
            for p in self.element.properties
            if not p.length_letters
        }
        lengths, corners = np.array(counts, np.int64), _NONE
        if corner_list is not None:
            corners = np.zeros(total, np.int64)
            ends, offsets = np.cumsum(lengths), np.array(self.offsets[corner_list.name])
            for length in np.unique(lengths):
                some = np.flatnonzero(lengths == length)
                into = (ends[some] - length)[:, None] + np.arange(length)
                corners[into] = self._gather(offsets[some], corner_list.letters, int(length))

        def place(row: int) -> str:
            return f"{self.element.name} {row + 1:,} (byte {begins[row]:,})"

        return PlyRows(columns, lengths, corners, place), at

    def _gather(self, offsets: Ints64, letters: str, length: int) -> NDArray[Any]:
        """(N, length) numbers that stand at N bytes."""
        kind = np.dtype(self.order + letters)
        raw = np.frombuffer(self.data, np.uint8)
        return np.asarray(raw[offsets[:, None] + np.arange(length * kind.itemsize)].view(kind))
