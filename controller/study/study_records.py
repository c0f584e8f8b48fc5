"""All of the study that a studio shows beside its rig."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from controller.study.farm_records import FarmRecords
from controller.study.made_models import MadeModels
from controller.study.release_overview import ReleaseOverview, release_overview
from controller.study.release_rules import ReleaseRules
from controller.study.subject_records import SubjectRecords
from db.engine import reading
from db.protocols import list_protocols
from db.settings import Settings
from db.store import Store
from db.takes.shown_photographs import frontal_photographs


@dataclass(frozen=True)
class ProtocolChoice:
    """A protocol that a session may have."""

    name: str
    version: int
    expressions: int


class StudyRecords:
    """Subjects, the farm, what was made of takes, and what may leave. Methods may be called from any thread."""

    def __init__(
        self, engine: Engine, store: Store, settings: Settings, open_session: Callable[[], str | None]
    ) -> None:
        """open_session: the code of the one that is open on this rig."""
        self._engine = engine
        self.subjects = SubjectRecords(engine, settings)
        self.farm = FarmRecords(engine, store)
        self.models = MadeModels(engine, store)
        self.rules = ReleaseRules(settings.home, open_session)

    def release_overview(self) -> ReleaseOverview:
        """What may leave, as far as the records tell."""
        return release_overview(self._engine)

    def protocols(self) -> list[ProtocolChoice]:
        """By name and version."""
        with reading(self._engine) as tx:
            return [ProtocolChoice(row.name, row.version, len(row.expressions)) for row in list_protocols(tx)]

    def frontal_photographs(self, session: str) -> dict[str, dict[str, str]]:
        """take -> frontal camera -> SHA-256; empty where the subject has withdrawn. Raises NotFound."""
        with reading(self._engine) as tx:
            return frontal_photographs(tx, session)
