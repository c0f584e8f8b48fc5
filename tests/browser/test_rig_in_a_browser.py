"""A rig's glTF in a real browser: the console's three.js reads its 52 sparse targets by name, shows and plays them."""

import http.server
import io
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console_browser import SOFTWARE_3D, plain_page
from PIL import Image
from small_rig import small_rig
from small_template import small_template

import controller.console
from processing.face_models.exports.rig_targets import rig_targets
from processing.files.morph_targets.gltf import SECONDS, write_glb
from processing.template.face_units import ARKIT_UNITS

PAGE = """<!doctype html><title>rig</title><style>body{margin:0}</style><canvas width=360 height=400></canvas>
<script type="module">
import * as THREE from "/static/vendor/three/three.module.js";
import { GLTFLoader } from "/static/vendor/three/addons/GLTFLoader.js";
const canvas = document.querySelector("canvas");
const renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
renderer.setSize(360, 400, false);
renderer.setClearColor(0xffffff);
const scene = new THREE.Scene();
const light = new THREE.DirectionalLight(0xffffff, 3);
light.position.set(0.4, 0.6, 1);
scene.add(light, new THREE.AmbientLight(0xffffff, 0.5));
const camera = new THREE.PerspectiveCamera(20, 0.9, 0.1, 5);
const gltf = await new GLTFLoader().loadAsync("/rig.glb");
scene.add(gltf.scene);
let face;
gltf.scene.traverse((part) => { if (part.isMesh) face = part; });
const box = new THREE.Box3().setFromObject(gltf.scene);
const middle = box.getCenter(new THREE.Vector3());
camera.position.set(middle.x + 0.12, middle.y, box.max.z + 0.65);
camera.lookAt(middle);
const draw = () => renderer.render(scene, camera);
window.rig = {
  names: Object.entries(face.morphTargetDictionary).sort((a, b) => a[1] - b[1]).map(([name]) => name),
  moved: (k) => Array.from(face.geometry.morphAttributes.position[k].array),
  base: () => Array.from(face.geometry.attributes.position.array),
  set: (k) => { face.morphTargetInfluences.fill(0); if (k >= 0) face.morphTargetInfluences[k] = 1; draw(); },
  play: (seconds) => {
    const mixer = new THREE.AnimationMixer(gltf.scene);
    mixer.clipAction(gltf.animations[0]).play();
    mixer.setTime(seconds);
    draw();
    return Array.from(face.morphTargetInfluences);
  },
};
document.title = "ready";
</script>"""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        if path.startswith("/static/"):
            return str(Path(str(controller.console.__file__)).parent / path.lstrip("/"))
        return super().translate_path(path)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page that shows the small rig."""
    folder = tmp_path_factory.mktemp("rig")
    (folder / "index.html").write_text(PAGE)
    write_glb(folder / "rig.glb", rig_targets(small_rig(), small_template()[0].mesh, "subject_1"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with plain_page(*SOFTWARE_3D) as page:
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
            page.wait_for_function("document.title === 'ready'", timeout=120_000)
            yield page
            assert not errors
    finally:
        server.shutdown()
        server.server_close()


def _picture(page: Any, target: int) -> Any:
    page.evaluate("k => window.rig.set(k)", target)
    return np.asarray(Image.open(io.BytesIO(page.locator("canvas").screenshot())).convert("RGB")).astype(int)


def test_the_browser_knows_the_units_by_arkits_names(page: Any) -> None:
    assert tuple(page.evaluate("window.rig.names")) == ARKIT_UNITS


def test_each_target_is_where_the_rig_has_it(page: Any) -> None:
    rig, triangles = small_rig(), small_template()[0].mesh.triangles
    base = np.array(page.evaluate("window.rig.base()")).reshape(-1, 3) * 1000
    used = np.unique(triangles)
    np.testing.assert_allclose(base, rig.neutral_mm[used], atol=1e-3)
    for number in range(len(ARKIT_UNITS)):
        offsets = np.array(page.evaluate("k => window.rig.moved(k)", number)).reshape(-1, 3) * 1000
        np.testing.assert_allclose(base + offsets, rig.shapes_mm[number][used], atol=0.03)


@pytest.mark.slow
def test_each_unit_that_moves_the_skin_is_seen(page: Any) -> None:
    rest = _picture(page, -1)
    assert (rest.min(axis=2) < 200).mean() > 0.1
    unseen = [name for k, name in enumerate(ARKIT_UNITS) if (abs(_picture(page, k) - rest).max(axis=2) > 8).sum() < 40]
    assert set(unseen) <= {"tongueOut", *(name for name in ARKIT_UNITS if name.startswith("eyeLook"))}


def test_it_plays_one_unit_after_another(page: Any) -> None:
    for number in (0, 24, 51):
        weights = np.array(page.evaluate("s => window.rig.play(s)", (number + 0.5) * SECONDS))
        np.testing.assert_allclose(weights, np.eye(52)[number], atol=1e-3)
