"""Facial animation from a table: the CSV that the Live Link Face app writes of ARKit's 52 blend shapes.

    Timecode,BlendShapeCount,EyeBlinkLeft,...,TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,...,RightEyeRoll
    14:03:52:28.207,61,0.0123,...

Names count, not the columns' order. Other people's files have been through spreadsheets and other programs; what can be
mended is, and is told; what cannot is refused with the row and the column.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.array_types import Bools, Floats
from common.bounded.files import read_bytes
from common.bounded.limits import MAX_TABLE_BYTES, MAX_TABLE_COLUMNS, MAX_TABLE_ROWS
from processing.animation.timecodes import RATES, Timecode, over_midnight, rate_of
from processing.errors import DataError
from processing.template.face_units import ARKIT_UNITS

TURNS = ("yaw", "pitch", "roll")
HEAD = tuple(f"head{turn.title()}" for turn in TURNS)
EYES = tuple(f"{side}Eye{turn.title()}" for side in ("left", "right") for turn in TURNS)
_KNOWN = {name.lower(): name for name in (*ARKIT_UNITS, *HEAD, *EYES)}
_SIDES = {"_l": "left", "_r": "right"}  # as in eyeBlink_L, which other trackers write
_BESIDE = ("timecode", "blendshapecount")
_NEARLY = 0.5  # beyond 0..1: a filter's overshoot, cut off; more is no weight
_MOST_RADIANS = 3.2
_NAMED = 6  # that a note lists


class LiveLinkError(DataError):
    """A table holds no animation, or not one that can be trusted."""


@dataclass(frozen=True, eq=False)
class FacialAnimation:
    """A recording: weights and turns at times that need not be even."""

    times_s: Floats  # (T,) ascending from 0
    weights: Floats  # (T, 52) 0..1, in the order of ARKIT_UNITS
    head: Floats  # (T, 3) yaw, pitch, roll in radians; 0 where the file has none
    eyes: Floats  # (T, 2, 3) the same of the person's left eye and right one
    rate: float  # frames a second
    present: Bools  # (52,) units that the file has
    notes: tuple[str, ...]  # what was mended

    @property
    def turns(self) -> bool:
        """Whether the head moves in it."""
        return bool(self.head.any())

    def for_units(self, names: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
        """(T, U) weights in the order of a rig's units, and the units that move here and that it lacks."""
        place = {name: number for number, name in enumerate(ARKIT_UNITS)}
        out = np.zeros((len(self.times_s), len(names)))
        for number, name in enumerate(names):
            if name in place:
                out[:, number] = self.weights[:, place[name]]
        lacking = tuple(n for n in ARKIT_UNITS if n not in set(names) and self.weights[:, place[n]].any())
        return out, lacking


def read_live_link_face(path: Path, *, rate: float | None = None, degrees: bool = False) -> FacialAnimation:
    """A recording. rate: frames a second, where the timecodes do not say it. degrees: turns are in degrees.

    Raises LiveLinkError, saying which row and what to do.
    """
    try:
        text = _decoded(read_bytes(Path(path), MAX_TABLE_BYTES))
        header, rows, notes = _table(text)
        return _animation(header, rows, rate, degrees, notes)
    except OSError as error:
        raise LiveLinkError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise LiveLinkError(f"{path}: {error}") from None
    except LiveLinkError as error:
        raise LiveLinkError(f"{path}: {error}") from None


def _decoded(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LiveLinkError("is no text in UTF-8; save it as 'CSV UTF-8'") from None


def _table(text: str) -> tuple[list[str], list[tuple[int, list[str]]], list[str]]:
    """The column names, (line number, cells) of each row, and what was mended."""
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines) if line.strip(" ,;\t")), None)
    if first is None:
        raise LiveLinkError("is empty; record it again")
    separator = max(",;\t", key=lines[first].count)
    header = [cell.strip() for cell in next(csv.reader([lines[first]], delimiter=separator))]
    if len(header) > MAX_TABLE_COLUMNS:
        raise LiveLinkError(f"has {len(header)} columns; at most {MAX_TABLE_COLUMNS} are read")
    if not any(_unit(name) in ARKIT_UNITS for name in header):
        raise LiveLinkError(
            "its first line names none of ARKit's 52 blend shapes ('EyeBlinkLeft', 'JawOpen', ...): it is no recording "
            "of Live Link Face, or its first line is lost"
        )
    notes: list[str] = []
    rows: list[tuple[int, list[str]]] = []
    again = untracked = 0
    reader = csv.reader(io.StringIO("\n".join(lines[first + 1 :])), delimiter=separator)
    count = next((k for k, name in enumerate(header) if name.lower() == "blendshapecount"), None)
    for cells in reader:
        number = first + 1 + reader.line_num
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if [cell.lower() for cell in cells[: len(header)]] == [name.lower() for name in header]:
            again += 1
        elif count is not None and count < len(cells) and cells[count] in ("0", "0.0"):
            untracked += 1  # the app's rows while it sees no face
        else:
            rows.append((number, cells))
        if len(rows) > MAX_TABLE_ROWS:
            raise LiveLinkError(f"has more than {MAX_TABLE_ROWS:,} rows; cut it into several recordings")
    if again:
        notes.append(f"the line of names stands in it {again + 1} times: all but the first passed over")
    if untracked:
        notes.append(f"{untracked} rows without a face (BlendShapeCount 0): the face goes on evenly over them")
    return header, _of_full_length(rows, len(header), separator, notes), notes


