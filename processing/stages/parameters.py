"""Stage parameters as people type them."""

import json
from collections.abc import Sequence
from typing import Any

from processing.stages.base import ParamsError


def parse_params(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`bake.size_px=1024` and the like. Raises ParamsError for what is not of this form."""
    params: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        stage, dot, parameter = name.partition(".")
        if not (equals and dot and stage and parameter):
            raise ParamsError(f"'{setting}' is no setting; write STAGE.NAME=VALUE, as in bake.size_px=1024")
        try:
            params.setdefault(stage, {})[parameter] = json.loads(text)
        except ValueError:
            params.setdefault(stage, {})[parameter] = text
    return params
