"""One screen holds the trigger: it is given by a click on both, or taken when its holder is gone."""

import pytest

from controller.errors import SessionError
from controller.trigger.trigger_holder import LOST_S, Screen, TriggerHolder

ONE, OTHER = Screen("screen-1", "ann"), Screen("screen-2", "bob")


class Desk:
    def __init__(self) -> None:
        self.silent: dict[str, float] = {}
        self.told = 0
        self.holder = TriggerHolder(lambda console: self.silent.get(console, 0.0), self.changed)

    def changed(self) -> None:
        self.told += 1


def test_a_free_trigger_is_the_first_commands() -> None:
    desk = Desk()
    desk.holder.require(ONE)
    assert desk.holder.holds(ONE)
    assert desk.holder.section()["holder"] == "screen-1"
    with pytest.raises(SessionError, match="ann's screen holds the trigger"):
        desk.holder.require(OTHER)
    with pytest.raises(SessionError, match="ask for the trigger"):
        desk.holder.take(OTHER)


def test_another_persons_page_with_the_same_name_is_not_the_holder() -> None:
    desk = Desk()
    desk.holder.require(ONE)
    with pytest.raises(SessionError):
        desk.holder.require(Screen("screen-1", "bob"))


def test_it_changes_hands_by_a_click_on_both() -> None:
    desk = Desk()
    desk.holder.take(ONE)
    with pytest.raises(SessionError, match="No screen asks"):
        desk.holder.grant(ONE)
    desk.holder.ask(OTHER)
    assert desk.holder.holds(ONE)
    assert desk.holder.section()["asked_by"] == {"console": "screen-2", "person": "bob"}
    with pytest.raises(SessionError, match="does not hold"):
        desk.holder.grant(OTHER)
    desk.holder.grant(ONE)
    assert desk.holder.holds(OTHER)
    assert "asked_by" not in desk.holder.section()
    desk.holder.release(OTHER)
    assert "holder" not in desk.holder.section()
    assert desk.told == 4


def test_a_lost_holders_trigger_is_taken_after_fifteen_seconds() -> None:
    desk = Desk()
    desk.holder.take(ONE)
    desk.silent["screen-1"] = LOST_S - 0.1
    with pytest.raises(SessionError):
        desk.holder.take(OTHER)
    assert desk.holder.section()["lost"] is False
    desk.silent["screen-1"] = LOST_S
    assert desk.holder.section()["lost"] is True
    with pytest.raises(SessionError):
        desk.holder.require(OTHER)  # a command alone takes nothing from anybody
    desk.holder.take(OTHER)
    assert desk.holder.holds(OTHER)
