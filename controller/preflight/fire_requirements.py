"""Whether the rig is complete enough to fire: every camera that is expected is there, and not too many are aside."""

from collections.abc import Mapping, Sequence

from controller.errors import RigNotReady
from controller.rig.roster import Roster


def require_rig(roster: Roster, aside: Mapping[str, str], broken: Sequence[str]) -> None:
    """Raise RigNotReady when a camera of the roster is not there, or when too many are aside.

    roster: without those aside. aside: camera -> why. broken: the rules of `[aside]` that these break.
    """
    if len(roster.ready) < len(roster.expected):
        raise RigNotReady(f"Nothing was fired. {roster.describe()}")
    if broken:
        raise RigNotReady(
            "Nothing was fired. Too much is aside:\n  "
            + "\n  ".join(broken)
            + f"\nTo bring one back:  mien rig back {next(iter(aside))}"
        )
