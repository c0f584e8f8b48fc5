"""DataCite record of a release, for a DOI: metadata schema 4.6, as the JSON that its REST API takes.

Schema: datacite-metadata-schema.readthedocs.io. The publication year is that of the day on which consents were judged.
"""

from collections.abc import Mapping
from typing import Any

from processing.release.formats.metadata.release_description import ReleaseFacts, urn
from processing.release.formats.metadata.responsible_ai import ReleaseCounts, field_text, rai_fields
from processing.release.formats.released_files import LAYOUT

# In the order of a reader's interest; further media types of released files follow.
_FORMATS = ("model/obj", "model/ply", "image/png", "image/x-exr", "image/jpeg", "application/json", "text/csv")


def datacite(facts: ReleaseFacts, figures: ReleaseCounts, day: str, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The `attributes` of a DOI. sizes: 'files' and 'bytes' of the release's takes."""
    about = facts.about
    fields = rai_fields(about, figures)
    record: dict[str, Any] = {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "identifiers": [{"identifier": urn(facts.name, facts.version), "identifierType": "URN"}],
        "creators": [{"name": name, "nameType": "Organizational"} for name in about.made_by],
        "titles": [{"title": facts.title, "lang": "en"}],
        "publisher": {"name": about.publisher or about.made_by[0]},
        "publicationYear": int(day[:4]),
        "types": {"resourceType": "Dataset of 3-D face scans", "resourceTypeGeneral": "Dataset"},
        "subjects": [{"subject": word} for word in about.keywords],
        "contributors": [{"name": about.contact, "contributorType": "ContactPerson"}] if about.contact else [],
        "dates": [{"date": day, "dateType": "Issued"}],
        "language": "en",
        "version": str(facts.version),
        "rightsList": [_rights(facts)],
        "descriptions": [
            {"description": facts.description, "descriptionType": "Abstract", "lang": "en"},
            {"description": field_text(fields, "dataCollection"), "descriptionType": "Methods", "lang": "en"},
            {"description": field_text(fields, "dataLimitations"), "descriptionType": "TechnicalInfo", "lang": "en"},
        ],
        "sizes": [f"{sizes['files']} files", f"{sizes['bytes']} bytes"],
        "formats": list(dict.fromkeys((*_FORMATS, *(file.media for file in LAYOUT.files if file.file_set)))),
        "relatedIdentifiers": [],
    }
    if figures.days:
        record["dates"].append({"date": "/".join(figures.days), "dateType": "Collected"})
    if facts.version > 1:
        earlier = {"relatedIdentifier": urn(facts.name, facts.version - 1), "relatedIdentifierType": "URN"}
        record["relatedIdentifiers"].append(earlier | {"relationType": "IsNewVersionOf"})
    if about.funding:
        record["fundingReferences"] = [{"funderName": about.funding}]
    if about.doi:
        record["doi"] = about.doi
    if about.url:
        record["url"] = about.url
    return record


def _rights(facts: ReleaseFacts) -> dict[str, str]:
    rights = {"rights": facts.licence, "lang": "en"}
    if facts.licence.startswith(("http://", "https://")):
        rights["rightsUri"] = facts.licence
    if facts.about.licence_id and not facts.about.licence_id.startswith("LicenseRef"):
        rights |= {
            "rightsIdentifier": facts.about.licence_id,
            "rightsIdentifierScheme": "SPDX",
            "schemeUri": "https://spdx.org/licenses/",
        }
    return rights
