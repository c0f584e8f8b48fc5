"""A photograph to a whole avatar, and its file: read back, it is the head that was made."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from egg_person import egg_person, photographed_egg
from glb_reading import read_glb, values

from processing.avatars.avatar import Avatar, AvatarError, make_avatar
from processing.avatars.avatar_glb import MOST_BYTES, AvatarParts, write_avatar
from processing.avatars.mouth_parts import encoded_png, teeth_texture
from processing.errors import DataError
from processing.geometry.uv_rasterization import texels_of
from processing.single_view.photograph import Photograph
from processing.template.template import EYE, MOUTH_INTERIOR

SIZE = 256
OTHER = np.full((SIZE, SIZE, 3), (90, 110, 150), np.uint8)


def made(yaw: float = 0.0, other: np.ndarray = OTHER) -> Avatar:
    egg, person = photographed_egg(yaw), egg_person()
    texels = texels_of(person.model.topology.mesh, SIZE)
    focal = float(egg.camera.K[0, 0])
    return make_avatar(person, Photograph(egg.image, "egg", focal), egg.landmarks_px, texels, other)


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return made()


def shown(avatar: Avatar, values: np.ndarray) -> np.ndarray:
    """(S, S, K) values of the vertices over the texels."""
    texels = texels_of(avatar.person.model.topology.mesh, SIZE)
    return np.asarray(texels.image(texels.interpolate(avatar.person.model.topology.mesh, values)))


def test_the_texture_is_the_photographs_where_it_shows_the_face(avatar: Avatar) -> None:
    egg = photographed_egg()
    skin = avatar.person.model.topology.face & (avatar.person.head.parts == 0)
    seen = (shown(avatar, skin[:, None].astype(float))[..., 0] > 0.99) & ~avatar.texture.completed
    assert seen.mean() > 0.05
    off = np.abs(avatar.texture.image.astype(float) - egg.texture)[seen]
    assert off.mean() < 6
    assert avatar.texture.face_completed < 0.5


def test_what_a_turned_head_hides_is_completed_and_marked() -> None:
    avatar = made(50.0)  # the camera stands at the subject's left
    x = shown(avatar, avatar.neutral_mm)[..., 0]
    face = shown(avatar, avatar.person.model.topology.face[:, None].astype(float))[..., 0] > 0.99
    right, left = (avatar.texture.completed[face & (s * x > 15)].mean() for s in (-1, 1))
    assert right > 0.6 > left
    assert any("degrees" in reason for reason in avatar.review.reasons)
    assert avatar.review.verdict == "review"


def test_completion_has_no_edge(avatar: Avatar) -> None:
    image, done = avatar.texture.image.astype(float), avatar.texture.completed
    skin = avatar.person.head.parts == 0
    domain = shown(avatar, skin[:, None].astype(float))[..., 0] > 0.99
    border = done[:, 1:] != done[:, :-1]
    border &= domain[:, 1:] & domain[:, :-1]
    steps = np.abs(np.diff(image, axis=1))[border]
    assert np.median(steps) < 4


def test_eyes_come_from_the_photograph_only_where_they_are_open(avatar: Avatar) -> None:
    egg, person = photographed_egg(), egg_person()
    assert avatar.texture.eyes == "photograph"
    landmarks = egg.landmarks_px.copy()
    from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68 as AT

    for upper, lower in ((43, 47), (44, 46)):
        landmarks[AT[upper]] = landmarks[AT[lower]] + [0, -0.2]
    texels = texels_of(person.model.topology.mesh, SIZE)
    focal = float(egg.camera.K[0, 0])
    shut = make_avatar(person, Photograph(egg.image, "egg", focal), landmarks, texels, OTHER)
    assert shut.texture.eyes == "subject"  # both: a face with eyes of two people is worse
    assert any("eyes" in reason for reason in shut.review.reasons)


def test_a_face_that_is_hardly_shown_is_refused() -> None:
    egg, person = photographed_egg(), egg_person()
    bare = replace(person.model.topology, face=np.asarray(person.neutral_mm[:, 2] < 0))  # "the face" is behind
    away = replace(person, model=replace(person.model, topology=bare, albedo=None))
    texels = texels_of(person.model.topology.mesh, SIZE)
    with pytest.raises(AvatarError, match="does not show"):
        make_avatar(away, Photograph(egg.image, "egg"), egg.landmarks_px, texels, OTHER)


def written(avatar: Avatar, path: Path, **changes) -> int:
    encoded = bytes(cv2.imencode(".jpg", avatar.texture.image)[1])
    mesh = avatar.person.model.topology.mesh.with_vertices(avatar.neutral_mm)
    parts = AvatarParts(
        "avatar", mesh, avatar.person.units, avatar.offsets_mm, encoded, avatar.teeth, encoded_png(teeth_texture()),
        {"photograph": "egg.png"}, avatar.weights,
    )  # fmt: skip
    return write_avatar(path, replace(parts, **changes))


def test_the_file_holds_the_head_in_metres_and_52_targets(avatar: Avatar, tmp_path: Path) -> None:
    size = written(avatar, tmp_path / "a.glb")
    assert size == (tmp_path / "a.glb").stat().st_size < MOST_BYTES
    document, binary = read_glb(tmp_path / "a.glb")
    assert document["asset"]["extras"]["photograph"] == "egg.png"
    assert "extensionsUsed" not in document
    mesh = document["meshes"][0]
    assert mesh["extras"]["targetNames"] == list(avatar.person.units)
    assert len(mesh["weights"]) == 52
    assert len(mesh["primitives"]) == 2
    for primitive in mesh["primitives"]:
        assert len(primitive["targets"]) == 52
    head = mesh["primitives"][0]
    places = values(document, binary, head["attributes"]["POSITION"])
    assert 0.15 < np.ptp(places[:, 1]) < 0.35
    indices = values(document, binary, head["indices"]).reshape(-1, 3)
    corners = places[indices]
    wanted = avatar.neutral_mm[avatar.person.head.triangles] / 1000
    assert np.abs(corners - wanted).max() < 1e-6
    unit = avatar.person.units.index("jawOpen")
    moved = values(document, binary, head["targets"][unit]["POSITION"])[indices]
    assert np.abs(moved - avatar.offsets_mm[unit][avatar.person.head.triangles] / 1000).max() < 3e-5
    uvs = values(document, binary, head["attributes"]["TEXCOORD_0"])[indices]
    given = avatar.person.head.uvs[avatar.person.head.uv_triangles]
    assert np.abs(uvs - (given * [1, -1] + [0, 1])).max() < 1e-6


def test_teeth_are_there_and_the_lower_ones_go_with_the_jaw(avatar: Avatar) -> None:
    teeth = avatar.teeth
    assert teeth is not None
    jaw = teeth.offsets_mm[avatar.person.units.index("jawOpen")]
    half = len(jaw) // 2
    assert not jaw[:half].any()
    assert np.linalg.norm(jaw[half:], axis=1).min() > 0
    assert not teeth.offsets_mm[avatar.person.units.index("browInnerUp")].any()
    lips = avatar.person.head.landmark_points(avatar.neutral_mm)[60:].mean(axis=0)
    assert teeth.vertices_mm[:, 2].max() < lips[2]
    picture = teeth_texture()
    assert (picture[..., 3] > 128).any()
    assert (picture[..., 3] < 128).any()


def test_a_head_without_mouth_has_no_teeth(avatar: Avatar) -> None:
    from processing.avatars.mouth_parts import teeth_mesh

    person = avatar.person
    parts = np.where(person.head.parts == MOUTH_INTERIOR, 0, person.head.parts).astype(np.int8)
    assert teeth_mesh(replace(person, head=replace(person.head, parts=parts)), avatar.neutral_mm) is None


def test_a_head_without_eyes() -> None:
    egg, person = photographed_egg(), egg_person()
    parts = np.where(person.head.parts == EYE, 0, person.head.parts).astype(np.int8)
    blind = replace(
        person,
        head=replace(person.head, parts=parts),
        model=replace(person.model, topology=replace(person.model.topology, parts=parts)),
    )
    texels = texels_of(person.model.topology.mesh, SIZE)
    focal = float(egg.camera.K[0, 0])
    whole = make_avatar(blind, Photograph(egg.image, "egg", focal), egg.landmarks_px, texels, OTHER)
    assert whole.texture.eyes == "none"


def test_a_file_that_would_be_too_large_is_not_written(avatar: Avatar, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--texture-px"):
        written(avatar, tmp_path / "a.glb", texture=bytes(MOST_BYTES))
    assert not list(tmp_path.iterdir())


def test_a_photograph_without_colours_makes_an_avatar_without() -> None:
    egg, person = photographed_egg(), egg_person()
    grey = cv2.cvtColor(cv2.cvtColor(egg.image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    texels = texels_of(person.model.topology.mesh, SIZE)
    focal = float(egg.camera.K[0, 0])
    made_grey = make_avatar(person, Photograph(grey, "egg", focal), egg.landmarks_px, texels, OTHER)
    skin = made_grey.texture.completed | made_grey.texture.shown
    assert np.ptp(made_grey.texture.image[skin].astype(int), axis=1).max() <= 2
