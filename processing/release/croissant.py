"""Croissant 1.0 metadata (mlcommons.org/croissant/1.0): what the release holds, for tools that load datasets."""

from collections.abc import Mapping
from typing import Any

from processing.release.documents import INFO_LIST, SUBJECTS, ReleaseFacts

CROISSANT = "croissant.json"
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_SETS = (
    ("meshes", "Registered meshes, all of one topology", "model/obj", "*/models_reg/*.obj"),
    ("textures", "Textures of the registered meshes", "image/jpeg", "*/models_reg/*.jpg"),
    ("displacements", "Displacement maps of the registered meshes", "image/png", "*/dpmap/*.png"),
    ("scans", "Scans", "model/ply", "mesh/*/*.ply"),
    ("photographs", "Photographs by subject, expression and view", "image/jpeg", "img/*/*/*.jpg"),
    ("cameras", "Cameras of each expression's photographs", "application/json", "img/*/*/params.json"),
)
_COLUMNS = (
    ("index", "sc:Integer", "The subject's folder in every layout"),
    ("code", "sc:Text", "The studio's code of the subject"),
    ("gender", "sc:Text", "As the subject says; empty where it was not said"),
    ("age", "sc:Text", "Years; empty where it was not said"),
    ("publishable", "sc:Boolean", "Whether pictures of the subject may be shown in publications"),
    ("expressions", "sc:Integer", "How many expressions are here"),
)


def croissant(facts: ReleaseFacts, day: str, texts: Mapping[str, tuple[int, str]]) -> dict[str, Any]:
    """The JSON-LD of a release. texts: name -> (bytes, SHA-256) of the lists that it describes file by file."""
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{texts[name][0]} B",
            "encodingFormat": media,
            "sha256": texts[name][1],
        }
        for name, media in ((SUBJECTS, "text/csv"), (INFO_LIST, "text/plain"))
    ]
    sets = [
        {"@type": "cr:FileSet", "@id": key, "name": key, "description": what, "encodingFormat": media, "includes": glob}
        for key, what, media, glob in _SETS
    ]
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"subjects/{column}",
            "name": f"subjects/{column}",
            "description": what,
            "dataType": kind,
            "source": {"fileObject": {"@id": SUBJECTS}, "extract": {"column": column}},
        }
        for column, kind, what in _COLUMNS
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": facts.name,
        "version": f"{facts.version}.0.0",
        "description": facts.description,
        "license": facts.licence,
        "url": f"urn:mien:release:{facts.name}:{facts.version}",
        "datePublished": day,
        "citeAs": f"{facts.name}, version {facts.version}",
        "isLiveDataset": False,
        "distribution": [*objects, *sets],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "subjects",
                "name": "subjects",
                "key": {"@id": "subjects/index"},
                "field": fields,
            }
        ],
    }
