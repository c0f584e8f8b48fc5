"""A photograph belongs to its take or it does not: by its time, its exposure and its number."""

import io
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from camera_nodes import wire
from common.setting_values import setting_number
from controller.image_files.exif_consistency import (
    FileNumberCounter,
    StampedExposure,
    capture_time_mismatch,
    counter_advanced,
    deviations,
    file_number,
)
from controller.image_files.photograph_reader import Exif, exif_of, read_photo
from controller.rig_file import CheckLimits, Rig
from controller.studio import Studio
from controller.take_checks.check_context import CheckContext
from controller.take_checks.check_process import look
from controller.take_checks.photograph_checks import examined
from controller.takes.take_progress import TakeProgress
from controller.takes.take_under_way import TakeUnderWay
from db.engine import reading
from db.models import Frame

FIRED = datetime(2026, 3, 1, 10, 15, 2, 640_000, tzinfo=UTC)

moments = st.datetimes(datetime(2005, 1, 1), datetime(2060, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))
zones = st.integers(-12 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters))
# A clock that runs wrong, or was never set: but not by as much as makes its zone a riddle.
drifts = st.floats(-400, 400).map(lambda seconds: timedelta(seconds=seconds))
exposures = st.sampled_from([None, 1 / 8000, 1 / 125, 0.5, 1.0])


class Body:
    """A camera's clock: its zone, how wrong it is, whether it tells either or a fraction of a second."""

    def __init__(self, zone: timedelta, drift: timedelta, tells_zone: bool, tells_fraction: bool, asked_utc: bool):
        self.zone, self.drift = zone, drift
        self.tells_zone, self.tells_fraction, self.asked_utc = tells_zone, tells_fraction, asked_utc

    def exif(self, at: datetime, exposure_s: float | None) -> Exif:
        local = at + self.drift + self.zone
        minutes = abs(self.zone) // timedelta(minutes=1)
        sign = "-" if self.zone < timedelta() else "+"
        return Exif(
            taken_at=f"{local:%Y:%m:%d %H:%M:%S}",
            taken_subsec=f"{local.microsecond // 10_000:02d}" if self.tells_fraction else "",
            taken_offset=f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if self.tells_zone else "",
            exposure_s=exposure_s,
        )

    def error_ms(self, asked_at: datetime) -> int:
        """As a node finds it: whole seconds of the body's local time, or of its UTC where it knows its zone."""
        told = asked_at + self.drift + (timedelta() if self.asked_utc and self.tells_zone else self.zone)
        return round((told.replace(microsecond=0) - asked_at).total_seconds() * 1000)


bodies = st.builds(Body, zones, drifts, st.booleans(), st.booleans(), st.booleans())


@given(moments, bodies, exposures, st.floats(0, 3600), st.floats(-0.9, 0.9))
def test_the_right_photograph_is_never_refused(
    at: datetime, body: Body, exposure_s: float | None, earlier_s: float, off_s: float
) -> None:
    error_ms = body.error_ms(at - timedelta(seconds=earlier_s))
    taken = at + timedelta(seconds=off_s)
    assert capture_time_mismatch(body.exif(taken, exposure_s), StampedExposure(at, timedelta()), error_ms) == ""


@given(moments, bodies, exposures, st.floats(5, 86_400), st.booleans(), st.floats(0, 3600))
def test_the_neighbouring_takes_photograph_always_is(
    at: datetime, body: Body, exposure_s: float | None, apart_s: float, later: bool, asked_s: float
) -> None:
    """Where the body's zone is known to be in its error or not; a day's sessions have no take exactly a zone apart."""
    assume(not body.tells_zone or abs(body.drift) < abs(body.zone) / 2 or not body.zone)
    error_ms = body.error_ms(at - timedelta(seconds=asked_s))
    other = at + timedelta(seconds=apart_s if later else -apart_s)
    reason = capture_time_mismatch(body.exif(other, exposure_s), StampedExposure(at, timedelta()), error_ms)
    assert ("after its take" if later else "before its take") in reason
    assert f"{at:%H:%M:%S}" in reason  # both times are named
    assert len(reason) < 1000


