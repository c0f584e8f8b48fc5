"""A node killed at each moment of a take: nothing that reached its disk is lost, and the operator is told who."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from db.models import TakeState

KILLED = "cam-00"


def take_with(bench: Any, moment: str, number: int) -> tuple[Any, dict[str, str]]:
    """Fire while cam-00's node dies at `moment`, then run it again: the settled take and what was photographed."""
    bench.start(KILLED, moment)
    bench.ready()
    expected = bench.show(number, extra=400_000)  # two chunks
    result = bench.fire_behind()
    bench.wait_dead(KILLED)
    bench.start(KILLED)
    take = bench.settled(result().take)
    bench.until(lambda: not any(bench.spooled(camera) for camera in expected))
    return take, expected


def check(bench: Any, take: Any, expected: dict[str, str], safe: bool) -> None:
    """Every photograph that was on a disk is filed under its own take; a take that lacks one names its camera."""
    wanted = expected if safe else {camera: sha for camera, sha in expected.items() if camera != KILLED}
    bench.until(lambda: bench.studio.records.photographs(take.code).keys() == wanted.keys())
    assert bench.studio.records.photographs(take.code) == wanted
    if take.state is TakeState.FAILED:
        assert KILLED in take.problem
        assert "cam-01" not in take.problem
        assert "mien session retake" in take.problem
    else:
        assert take.frames == len(expected)


@pytest.mark.parametrize("moments", [["shutter not released", "shutter released", "photograph half sent"]])
def test_a_node_killed_before_in_and_after_the_window(
    bench: Any, patient_rig: Callable[..., Any], moments: list[str]
) -> None:
    walk(bench, patient_rig, moments)


@pytest.mark.slow
def test_a_node_killed_at_every_other_moment(bench: Any, patient_rig: Callable[..., Any]) -> None:
    walk(bench, patient_rig, ["fire has come", "photograph half written", "photograph spooled", "photograph stored"])


SAFE = ("photograph spooled", "photograph half sent", "photograph stored")


def walk(bench: Any, patient_rig: Callable[..., Any], moments: list[str]) -> None:
    bench.open(patient_rig(2))
    bench.start("cam-01")
    for number, moment in enumerate(moments):
        take, expected = take_with(bench, moment, number)
        check(bench, take, expected, moment in SAFE)
        if moment == "photograph half written":  # only the photograph, not what it belongs to: nothing to offer
            assert len(bench.aside(KILLED, "damaged")) == 1
        bench.kill(KILLED)
    bench.start(KILLED)
    bench.ready()
    expected = bench.show(99)
    last = bench.settled(bench.fire().take)
    assert last.state is TakeState.CAPTURED, last.problem
    assert bench.studio.records.photographs(last.code) == expected


def test_what_lies_wrong_in_a_spool_is_refused_named_and_kept(
    bench: Any, patient_rig: Callable[..., Any], make_photograph: Callable[..., bytes]
) -> None:
    """Bits flipped and bytes cut on the node's disk; the same photograph twice; photographs that nobody asked for."""
    bench.open(patient_rig(2, frame_timeout_s=90.0))
    expected = bench.show(1, extra=400_000)
    for camera in expected:
        bench.start(camera, bulk="tcp://127.0.0.1:9")  # where nobody listens: what is photographed stays on the node
    bench.ready()
    result = bench.fire_behind()
    bench.until(lambda: bench.spooled("cam-00") and bench.spooled("cam-01"))
    bench.kill("cam-00")
    bench.kill("cam-01")
    spool = bench.spool("cam-00")
    (entry,) = bench.spooled("cam-00")

    def flip(path: Any) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data)

    def copy(name: str, photo: bytes | None = None, **changes: Any) -> None:
        import hashlib

        shutil.copytree(spool / entry, spool / name)
        description = json.loads((spool / name / "entry.json").read_text()) | {"entry": name} | changes
        if photo is not None:
            (spool / name / "photo").write_bytes(photo)
            description |= {"bytes": len(photo), "sha256": hashlib.sha256(photo).hexdigest()}
        (spool / name / "entry.json").write_text(json.dumps(description))

    copy("twice")
    copy("of-no-take", make_photograph("stray"), take_id="S404-1-E01-1")
    copy("cut")
    flip(bench.spool("cam-01") / bench.spooled("cam-01")[0] / "photo")
    with (spool / "cut" / "photo").open("ab") as file:
        file.truncate(1000)
    bench.start("cam-00")
    bench.start("cam-01")
    take = bench.settled(result().take)
    bench.until(lambda: not bench.spooled("cam-00") and not bench.spooled("cam-01"))
    assert take.state is TakeState.FAILED
    assert "cam-01" in take.problem
    assert "hash" in take.problem
    assert "cam-00" not in take.problem
    assert bench.studio.records.photographs(take.code) == {"cam-00": expected["cam-00"]}
    assert bench.aside("cam-00", "damaged") == ["cut"]
    assert bench.aside("cam-00", "rejected") == ["of-no-take"]
    assert len(bench.aside("cam-01", "rejected")) == 1
    copy_of = "again"
    bench.kill("cam-00")
    shutil.copytree(spool / "rejected" / "of-no-take", spool / copy_of)
    description = json.loads((spool / copy_of / "entry.json").read_text())
    (spool / copy_of / "entry.json").write_text(json.dumps(description | {"entry": copy_of, "take_id": take.code}))
    bench.start("cam-00")  # a second photograph of one camera in one take: the first stands
    bench.until(lambda: copy_of in bench.aside("cam-00", "rejected"))
    assert bench.studio.records.photographs(take.code) == {"cam-00": expected["cam-00"]}
