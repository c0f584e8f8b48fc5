"""System time by chrony or PTP: read from their own reports, accepted while the pings agree, refused otherwise."""

import subprocess
import time

import pytest
from patience import Patience

from camera_nodes import wire
from camera_nodes.clock_sync import system_time
from camera_nodes.clock_sync.clock import EmulatedClock, Estimate, MonotonicClock
from camera_nodes.clock_sync.system_time import (
    ClockDaemonMonitor,
    SystemTimeError,
    SystemTimeSample,
    choose_offset,
    read_pair,
)

# chronyc(1), tracking with -c: reference, name, stratum, time, system offset, last, RMS, frequency, residual, skew,
# root delay, root dispersion, interval, leap status; seconds and ppm.
TRACKING = (
    "C0A80001,192.168.0.1,9,1773000000.1,{offset},0.00001,0.00002,-12.3,0.001,0.05,{delay},{dispersion},16.2,{leap}\n"
)
GOOD = TRACKING.format(offset="-0.000020000", delay="0.000160000", dispersion="0.000030000", leap="Normal")
PTP = """sending: GET CURRENT_DATA_SET
\tdca632.fffe.aabbcc-0 seq 0 RESPONSE MANAGEMENT CURRENT_DATA_SET
\t\tstepsRemoved     {steps}
\t\toffsetFromMaster -7213.0
\t\tmeanPathDelay    41230.0
sending: GET TIME_STATUS_NP
\tdca632.fffe.aabbcc-0 seq 1 RESPONSE MANAGEMENT TIME_STATUS_NP
\t\tmaster_offset              -7213
\t\tgmPresent                  {present}
\t\tgmIdentity                 dca632.fffe.001122
"""


def test_chronys_limit_of_error():
    assert system_time.chrony_error_ns(GOOD) == 20_000 + 30_000 + 80_000


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (TRACKING.format(offset="0", delay="0", dispersion="0", leap="Not synchronised"), "`chronyc sources`"),
        ("506 Cannot talk to daemon\n", "not its tracking report"),
        ("", "not its tracking report"),
    ],
)
def test_what_chrony_cannot_vouch_for_is_an_error(answer, says):
    with pytest.raises(SystemTimeError) as error:
        system_time.chrony_error_ns(answer)
    assert says in str(error.value)


def test_ptps_limit_of_error():
    assert system_time.ptp_error_ns(PTP.format(steps=1, present="true")) == 7213 + 20615
    assert system_time.ptp_error_ns(PTP.format(steps=0, present="false")) == 27828  # the grandmaster itself
    with pytest.raises(SystemTimeError, match="no grandmaster"):
        system_time.ptp_error_ns(PTP.format(steps=1, present="false"))
    with pytest.raises(SystemTimeError, match="is ptp4l running"):
        system_time.ptp_error_ns("sending: GET CURRENT_DATA_SET\n")


def test_the_kernels_own_word_agrees_with_the_systems_tool():
    """adjtimex by ctypes against the same call by `adjtimex -p` or timedatectl, where one is there."""
    assert system_time.kernel_synchronised() in (True, False)
    for command in (["timedatectl", "show", "-p", "NTPSynchronized", "--value"],):
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pytest.skip("no timedatectl here")
        assert system_time.kernel_synchronised() == (answer == "yes")


def test_a_daemon_that_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemTimeError, match=r"chronyc is not installed \(package chrony\)"):
        system_time.read_error_ns("chrony")