@given(st.text(max_size=30), st.text(max_size=4), st.text(max_size=7), st.integers(-(10**13), 10**13))
def test_whatever_a_body_writes_there_is_an_answer(at: str, subsec: str, offset: str, error_ms: int) -> None:
    capture_time_mismatch(
        Exif(taken_at=at, taken_subsec=subsec, taken_offset=offset), StampedExposure(FIRED, timedelta()), error_ms
    )


@pytest.mark.parametrize("taken", ["", "0000:00:00 00:00:00", "    :  :     :  :  ", "2026-03-01 10:15:02"])
def test_a_body_that_tells_no_time_is_not_judged_by_it(taken: str) -> None:
    assert capture_time_mismatch(Exif(taken_at=taken), StampedExposure(FIRED, timedelta()), 0) == ""
    assert capture_time_mismatch(Exif(taken_at="2001:01:01 00:00:00"), StampedExposure(FIRED, timedelta()), None) == ""


def test_the_time_of_writing_is_no_time_of_taking(tmp_path: Path) -> None:
    """Tag 306 may be hours later: when the file was turned, or copied."""
    exif = read_photo(photograph(tmp_path, FIRED, {}, written=FIRED + timedelta(hours=3))).exif
    assert exif.taken_at == "2026:03:01 10:15:02"
    assert capture_time_mismatch(exif, StampedExposure(FIRED, timedelta()), 0) == ""
    assert exif_of(exif.values()) == exif


thirds = st.integers(-18, 18).map(lambda n: n / 3)


@given(thirds, thirds)
def test_a_third_of_a_stop_is_told_and_the_same_setting_is_not(one: float, other: float) -> None:
    exif = Exif(exposure_s=2**one / 64, f_number=8.0, iso=200)
    setup = {"shutter": f"{2**other / 64:.6f}", "aperture": "f/8", "iso": "ISO 200"}
    assert bool(deviations(exif, setup)) == (one != other)


NOMINAL = (
    "1/8000 1/4000 1/1000 1/500 1/250 1/125 1/60 1/30 1/15 1/13 1/10 1/8 1/6 1/5 1/4 0.5 0.6 0.8 1 1.3 2 4 8 15 30"
)


@pytest.mark.parametrize("name", NOMINAL.split())
def test_a_shutter_time_by_its_name_is_the_one_that_bodies_write(name: str) -> None:
    """Bodies round names their own way: 1/30 is 1/32 s, 15 is 16 s."""
    asked = setting_number(name)
    assert asked is not None
    exact = 2 ** (round(3 * math.log2(asked)) / 3)
    for said in (asked, exact):
        assert deviations(Exif(exposure_s=said), {"shutter": name}) == []
    for step in (-1, 1):
        assert deviations(Exif(exposure_s=exact * 2 ** (step / 3)), {"shutter": name})


@pytest.mark.parametrize(
    ("spelt", "value"), [("1/125", 0.008), ("0.0080s", 0.008), ('30"', 30), ("f/8", 8), ("F5.6", 5.6)]
)
def test_settings_are_read_however_they_are_spelt(spelt: str, value: float) -> None:
    assert setting_number(spelt) == pytest.approx(value)


@pytest.mark.parametrize("says_nothing", ["bulb", "Bulb", "auto", "Auto", "implicit auto", "--", "", "1/0", "ISO Auto"])
def test_auto_and_bulb_give_no_verdict(says_nothing: str) -> None:
    exif = Exif(exposure_s=3.0, f_number=4.0, iso=6400)
    assert deviations(exif, dict.fromkeys(("shutter", "aperture", "iso"), says_nothing)) == []
    assert deviations(Exif(iso=65535), {"iso": "102400"}) == []  # EXIF's 16 bits hold no more
    assert deviations(Exif(), {"iso": "100", "shutter": "1/60", "aperture": "f/8"}) == []


