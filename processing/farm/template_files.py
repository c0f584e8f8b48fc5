"""What people type, made into what the farm works with."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from processing.errors import DataError
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


def template_file(given: str | None, message: Callable[[str], None] = lambda _text: None) -> Path:
    """The template's file: the given one, or Mien's own (built at the first use). Raises DataError."""
    if given is not None:
        path = Path(given)
        if not path.is_file():
            raise DataError(f"there is no template file {path}; mien template build makes one")
        return path
    from processing.template.builtin_template import cache_path, default_template

    message("preparing the template")
    default_template()
    return cache_path()


def studio_template(home: Path, given: str | None, message: Callable[[str], None] = lambda _text: None) -> Path:
    """The template of a studio's farm: the given one, or the one that its first run used.

    Mien's own is built on each machine, so two machines' may differ in a last digit and with it in their hash; the
    studio keeps one, or every daemon would make everything anew.
    """
    from common.files.atomic_write import atomic_write

    kept = home / "template.npz"
    if given is None and not kept.is_file():
        with atomic_write(kept) as temporary:
            shutil.copyfile(template_file(None, message), temporary)
    return template_file(given or str(kept), message)