@pytest.fixture
def chronyc(monkeypatch, tmp_path):
    """A chronyc on the PATH that answers what the test writes."""
    program = tmp_path / "chronyc"
    program.write_text(f'#!/bin/sh\n[ "$*" = "-c tracking" ] || exit 9\ncat {tmp_path}/answer\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "answer").write_text(GOOD)
    return tmp_path / "answer"


def watching(source="chrony", error_ns=60_000):
    watch = ClockDaemonMonitor(source, read=lambda _source: error_ns)
    assert watch.asked.wait(600)
    watch.stop()
    return watch


def pings_of(clock, true_offset_ns, off_by_ns=0, bound_ns=100_000):
    return Estimate(clock.now_ns(), true_offset_ns + off_by_ns, 0.0, 60_000, bound_ns, 200_000, 100)


def mark(error_ns=50_000, off_by_ns=0, source="chrony"):
    mono_ns, real_ns, _ = read_pair(time.monotonic_ns)
    return SystemTimeSample(mono_ns, real_ns + off_by_ns, error_ns, source)


@pytest.mark.parametrize("clock", [MonotonicClock(), EmulatedClock(3 * 10**9, 0.0), EmulatedClock(-(10**9), 0.0)])
def test_accepted_it_maps_the_clocks_without_the_pings(clock):
    truth_ns = time.monotonic_ns() - clock.now_ns()
    reading = choose_offset(pings_of(clock, truth_ns, off_by_ns=90_000), clock, mark(), watching())
    assert (reading.source, reading.problem) == ("chrony", "")
    assert abs(reading.estimate.offset_ns - truth_ns) < 50_000  # the pings' error of 90 us is not in it
    assert 110_000 <= reading.estimate.uncertainty_ns < 200_000  # both daemons' errors and the reading's own
    at = clock.now_ns() + 10**8
    assert abs(reading.estimate.to_controller(at) - (at + truth_ns)) < 50_000


def test_a_system_time_that_the_pings_contradict_is_refused():
    clock = MonotonicClock()
    wrong = choose_offset(pings_of(clock, 0), clock, mark(off_by_ns=5_000_000), watching())
    assert wrong.source == "pings"
    assert wrong.estimate.offset_ns == 0
    assert "chrony and the pings disagree by 5.0" in wrong.problem


@pytest.mark.parametrize(
    ("mark_of", "watch_of", "says"),
    [
        (lambda: None, watching, "the studio's system time is not known"),
        (lambda: mark(source="ptp"), watching, "the studio's system time is not known"),
        (lambda: mark(error_ns=900_000), watching, "vouches for 0.9"),
    ],
)
def test_without_a_sound_word_of_both_ends_pings_are_used(mark_of, watch_of, says):
    clock = MonotonicClock()
    reading = choose_offset(pings_of(clock, 0), clock, mark_of(), watch_of())
    assert reading.source == "pings"
    assert says in reading.problem


def test_a_daemon_that_loses_its_source_is_believed_no_more(monkeypatch):
    monkeypatch.setattr(system_time, "_ASK_EVERY_S", 0.02)
    answers = [60_000]

    def read(_source):
        if answers:
            return answers.pop()
        raise SystemTimeError("chrony is not synchronised")

    watch = ClockDaemonMonitor("chrony", read=read)
    patience = Patience(20)
    while watch.problem != "chrony is not synchronised" and patience.sleep():
        pass
    watch.stop()
    assert watch.error_ns is None
    clock = MonotonicClock()
    assert choose_offset(pings_of(clock, 0), clock, mark(), watch).problem == "chrony: chrony is not synchronised"


def test_nothing_is_asked_while_a_fire_is_near():
    asked = []
    watch = ClockDaemonMonitor("chrony", quiet=lambda: True, read=lambda source: asked.append(source) or 1)
    time.sleep(0.05)
    watch.stop()
    assert asked == []
    assert watch.error_ns is None


@pytest.mark.parametrize(("wrong_ms", "source"), [(0, "chrony"), (20, "pings")])
def test_a_node_takes_the_studios_word_and_checks_it(chronyc, studio, start_node, wrong_ms, source):
    """A whole node with a clock 2 s off: stamps by chrony's time, and by pings when chrony is wrong."""
    assert chronyc.read_text() == GOOD
    studio.real_error_ns, studio.real_off_ns = 50_000, wrong_ms * 1_000_000
    start_node("sim:clock_offset_ms=2000")
    studio.wait_for_clock("cam-00")
    if source == "chrony":
        studio.wait(wire.Status, lambda s: s.clock_source == "chrony")
    else:
        fault = studio.wait(wire.NodeFault, lambda f: "disagree" in f.text)
        assert fault.code == "system_time"
        assert "disagree by" in fault.text
    armed = studio.arm("cam-00", "f1")
    assert isinstance(armed, wire.Armed)
    assert any("disagree" in warning for warning in armed.warnings) == (source == "pings")
    fire = studio.fire("cam-00", "f1")
    stamps = studio.wait(wire.Stamps)
    assert not stamps.missed, stamps.reason
    assert stamps.clock_source == source
    assert stamps.released_at_ns - fire.at_ns > -1_000_000  # one machine: by either source it fires when it is told to
