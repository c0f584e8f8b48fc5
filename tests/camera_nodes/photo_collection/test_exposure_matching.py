"""Whose a file is: what each kind of evidence settles, and that nothing else settles anything."""

from hypothesis import given, settings
from hypothesis import strategies as st

from camera_nodes.photo_collection.exposure_matching import (
    SAME_MOMENT_S,
    CandidateFile,
    FiledFile,
    PendingExposure,
    ResolvedExposure,
    companion,
    copy_in_other_slot,
    expected_number,
    match_files,
    twins,
)

ONE, TWO = "/store_00010001/DCIM/100CANON", "/store_00020001/DCIM/100CANON"


def seen(name="IMG_0007.JPG", folder=ONE, sha="a", taken_s=None, epoch=1, kind="jpeg"):
    return CandidateFile(folder, name, kind, sha, taken_s, epoch)


def holder(*files, fire="f1", stem="img_0007", taken_s=None):
    return ResolvedExposure(fire, stem, tuple(files), taken_s)


PHOTO = FiledFile(f"{ONE}/IMG_0007.JPG", "jpeg", "a", 1)


# --- companions


def test_a_raw_file_pairs_by_its_stem_alone():
    raw = seen("IMG_0007.CR2", sha="r", kind="raw")
    assert companion(raw, [holder(PHOTO)]).fire_id == "f1"
    assert companion(seen("IMG_0008.CR2", sha="r", kind="raw"), [holder(PHOTO)]) is None
    assert companion(seen("IMG_0007.CR2", folder=TWO, sha="r", kind="raw"), [holder(PHOTO)]).fire_id == "f1"


def test_a_stem_of_the_next_folder_is_another_exposure():
    raw = seen("IMG_0007.CR2", folder="/store_00010001/DCIM/101CANON", sha="r", kind="raw")
    assert companion(raw, [holder(PHOTO)]) is None


def test_the_copy_in_the_second_slot_is_a_copy_and_other_bytes_there_are_one_more_file():
    copy = companion(seen(folder=TWO), [holder(PHOTO)])
    assert (copy.fire_id, copy.copy) == ("f1", True)
    other = companion(seen(folder=TWO, sha="b"), [holder(PHOTO)])
    assert (other.fire_id, other.copy) == ("f1", False)


def test_the_same_event_once_more_is_a_copy_and_the_same_name_on_a_later_connection_with_other_bytes_is_new():
    assert companion(seen(), [holder(PHOTO)]).copy
    assert companion(seen(epoch=0), [holder(PHOTO)]).copy
    assert companion(seen(sha="b", epoch=2), [holder(PHOTO)]) is None


def test_names_that_the_host_made_up_join_on_one_connection_alone():
    made_up = FiledFile("/capt0000.jpg", "jpeg", "a", 1)
    raw = seen("capt0000.cr2", folder="/", sha="r", kind="raw")
    assert companion(raw, [holder(made_up, stem="capt0000")]).fire_id == "f1"
    later = seen("capt0000.cr2", folder="/", sha="r", kind="raw", epoch=2)
    assert companion(later, [holder(made_up, stem="capt0000")]) is None


def test_capture_times_apart_part_what_a_stem_would_join():
    later = seen("IMG_0007.CR2", sha="r", kind="raw", taken_s=500.0)
    assert companion(later, [holder(PHOTO, taken_s=100.0)]) is None


def test_the_newest_of_two_exposures_of_one_stem_gets_the_companion():
    raw = seen("IMG_0007.CR2", sha="r", kind="raw")
    other = FiledFile(f"{ONE}/IMG_0007.JPG", "jpeg", "b", 2)
    assert companion(raw, [holder(PHOTO), holder(other, fire="f2")]).fire_id == "f2"


def test_twins_are_of_one_stem_in_two_slots_and_not_apart_in_time():
    assert twins(seen(taken_s=5.0), seen(folder=TWO, taken_s=6.0))
    assert not twins(seen(taken_s=5.0), seen(folder=TWO, taken_s=60.0))
    assert not twins(seen(), seen())
    assert not twins(seen(), seen("IMG_0008.JPG", folder=TWO))


def test_the_file_of_that_name_in_the_other_slot_is_known_by_its_path():
    assert copy_in_other_slot(seen(), f"{TWO}/IMG_0007.CR2")
    assert not copy_in_other_slot(seen(), f"{ONE}/IMG_0007.CR2")
    assert not copy_in_other_slot(seen(), f"{TWO}/IMG_0008.JPG")
    assert not copy_in_other_slot(seen(), "/store_00020001/DCIM/101CANON/IMG_0007.JPG")


# --- assignment


def test_one_file_and_one_exposure_belong_together_and_tell_the_clock():
    verdict = match_files([seen(taken_s=1007.0)], [PendingExposure("f1", 1000.0)], None)
    assert (list(verdict.own), verdict.clock_s) == (["f1"], 7.0)


def test_a_file_that_nobody_waits_for_is_a_stray_and_says_so():
    verdict = match_files([seen()], [], None)
    assert [reason for _, reason in verdict.strays] == ["no exposure waits for a photograph"]


def test_two_files_for_one_exposure_without_other_evidence_are_both_strays():
    verdict = match_files([seen(), seen("IMG_0008.JPG", sha="b")], [PendingExposure("f1", 1000.0)], None)
    assert verdict.ambiguous
    assert not verdict.own
    assert len(verdict.strays) == 2


