"""Description of a release, as all of its texts have it: name, version, licence, makers, and how it is cited."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib import metadata

from processing.release.formats.metadata.studio_statement import StudioStatement
from processing.release.formats.released_files import TOMBSTONES
from processing.release.formats.tombstones import Tombstone


@dataclass(frozen=True)
class ReleaseFacts:
    """A version of a release, as its texts and metadata describe it."""

    name: str
    version: int
    #: The licence's address or name.
    licence: str
    #: What the datasheet says first.
    description: str
    #: Who read the selection; None where nobody did.
    reviewed_by: str | None = None
    #: What the studio says under [release.about].
    about: StudioStatement = field(default_factory=StudioStatement)
    #: The first and the last day on which a take was fired, ISO 8601.
    captured: tuple[str, str] | None = None
    #: Whether no subject is a person.
    synthetic: bool = False

    @property
    def title(self) -> str:
        """What people call it."""
        return self.about.title or self.name

    @property
    def software(self) -> str:
        """The program that made it, as in 'Mien 0.1.0'."""
        return f"Mien {metadata.version('mien')}"

    @property
    def citation(self) -> str:
        """How it is cited: who, what, which version, where."""
        where = f"https://doi.org/{self.about.doi}" if self.about.doi else self.about.url
        return f"{'; '.join(self.about.made_by)}: {self.title}, version {self.version}. {where}".strip()


def urn(name: str, version: int) -> str:
    """How a version is called where it has no address."""
    return f"urn:mien:release:{name}:{version}"


def datasheet_of_tombstones(facts: ReleaseFacts, day: date, tombstones: Sequence[Tombstone]) -> str:
    """The datasheet of a version that holds nobody."""
    rows = [f"| {t.code} | {t.in_words()} | {', '.join(map(str, t.versions))} |" for t in tombstones]
    return f"""# {facts.name}, version {facts.version}

Nobody is in this version. It tells those who hold an earlier one what to delete, in every copy:

| Subject | Withdrawn | In versions |
|---|---|---|
{chr(10).join(rows)}

`{TOMBSTONES.path}` names folders and files; `mien release verify FOLDER --newer THIS` says what of it is still there.
Consents were judged on {day.isoformat()}.
"""
