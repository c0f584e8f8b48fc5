"""Every difference between the rig file and the studio is named, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from controller.rig.roster import Expected, Present, compare

EXPECTED = [Expected("cam-00", "A"), Expected("cam-01", "B"), Expected("cam-02")]


def kinds(present: list[Present]) -> dict[str, str]:
    return {item.camera: item.kind for item in compare(EXPECTED, present).discrepancies}


def test_a_complete_rig_is_complete() -> None:
    roster = compare(
        EXPECTED, [Present("cam-00", "A", "n0"), Present("cam-01", "B", "n1"), Present("cam-02", "", "n2")]
    )
    assert roster.discrepancies == ()
    assert roster.ready == ("cam-00", "cam-01", "cam-02")


def test_each_difference_is_named() -> None:
    present = [
        Present("cam-00", "A", "n0"),
        Present("cam-02", "x", "n2"),
        Present("cam-02", "y", "n3"),
        Present("cam-99", "z", "n9"),
    ]
    assert kinds(present) == {"cam-01": "missing", "cam-02": "duplicate", "cam-99": "unknown"}
    text = compare(EXPECTED, present).describe()
    assert "1 of 3 cameras are ready" in text
    assert "n2, n3" in text


def test_two_bodies_in_each_others_place_are_swapped() -> None:
    present = [Present("cam-00", "B", "n0"), Present("cam-01", "A", "n1"), Present("cam-02", "", "n2")]
    assert kinds(present) == {"cam-00": "swapped", "cam-01": "swapped"}


def test_a_strange_body_is_unknown_and_a_silent_camera_is_missing() -> None:
    present = [Present("cam-00", "Q", "n0"), Present("cam-01", "", "n1", "asleep"), Present("cam-02", "", "n2")]
    roster = compare(EXPECTED, present)
    assert {item.camera: item.kind for item in roster.discrepancies} == {"cam-00": "unknown", "cam-01": "missing"}
    assert "asleep" in roster.describe()


def test_a_body_that_answers_at_its_own_place_too_is_a_duplicate_and_its_place_is_ready() -> None:
    present = [Present("cam-00", "A", "n0"), Present("cam-01", "A", "n1"), Present("cam-02", "A", "n2")]
    assert kinds(present) == {"cam-01": "duplicate", "cam-02": "duplicate"}
    assert compare(EXPECTED, present).ready == ("cam-00",)


def test_a_body_with_a_home_is_named_where_any_body_may_stand() -> None:
    present = [Present("cam-00", "A", "n0"), Present("cam-02", "B", "n2")]
    assert kinds(present) == {"cam-01": "missing", "cam-02": "swapped"}


def test_a_body_that_answered_before_is_asleep_and_not_just_missing() -> None:
    present = [
        Present("cam-00", "", "n0", "no camera answers at usb:001,004", last_serial="A"),
        Present("cam-01", "", "n1", "no camera answers at usb:001,005"),
        Present("cam-02", "", "n2"),
    ]
    roster = compare(EXPECTED, present)
    assert {item.camera: item.kind for item in roster.discrepancies} == {"cam-00": "sleeping", "cam-01": "missing"}
    assert "its body (A) answered before" in roster.describe()


PORTS = [Expected("cam-00", url="usb:1"), Expected("cam-01", url="usb:2"), Expected("cam-02", url="usb:1")]


def test_without_serials_the_configured_port_tells_the_body() -> None:
    def bodies(*ports: str) -> list[Present]:
        return [Present(f"cam-{k:02d}", "0.1", f"n{k}", url=port, model="D850") for k, port in enumerate(ports)]

    assert compare(PORTS, bodies("usb:1", "usb:2", "usb:1")).discrepancies == ()
    swapped = compare(PORTS, bodies("usb:2", "usb:1", "usb:1"))
    assert {item.camera: item.kind for item in swapped.discrepancies} == {"cam-00": "swapped", "cam-01": "swapped"}
    other = compare(PORTS, bodies("usb:1", "usb:7", "usb:1"))
    assert [(item.kind, item.text) for item in other.discrepancies] == [
        ("unknown", "D850 0.1 at usb:7 instead of usb:2")
    ]


@given(st.lists(st.tuples(st.sampled_from(["cam-00", "cam-01", "cam-02", "cam-03"]), st.sampled_from("ABC"))))
def test_a_camera_is_ready_or_named_never_both(bodies: list[tuple[str, str]]) -> None:
    present = [Present(name, serial, f"n{index}") for index, (name, serial) in enumerate(bodies)]
    roster = compare(EXPECTED, present)
    named = {item.camera for item in roster.discrepancies}
    assert not named & set(roster.ready)
    assert {camera.name for camera in EXPECTED} <= named | set(roster.ready)
    assert {name for name, _ in bodies} <= named | set(roster.ready)