def test_deviations_say_both_values() -> None:
    exif = Exif(exposure_s=1 / 60, f_number=4.0, iso=100)
    assert deviations(exif, {"shutter": "1/125", "aperture": "f/8", "iso": "200"}) == [
        "ISO 100 instead of ISO 200",
        "1/60 s instead of 1/125 s",
        "f/4 instead of f/8",
    ]


@pytest.mark.parametrize(
    ("name", "number"),
    [("IMG_0123.JPG", 123), ("DSC09999.ARW", 9999), ("_MG_0001.jpg", 1), ("photo.jpg", None), ("IMG_0000.JPG", None)],
)
def test_the_number_in_a_files_name(name: str, number: int | None) -> None:
    assert file_number(name) == number


@given(st.integers(1, 9999), st.integers(1, 400))
def test_a_counter_goes_on_over_its_end(number: int, more: int) -> None:
    later = (number + more - 1) % 9999 + 1
    assert counter_advanced(number, later)
    assert not counter_advanced(number, number)


def test_only_a_body_that_counts_is_asked_why_it_does_not() -> None:
    counter, odd = FileNumberCounter(99), []
    for number in (99, 99, 99):  # begins anew with each connection
        counter, text = counter.follow(number)
        odd.append(text)
    for number in (100, 101, 101, 102):
        counter, text = counter.follow(number)
        odd.append(text)
    assert [bool(text) for text in odd] == [False] * 5 + [True, False]


# --- the studio


def photograph(
    folder: Path, taken: datetime | None, tags: dict[int, Any], seed: int = 0, written: datetime | None = None
) -> Path:
    exif = Image.Exif()
    if written is not None:
        exif[306] = f"{written:%Y:%m:%d %H:%M:%S}"
    inner = exif.get_ifd(0x8769)
    inner.update(tags)
    if taken is not None:
        inner[36867] = f"{taken:%Y:%m:%d %H:%M:%S}"
    stream = io.BytesIO()
    Image.linear_gradient("L").point(lambda v: (v + seed) % 256).save(stream, "JPEG", exif=exif)
    path = folder / f"{seed}.jpg"
    path.write_bytes(stream.getvalue())
    return path


@pytest.fixture
def studio(home: Any, rig_of: Callable[[int], Rig]) -> Studio:
    return home.open(rig_of(2))


@pytest.fixture
def tally(home: Any, studio: Studio) -> TakeProgress:
    take = studio.records.plan(studio.start_session(home.subject, "short"), 1)
    setup = {"profile": "default", "exposure": {"iso": "200", "shutter": "1/125"}, "lights": None}
    studio.records.fired(take, setup)
    tally = TakeProgress(take, [camera.name for camera in studio.rig.cameras])
    studio.events.open(tally)
    return tally


def node_clock(wrong: timedelta) -> int:
    """Offer.utc_ns of a node whose own UTC is wrong by so much (the test's clocks are the studio's)."""
    return time.time_ns() - time.monotonic_ns() + wrong // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize("node_wrong", [timedelta(), timedelta(days=-400)], ids=["", "a Raspberry Pi without a clock"])
@pytest.mark.parametrize("apart_s", [-30, 0, 30])
def test_a_photograph_of_another_moment_is_kept_out_of_the_take_and_named(
    studio: Studio, tally: TakeProgress, speaker: Any, tmp_path: Path, apart_s: int, node_wrong: timedelta
) -> None:
    node = speaker(studio, "cam-00")
    assert isinstance(node.greet(), wire.Welcome)
    zone = timedelta(hours=2)  # of the body, which does not tell it
    taken = datetime.now(UTC) + timedelta(seconds=apart_s) + zone
    data = photograph(tmp_path, taken, {}).read_bytes()
    error_ms = (zone - node_wrong) // timedelta(milliseconds=1)
    answer = node.upload(tally.take, data, body_clock_error_ms=error_ms, utc_ns=node_clock(node_wrong))
    if apart_s == 0:
        assert isinstance(answer, wire.Stored)
        with reading(studio.engine) as tx:
            kept = tx.query(Frame).one().body_clock_error_ms
        assert kept == pytest.approx(zone / timedelta(milliseconds=1), abs=1000)
        return
    assert isinstance(answer, wire.Rejected)
    assert "of another exposure" in answer.reason
    assert answer.reason in tally.faults["cam-00"]
    assert studio.records.photographs(tally.take) == {}
    assert list(studio.store) == []  # a face that no row names is nowhere


