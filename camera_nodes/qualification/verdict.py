"""Whether a body is fit for the rig, and each reason with the limit that it is held to."""

from collections.abc import Iterator

from camera_nodes.camera_models.models import BodyModel
from camera_nodes.qualification.report import QualificationReport, Reason, Verdict

MIN_BATTERY_PERCENT = 20
MAX_CLOCK_ERROR_S = 2.0
MAX_LAG_SIGMA_MS = 1.06  # 68 cameras then lie within 5 ms: 4.7 sigma
MAX_REOPEN_S = 20.0
MIN_SHOTS = 20  # fewer say little of faults that come now and then


def decide_fitness(report: QualificationReport, known: BodyModel) -> tuple[Verdict, tuple[Reason, ...]]:
    """The verdict and the reasons, those that make it unfit first.  `known`: what its table says of the model."""
    reasons = [*_exposures(report, known), *_storage(report, known), *_settings(report, known), *_recovery(report)]
    reasons += [*_habits(report, known), *_condition(report)]
    reasons.sort(key=lambda reason: not reason.unfit)
    if any(reason.unfit for reason in reasons):
        return "unfit", tuple(reasons)
    return ("fit_with_remarks" if reasons else "fit"), tuple(reasons)


def _exposures(report: QualificationReport, known: BodyModel) -> Iterator[Reason]:
    shots = report.exposures
    if not known.releases and not report.release:
        yield Reason(True, "this model cannot be released over the cable, says the table: release it by wires")
    if shots.wanted and not shots.made:
        yield Reason(True, "it made no exposure", f"{shots.wanted} were asked for")
    elif shots.made < shots.wanted:
        broken = report.finished
        yield Reason(broken, f"{shots.made} of {shots.wanted} exposures were made", "all" if broken else "broken off")
    elif shots.made < MIN_SHOTS:
        yield Reason(False, f"only {shots.made} exposures were made", f"{MIN_SHOTS} at least, to see rare faults")
    if shots.without:
        yield Reason(
            True, f"{shots.without} of {shots.made} exposures gave no photograph", f"0 within {known.file_s:g} s"
        )
    if shots.late:
        yield Reason(False, f"{shots.late} of them came later, before the next exposure", f"{known.file_s:g} s")
    if shots.cut:
        yield Reason(True, f"{shots.cut} photographs came short or without their end", "0")
    if shots.raw_came < shots.raw_wanted:
        yield Reason(True, f"{shots.raw_wanted - shots.raw_came} raw files did not come", "0")
    if shots.strays:
        yield Reason(True, f"{shots.strays} files came that no exposure of ours made", "0")
    if shots.unmatched_raw:
        yield Reason(
            known.same_stem and not known.ram_only,
            f"{shots.unmatched_raw} raw files are named unlike their photograph: nothing says what they belong to",
            "0",
        )


def _storage(report: QualificationReport, known: BodyModel) -> Iterator[Reason]:
    target = report.target
    now = target.after_reopening or target.read_back or target.found
    if known.ram_only:
        yield Reason(True, "this model keeps photographs in memory alone, says the table: a cut loses them")
    elif target.choices and (now is None or "card" not in now.lower()):
        yield Reason(True, f"the capture target is {now!r} and not the card", f"one of {', '.join(known.card_target)}")
    elif target.set_to and target.read_back and target.after_reopening != target.read_back:
        yield Reason(False, f"the capture target is {target.after_reopening!r} on a new connection", target.read_back)
    if len(report.stores) > 1:
        yield Reason(False, f"it tells of {len(report.stores)} stores: see that only one of them takes photographs")
    if report.photos_left is None:
        yield Reason(False, "it does not tell how many photographs have room")
    deletion = report.deletion
    if deletion.refused:
        yield Reason(
            False, f"{deletion.refused} of {deletion.tried} deletions were refused: empty its card by hand", "0"
        )
    if deletion.still_there:
        yield Reason(
            False, f"{deletion.still_there} files are on the card still, though their deletion was accepted", "0"
        )


