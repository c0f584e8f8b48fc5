"""An avatar in a real browser, by three.js as everybody loads it: a page that turns the head and moves its face."""

import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console_browser import PATIENCE_MS, SOFTWARE_3D, plain_page

STATIC = Path(__file__).parents[2] / "controller/console/static"
AT = "http://avatar.test"
_PAGE = """<!doctype html><html><body style="margin:0;background:#fff"><canvas id="c"></canvas><script type="module">
import * as THREE from "/vendor/three/three.module.js";
import { GLTFLoader } from "/vendor/three/addons/GLTFLoader.js";
const canvas = document.getElementById("c");
const renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
renderer.setSize(SIZE, SIZE, true);
const scene = new THREE.Scene();
scene.background = new THREE.Color(0xf4f6f8);
const key = new THREE.DirectionalLight(0xffffff, 1.6), sky = new THREE.HemisphereLight(0xffffff, 0xb0a8a0, 2.2);
key.position.set(0.4, 0.6, 1);
scene.add(key, sky);
const camera = new THREE.PerspectiveCamera(24, 1, 0.05, 10);
const gltf = await new GLTFLoader().loadAsync("/avatar.glb");
scene.add(gltf.scene);
const clay = new THREE.MeshStandardMaterial({ color: 0xcfc4b8, roughness: 0.75, side: THREE.DoubleSide });
const meshes = [];
gltf.scene.traverse((node) => { if (node.isMesh) meshes.push(node); });
const box = new THREE.Box3().setFromObject(gltf.scene), middle = box.getCenter(new THREE.Vector3());
window.avatar = {
  meshes: meshes.map((mesh) => ({
    targets: Object.keys(mesh.morphTargetDictionary ?? {}), vertices: mesh.geometry.attributes.position.count,
  })),
  size: box.getSize(new THREE.Vector3()).toArray(),
  extras: gltf.asset.extras,
  animations: gltf.animations.map((one) => ({ name: one.name, seconds: one.duration })),
  show(yaw, weights, plain) {
    for (const mesh of meshes) {
      mesh.morphTargetInfluences.fill(0);
      for (const [name, value] of Object.entries(weights ?? {}))
        mesh.morphTargetInfluences[mesh.morphTargetDictionary[name]] = value;
      mesh.kept ??= mesh.material;
      mesh.material = plain ? clay : mesh.kept;
      mesh.visible = !(plain && mesh.kept.alphaTest > 0);
    }
    const angle = yaw * Math.PI / 180;
    camera.position.set(middle.x + 0.85 * Math.sin(angle), middle.y, middle.z + 0.85 * Math.cos(angle));
    camera.lookAt(middle);
    renderer.render(scene, camera);
    return renderer.info.render.triangles;
  },
};
document.body.dataset.ready = "yes";
</script></body></html>"""


@contextmanager
def avatar_page(path: Path, *, size_px: int = 320) -> Iterator[Any]:
    """A page that shows an avatar's file as `window.avatar.show(yaw_deg, weights, plain)`.

    What the browser complains of fails, as an AssertionError when the page is left.
    """
    complaints: list[str] = []

    def answer(route: Any) -> None:
        name = route.request.url.removeprefix(AT).partition("?")[0]
        if name == "/":
            route.fulfill(body=_PAGE.replace("SIZE", str(size_px)), content_type="text/html")
        elif name == "/avatar.glb":
            route.fulfill(body=path.read_bytes(), content_type="model/gltf-binary")
        elif name == "/favicon.ico":
            route.fulfill(body=b"", content_type="image/x-icon")
        else:
            file = STATIC / name.lstrip("/")
            kind = mimetypes.guess_type(file.name)[0] or "text/javascript"
            route.fulfill(body=file.read_bytes(), content_type=kind)

    with plain_page(*SOFTWARE_3D) as page:
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.route("**/*", answer)
        page.goto(f"{AT}/")
        page.wait_for_selector("body[data-ready=yes]")
        yield page
    unexpected = [text for text in complaints if "GPU stall" not in text and "swiftshader" not in text.lower()]
    assert not unexpected, unexpected
