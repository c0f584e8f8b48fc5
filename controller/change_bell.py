"""The change bell: whoever changes what operators see rings it, and whoever shows it is woken.

Ringing costs a lock and a dictionary entry, so it may be done from the control thread. Topics are few (TOPICS); a key
says what of the topic changed, as a camera's name.
"""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

ALL: Final = ""  # the key of a change that is not of one thing
TOPICS: Final = ("cameras", "roster", "take", "records", "lights", "live", "jobs", "trigger", "preflight", "scan")


class ChangeBell:
    """Counts changes. Any thread may call anything."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._quiet = 0
        self._rung: dict[str, dict[str, int]] = {}

    def ring(self, topic: str, key: str = ALL) -> int:
        """Something of the topic is no longer as it was; how often it was rung by now."""
        with self._changed:
            self._count += 1
            self._rung.setdefault(topic, {})[key] = self._count
            self._changed.notify_all()
            return self._count

    @property
    def count(self) -> int:
        """How often it was rung."""
        with self._changed:
            return self._count

    def since(self, topic: str, seen: int) -> list[str]:
        """The keys of a topic that were rung after the `seen`th time."""
        with self._changed:
            return [key for key, at in self._rung.get(topic, {}).items() if at > seen]

    def any_since(self, topics: Collection[str], seen: int) -> bool:
        """Whether one of the topics was rung after the `seen`th time."""
        with self._changed:
            return any(at > seen for topic in topics for at in self._rung.get(topic, {}).values())

    def wait(self, seen: int, timeout_s: float) -> int:
        """Until it was rung after the `seen`th time, or time is up; how often it was rung by now."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > seen, timeout_s)
            return self._count

    @property
    def quiet(self) -> bool:
        """Whether a fire is near: whatever can wait does."""
        with self._changed:
            return self._quiet > 0

    @contextmanager
    def hush(self) -> Iterator[None]:
        """A fire is near."""
        with self._changed:
            self._quiet += 1
        try:
            yield
        finally:
            with self._changed:
                self._quiet -= 1
                self._count += 1
                self._changed.notify_all()
