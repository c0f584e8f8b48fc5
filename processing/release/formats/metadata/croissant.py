"""Croissant 1.1 metadata (mlcommons.org/croissant/1.1): what the release holds, for tools that load datasets.

With the Responsible-AI vocabulary, terms of use and provenance: see processing.release.formats.metadata.responsible_ai.
"""

from collections.abc import Mapping
from typing import Any

from processing.release.formats.metadata.release_description import ReleaseFacts, urn
from processing.release.formats.metadata.responsible_ai import (
    RAI,
    VOCABULARIES,
    ReleaseCounts,
    provenance,
    rai_fields,
    usage_info,
)
from processing.release.formats.released_files import LAYOUT, SHARED_FILES, SUBJECTS, TAKES

# The specification's own context (appendix 1), and what mlcroissant's adds to it.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "annotation": "cr:annotation",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "excludes": "cr:excludes",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "sdVersion": "cr:sdVersion",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
    **VOCABULARIES,
}
_SUBJECT_COLUMNS = (
    ("index", "sc:Integer", "The subject's folder in every layout"),
    ("code", "sc:Text", "The studio's code of the subject"),
    ("gender", "sc:Text", "As the subject says; empty where it was not said"),
    ("age", "sc:Text", "Years; empty where it was not said"),
    ("publishable", "sc:Boolean", "Whether pictures of the subject may be shown in publications"),
    ("eyes_mosaicked", "sc:Boolean", "Whether the eyes are in coarse blocks"),
    ("expressions", "sc:Integer", "How many expressions are here"),
    ("rig", "sc:Text", "Path of the subject's rig; empty where it has none"),
)
_TAKE_COLUMNS = (
    ("take", "sc:Text", "Subject and expression, <id>/<k>_<name>"),
    ("index", "sc:Integer", "The subject's folder in every layout"),
    ("position", "sc:Integer", "The expression's number"),
    ("expression", "sc:Text", "The expression's name"),
    ("mesh", "sc:Text", "Path of the registered mesh"),
    ("texture", "sc:Text", "Path of its texture"),
    ("displacement", "sc:Text", "Path of its displacement map"),
    ("scan", "sc:Text", "Path of the scan"),
    ("photographs", "sc:Text", "Folder of the photographs; empty where there are none"),
    ("views", "sc:Integer", "How many photographs there are"),
    ("facts", "sc:Text", "Path of what is said of the take"),
    ("topology", "sc:Text", "The topology of the mesh"),
)


def croissant(
    facts: ReleaseFacts, figures: ReleaseCounts, day: str, texts: Mapping[str, tuple[int, str]]
) -> dict[str, Any]:
    """The JSON-LD of a release. texts: name -> (bytes, SHA-256) of the lists that it describes file by file."""
    about = facts.about
    earlier = [urn(facts.name, version) for version in range(1, facts.version)][-1:]
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", RAI],
        "name": facts.name,
        "version": f"{facts.version}.0.0",
        "description": facts.description,
        "license": facts.licence,
        "url": about.url or urn(facts.name, facts.version),
        "creator": [{"@type": "sc:Organization", "name": name} for name in about.made_by],
        "datePublished": day,
        "dateCreated": day,
        "keywords": list(about.keywords),
        "inLanguage": "en",
        "citeAs": facts.citation,
        "isLiveDataset": False,
        "usageInfo": usage_info(about, facts.licence, synthetic=figures.synthetic),
        "distribution": [*_file_objects(texts), *_file_sets()],
        "recordSet": [
            _table("subjects", SUBJECTS.path, "index", _SUBJECT_COLUMNS),
            _table("takes", TAKES.path, "take", _TAKE_COLUMNS, {"index": "subjects/index"}),
            _pictures("texture_images", "textures", "Textures as pictures, with their paths"),
        ],
        **rai_fields(about, figures),
        **provenance(about, figures, facts.software, earlier),
    }
    if about.title:
        document["alternateName"] = about.title
    if about.publisher:
        document["publisher"] = {"@type": "sc:Organization", "name": about.publisher}
    if about.doi:
        document["sameAs"] = f"https://doi.org/{about.doi}"
    return document


def _file_objects(texts: Mapping[str, tuple[int, str]]) -> list[dict[str, Any]]:
    """The lists that are described file by file."""
    return [
        {
            "@type": "cr:FileObject",
            "@id": file.path,
            "name": file.path,
            "contentUrl": file.path,
            "contentSize": f"{texts[file.path][0]} B",
            "encodingFormat": file.media,
            "sha256": texts[file.path][1],
        }
        for file in SHARED_FILES
        if file.described
    ]


def _file_sets() -> list[dict[str, Any]]:
    """Files of takes, by patterns."""
    return [
        {
            "@type": "cr:FileSet",
            "@id": file.file_set,
            "name": file.file_set,
            "description": file.description,
            "encodingFormat": file.media,
            "includes": file.glob,
        }
        for file in LAYOUT.files
        if file.file_set
    ]


def _table(
    name: str,
    file: str,
    key: str,
    columns: tuple[tuple[str, str, str], ...],
    references: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A record a line of a CSV file."""
    fields = []
    for column, kind, what in columns:
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": f"{name}/{column}",
            "description": what,
            "dataType": kind,
            "source": {"fileObject": {"@id": file}, "extract": {"column": column}},
        }
        if references and column in references:
            field["references"] = {"field": {"@id": references[column]}}
        fields.append(field)
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": {"@id": f"{name}/{key}"}, "field": fields}


def _pictures(name: str, file_set: str, what: str) -> dict[str, Any]:
    """A record a file of a set: its path, and its content as a picture."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": what,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{key}",
                "name": f"{name}/{key}",
                "description": about,
                "dataType": kind,
                "source": {"fileSet": {"@id": file_set}, "extract": {"fileProperty": source}},
            }
            for key, about, kind, source in (
                ("path", "Path of the file", "sc:Text", "fullpath"),
                ("image", "The picture", "sc:ImageObject", "content"),
            )
        ],
    }
