"""`mien model sample`: random persons of a model, in an expression, as meshes or arrays in files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats
from common.bounded.json_toml import read_json
from common.configuration.suggestions import nearest
from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.face_models.crossings import FacePoser
from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import read_model
from processing.files.obj import write_obj
from processing.files.ply import write_ply
from processing.template.expression_recipes import EXPRESSION_RECIPES

RANDOM = "random"
FORMATS = ("obj", "ply", "npz")


@dataclass(frozen=True)
class SampleChoice:
    """Who is drawn, and what they do."""

    seed: int = 0
    count: int = 1
    expression: str | None = None  # of the protocol, a unit, or RANDOM; None: neutral
    weights: Path | None = None  # JSON of weights by unit, or a fit
    form: str = "obj"


def sample_files(model_file: Path, choice: SampleChoice, out: Path, *, progress: Progress = no_progress) -> list[Path]:
    """Draw persons and write sample-<seed>-<k>.<form>; person k of a seed is the same whatever the count.

    Lips, lids and eyes that pass through each other are drawn apart.

    Raises DataError for an unknown expression, unit or format.
    """
    if choice.form not in FORMATS:
        raise DataError(f"no format {choice.form!r}; there are: {', '.join(FORMATS)}")
    progress(0.0, "reading the model")
    model = read_model(model_file)
    chosen_weights(model, choice, np.random.default_rng(0))  # what is refused leaves no folder
    out.mkdir(parents=True, exist_ok=True)
    made, poser = [], FacePoser(model)
    for number in range(choice.count):
        progress(0.2 + 0.8 * number / choice.count, f"person {number + 1} of {choice.count}")
        rng = np.random.default_rng([choice.seed, number])
        identity = model.sample_identity(rng)
        weights = chosen_weights(model, choice, rng)
        path = out / f"sample-{choice.seed}-{number + 1}.{choice.form}"
        _write(path, model, poser.face(identity, weights), identity, weights)
        made.append(path)
    return made


def chosen_weights(model: FaceModel, choice: SampleChoice, rng: np.random.Generator) -> Floats:
    """(U,) expression weights. Raises DataError."""
    if choice.weights is not None:
        if choice.expression is not None:
            raise DataError("give --expression or --weights, not both")
        return named_weights(model, read_weights(choice.weights), str(choice.weights))
    if choice.expression is None:
        return np.zeros(len(model.units))
    if choice.expression == RANDOM:
        return model.sample_weights(rng)
    if choice.expression in model.units:
        return named_weights(model, {choice.expression: 1.0}, choice.expression)
    if choice.expression not in EXPRESSION_RECIPES:
        near = nearest(choice.expression, [*EXPRESSION_RECIPES, *model.units, RANDOM])
        raise DataError(
            f"no expression {choice.expression!r}"
            + (f"; did you mean {near}?" if near else ".")
            + f" There are {RANDOM}, the model's units, and {', '.join(EXPRESSION_RECIPES)}"
        )
    recipe = EXPRESSION_RECIPES[choice.expression]
    return named_weights(model, {unit: min(weight, 1.0) for unit, weight in recipe.items()}, choice.expression)


def named_weights(model: FaceModel, given: Mapping[str, Any], whose: str) -> Floats:
    """(U,) in the model's order, 0 where a unit is not named. Raises DataError for unknown units and bad numbers."""
    weights = np.zeros(len(model.units))
    for unit, value in given.items():
        if unit not in model.units:
            near = nearest(unit, model.units)
            raise DataError(f"{whose}: model {model.name} has no unit {unit!r}" + (f"; {near}?" if near else ""))
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise DataError(f"{whose}: {unit} is {value!r}; a weight is a number from 0 to 1")
        weights[model.units.index(unit)] = value
    return weights


def read_weights(path: Path) -> Mapping[str, Any]:
    """{unit: weight}, or what `mien model fit` wrote."""
    try:
        content = read_json(path, once=True)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from None
    found = content.get("weights", content) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise DataError(f"{path} has no weights: an object of units and numbers from 0 to 1")
    return found


def _write(path: Path, model: FaceModel, vertices: Floats, identity: Floats, weights: Floats) -> None:
    if path.suffix == ".obj":
        write_obj(path, model.topology.mesh.with_vertices(vertices))
    elif path.suffix == ".ply":
        write_ply(path, model.topology.mesh.with_vertices(vertices))
    else:
        head = {"model": model.name, "version": model.version, "topology": model.topology.topology, "length_unit": "mm"}
        arrays = {
            "vertices_mm": vertices.astype(np.float32), "triangles": model.topology.mesh.triangles,
            "identity": identity, "weights": weights, "units": np.array(model.units),
        }  # fmt: skip
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, head=np.array(json.dumps(head, sort_keys=True)), **arrays)  # type: ignore[arg-type]
