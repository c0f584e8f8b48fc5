"""Photographs for simulated cameras: a synthetic subject in every expression, as each camera of a rig sees it."""

from collections.abc import Sequence
from pathlib import Path

from common.take_codes import TakeLabel
from db.protocols import EXPRESSIONS

VERTICES = 120_000


def render_faces(folder: Path, cameras: int, names: Sequence[str] = EXPRESSIONS, *, height: int = 600) -> None:
    """`folder`/<k>_<name>/<view>.jpg; what is there already stays. Some seconds an expression."""
    from processing.synthetic.studio_rig import studio_rig
    from processing.synthetic.subject import synthetic_subject
    from processing.synthetic.takes import write_take

    rig = studio_rig(cameras, round(height * 2 / 3), height)
    missing = [name for name in names if not (folder / label(name) / "params.json").exists()]
    if missing:
        subject = synthetic_subject(7, vertices=VERTICES)
        for name in missing:
            write_take(folder / label(name), subject.pose(name), rig, truth=False)


def label(name: str) -> str:
    """The folder of an expression, as in "2_smile"."""
    return str(TakeLabel(EXPRESSIONS.index(name) + 1, name))
