"""Photographs to learn from: a face under drawn cameras and lights, and what spoils photographs.

What costs (rays) is drawn once, what is cheap (occluders, blur, noise, compression) anew whenever a picture is looked
at: `draw_photograph` and `spoil`. The same `rng` state gives the same picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image
from processing.errors import DataError
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.synthetic.face_photographs import (
    FacePhotography,
    ambient,
    drawn_background,
    drawn_lighting,
    exposed_for,
    lamp,
    turned_lighting,
)


@dataclass(frozen=True)
class PhotographLimits:
    """From what a photograph is drawn. Angles in degrees, both signs; pairs are from, to."""

    size_px: int = 256
    yaw_deg: float = 90.0
    pitch_deg: float = 45.0
    roll_deg: float = 45.0
    distance_mm: tuple[float, float] = (320.0, 3000.0)  # of the lens from the face, uniform in logarithms
    #: mm across the picture at the face's depth: a face's oval is some 190 mm high.
    across_mm: tuple[float, float] = (240.0, 400.0)
    shift: float = 0.08  # of the face's middle from the picture's, by its side, either way
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 50.0)  # the face's middle in its own frame
    harsh: float = 0.25  # share of photographs under one lamp, from any side of the face that is seen
    cluttered: float = 0.4  # share of backgrounds with things in them
    supersample: int = 1

    def __post_init__(self) -> None:
        for key in ("distance_mm", "across_mm"):
            low, high = getattr(self, key)
            if not 0 < low <= high:
                raise DataError(f"photographs to learn from: {key} is {low} to {high}; wanted two numbers over 0")


@dataclass(frozen=True, eq=False)
class DrawnPhotograph:
    """A face as drawn, before it is spoiled."""

    image: Image  # (S, S, 3) BGR
    camera: Camera  # exact
    yaw_deg: float  # positive: the camera stands on the subject's left
    pitch_deg: float  # positive: above
    roll_deg: float


def draw_camera(rng: np.random.Generator, limits: PhotographLimits) -> tuple[Camera, tuple[float, float, float]]:
    """A camera, and the yaw, pitch and roll under which it sees the face.

    Half of the poses are uniform over all of the limits, half are nearer to the front (normal, a third of the limits),
    as people are photographed.
    """
    most = np.array([limits.yaw_deg, limits.pitch_deg, limits.roll_deg])
    angles = rng.uniform(-1, 1, 3) * most
    if rng.random() < 0.5:
        angles = (rng.normal(0, 1 / 3, 3) * most).clip(-most, most)
    distance = float(np.exp(rng.uniform(*np.log(limits.distance_mm))))
    focal = limits.size_px * distance / rng.uniform(*limits.across_mm)
    middle = (limits.size_px - 1) / 2
    yaw, pitch, roll = angles.tolist()
    R = upright_rotation(-direction_of(yaw, pitch), np.radians(roll))
    shift = rng.uniform(-1, 1, 2) * limits.shift * limits.size_px * distance / focal
    t = np.array([*shift, distance]) - R @ np.asarray(limits.centre_mm)
    K = np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1.0]])
    return Camera(K, R, t, limits.size_px, limits.size_px), (yaw, pitch, roll)


def draw_lighting(rng: np.random.Generator, camera: Camera, *, harsh: float) -> Floats:
    """(9, 3) in the camera's axes: lights about the head, or about the camera, or one lamp (of share `harsh`)."""
    behind = upright_rotation(np.array([0.0, 0.0, -1.0]))  # the axes of a camera straight before the face
    if rng.random() < harsh:
        towards = np.array([rng.normal(0, 1.0), rng.normal(-0.3, 0.7), -abs(rng.normal(0.5, 0.5))])  # y is down
        tint = np.exp(rng.normal(0, [0.08, 0.02, 0.10]))
        return ambient(rng.uniform(0.12, 0.3) * tint[::-1]) + lamp(towards, rng.uniform(0.7, 1.2) * tint)
    return turned_lighting(drawn_lighting(rng), camera.R if rng.random() < 0.5 else behind)


def draw_background(rng: np.random.Generator, size_px: int, *, cluttered: float) -> Image:
    """(S, S, 3) BGR: plain, sloped or blurred, or with shapes before it that have edges and skin's colours too."""
    image = drawn_background(rng, size_px, size_px)
    if rng.random() >= cluttered:
        return image
    for _ in range(int(rng.integers(2, 14))):
        centre, reach = rng.uniform(0, size_px, 2), size_px * rng.uniform(0.05, 0.5)
        turns = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        outline = centre + reach * rng.uniform(0.4, 1.0, (len(turns), 1)) * np.c_[np.cos(turns), np.sin(turns)]
        cv2.fillPoly(image, [outline.astype(np.int32)], _colour(rng), lineType=cv2.LINE_AA)
    if rng.random() < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), size_px * rng.uniform(0.002, 0.02))
    return np.asarray(image, np.uint8)


