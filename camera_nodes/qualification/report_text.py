"""A report for people: a table of plain text, since a camera computer has no more than that."""

from collections.abc import Iterator

from camera_nodes.qualification.report import QualificationReport, SampleSummary, Setting

_WIDTH = 18


def table(report: QualificationReport) -> str:
    """The report, its verdict last."""
    lines = [f"{report.model}, serial {report.serial or 'not told'}, firmware {report.firmware or 'not told'}"]
    lines += [f"  {name:<{_WIDTH}} {text}" for name, text in _rows(report)]
    lines.append("")
    broken_off = "" if report.finished else " as far as it was measured: it was broken off"
    lines.append(report.verdict.replace("_", " ").upper() + broken_off)
    lines += [f"  {'UNFIT ' if r.unfit else 'remark'}  {r.what}{f' (limit: {r.limit})' if r.limit else ''}"
              for r in report.reasons]  # fmt: skip
    return "\n".join(lines)


def _rows(report: QualificationReport) -> Iterator[tuple[str, str]]:
    yield "address", f"{report.address}{f', released by {report.release}' if report.release else ''}"
    yield "library", report.library or "not told"
    yield "table of models", " > ".join(report.table) or "no entry: as any body"
    target = report.target
    if target.choices:
        yield "capture target", f"{target.read_back or target.found} of {', '.join(target.choices)}"
        yield "  reconnected", f"{target.after_reopening}"
    else:
        yield "capture target", "no such setting"
    for store in report.stores:
        room = [
            f"{n} {unit}" for n, unit in ((store.free_mb, "MB"), (store.free_photos, "photographs")) if n is not None
        ]
        yield "store", f"{store.place} {store.label}".strip() + f", free: {', '.join(room) or 'not told'}"
    for setting in report.formats:
        yield "format", _setting(setting)
    for settle in report.settles:
        figures = [f"{what} {_ms(s)}" for what, s in (("one step", settle.near_ms), ("across", settle.far_ms)) if s]
        yield settle.name, "; ".join([*figures, *settle.refused[:2]]) or "not measured"
    yield from _times(report)
    yield from _exposures(report)
    yield from _after(report)


def _times(report: QualificationReport) -> Iterator[tuple[str, str]]:
    times = report.times
    if times.open_s:
        yield "connecting", _spread(times.open_s, "s", 2)
    for name, found in (
        ("arming", times.arm_ms), ("release answered", times.release_ms), ("release to file", times.file_ms),
        ("release to raw", times.raw_ms), ("poll overrun", times.poll_ms),
    ):  # fmt: skip
        if found:
            yield name, _ms(found)
    if times.read_mb_s:
        yield "reading", _spread(times.read_mb_s, "MB/s", 1)
    if report.lag:
        yield "shutter lag", f"{_ms(report.lag.ms)}, sigma {report.lag.ms.sigma:.2f} ms, seen by {report.lag.source}"
    else:
        yield "shutter lag", "not seen by this release: measure it by hot shoe or LED board"


def _exposures(report: QualificationReport) -> Iterator[tuple[str, str]]:
    shots = report.exposures
    yield (
        "exposures",
        (
            f"{shots.made} of {shots.wanted} made, {shots.whole} photographs whole, {shots.without} missing"
            f" ({shots.late} late), {shots.cut} cut"
        ),
    )
    if shots.raw_wanted:
        yield "raw files", f"{shots.raw_came} of {shots.raw_wanted}, {shots.order.replace('_', ' ')}"
    yield "other files", f"{shots.strays} strays, {shots.copies} copies, {shots.duplicates} announced again"
    events = report.events
    dry = {True: "runs dry", False: "never runs dry", None: "not looked at"}[events.runs_dry]
    yield "events", f"{sum(events.kinds.values())}, at most {events.busiest} around an exposure; the queue {dry}"
    yield "busy", f"{report.busy_answers} answers, at most {report.busy_longest_s:.1f} s"
    for fault in report.faults[:6]:
        yield "fault", f"{fault.count} x {fault.where} ({fault.code}): {fault.example[:80]}"


def _after(report: QualificationReport) -> Iterator[tuple[str, str]]:
    gone = report.deletion
    yield (
        "deletion",
        (
            f"{gone.deleted} of {gone.tried}, {gone.refused} refused, {gone.still_there} still there"
            if gone.tried
            else "not tried"
        ),
    )
    for recovery in report.recoveries:
        took = "never" if recovery.seconds is None else f"after {recovery.seconds:.1f} s"
        kept = {True: "its photograph kept", False: "its photograph LOST", None: "no photograph to keep"}[
            recovery.found
        ]
        yield "recovery", f"{recovery.how}: answers {took}, {kept}, {'shoots' if recovery.shoots else 'does not shoot'}"
    clock = report.clock
    if clock.error_s is None:
        yield "clock", "not told"
    else:
        after = (
            f", {clock.error_after_s:+.0f} s after setting {clock.set_by}" if clock.error_after_s is not None else ""
        )
        yield "clock", f"{clock.error_s:+.0f} s{after}"
    battery = "not told" if report.battery_percent is None else f"{report.battery_percent} %"
    left = "not told" if report.photos_left is None else str(report.photos_left)
    yield "battery", f"{battery}; photographs left: {left}"


def _setting(setting: Setting) -> str:
    choices = ", ".join(setting.choices[:6]) + (", ..." if len(setting.choices) > 6 else "")
    return f"{setting.name} = {setting.value}{f' of {choices}' if choices else ''}"


def _ms(found: SampleSummary) -> str:
    return _spread(found, "ms", 1)


def _spread(found: SampleSummary, unit: str, digits: int) -> str:
    figures = (f"{value:.{digits}f}" for value in (found.median, found.p90, found.p99, found.most))
    return " / ".join(figures) + f" {unit}" + (" (median, 90 %, 99 %, most)" if found.count > 1 else "")
