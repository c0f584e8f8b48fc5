"""Which template file a command or a studio works with."""

import shutil
from collections.abc import Callable
from pathlib import Path

from processing.errors import DataError


def template_file(given: str | None, message: Callable[[str], None] = lambda _text: None) -> Path:
    """The template's file: the given one, or Mien's own (built at the first use). Raises DataError."""
    if given is not None:
        path = Path(given)
        if not path.is_file():
            raise DataError(f"there is no template file {path}; mien template build makes one")
        return path
    from processing.template.template import cache_path, default_template

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
