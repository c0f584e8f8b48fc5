"""What a studio says of its releases: who made them, under which terms, for what, and what is wrong with them.

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
    """The keys of [release.about]. commercial: whether the licence allows commercial use; redistribution likewise."""

    title: str = ""
    creators: tuple[str, ...] = ()
    publisher: str = ""
    contact: str = ""
    url: str = ""
    doi: str = ""
    keywords: tuple[str, ...] = ("3D face", "face scan", "facial expression", "displacement map", "multi-view stereo")
    licence_id: str = ""
    funding: str = ""
    ethics_approval: str = ""
    place: str = ""
    use_cases: str = ""
    limitations: str = ""
    biases: str = ""
    social_impact: str = ""
    maintenance: str = ""
    commercial: bool = False
    redistribution: bool = False

    @property
    def made_by(self) -> tuple[str, ...]:
        """The creators; the studio without a name where none was given."""
        return self.creators or ((self.publisher,) if self.publisher else ("The studio that made this release",))


def read_about(section: Mapping[str, Any]) -> StudioStatement:
    """From the [release] table of studio.toml. Raises ReleaseError naming the key that is wrong."""
    return from_table(StudioStatement, section.get(SECTION, {}), f"studio.toml [release.{SECTION}]", ReleaseError)
