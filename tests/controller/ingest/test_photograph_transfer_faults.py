"""Database locked, disk full, raw files, a slow way in: nothing is lost, and it goes on by itself."""

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from patience import until

from camera_nodes import wire
from controller.rig_file import Rig
from controller.sessions.session_queries import file_hashes
from controller.studio import Studio
from controller.takes.take_progress import TakeProgress
from db import engine as database
from db.engine import reading
from db.models import AuditEvent, Frame, RawFile, TakeState

WAIT_S = 60.0


def fired_take(studio: Studio, subject: str) -> TakeProgress:
    take = studio.records.plan(studio.start_session(subject, "short"), 1)
    studio.records.fired(take)
    tally = TakeProgress(take, [camera.name for camera in studio.rig.cameras])
    studio.events.open(tally)
    return tally


def greeted(studio: Studio, speaker: Callable[..., Any]) -> Any:
    node = speaker(studio, "cam-00")
    assert isinstance(node.greet(), wire.Welcome)
    return node


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """small_disk(megabytes): a real file system of that size, which fills up with a real ENOSPC."""
    mounted: list[Path] = []

    def mount(megabytes: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
            pytest.skip("a small disk cannot be mounted here: that needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_locked_database_delays_and_loses_nothing(
    home: Any,
    rig_of: Callable[..., Rig],
    speaker: Callable[..., Any],
    jpeg: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 200)
    studio = home.open(rig_of(1))
    tally = fired_take(studio, home.subject)
    node = greeted(studio, speaker)
    other = sqlite3.connect(home.folder / "studio.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    offer = node.offer(tally.take, jpeg(1))
    assert node.hear(wire.Want, bulk=True) is not None
    node.say(wire.Chunk(entry=offer.entry, offset=0, data=jpeg(1), last=True), bulk=True)
    until(lambda: "locked" in studio.ingest.trouble, "the operator is told of the lock")
    assert studio.records.photographs(tally.take) == {}
    assert node.hear(wire.Stored, bulk=True, patience_s=0.3) is None  # and the node keeps its copy
    other.execute("ROLLBACK")
    other.close()
    assert node.hear(wire.Stored, bulk=True).sha256 == offer.sha256  # sent once, offered once
    assert studio.records.photographs(tally.take) == {"cam-00": offer.sha256}
    assert studio.ingest.trouble == ""
    assert tally.faults == {}


def test_a_full_disk_is_told_and_what_came_before_is_not_sent_again(
    home: Any,
    rig_of: Callable[..., Rig],
    speaker: Callable[..., Any],
    jpeg: Callable[..., bytes],
    small_disk: Callable[[int], Path],
) -> None:
    disk = small_disk(3)
    rig = rig_of(1)
    rig = replace(rig, transfer=replace(rig.transfer, min_free_mb=1e-9))
    settings = home.settings(rig)
    home.subject = home.subject or _subject(home, rig)
    records = replace(settings.records, store=str(disk / "store"))
    with Studio(replace(settings, records=records)) as studio:
        ingest = studio.settings.records.ingest
        ballast = disk / "ballast"
        ingest.mkdir(parents=True, exist_ok=True)
        studio.ingest._folder = disk  # the parts lie on the small disk too
        tally = fired_take(studio, home.subject)
        node = greeted(studio, speaker)
        data = jpeg(1) + bytes(7 * wire.CHUNK_BYTES)
        offer = node.offer(tally.take, data)
        chunk = wire.CHUNK_BYTES

        def send(want: wire.Want, count: int) -> None:
            for offset in range(want.offset, min(len(data), want.offset + count * chunk), chunk):
                piece = data[offset : offset + chunk]
                last = offset + len(piece) >= len(data)
                node.say(wire.Chunk(entry=offer.entry, offset=offset, data=piece, last=last), bulk=True)

        send(node.hear(wire.Want, bulk=True), 1)
        until(lambda: any(p.stat().st_size == chunk for p in disk.glob("*.part")), "the first chunk is written")
        filled = subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"], capture_output=True, check=False)
        assert b"No space left" in filled.stderr
        node.say(wire.Chunk(entry=offer.entry, offset=chunk, data=data[chunk : 2 * chunk], last=False), bulk=True)
        until(lambda: "make room" in studio.ingest.trouble, "the operator is told of the full disk")
        assert node.hear(wire.Stored | wire.Rejected, bulk=True, patience_s=0.3) is None
        ballast.unlink()
        want = node.hear(wire.Want, bulk=True)
        while want.offset < chunk:  # asked before the disk was full
            want = node.hear(wire.Want, bulk=True)
        while isinstance(want, wire.Want):
            send(want, want.credit)
            want = node.hear(wire.Want | wire.Stored | wire.Rejected, bulk=True)
        assert isinstance(want, wire.Stored)
        assert studio.ingest.trouble == ""
        assert studio.store.open(offer.sha256).read() == data
        assert list(disk.glob("*.part")) == []


def _subject(home: Any, rig: Rig) -> str:
    home.open(rig).__exit__(None, None, None)
    home.stack.pop_all()
    return str(home.subject)


def test_below_its_reserve_nothing_is_asked_for_until_there_is_room(
    home: Any, rig_of: Callable[..., Rig], speaker: Callable[..., Any], jpeg: Callable[..., bytes]
) -> None:
    rig = rig_of(1)
    studio = home.open(replace(rig, transfer=replace(rig.transfer, min_free_mb=1e12)))
    tally = fired_take(studio, home.subject)
    node = greeted(studio, speaker)
    offer = node.offer(tally.take, jpeg(1))
    until(lambda: "would stay free" in studio.ingest.trouble, "the operator is told")
    assert node.hear(wire.Want, bulk=True, patience_s=0.3) is None
    studio.ingest._limits = rig.transfer
    assert node.hear(wire.Want, bulk=True).entry == offer.entry  # by itself: the offer was not repeated


def test_a_file_that_was_whole_when_the_studio_stopped_is_filed_without_being_sent_again(
    home: Any, rig_of: Callable[..., Rig], speaker: Callable[..., Any], jpeg: Callable[..., bytes]
) -> None:
    studio = home.open(rig_of(1))
    tally = fired_take(studio, home.subject)
    node = greeted(studio, speaker)
    studio.ingest._files.hold()  # it is killed before it files anything
    offer = node.offer(tally.take, jpeg(1))
    node.hear(wire.Want, bulk=True)
    node.say(wire.Chunk(entry=offer.entry, offset=0, data=jpeg(1), last=True), bulk=True)
    until(lambda: studio.ingest._filing, "the file is whole")
    home.stack.close()
    again = home.open(rig_of(1))
    other = greeted(again, speaker)
    other.offer(tally.take, jpeg(1))
    assert isinstance(other.hear(wire.Want | wire.Stored, bulk=True), wire.Stored)
    assert again.records.photographs(tally.take) == {"cam-00": offer.sha256}


def test_a_raw_file_is_kept_beside_its_photograph_and_no_take_waits_for_it(
    home: Any, rig_of: Callable[..., Rig], speaker: Callable[..., Any], jpeg: Callable[..., bytes]
) -> None:
    studio = home.open(rig_of(1))
    tally = fired_take(studio, home.subject)
    node = greeted(studio, speaker)
    raw = _dng()
    names = {"entry": f"{tally.take}.f1.cam-00.raw", "name": "DSC_0099.DNG", "kind": "raw"}
    studio.ingest._files.hold()
    node.offer(tally.take, raw, **names)
    photo = node.offer(tally.take, jpeg(1))
    studio.ingest._files.go_on()
    assert isinstance(node.upload(tally.take, jpeg(1)), wire.Stored)
    assert tally.wait(WAIT_S)
    stored = node.upload(tally.take, raw, **names)
    while stored.entry != names["entry"]:
        stored = node.upload(tally.take, raw, **names)
    assert isinstance(stored, wire.Stored)
    with reading(studio.engine) as tx:
        assert file_hashes(tx, tally.take, RawFile) == {"cam-00": stored.sha256}
        frame = tx.query(Frame).one()
        assert frame.sha256 == photo.sha256
        assert (frame.raw.sha256, frame.raw.format, frame.raw.name) == (stored.sha256, "dng", "DSC_0099.DNG")
        assert (frame.name, frame.exif) == ("DSC_0099.JPG", {})
    damaged = node.upload(tally.take, raw[:-10], entry="another", name="x.DNG", kind="raw")
    assert isinstance(damaged, wire.Rejected)
    assert "raw file" in tally.notes["cam-00"]
    assert tally.faults == {}
    with reading(studio.engine) as tx:
        assert [event.detail["kind"] for event in tx.query(AuditEvent).filter_by(action="file.rejected")] == ["raw"]


def _dng() -> bytes:
    import struct

    body = bytes(300_000)
    table = struct.pack("<HHHIIHHIIHHI4sI", 3, 273, 4, 1, 58, 279, 4, 1, len(body), 50706, 1, 4, b"\1\6\0\0", 0)
    return (b"II*\0" + struct.pack("<I", 8) + table).ljust(58, b"\0") + body


def test_photographs_go_before_raw_files(
    home: Any, rig_of: Callable[..., Rig], speaker: Callable[..., Any], jpeg: Callable[..., bytes]
) -> None:
    studio = home.open(rig_of(1))
    tally = fired_take(studio, home.subject)
    node = greeted(studio, speaker)
    studio.ingest.hold()
    node.offer(tally.take, _dng(), entry="first.raw", kind="raw")
    node.offer(tally.take, jpeg(1), entry="second")
    until(lambda: sum(map(len, studio.ingest._waiting.values())) == 2, "both are offered")
    studio.ingest.go_on()
    assert [node.hear(wire.Want, bulk=True).entry for _ in range(2)] == ["second", "first.raw"]


def test_the_next_expression_is_fired_while_the_last_comes_in(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, photos: Path, sim_url: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rig = rig_of(3)
    studio = home.open(rig)
    fleet.start(studio, {camera.name: sim_url(camera.view, photos) for camera in rig.cameras})
    studio.wait_for_cameras(WAIT_S)
    session = studio.start_session(home.subject, "short")
    with monkeypatch.context() as patch:
        patch.setattr(studio.ingest, "go_on", lambda: None)  # the way in is blocked
        first = studio.fire(session, wait=False)
        second = studio.fire(session, wait=False)
        assert (first.expression, second.expression) == ("neutral", "smile")
        assert first.coming_in
        assert second.coming_in
        assert studio.completion.takes == [first.take, second.take]
        with pytest.raises(Exception, match="still coming in"):
            studio.retake(session, "neutral")
    studio.ingest.go_on()
    for take in (first.take, second.take):
        until(lambda take=take: studio.records.take(take).state is TakeState.CAPTURED, f"{take} is whole")
        assert studio.records.take(take).frames == 3
    assert studio.accept(session, "neutral").state is TakeState.ACCEPTED
