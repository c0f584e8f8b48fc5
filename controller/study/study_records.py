"""All of the study that a studio shows beside its rig."""

from sqlalchemy import Engine

from controller.study.farm_records import FarmRecords
from controller.study.made_models import MadeModels
from controller.study.release_overview import ReleaseOverview, release_overview
from controller.study.subject_records import SubjectRecords
from db.settings import Settings
from db.store import Store


class StudyRecords:
    """Subjects, the farm, what was made of takes, and what may leave. Methods may be called from any thread."""

    def __init__(self, engine: Engine, store: Store, settings: Settings) -> None:
        self._engine = engine
        self.subjects = SubjectRecords(engine, settings)
        self.farm = FarmRecords(engine, store)
        self.models = MadeModels(engine, store)

    def release_overview(self) -> ReleaseOverview:
        """What may leave, as far as the records tell."""
        return release_overview(self._engine)