def _settings(report: QualificationReport, known: BodyModel) -> Iterator[Reason]:
    for settle in report.settles:
        if settle.refused:
            yield Reason(True, f"{settle.name} did not take: {'; '.join(settle.refused[:3])}", f"{known.settle_s:g} s")
        if settle.holds is False and known.cached_settings:
            yield Reason(True, f"{settle.name} reads otherwise on a new connection: what was read back was not so")
        elif settle.holds is False:
            yield Reason(False, f"{settle.name} is not kept over a new connection: it is set again at each arming")
        slowest = max((s.most for s in (settle.near_ms, settle.far_ms) if s), default=0.0) / 1e3
        if slowest > known.settle_s:
            yield Reason(
                False, f"{settle.name} takes {slowest:.1f} s to be there", f"{known.settle_s:g} s in the table"
            )
    raw_alone = [f for f in report.formats if is_raw_alone(f.value)]
    if raw_alone:
        named = ", ".join(f"{f.name} = {f.value!r}" for f in raw_alone)
        yield Reason(True, f"{named}: a raw file alone gives no photograph to check", "RAW + JPEG, or JPEG")


def _recovery(report: QualificationReport) -> Iterator[Reason]:
    for how in dict.fromkeys(recovery.how for recovery in report.recoveries):
        tries = [recovery for recovery in report.recoveries if recovery.how == how]
        after = "after the connection was made anew" if how == "reopened" else "after its cable was pulled"
        of = f" ({len(tries)} tries)"
        silent = sum(recovery.seconds is None for recovery in tries)
        lost = sum(recovery.found is False for recovery in tries)
        stuck = sum(recovery.shoots is False for recovery in tries)
        longest = max((recovery.seconds or 0.0 for recovery in tries), default=0.0)
        if silent:
            yield Reason(True, f"{after} it did not answer any more")
        if lost:
            yield Reason(True, f"{after} {lost} photographs not yet read were gone{of}", "0: they lie on the card")
        if stuck:
            yield Reason(True, f"{after} {stuck} exposures failed{of}", "0")
        if longest > MAX_REOPEN_S:
            yield Reason(False, f"{after} it answered after {longest:.1f} s", f"{MAX_REOPEN_S:g} s")


def _habits(report: QualificationReport, known: BodyModel) -> Iterator[Reason]:
    times, shots = report.times, report.exposures
    if times.file_ms and times.file_ms.most / 1e3 > known.file_s / 2:
        slowest = times.file_ms.most / 1e3
        yield Reason(False, f"a photograph took {slowest:.1f} s from its release", f"{known.file_s:g} s in the table")
    if report.busy_longest_s > known.busy_s:
        yield Reason(False, f"it was busy for {report.busy_longest_s:.1f} s", f"{known.busy_s:g} s in the table")
    elif report.busy_answers:
        yield Reason(False, f"it answered {report.busy_answers} times that it is busy")
    if shots.copies:
        yield Reason(False, f"{shots.copies} photographs came a second time from another folder: set one slot to JPEG")
    if shots.duplicates:
        yield Reason(False, f"it announced {shots.duplicates} files more than once")
    if report.events.runs_dry is False:
        yield Reason(False, "its queue of events never runs dry")
    told_elsewhere = ("camera_busy", "-110", "not_deleted")
    for fault in report.faults:
        if fault.code not in told_elsewhere and fault.where != "file_delete":
            yield Reason(False, f"{fault.count} times in {fault.where}: {fault.example}", "0")
    if report.lag and report.lag.ms.count > 1 and report.lag.ms.sigma > MAX_LAG_SIGMA_MS:
        yield Reason(
            False,
            f"its shutter lag varies by {report.lag.ms.sigma:.2f} ms (standard deviation)",
            f"{MAX_LAG_SIGMA_MS} ms, for 68 cameras within 5 ms",
        )


def _condition(report: QualificationReport) -> Iterator[Reason]:
    clock = report.clock
    error = clock.error_s if clock.error_after_s is None else clock.error_after_s
    if error is None:
        yield Reason(False, "it does not tell its clock: capture times cannot be held against it")
    elif abs(error) > MAX_CLOCK_ERROR_S:
        yield Reason(False, f"its clock is {error:+.0f} s off and could not be set right", f"{MAX_CLOCK_ERROR_S:g} s")
    if report.battery_percent is None:
        yield Reason(False, "it does not tell how full its battery is")
    elif report.battery_percent < MIN_BATTERY_PERCENT:
        yield Reason(False, f"its battery is at {report.battery_percent} %", f"{MIN_BATTERY_PERCENT} %")


def is_raw_alone(image_format: str) -> bool:
    """Whether an image format ("RAW", "NEF (Raw)", "RAW + Large Fine JPEG") keeps raw files and nothing else."""
    text = image_format.lower()
    raw = any(word in text for word in ("raw", "nef", "cr2", "cr3", "arw", "raf", "rw2", "dng"))
    return raw and "+" not in text and "jp" not in text
