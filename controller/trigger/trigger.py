"""The trigger of one studio, put together: holder, countdown, acceptance by itself."""

from collections.abc import Callable
from typing import Any

from controller.studio import Studio
from controller.trigger.automatic_acceptance import AutomaticAcceptance
from controller.trigger.countdown import Countdown, FireWish
from controller.trigger.trigger_holder import Screen, TriggerHolder

NO_CONTACT_S = 3.0  # of the screen that began a countdown: it ends


class Trigger:
    """silent_s: for how long a page has not been heard. stop() ends a countdown and what may be fired by it."""

    def __init__(self, studio: Studio, silent_s: Callable[[str], float]) -> None:
        self._studio = studio
        self._silent_s = silent_s
        self.holder = TriggerHolder(silent_s, self._changed)
        self.countdown = Countdown(studio, self._changed)
        self.automatic = AutomaticAcceptance(studio, studio.bell, self._changed)

    def _changed(self) -> None:
        self._studio.bell.ring("trigger")

    def stop(self) -> None:
        """Before the studio ends."""
        self.countdown.stop()
        self.automatic.stop()

    def fire(self, wish: FireWish, seconds: float, person: str, screen: Screen | None) -> dict[str, Any]:
        """Count down and fire, see Countdown.begin. screen: that asks for it; None for a command without one."""

        def may_go_on() -> str:
            if screen is None:
                return ""
            if not self.holder.holds(screen):
                return "the trigger was given to another screen"
            return "the screen that counted down is not heard any more" if self._lost(screen) else ""

        return self.countdown.begin(wish, seconds, person, may_go_on)

    def _lost(self, screen: Screen) -> bool:
        return self._silent_s(screen.console) >= NO_CONTACT_S
