"""A recording as glTF, played by three.js: at each moment the weights and the turn are the recording's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console_browser import SOFTWARE_3D, plain_page
from live_link_tables import NAMES, cells_of, write_table
from seen_detail import write_seen_face

from processing.animation.animate_files import AnimateSettings, animate_files

STATIC = Path(__file__).resolve().parents[2] / "controller" / "console" / "static"
PLAYED = """async (moments) => {
  const THREE = await import("/static/vendor/three/three.module.js");
  const { GLTFLoader } = await import("/static/vendor/three/addons/GLTFLoader.js");
  const loaded = await new GLTFLoader().loadAsync("/face.glb");
  const mixer = new THREE.AnimationMixer(loaded.scene);
  mixer.clipAction(loaded.animations[0]).setLoop(THREE.LoopOnce).play();
  mixer.clipAction(loaded.animations[0]).clampWhenFinished = true;
  let mesh;
  loaded.scene.traverse((one) => { if (one.isMesh) mesh = one; });
  const face = () => {
    loaded.scene.updateMatrixWorld(true);
    const box = new THREE.Box3().setFromObject(mesh, true);
    return [...box.min.toArray(), ...box.max.toArray()];
  };
  return moments.map((moment) => {
    mixer.setTime(moment);
    return { weights: [...mesh.morphTargetInfluences], turn: mesh.parent.quaternion.toArray(), box: face(),
             names: Object.keys(mesh.morphTargetDictionary), seconds: loaded.animations[0].duration };
  });
}"""


@pytest.fixture(scope="module")
def glb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("played")
    values = np.zeros((61, 61))
    values[:, NAMES.index("JawOpen")] = np.interp(np.arange(61), [0, 30, 60], [0, 1, 0])
    values[:, NAMES.index("HeadYaw")] = np.linspace(0, 0.6, 61)
    take = write_table(folder / "take.csv", cells_of(values))
    face = write_seen_face(folder / "face").folder
    animate_files(take, face, folder / "out", AnimateSettings(maps=False, clip=False))
    return folder / "out" / "face.glb"


def test_three_js_plays_it(glb: Path) -> None:
    def answer(route: Any) -> None:
        path = route.request.url.partition("mien.invalid")[2]
        if path.startswith("/static/"):
            route.fulfill(path=STATIC / path.removeprefix("/static/"), content_type="text/javascript")
        elif path == "/face.glb":
            route.fulfill(path=glb, content_type="model/gltf-binary")
        else:
            route.fulfill(body="<!doctype html><title>face</title>", content_type="text/html")

    with plain_page(*SOFTWARE_3D) as page:
        page.route("**/*", answer)
        page.goto("http://mien.invalid/")
        rest, half, end = page.evaluate(PLAYED, [0, 0.5, 1.0])
    assert rest["names"][0] == "jawOpen"
    assert rest["seconds"] == pytest.approx(1, abs=1e-4)
    assert [moment["weights"][0] for moment in (rest, half, end)] == pytest.approx([0, 1, 0], abs=0.003)
    assert half["turn"] == pytest.approx([0, np.sin(0.15), 0, np.cos(0.15)], abs=1e-3)
    assert end["turn"] == pytest.approx([0, np.sin(0.3), 0, np.cos(0.3)], abs=1e-3)
    assert rest["box"][3] - rest["box"][0] == pytest.approx(0.16, abs=0.001)  # metres
    assert end["box"][3] - end["box"][0] < 0.155  # turned
