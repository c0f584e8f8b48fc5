"""What `mien process` tells of itself while it works."""

from collections.abc import Sequence

from common.progress import Progress, no_progress
from processing.farm.scheduling.stage_graph import StageRun


class ProcessListener:
    """What `process_subject` tells of itself; this one does not care."""

    def checking(self, done: float, message: str) -> None:
        """How far the look at the photographs is, and the template."""

    def planned(self, runs: Sequence[StageRun]) -> None:
        """These runs make the subject; some may be there already."""

    def started(self, run: StageRun) -> Progress:  # noqa: ARG002
        """A run begins; what this gives hears how far it is."""
        return no_progress