def _of_full_length(
    rows: list[tuple[int, list[str]]], columns: int, separator: str, notes: list[str]
) -> list[tuple[int, list[str]]]:
    for place, (number, cells) in enumerate(rows):
        while len(cells) > columns and not cells[-1]:
            cells.pop()
        if len(cells) > columns:
            why = {
                ",": "; are its decimal points commas? Save it with semicolons between columns",
                ";": "; are its timecodes drop-frame, with ';' before the frames? Save it with commas between columns",
            }.get(separator, "")
            raise LiveLinkError(f"line {number} has {len(cells)} cells under {columns} names{why}")
        if len(cells) < columns:
            if place + 1 < len(rows):
                raise LiveLinkError(
                    f"line {number} has {len(cells)} cells under {columns} names: it is damaged; delete that line"
                )
            notes.append(f"the last line, {number}, is cut short: left out")
            rows = rows[:-1]
    if not rows:
        raise LiveLinkError("has a line of names and no rows: nothing was recorded")
    return rows


def _animation(
    header: list[str], rows: list[tuple[int, list[str]]], rate: float | None, degrees: bool, notes: list[str]
) -> FacialAnimation:
    columns = _columns(header, notes)
    times_s, kept, rate = _times(columns.pop("timecode", None), rows, rate, notes)
    rows = [rows[place] for place in kept]
    table = {name: _numbers(header[column], column, rows) for name, column in columns.items()}
    _fill(table, times_s, notes)
    return FacialAnimation(
        times_s - times_s[0],
        _weights(table, [number for number, _ in rows], notes),
        _turns(table, HEAD, degrees, len(rows), notes),
        _turns(table, EYES, degrees, len(rows), notes).reshape(-1, 2, 3),
        rate,
        np.array([name in table for name in ARKIT_UNITS]),
        tuple(notes),
    )


def _unit(name: str) -> str | None:
    """The name that a column stands for, as ARKit spells it: 'EyeBlinkLeft', 'eyeBlink_L', 'eye_blink_left' are one."""
    plain = name.strip().lower()
    plain = plain[:-2] + _SIDES[plain[-2:]] if plain[-2:] in _SIDES else plain
    return _KNOWN.get(plain.replace("_", "").replace(" ", ""))


def _columns(header: list[str], notes: list[str]) -> dict[str, int]:
    """Name -> column; 'timecode' among them where it is there."""
    found: dict[str, int] = {}
    unknown, twice = [], []
    for column, name in enumerate(header):
        known = name.lower() if name.lower() in _BESIDE else _unit(name)
        if known is None:
            unknown.append(name)
        elif known in found:
            twice.append(name)
        else:
            found[known] = column
    found.pop("blendshapecount", None)
    if twice:
        notes.append(f"columns that stand in it twice, the first is taken: {_listed(twice)}")
    if named := [name for name in unknown if name]:
        notes.append(f"columns that nothing is done with: {_listed(named)}")
    if missing := [name for name in ARKIT_UNITS if name not in found]:
        notes.append(f"units that the file lacks stay at 0: {_listed(missing)}")
    if any(name in found for name in HEAD) and (some := [name for name in HEAD if name not in found]):
        notes.append(f"turns that the file lacks stay at 0: {_listed(some)}")
    return found


