"""A subject's rig in the 3-D view: sliders move it by keys, the relief follows, a withdrawal takes it away."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from console_browser import SOFTWARE_3D, browser_page
from egg_rig import LABELS, WEIGHTS, map_files, rig_file
from operator_at_keys import accessibility_faults
from patience import until
from PIL import Image
from records_home import DRAWN_3D, RecordsWriter, make_home, opened, served

from db.engine import transaction
from db.subjects import get_subject, withdraw_consent
from processing.animation.detail_equations import weight_masks
from processing.animation.key_blend import KeyBlend

GONE = "Failed to load resource: the server responded with a status of 410"


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """(writer, url, home, subject, session, rig) of a studio with one rigged subject."""
    folder = tmp_path_factory.mktemp("moving")
    home = make_home(folder / "home")
    with opened(home) as studio, served(studio, home) as url:
        writer = RecordsWriter(studio)
        subject = writer.subject()
        session = writer.session(subject)
        maps = map_files(studio.store, folder)
        made, rig = rig_file(studio.store, folder)
        for position, label in enumerate(LABELS, 1):
            writer.files = {**writer.files, "bake.displacement": maps[label]}
            writer.processed(f"{session}-E{position:02d}-1")
        writer.rig(session, [f"{session}-E{position:02d}-1" for position in (1, 2, 3)], made=made)
        yield writer, url, home, subject, session, rig


@pytest.fixture(scope="module")
def page(moving: Any) -> Iterator[Any]:
    _, url, home, _, session, _ = moving
    with browser_page(url, home, width=1366, height=768, graphics=SOFTWARE_3D, expected=(GONE,)) as made:
        made.set_default_timeout(60_000)
        made.goto(f"{url}#three-d/{session}/{session}-E01-1")
        made.wait_for_selector("body[data-ready=yes]")
        made.locator(".pane-head").first.wait_for()
        made.keyboard.press("e")
        made.wait_for_function(DRAWN_3D)
        yield made


def drawn(page: Any) -> Any:
    """What is on the canvas, once it was drawn anew: (H, W, 3)."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shot = page.locator(".three-screen canvas").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def changed(page: Any, before: Any) -> float:
    return float(np.abs(drawn(page) - before).mean())


def test_a_slider_moved_by_keys_moves_the_face(page: Any) -> None:
    for unit in ("jaw open", "mouth smile left", "brow inner up"):
        page.get_by_role("slider", name=unit).wait_for()
    before = drawn(page)
    page.get_by_role("slider", name="jaw open").focus()
    page.keyboard.press("End")
    until(lambda: changed(page, before) > 0.5)
    assert page.get_by_role("slider", name="jaw open").input_value() == "1"
    page.get_by_role("button", name="At rest").click()
    until(lambda: changed(page, before) < 0.05)


def test_the_relief_follows_the_expression(page: Any) -> None:
    chooser = page.get_by_label("Expression that the rig was made of")
    chooser.select_option(label="smile")
    with_relief = drawn(page)
    page.get_by_label("Relief").uncheck()
    until(lambda: changed(page, with_relief) > 0.5)  # the smile's ripples go
    page.get_by_label("Relief").check()
    until(lambda: changed(page, with_relief) < 0.05)
    page.get_by_role("button", name="At rest").click()
    at_rest = drawn(page)
    page.get_by_label("Relief").uncheck()
    assert changed(page, at_rest) < 0.05  # the neutral's map is smooth
    page.get_by_label("Relief").check()


def test_the_texture_is_laid_on(page: Any) -> None:
    before = drawn(page)
    page.get_by_label("Texture", exact=True).check()
    until(lambda: changed(page, before) > 1)
    page.get_by_label("Texture", exact=True).uncheck()


def test_it_computes_what_the_farm_computes(page: Any, moving: Any) -> None:
    rig = moving[-1]
    rng = np.random.default_rng(0)
    by_vertex = np.concatenate([rig.neutral_mm[None], rig.shapes_mm]).transpose(1, 0, 2)
    moved = np.linalg.norm(rig.shapes_mm - rig.neutral_mm, axis=2)
    active = moved / moved.max(axis=1, keepdims=True)
    blend = KeyBlend.of(WEIGHTS)
    several = [*WEIGHTS, np.zeros(3), *rng.uniform(0, 1, (4, 3)), WEIGHTS[1] * 0.7]
    told = page.evaluate(
        """async ({ shapes, keys, several, vertices }) => {
          const { KeyBlend, activations, weightMasks } = await import("/static/records/three/detail_weights.js");
          const active = activations(Float32Array.from(shapes), vertices, keys[0].length);
          const blend = new KeyBlend(keys);
          return several.map((weights) => ({
            shares: Array.from(blend.shares(weights)),
            masks: Array.from(weightMasks(active, vertices, keys, weights, 1, keys.length)),
          }));
        }""",
        {
            "shapes": by_vertex.ravel().tolist(), "keys": WEIGHTS.tolist(), "vertices": len(rig.neutral_mm),
            "several": np.array(several).tolist(),
        },
    )  # fmt: skip
    for weights, found in zip(several, told, strict=True):
        np.testing.assert_allclose(found["shares"], blend(np.asarray(weights)), atol=1e-12)
        masks = np.array(found["masks"]).reshape(-1, len(LABELS)).T
        np.testing.assert_allclose(masks[1:], weight_masks(active, WEIGHTS, np.asarray(weights))[1:], atol=1e-5)


def test_who_hears_the_page_is_served_too(page: Any) -> None:
    assert accessibility_faults(page) == []


def test_a_withdrawal_takes_the_face_away(page: Any, moving: Any) -> None:
    writer, _, _, subject, _, _ = moving
    with transaction(writer.engine) as tx:
        withdraw_consent(tx, get_subject(tx, subject))
    until(page.locator(".pane-note", has_text="consent does not stand").count, "the face is still shown", 8)
    until(lambda: not page.get_by_role("slider", name="jaw open").is_visible())
    assert drawn(page)[80:].reshape(-1, 3).std(axis=0).max() < 12
