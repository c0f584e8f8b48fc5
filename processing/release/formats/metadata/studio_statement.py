"""Statement of a studio on its releases: who made them, under which terms, for what, and what is wrong with them.

Written once under [release.about] of studio.toml; whatever is left out is filled from what the release itself shows.
The texts become the fields of Croissant's Responsible-AI vocabulary, the data card, the DataCite record and the credits
inside exported models.

    [release.about]
    title = "Faces of the Northern Studio"
    creators = ["Northern Studio", "Example University"]
    contact = "data@studio.example"
    url = "https://studio.example/faces"
    licence_id = "LicenseRef-Northern-Research"      # an SPDX identifier where there is one
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from common.configuration.loader import from_table
from processing.release.formats.errors import ReleaseError

SECTION = "about"


class StudioStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the studio says of its releases: the keys of [release.about]."""

    #: What people call the data set.
    title: str = ""
    #: Who made it.
    creators: tuple[str, ...] = ()
    #: Who publishes it.
    publisher: str = ""
    #: Where questions go.
    contact: str = ""
    #: Its page.
    url: str = ""
    #: As in 10.5281/zenodo.1.
    doi: str = ""
    #: For catalogues.
    keywords: tuple[str, ...] = ("3D face", "face scan", "facial expression", "displacement map", "multi-view stereo")
    #: An SPDX identifier where there is one.
    licence_id: str = ""
    #: Who paid.
    funding: str = ""
    #: By whom, under which number.
    ethics_approval: str = ""
    #: Where it was captured.
    place: str = ""
    #: What it is for.
    use_cases: str = ""
    #: What it is not good for.
    limitations: str = ""
    #: Who is missing or over-represented.
    biases: str = ""
    #: What it may do to people.
    social_impact: str = ""
    #: Who keeps it up, and how.
    maintenance: str = ""
    #: Whether the licence allows commercial use.
    commercial: bool = False
    #: Whether the licence allows passing it on.
    redistribution: bool = False

    @property
    def made_by(self) -> tuple[str, ...]:
        """The creators; the studio without a name where none was given."""
        return self.creators or ((self.publisher,) if self.publisher else ("The studio that made this release",))


def read_about(section: Mapping[str, Any]) -> StudioStatement:
    """From the [release] table of studio.toml. Raises ReleaseError naming the key that is wrong."""
    return from_table(StudioStatement, section.get(SECTION, {}), f"studio.toml [release.{SECTION}]", ReleaseError)