def draw_photograph(
    rng: np.random.Generator, face: FacePhotography, limits: PhotographLimits | None = None
) -> DrawnPhotograph:
    """One photograph of a face: pose, lens, place, light, exposure and background drawn from the limits."""
    limits = limits or PhotographLimits()
    camera, (yaw, pitch, roll) = draw_camera(rng, limits)
    light = draw_lighting(rng, camera, harsh=limits.harsh)
    light = exposed_for(light, face.texture) * float(np.exp(rng.normal(0, 0.2)))
    image, _ = face.photograph(
        camera,
        lighting=light,
        background=draw_background(rng, limits.size_px, cluttered=limits.cluttered),
        supersample=limits.supersample,
        gloss=float(rng.uniform(0, 0.25)),
    )
    return DrawnPhotograph(image, camera, yaw, pitch, roll)


@dataclass(frozen=True)
class Spoiling:
    """How often photographs are spoiled by what: shares of them."""

    occluder: float = 0.25
    glasses: float = 0.12  # where it is told where the eyes are
    fringe: float = 0.25  # hair-like streaks from the picture's upper edge and sides
    light: float = 0.7  # gain of each channel, gamma
    grey: float = 0.05
    blur: float = 0.4
    coarse: float = 0.25  # made smaller and larger again
    noise: float = 0.6
    jpeg: float = 0.5


def spoil(
    rng: np.random.Generator, image: Image, *, eyes_px: Floats | None = None, how: Spoiling | None = None
) -> Image:
    """(S, S, 3) BGR as photographs are: hands, blocks, hair and glasses before the face, other colours, blur, noise,
    compression. The image given is left as it is.

    eyes_px: (2, 2) of the eyes, x first; without it nobody wears glasses.
    """
    how = how or Spoiling()
    out = image.copy()
    size = min(out.shape[:2])
    if eyes_px is not None and rng.random() < how.glasses:
        _glasses(rng, out, np.asarray(eyes_px, np.float64))
    if rng.random() < how.fringe:
        _fringe(rng, out)
    if rng.random() < how.occluder:
        (_hand if rng.random() < 0.5 else _block)(rng, out)
    if rng.random() < how.light:
        out = _other_light(rng, out)
    if rng.random() < how.grey:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if rng.random() < how.blur:
        out = _blurred(rng, out)
    if rng.random() < how.coarse:
        small = cv2.resize(out, None, fx=(f := rng.uniform(0.3, 0.9)), fy=f, interpolation=cv2.INTER_AREA)
        out = cv2.resize(small, (out.shape[1], out.shape[0]), interpolation=cv2.INTER_LINEAR)
    if rng.random() < how.noise:
        grain = np.empty(out.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(1 << 31)))  # OpenCV's normal numbers cost a tenth of NumPy's
        cv2.randn(grain, np.zeros(3), np.full(3, rng.uniform(0.5, 9.0)))
        out = cv2.add(out, grain, dtype=cv2.CV_8U)
    if rng.random() < how.jpeg and size >= 16:
        _, stored = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))])
        out = np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(out, np.uint8)


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """BGR: any, or one that skin may have."""
    if rng.random() < 0.5:
        blue, green, red = rng.uniform(0, 255, 3).tolist()
        return blue, green, red
    return _skin(rng)


def _skin(rng: np.random.Generator) -> tuple[float, float, float]:
    level = rng.uniform(40, 235)
    return 0.62 * level + rng.normal(0, 8), 0.75 * level + rng.normal(0, 6), level


def _block(rng: np.random.Generator, image: Image) -> None:
    """A turned rectangle of one colour or of stripes: a phone, a cup, a sheet."""
    size = min(image.shape[:2])
    centre = rng.uniform(0.05, 0.95, 2) * size
    box = ((float(centre[0]), float(centre[1])), tuple((rng.uniform(0.08, 0.4, 2) * size).tolist()), 0.0)
    corners = cv2.boxPoints((box[0], box[1], float(rng.uniform(0, 180)))).astype(np.int32)
    if rng.random() < 0.6:
        cv2.fillConvexPoly(image, corners, _colour(rng), lineType=cv2.LINE_AA)
        return
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, corners, 255)
    cells = rng.uniform(0, 255, (int(rng.integers(2, 12)), int(rng.integers(2, 12)), 3)).astype(np.uint8)
    pattern = cv2.resize(cells, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST)
    image[mask > 0] = pattern[mask > 0]


