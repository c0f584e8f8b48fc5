"""An avatar in a browser: three.js loads it, its morph targets move the face, and nothing is complained of."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from avatar_page import avatar_page
from egg_person import egg_person
from PIL import Image

from processing.avatars.avatar_glb import AvatarParts, write_avatar
from processing.avatars.mouth_parts import encoded_png, teeth_mesh, teeth_texture


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    person, path = egg_person(), tmp_path_factory.mktemp("avatar") / "a.glb"
    stored = BytesIO()
    spots = np.random.default_rng(0).integers(80, 220, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(spots).save(stored, "JPEG")
    write_avatar(
        path,
        AvatarParts(
            "avatar", person.model.topology.mesh, person.units, person.offsets_mm, stored.getvalue(),
            teeth_mesh(person, person.neutral_mm), encoded_png(teeth_texture()), {"photograph": "egg.png"},
            np.eye(52)[3],
        ),
    )  # fmt: skip
    with avatar_page(path, size_px=200) as made:
        yield made


def picture(page: Any, yaw: float, weights: dict[str, float]) -> np.ndarray:
    assert page.evaluate("([yaw, weights]) => window.avatar.show(yaw, weights, false)", [yaw, weights]) > 0
    return np.asarray(Image.open(BytesIO(page.locator("#c").screenshot())).convert("RGB")).astype(int)


def test_the_file_is_loaded_whole(page: Any) -> None:
    meshes = page.evaluate("() => window.avatar.meshes")
    assert [len(mesh["targets"]) for mesh in meshes] == [52, 52]
    assert meshes[0]["targets"] == list(egg_person().units)
    assert page.evaluate("() => window.avatar.extras")["photograph"] == "egg.png"
    assert page.evaluate("() => window.avatar.animations")[0]["name"] == "photograph"
    assert 0.15 < page.evaluate("() => window.avatar.size")[1] < 0.35  # metres


def test_every_unit_moves_the_face_and_rest_is_rest(page: Any) -> None:
    rest = picture(page, 20, {})
    assert (rest != rest[0, 0]).any(axis=2).mean() > 0.1  # a head is seen
    for unit in ("jawOpen", "mouthSmileLeft", "browInnerUp"):
        moved = picture(page, 20, {unit: 1.0})
        assert (np.abs(moved - rest).max(axis=2) > 8).sum() > 20, unit
    assert (picture(page, 20, {}) == rest).all()
    assert (np.abs(picture(page, 90, {}) - rest).max(axis=2) > 8).mean() > 0.02
