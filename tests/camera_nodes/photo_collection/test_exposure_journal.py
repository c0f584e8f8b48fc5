"""What a node remembers of exposures outlives it, and a damaged memory is set aside."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_nodes.errors import SpoolError
from camera_nodes.photo_collection import exposure_journal
from camera_nodes.photo_collection.exposure_journal import CardFile, ExposureRecord, Journal, load, save

FILES = st.builds(
    CardFile,
    folder=st.just("/store_00010001/DCIM/100CANON"),
    name=st.from_regex(r"IMG_[0-9]{4}\.(JPG|CR2)", fullmatch=True),
    kind=st.sampled_from(("jpeg", "raw")),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    bytes=st.integers(0, 10**9),
    epoch=st.integers(0, 2**50),
    state=st.sampled_from(("spooled", "stored", "deleted", "kept")),
    copy=st.booleans(),
    damaged=st.booleans(),
)
RECORDS = st.builds(
    ExposureRecord,
    fire_id=st.text("abc", min_size=1, max_size=8),
    take_id=st.just("S001-E01-1"),
    armed_s=st.floats(0, 2e9),
    state=st.sampled_from(("armed", "waiting", "done", "written_off")),
    released_s=st.none() | st.floats(0, 2e9),
    number=st.none() | st.integers(1, 9999),
    doubtful=st.booleans(),
    keeps_raw=st.booleans(),
    files=st.lists(FILES, max_size=3),
)


@settings(deadline=None)
@given(
    st.builds(
        Journal,
        serial=st.text(max_size=8),
        exposures=st.lists(RECORDS, max_size=5),
        known=st.lists(st.text(max_size=9), max_size=4),
        last_number=st.none() | st.integers(1, 9999),
        clock_s=st.none() | st.floats(-1e6, 1e6),
        first=st.booleans(),
    )
)
def test_what_is_saved_is_loaded(tmp_path_factory, journal):
    folder = tmp_path_factory.mktemp("spool")
    save(journal, folder)
    assert load(folder) == journal


@pytest.mark.parametrize("content", [b"", b"{", b'{"v":2}', b'{"v":1,"unknown":3}', b"\xff\xfe"])
def test_a_damaged_journal_is_set_aside_and_begun_anew(tmp_path, content):
    (tmp_path / exposure_journal.NAME).write_bytes(content)
    assert load(tmp_path) == Journal()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]
    save(Journal(serial="1"), tmp_path)
    assert load(tmp_path).serial == "1"


def test_a_write_that_is_cut_off_leaves_the_last_one(tmp_path):
    save(Journal(serial="1"), tmp_path)
    (tmp_path / "exposures.new").write_bytes(b'{"v":1,"ser')
    assert load(tmp_path).serial == "1"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(SpoolError, match="cannot be written"):
        save(Journal(), tmp_path / "none")


def record(fire, **changes):
    return ExposureRecord(fire_id=fire, take_id=f"take-{fire}", armed_s=1.0, **changes)


def photograph(name="IMG_0001.JPG", **changes):
    return CardFile(folder="/store_00010001/DCIM/100CANON", name=name, kind="jpeg", sha256="a" * 64, bytes=3, **changes)


def test_numbers_are_counted_over_those_that_wait_and_run_over():
    journal = Journal()
    assert journal.next_number() is None
    journal.saw("IMG_9998.JPG")
    assert journal.next_number() == 9999
    journal.exposures = [record("f1", state="waiting", number=9999)]
    assert journal.next_number() == 1
    journal.saw("IMG_9997.JPG")  # one that was late
    assert journal.last_number == 9998
    journal.saw("IMG_0001.JPG")
    assert journal.last_number == 1
    journal.saw("capt0005.jpg")
    assert journal.last_number == 1


def test_exposures_that_nothing_can_come_of_are_forgotten_and_what_stays_on_the_card_is_known():
    journal = Journal()
    for index in range(60):
        state = "kept" if index == 0 else "deleted"
        journal.exposures.append(record(f"f{index}", state="done", files=[photograph(f"{index}.JPG", state=state)]))
    journal.exposures.append(record("stored", state="done", files=[photograph("x.JPG", state="stored")]))
    journal.exposures.append(record("live", state="waiting"))
    journal.forget_old()
    assert len(journal.exposures) < 60
    assert journal.known == ["/store_00010001/DCIM/100CANON/0.JPG"]
    assert journal.find("stored")
    assert journal.find("live")


def test_who_waits_and_who_proves():
    journal = Journal(
        exposures=[
            record("armed"),
            record("waiting", state="waiting", released_s=5.0),
            record("doubtful", state="waiting", doubtful=True),
            record("given up", state="written_off"),
            record("done", state="done"),
            record("has", state="waiting", files=[photograph()]),
        ]
    )
    assert [(w.fire_id, w.proof) for w in journal.waiting()] == [
        ("armed", False), ("waiting", False), ("doubtful", True), ("given up", True),
    ]  # fmt: skip
    assert [one.fire_id for one in journal.live()] == ["armed", "waiting", "doubtful"]
    found = journal.ours("/store_00010001/DCIM/100CANON/IMG_0001.JPG")
    assert found is not None
    assert found[0].fire_id == "has"