def test_without_the_bodys_clock_or_the_nodes_there_is_no_verdict(
    studio: Studio, tally: TakeProgress, speaker: Any, tmp_path: Path
) -> None:
    old = datetime(2001, 1, 1, tzinfo=UTC)
    for number, clocks in enumerate(({"utc_ns": node_clock(timedelta())}, {"body_clock_error_ms": 0})):
        node = speaker(studio, f"cam-0{number}")
        assert isinstance(node.greet(), wire.Welcome)
        data = photograph(tmp_path, old, {}, number).read_bytes()
        assert isinstance(node.upload(tally.take, data, **clocks), wire.Stored)


def test_a_take_that_was_exposed_otherwise_is_kept_and_flagged_by_camera(
    studio: Studio, tally: TakeProgress, speaker: Any, tmp_path: Path
) -> None:
    asked = {34855: 200, 33434: IFDRational(1, 125)}
    for number, tags in enumerate((asked, asked | {34855: 100})):
        node = speaker(studio, f"cam-0{number}")
        assert isinstance(node.greet(), wire.Welcome)
        data = photograph(tmp_path, None, tags, number).read_bytes()
        assert isinstance(node.upload(tally.take, data), wire.Stored)
    script = studio.state_of(studio.records.open_session())
    result = studio.settlement.settle(TakeUnderWay(script, script.find("E1"), 1, tally, script.profile))
    assert result.kept
    assert "cam-01: ISO 100 instead of ISO 200" in result.flags
    line = studio.records.take(tally.take)
    assert line.flagged
    assert "cam-01: ISO 100 instead of ISO 200" in str(line.problem)


# --- a damaged photograph


def test_a_damaged_photograph_is_rejected_even_where_a_node_proves_others(
    studio: Studio, tally: TakeProgress, speaker: Any, jpeg: Any
) -> None:
    data = jpeg(1, (640, 480))
    damaged = data[: len(data) // 2] + bytes(len(data) - len(data) // 2 - 2) + data[-2:]
    node = speaker(studio, "cam-00")
    assert isinstance(node.greet(), wire.Welcome)
    answer = node.upload(tally.take, damaged)
    assert isinstance(answer, wire.Rejected)
    assert "damaged" in answer.reason
    assert "damaged" in tally.faults["cam-00"]
    assert studio.ingest.proven_on_nodes == 0
    assert isinstance(node.upload(tally.take, data, proof="strict"), wire.Stored)
    assert studio.ingest.proven_on_nodes == 1


def test_a_proof_that_comes_during_the_transfer_counts(
    studio: Studio, tally: TakeProgress, speaker: Any, jpeg: Any
) -> None:
    data = jpeg(1)
    node = speaker(studio, "cam-00")
    assert isinstance(node.greet(), wire.Welcome)
    first = node.offer(tally.take, data)
    assert node.hear(wire.Want, bulk=True) is not None
    node.offer(tally.take, data, proof="strict")
    node.say(wire.Chunk(entry=first.entry, offset=0, data=data, last=True), bulk=True)
    assert isinstance(node.hear(wire.Stored, bulk=True), wire.Stored)
    assert studio.ingest.proven_on_nodes == 1


def test_the_checks_find_what_a_node_has_passed(tmp_path: Path, jpeg: Any) -> None:
    """A node that is wrong, or lies: the take is kept and its operator told."""
    data = jpeg(1, (640, 480))
    path = tmp_path / "a.jpg"
    path.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    seen = look(str(path), False)
    assert seen.damaged
    checks = examined(CheckContext({"cam-00": seen}, {}, (), CheckLimits()))
    assert [(check.camera, check.state.value) for check in checks] == [("", "not_done"), ("cam-00", "advice")]
    assert "damaged" in checks[1].reason
    path.write_bytes(data)
    assert not look(str(path), False).problem
