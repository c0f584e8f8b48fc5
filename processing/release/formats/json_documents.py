"""JSON documents of a release: keys in the order in which they were thought of, no number that JSON does not know."""

import json
from pathlib import Path


def write_json_document(path: Path, value: object) -> None:
    """Raises ValueError for a number that is not finite."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
