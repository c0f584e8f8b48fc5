"""Capture protocols as data: FaceScape's 20 expressions, and any other from a TOML file.

name = "facs26"
version = 1
[[expression]]
name = "neutral"
instruction = "Look straight ahead, mouth closed, face at rest."
asks = ["jawOpen <0.25"]    # optional, with eyes = "closed": what the face should score, see db.expression_recipes
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from common.configuration.loader import check_keys, from_table, read_toml
from db.errors import AlreadyThere, NotFound, RecordError, SettingsError
from db.expression_recipes import FACESCAPE_RECIPES, Recipe, parse_recipe
from db.models import Protocol, ProtocolExpression

_Name = Annotated[
    str, Meta(pattern="^[a-z][a-z0-9_]{0,47}$", description="lower-case letters, digits and '_', at most 48")
]


@dataclass(frozen=True)
class ProtocolData:
    """A protocol before it is a row: (name, instruction) in order of capture, and recipes by expression."""

    name: str
    version: int
    expressions: tuple[tuple[str, str], ...]
    recipes: Mapping[str, Recipe] = field(default_factory=dict)


FACESCAPE = ProtocolData(
    name="facescape20",
    version=1,
    expressions=(
        ("neutral", "Look straight ahead, teeth together, lips closed, face at rest."),
        ("smile", "Smile broadly with closed lips; let the cheeks rise."),
        ("mouth_stretch", "Open the mouth as wide as you can, jaw straight down."),
        ("anger", "Frown hard and press the lips together, as if furious."),
        ("jaw_left", "Lips closed, slide the lower jaw to your left."),
        ("jaw_right", "Lips closed, slide the lower jaw to your right."),
        ("jaw_forward", "Push the lower jaw forward, lower teeth in front of the upper."),
        ("mouth_left", "Pull the closed mouth to your left; keep the jaw still."),
        ("mouth_right", "Pull the closed mouth to your right; keep the jaw still."),
        ("dimpler", "Press the corners of the mouth back into dimples."),
        ("chin_raiser", "Push the chin up so that the lower lip rises."),
        ("lip_puckerer", "Pucker the lips as for a kiss."),
        ("lip_funneler", "Push the lips forward and open them, as if saying 'oh'."),
        ("sadness", "Pull the corners of the mouth down and raise the inner brows."),
        ("lip_roll", "Roll both lips inwards over the teeth."),
        ("grin", "Show clenched teeth, lips drawn back."),
        ("cheek_blowing", "Close the lips and blow up both cheeks."),
        ("eye_closed", "Close the eyes gently, face at rest."),
        ("brow_raiser", "Raise both brows as high as you can, eyes open."),
        ("brow_lower", "Lower the brows and draw them together, eyes open."),
    ),
    recipes=FACESCAPE_RECIPES,
)
EXPRESSIONS: tuple[str, ...] = tuple(name for name, _ in FACESCAPE.expressions)


@dataclass(frozen=True)
class _ExpressionTable:
    """An [[expression]] as it is written."""

    name: _Name
    instruction: Annotated[str, Meta(pattern=r"\S", description="what the subject is to do")]
    asks: object = None  # see db.expression_recipes.parse_recipe
    eyes: object = None


@dataclass(frozen=True)
class _ProtocolFile:
    """A protocol's file as it is written."""

    name: _Name
    version: Annotated[int, Meta(ge=1, description="a whole number from 1")]
    expression: tuple[_ExpressionTable, ...] = ()


def load_protocol(path: Path) -> ProtocolData:
    """A protocol from a TOML file.

    Raises RecordError naming the file and what is wrong: no TOML, missing keys, names that cannot be file names, an
    expression twice; SettingsError for a key that is not known.
    """
    table = read_toml(path, RecordError)
    check_keys(table, ("name", "version", "expression"), str(path), SettingsError)
    rows = table.get("expression", ())
    for number, row in enumerate(rows if isinstance(rows, list) else (), start=1):
        if isinstance(row, dict):
            check_keys(row, ("name", "instruction", "asks", "eyes"), f"{path} [[expression]] {number}", SettingsError)
    written = from_table(_ProtocolFile, table, str(path), RecordError)
    if not written.expression:
        raise RecordError(f"{path}: no [[expression]] table")
    expressions: list[tuple[str, str]] = []
    recipes: dict[str, Recipe] = {}
    for number, row in enumerate(written.expression, start=1):
        where = f"{path} [[expression]] {number}"
        if any(row.name == earlier for earlier, _ in expressions):
            raise RecordError(f"{where}: '{row.name}' is there already")
        expressions.append((row.name, row.instruction.strip()))
        asked = {key: value for key, value in (("asks", row.asks), ("eyes", row.eyes)) if value is not None}
        if asked:
            recipes[row.name] = parse_recipe(asked, where)
    return ProtocolData(written.name, written.version, tuple(expressions), recipes)


def install_protocol(tx: Session, data: ProtocolData) -> Protocol:
    """The protocol's row; added when absent. Raises AlreadyThere when this version exists with other content."""
    found = tx.scalar(
        select(Protocol)
        .where(Protocol.name == data.name, Protocol.version == data.version)
        .options(selectinload(Protocol.expressions))
    )
    if found is not None:
        same = all(row.recipe in (None, _stored(data, row.name)) for row in found.expressions)
        if not same or tuple((row.name, row.instruction) for row in found.expressions) != data.expressions:
            raise AlreadyThere(f"{data.name} version {data.version} exists with other expressions; raise the version")
        return found
    protocol = Protocol(
        name=data.name,
        version=data.version,
        expressions=[
            ProtocolExpression(position=position, name=name, instruction=instruction, recipe=_stored(data, name))
            for position, (name, instruction) in enumerate(data.expressions, start=1)
        ],
    )
    tx.add(protocol)
    tx.flush()
    return protocol


def _stored(data: ProtocolData, expression: str) -> dict[str, Any] | None:
    recipe = data.recipes.get(expression)
    return None if recipe is None else recipe.data()


def recipe_of(expression: ProtocolExpression) -> Recipe | None:
    """What the expression asks of a face: its own recipe, or FaceScape's for an expression of that name."""
    if expression.recipe is not None:
        return parse_recipe(expression.recipe, f"expression {expression.name}")
    return FACESCAPE_RECIPES.get(expression.name)


def get_protocol(tx: Session, name: str = FACESCAPE.name, version: int | None = None) -> Protocol:
    """A protocol by name with its expressions loaded; the newest version by default. Raises NotFound."""
    query = (
        select(Protocol)
        .where(Protocol.name == name)
        .order_by(Protocol.version.desc())
        .limit(1)
        .options(selectinload(Protocol.expressions))
    )
    if version is not None:
        query = query.where(Protocol.version == version)
    found = tx.scalar(query)
    if found is None:
        wanted = name if version is None else f"{name} version {version}"
        raise NotFound(f"No protocol {wanted}; see: mien protocol list")
    return found


def list_protocols(tx: Session) -> list[Protocol]:
    """All protocols with their expressions, by name and version."""
    query = select(Protocol).order_by(Protocol.name, Protocol.version).options(selectinload(Protocol.expressions))
    return list(tx.scalars(query))
