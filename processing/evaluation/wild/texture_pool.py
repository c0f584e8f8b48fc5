"""Textures of a study to lay on faces of photographs: chosen by age and gender, or by the colour of the skin."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from common.array_types import Floats, Image
from common.bounded.files import read_bytes
from processing.errors import DataError
from processing.files.image_files import read_image
from processing.single_view.appearance.lighting import linear

MESHES = "models_reg"
NEUTRAL = "1_neutral.jpg"
CLOSEST = 4  # textures that fit best, of which the seed draws one
AGE_SPREAD = 10.0  # years that count as much as another gender does half
_TABLE_BYTES = 4 << 20
_CHEEKS = ((0.30, 0.62), (0.70, 0.62), (0.5, 0.30))  # texels of skin on any face map: share of the width, of the height


class TextureError(DataError):
    """A study's textures cannot be used."""


@dataclass(frozen=True)
class StudyTexture:
    """One member's texture, and what is known of the member."""

    code: str
    path: Path
    age: float | None = None  # years
    gender: str | None = None  # "female", "male"

    def picture(self) -> Image:
        """(S, S, 3) BGR. Raises DataError."""
        return _read(self.path)


@dataclass(frozen=True)
class TexturePool:
    """What a source has."""

    textures: tuple[StudyTexture, ...]

    @classmethod
    def of_folder(cls, source: Path, refused: Sequence[str] = ()) -> "TexturePool":
        """SOURCE/<code>/models_reg/<k>_<name>.jpg, the neutral one where there are several, and SOURCE/subjects.csv
        with code, age and gender where it is there; refused: codes that must not be shown. Raises TextureError.
        """
        if not source.is_dir():
            raise TextureError(f"there is no folder {source}")
        said = _subjects(source / "subjects.csv")
        textures = []
        for folder in sorted(path for path in source.iterdir() if (path / MESHES).is_dir()):
            found = sorted((folder / MESHES).glob("*.jpg"))
            if found and folder.name not in refused:
                neutral = folder / MESHES / NEUTRAL
                age, gender = said.get(folder.name, (None, None))
                textures.append(StudyTexture(folder.name, neutral if neutral in found else found[0], age, gender))
        if not textures:
            raise TextureError(
                f"{source} has no <subject>/{MESHES}/<k>_<name>.jpg: name a release, or a folder of subjects as mien "
                "process leaves them"
            )
        return cls(tuple(textures))

    def by_person(self, age: float | None, gender: str | None, rng: np.random.Generator) -> StudyTexture | None:
        """One of those nearest in age and of the same gender; None where the source says neither."""
        known = [t for t in self.textures if (age is not None and t.age is not None) or (gender and t.gender)]
        if not known:
            return None
        distance = [
            (abs((t.age or 0) - age) / AGE_SPREAD if age is not None and t.age is not None else 0.0)
            + (2.0 if gender and t.gender and t.gender != gender else 0.0)
            for t in known
        ]
        return known[int(rng.choice(np.argsort(distance, kind="stable")[:CLOSEST]))]

    def by_colour(self, skin: Floats, rng: np.random.Generator) -> StudyTexture:
        """One of those whose skin is nearest to a colour (3,), linear RGB of any exposure."""
        wanted = _tone(skin)
        distance = [float(np.abs(_tone(skin_colour(t.picture())) - wanted) @ [1.0, 1.0, 0.5]) for t in self.textures]
        return self.textures[int(rng.choice(np.argsort(distance, kind="stable")[:CLOSEST]))]


def skin_colour(texture: Image) -> Floats:
    """(3,) linear RGB of a texture's cheeks and forehead: medians of small squares."""
    side = len(texture)
    half = max(2, side // 32)
    patches = [
        texture[round(y * side) - half : round(y * side) + half, round(x * side) - half : round(x * side) + half]
        for x, y in _CHEEKS
    ]
    median = np.median([np.median(p.reshape(-1, 3), axis=0) for p in patches], axis=0)
    return linear(median[::-1].astype(np.float64))


def _tone(colour: Floats) -> Floats:
    """(3,) logarithms: red to green, blue to green, brightness."""
    red, green, blue = np.log(np.maximum(colour, 1e-3))
    return np.array([red - green, blue - green, green])


@lru_cache(maxsize=64)
def _read(path: Path) -> Image:
    picture = read_image(path)
    if picture.ndim != 3 or picture.shape[0] != picture.shape[1]:
        raise TextureError(f"{path} is {picture.shape[1]} x {picture.shape[0]}; textures are square")
    return picture


def _subjects(path: Path) -> dict[str, tuple[float | None, str | None]]:
    if not path.is_file():
        return {}
    return {code: (age, gender) for code, age, gender in read_people(path, "code")}


def read_people(path: Path, key: str) -> list[tuple[str, float | None, str | None]]:
    """Rows of a table with columns `key`, age and gender, empty or '-' where unknown. Raises TextureError."""
    try:
        table = csv.DictReader(io.StringIO(read_bytes(path, _TABLE_BYTES).decode("utf-8-sig")))
        rows = list(table)
    except (OSError, ValueError, csv.Error) as error:
        raise TextureError(f"{path} cannot be read: {error}") from None
    if key not in (table.fieldnames or ()):
        raise TextureError(f"{path} has no column {key}; it needs {key}, age, gender")
    people = []
    for line, row in enumerate(rows, start=2):
        age, gender = (row.get("age") or "-").strip(), (row.get("gender") or "-").strip().lower()
        gender = {"f": "female", "m": "male"}.get(gender, gender)
        if gender not in ("-", "female", "male"):
            raise TextureError(f"{path}, line {line}: gender is {gender[:20]!r}; wanted female, male or -")
        try:
            years = None if age == "-" else float(age)
        except ValueError:
            raise TextureError(f"{path}, line {line}: age is {age[:20]!r}; wanted years or -") from None
        if years is not None and not 0 < years < 130:
            raise TextureError(f"{path}, line {line}: age is {age[:20]!r}; wanted years or -")
        people.append((row[key] or "", years, None if gender == "-" else gender))
    return people
