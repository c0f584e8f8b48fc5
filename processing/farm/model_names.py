"""What models of records and of folders share: names, who is listed as a member, the refusal."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from processing.errors import DataError
from processing.stages.base import Stage

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")


class ModelRefused(DataError):
    """A model cannot be made; the message names everybody and everything that is lacking."""


def check_model_name(name: str) -> None:
    """Raises ModelRefused."""
    if not NAME.fullmatch(name):
        raise ModelRefused(f"'{name}' is no name of a model: lower-case letters, digits, - and _, as in faces-2027")


def age_group(age: int | None) -> str | None:
    """Ten years, as in '20-29'."""
    return None if age is None else f"{age // 10 * 10}-{age // 10 * 10 + 9}"


def members_json(members: Iterable[tuple[str, str | None, str | None]]) -> bytes:
    """The file of the source 'members'. members: code, age group, gender, in the order of the study."""
    listed = [{"code": code, "age": age, "gender": gender} for code, age, gender in members]
    return json.dumps({"members": listed}, sort_keys=True, separators=(",", ":")).encode()


def beside(out: Path, stage: Stage, output: str) -> Path:
    """Where an output of a stage of studies goes: its first one is the model, `out`; a card is `<out>.card.md`."""
    if output == next(iter(stage.makes)):
        return out
    return out.with_name(f"{out.stem}.{stage.file_name(output)}")