def _hand(rng: np.random.Generator, image: Image) -> None:
    """Four fingers and a palm of one skin, from an edge of the picture, darker towards their sides."""
    size = min(image.shape[:2])
    turn = rng.uniform(0, 2 * np.pi)
    inward = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-inward[1], inward[0]])
    tip = size * (0.5 + rng.uniform(-0.3, 0.3, 2))
    thick, length = size * rng.uniform(0.03, 0.06), size * rng.uniform(0.15, 0.35)
    skin = np.array(_skin(rng))
    for shade, part in ((0.75, 1.0), (1.0, 0.72)):
        colour = tuple((skin * shade).tolist())
        for finger in range(4):
            at = tip + across * (finger - 1.5) * 2.1 * thick
            at = at - inward * length * (0.15 * abs(finger - 1.3) + rng.uniform(0, 0.05))
            ends = np.stack([at, at - inward * length]).astype(np.int32)
            cv2.line(image, ends[0].tolist(), ends[1].tolist(), colour, max(1, int(2 * thick * part)), cv2.LINE_AA)
        palm = (tip - inward * 1.55 * length).astype(np.int32)
        axes = (max(1, int(0.75 * length)), max(1, int(4.2 * thick * part)))
        cv2.ellipse(image, palm.tolist(), axes, float(np.degrees(turn)), 0, 360, colour, -1, cv2.LINE_AA)


def _glasses(rng: np.random.Generator, image: Image, eyes_px: Floats) -> None:
    """Frames round both eyes and the bar between them; dark glass of some."""
    apart = eyes_px[1] - eyes_px[0]
    width = float(np.linalg.norm(apart))
    if width < 2:
        return
    turn = float(np.degrees(np.arctan2(apart[1], apart[0])))
    thick = max(1, int(width * rng.uniform(0.03, 0.12)))
    axes = (max(1, int(width * rng.uniform(0.30, 0.45))), max(1, int(width * rng.uniform(0.2, 0.36))))
    dark = rng.uniform(0, 90)
    colour = (dark, dark * rng.uniform(0.7, 1.2), dark * rng.uniform(0.7, 1.3))
    if rng.random() < 0.3:
        glass = image.copy()
        for eye in eyes_px.astype(np.int32).tolist():
            cv2.ellipse(glass, eye, axes, turn, 0, 360, colour, -1)
        share = rng.uniform(0.2, 1.0)
        image[:] = cv2.addWeighted(glass, share, image, 1 - share, 0)
    for eye in eyes_px.astype(np.int32).tolist():
        cv2.ellipse(image, eye, axes, turn, 0, 360, colour, thick, cv2.LINE_AA)
    along = apart / width
    bridge = [eyes_px[0] + along * axes[0], eyes_px[1] - along * axes[0]]
    sides = [(eyes_px[0] - along * axes[0], -0.5), (eyes_px[1] + along * axes[0], 0.5)]
    bars = [bridge, *([end, end + along * width * far] for end, far in sides)]
    for start, stop in bars:
        cv2.line(image, start.astype(int).tolist(), stop.astype(int).tolist(), colour, thick, cv2.LINE_AA)


def _fringe(rng: np.random.Generator, image: Image) -> None:
    """Strands from the upper edge, or down one side or both."""
    height, width = image.shape[:2]
    base = np.array(_skin(rng)) * rng.uniform(0.1, 0.9)
    sides = rng.random() < 0.5
    middle, half = width * rng.uniform(0.3, 0.7), width * rng.uniform(0.15, 0.45)
    low = height * (rng.uniform(0.5, 1.0) if sides else rng.uniform(0.12, 0.34))
    strands: list[NDArray[np.int32]] = []
    for _ in range(int(rng.integers(60, 160))):
        x = middle + half * (rng.choice([-1.0, 1.0]) * rng.uniform(0.75, 1.3) if sides else rng.uniform(-1.2, 1.2))
        along = np.linspace(0, 1, 6)
        bend = rng.normal(0, 0.06) * width * along**2
        strands.append(np.c_[x + bend, along * low * rng.uniform(0.6, 1.0)].astype(np.int32))
    for strand in strands:
        colour = tuple((base * rng.uniform(0.6, 1.4)).clip(0, 255).tolist())
        cv2.polylines(image, [strand], False, colour, int(rng.integers(1, max(2, width // 32))), cv2.LINE_AA)


def _other_light(rng: np.random.Generator, image: Image) -> Image:
    """Gain, tint and gamma of another camera."""
    gains = np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.05, 3))
    gamma = float(np.exp(rng.normal(0, 0.18)))
    table = (255 * (np.arange(256) / 255)[:, None] ** gamma * gains).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def _blurred(rng: np.random.Generator, image: Image) -> Image:
    if rng.random() < 0.7:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 2.2))), np.uint8)
    length = int(rng.integers(3, 9))
    kernel = np.zeros((length, length), np.float32)
    turn, middle = rng.uniform(0, np.pi), (length - 1) / 2
    reach = middle * np.array([np.cos(turn), np.sin(turn)])
    start, stop = np.rint(middle - reach).astype(int), np.rint(middle + reach).astype(int)
    cv2.line(kernel, start.tolist(), stop.tolist(), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