def test_a_number_before_the_exposure_s_is_a_stray_also_over_the_rollover():
    late = seen("IMG_9998.JPG")
    assert not match_files([late], [PendingExposure("f1", 1000.0, 1)], None).own
    assert match_files([seen("IMG_0001.JPG")], [PendingExposure("f1", 1000.0, 1)], None).own
    assert match_files(
        [seen("IMG_0003.JPG")], [PendingExposure("f1", 1000.0, 1)], None
    ).own  # a photograph by hand before it
    assert match_files(
        [seen("IMG_0001.JPG")], [PendingExposure("f1", 1000.0, 45)], None
    ).own  # the counter was set back
    assert match_files([late], [PendingExposure("f1", 1000.0, 1)], None, counts=False).own


def test_an_exposure_whose_release_failed_gets_a_file_by_its_time_alone():
    doubtful = PendingExposure("f1", 1000.0, 7, proof=True)
    assert not match_files([seen()], [doubtful], None, final=True).own
    assert not match_files([seen()], [doubtful], 7.0, final=True).own
    assert match_files([seen(taken_s=1007.2)], [doubtful], 7.0).own


def test_a_clock_that_was_set_meanwhile_is_learnt_from_the_only_file_of_the_only_exposure():
    verdict = match_files([seen(taken_s=4600.0)], [PendingExposure("f1", 1000.0)], 0.0)
    assert (list(verdict.own), verdict.clock_s) == (["f1"], 3600.0)


def test_a_clock_that_the_body_said_is_right_but_for_its_zone():
    hours = [PendingExposure("f1", 1000.0), PendingExposure("f2", 1100.0)]
    verdict = match_files([seen(taken_s=1100.4 + 5 * 3600)], hours, 0.0, proven=False)
    assert list(verdict.own) == ["f2"]
    verdict = match_files([seen(taken_s=1050.0 + 5 * 3600)], hours, 0.0, proven=False)
    assert (verdict.own, verdict.by_time) == ({}, True)


def test_an_arming_whose_release_was_not_written_down_takes_what_was_made_within_its_time():
    armed = PendingExposure("f1", None, armed_s=1000.0)
    for taken_s, own in ((999.0, True), (1030.0, True), (990.0, False), (1100.0, False)):
        assert bool(match_files([seen(taken_s=taken_s)], [armed], 0.0).own) is own
    both = [armed, PendingExposure("f2", 1020.0)]
    assert list(match_files([seen(taken_s=1020.5)], both, 0.0).own) == ["f2"]


def test_what_an_exposure_given_up_contests_by_its_time_is_nobody_s():
    given_up = PendingExposure("f1", 1000.0, proof=True)
    verdict = match_files([seen(taken_s=1001.0)], [given_up, PendingExposure("f2", 1001.5)], 0.0, final=True)
    assert not verdict.own
    assert len(verdict.strays) == 1


@settings(deadline=None)
@given(
    shots=st.lists(st.integers(10, 60), min_size=1, max_size=6),
    mine=st.lists(st.booleans(), min_size=6, max_size=6),
    clock_s=st.floats(-90_000, 90_000),
    order=st.randoms(use_true_random=False),
    part=st.floats(0, 0.999),
)
def test_with_a_known_clock_every_file_goes_to_the_exposure_of_its_time_or_to_none(shots, mine, clock_s, order, part):
    """Exposures and photographs by hand in any mixture, 10 s and more apart, all files at once and in any order."""
    at_s, waiting, files = 1000.0, [], []
    for index, gap_s in enumerate(shots):
        at_s += gap_s
        if mine[index]:
            waiting.append(PendingExposure(f"f{index}", at_s))
        files.append(seen(f"IMG_{index:04d}.JPG", sha=str(index), taken_s=float(int(at_s + clock_s + part))))
    order.shuffle(files)
    verdict = match_files(files, waiting, clock_s, final=True)
    assert {fire: one.sha256 for fire, one in verdict.own.items()} == {w.fire_id: w.fire_id[1:] for w in waiting}
    assert len(verdict.own) + len(verdict.strays) == len(files)


@settings(deadline=None)
@given(
    taken=st.lists(st.floats(900, 1100) | st.none(), max_size=5),
    released=st.lists(st.floats(900, 1100) | st.none(), max_size=4),
    numbers=st.lists(st.integers(1, 9999) | st.none(), min_size=4, max_size=4),
    proofs=st.lists(st.booleans(), min_size=4, max_size=4),
    clock_s=st.none() | st.floats(-10, 10),
    final=st.booleans(),
)
def test_no_file_is_given_twice_nor_against_its_time(taken, released, numbers, proofs, clock_s, final):
    files = [seen(f"IMG_{n:04d}.JPG", sha=str(n), taken_s=at) for n, at in enumerate(taken)]
    waiting = [PendingExposure(f"f{n}", at, numbers[n], proofs[n]) for n, at in enumerate(released)]
    verdict = match_files(files, waiting, clock_s, final=final)
    given_away = [*verdict.own.values(), *(one for one, _ in verdict.strays)]
    assert len({one.sha256 for one in given_away}) == len(given_away)
    moments = {w.fire_id: w.released_s for w in waiting}
    for fire, one in verdict.own.items():
        if None not in (clock_s, one.taken_s, moments[fire]):
            assert abs(one.taken_s - clock_s - moments[fire]) <= SAME_MOMENT_S


def test_numbers_expected_run_over():
    assert expected_number(None, 3) is None
    assert expected_number(9998, 0) == 9999
    assert expected_number(9998, 1) == 1
    assert expected_number(9999, 2) == 3