def _times(
    column: int | None, rows: list[tuple[int, list[str]]], rate: float | None, notes: list[str]
) -> tuple[Floats, list[int], float]:
    """(T,) seconds, which rows they are of, and the frames a second."""
    if column is None:
        rate = rate or 60.0
        notes.append(f"no column 'Timecode': its rows are {rate:g} a second")
        return np.arange(len(rows)) / rate, list(range(len(rows))), rate
    codes = []
    for number, cells in rows:
        code = Timecode.parse(cells[column])
        if code is None:
            raise LiveLinkError(
                f"line {number}: '{cells[column][:40]}' is no timecode (HH:MM:SS:FF); mend it, or delete the column "
                "'Timecode' to have the rows follow evenly"
            )
        codes.append(code)
    spoken = rate_of(codes)
    rate = rate or spoken
    if rate < spoken:
        most = max(code.frames for code in codes)
        raise LiveLinkError(f"its timecodes have frames up to {most}: it was not recorded at {rate:g} a second")
    at_s = over_midnight(np.array([code.at_s(rate) for code in codes]))
    kept = [place for place in range(len(at_s)) if place + 1 == len(at_s) or at_s[place + 1] != at_s[place]]
    if len(kept) < len(at_s):
        notes.append(f"{len(at_s) - len(kept)} rows have the next one's timecode: the last of them is taken")
    at_s = at_s[kept]
    back = np.flatnonzero(np.diff(at_s) < 0)
    if len(back):
        number, cells = rows[kept[int(back[0]) + 1]]
        raise LiveLinkError(
            f"line {number}: its timecode {cells[column]} lies before that of the line above: two recordings in one "
            "file, or lines out of order; keep one recording, in its order"
        )
    if rate > RATES[-1] and len(at_s) > 1:  # thousandths in the place of frames
        rate = min(RATES, key=lambda one: abs(one - 1 / float(np.median(np.diff(at_s)))))
    steps = np.diff(at_s) * rate
    dropped = int(np.maximum(np.rint(steps) - 1, 0).sum())
    if dropped:
        notes.append(
            f"{dropped} frames dropped, {float(steps.max() / rate):.2f} s at most: the face goes on evenly over them"
        )
    return at_s, kept, rate


def _numbers(name: str, column: int, rows: list[tuple[int, list[str]]]) -> Floats:
    """(T,) of a column; NaN where a cell is empty or says that it is no number."""
    out = np.empty(len(rows))
    for place, (number, cells) in enumerate(rows):
        cell = cells[column].replace(",", ".")
        try:
            out[place] = float(cell) if cell else np.nan
        except ValueError:
            raise LiveLinkError(
                f"line {number}, {name}: '{cell[:40]}' is no number; mend it or empty the cell"
            ) from None
    return out


def _fill(table: dict[str, Floats], times_s: Floats, notes: list[str]) -> None:
    """Numbers evenly between their neighbours where there are none, in place."""
    holes, empty = {}, []
    for name, values in list(table.items()):
        there = np.isfinite(values)
        if there.all():
            continue
        if not there.any():
            empty.append(name)
            del table[name]
            continue
        holes[name] = int((~there).sum())
        values[~there] = np.interp(times_s[~there], times_s[there], values[there])
    if empty:
        notes.append(f"columns without a number stay at 0: {_listed(empty)}")
    if holes:
        notes.append(f"{sum(holes.values())} cells without a number, filled evenly: {_listed(list(holes))}")


def _weights(table: dict[str, Floats], lines: list[int], notes: list[str]) -> Floats:
    """(T, 52), cut to 0..1."""
    out = np.zeros((len(lines), len(ARKIT_UNITS)))
    cut = []
    for number, name in enumerate(ARKIT_UNITS):
        values = table.get(name)
        if values is None:
            continue
        far = np.flatnonzero((values < -_NEARLY) | (values > 1 + _NEARLY))
        if len(far):
            percent = " Are they percent? Divide them by 100" if values.max() <= 100 else " Mend it"
            raise LiveLinkError(f"line {lines[far[0]]}, {name}: {values[far[0]]:g} is no weight of 0 to 1.{percent}")
        if values.min() < 0 or values.max() > 1:
            cut.append(name)
        out[:, number] = np.clip(values, 0, 1)
    if cut:
        notes.append(f"weights a little out of 0..1, cut off: {_listed(cut)}")
    return out


def _turns(table: dict[str, Floats], names: tuple[str, ...], degrees: bool, rows: int, notes: list[str]) -> Floats:
    """(T, n) radians."""
    turns = np.stack([table.get(name, np.zeros(rows)) for name in names], axis=1)
    most = float(np.abs(turns).max(initial=0.0))
    if not degrees and most > _MOST_RADIANS:
        notes.append(f"turns of up to {most:.1f}: read as degrees")
        degrees = True
    if degrees and most > 360:
        raise LiveLinkError(f"turns of up to {most:.0f} are neither radians nor degrees: {_listed(list(names))}")
    return np.asarray(np.radians(turns) if degrees else turns)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(name[:40] for name in names[:_NAMED]) + more
