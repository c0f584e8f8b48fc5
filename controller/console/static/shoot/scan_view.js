// The coarse scan of the take, turned beside the neutral. three.js is loaded when the first scan is there.

import { attribute, el, show, text } from "/static/dom.js";

const TOLD = { waiting: "waits for its turn", making: "is being made …", failed: "could not be made" };
const SWING = 0.6; // radians to either side
const SWING_S = 8;

export class ScanView {
  #shown = undefined;
  #turning = 0;
  #stage = null;

  constructor() {
    this.told = el("p", { class: "faint scan-told" }, "");
    this.place = el("div", { class: "scan-place" });
    this.title = el("figcaption", {}, "3-D");
    this.element = el("figure", { class: "scan", hidden: true, "aria-label": "Coarse scan" }, this.place, this.told, this.title);
  }

  update(scan) {
    show(this.element, scan);
    if (!scan) return this.#clear();
    text(this.title, `3-D · ${scan.take}`);
    attribute(this.element, "data-state", scan.state);
    text(this.told, scan.state === "made" ? "" : `The scan ${TOLD[scan.state] ?? scan.state}${scan.text ? `: ${scan.text}` : ""}`);
    if (scan.state !== "made" || !scan.mesh) return this.#clear();
    if (scan.mesh !== this.#shown) this.#load(scan.mesh);
  }

  #clear() {
    cancelAnimationFrame(this.#turning);
    this.#shown = undefined;
    this.place.hidden = true;
    if (this.#stage?.mesh) {
      this.#stage.scene.remove(this.#stage.mesh);
      this.#stage.mesh.traverse((part) => {
        part.geometry?.dispose();
        part.material?.dispose();
      });
      this.#stage.mesh = undefined;
    }
  }

  async #load(address) {
    this.#clear();
    this.#shown = address;
    try {
      const stage = await this.#open();
      const { GLTFLoader } = await import("/static/vendor/three/addons/GLTFLoader.js");
      const { scene: mesh } = await new GLTFLoader().loadAsync(address);
      if (this.#shown !== address) return;
      stage.mesh = mesh;
      stage.scene.add(mesh);
      stage.frame(mesh);
      this.place.hidden = false;
      this.#turn(performance.now());
    } catch (error) {
      if (this.#shown === address) text(this.told, `The scan cannot be shown: ${error.message}`);
    }
  }

  async #open() {
    if (this.#stage) return this.#stage;
    const three = await import("/static/vendor/three/three.module.js");
    const { OrbitControls } = await import("/static/vendor/three/addons/OrbitControls.js");
    const renderer = new three.WebGLRenderer({ antialias: true, alpha: true });
    renderer.setPixelRatio(Math.min(2, devicePixelRatio));
    this.place.replaceChildren(renderer.domElement);
    const camera = new three.PerspectiveCamera(25, 1, 10, 5000);
    const controls = new OrbitControls(camera, renderer.domElement);
    const scene = new three.Scene();
    scene.add(new three.HemisphereLight(0xffffff, 0x404850, 2.5));
    const frame = (mesh) => {
      const box = new three.Box3().setFromObject(mesh);
      const middle = box.getCenter(new three.Vector3());
      const size = box.getSize(new three.Vector3());
      controls.target.copy(middle);
      camera.position.set(middle.x, middle.y, middle.z + (1.15 * Math.max(size.x, size.y)) / (2 * Math.tan((25 * Math.PI) / 360)) + size.z / 2);
      controls.update();
    };
    const fit = () => {
      const { clientWidth: width, clientHeight: height } = this.place;
      if (!width || !height) return;
      renderer.setSize(width, height);
      camera.aspect = width / height;
      camera.updateProjectionMatrix();
    };
    new ResizeObserver(fit).observe(this.place);
    this.#stage = { renderer, camera, controls, scene, frame, fit, mesh: undefined };
    return this.#stage;
  }

  #turn(began) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const draw = (now) => {
      const { renderer, scene, camera, controls, mesh, fit } = this.#stage;
      if (!mesh) return;
      this.#turning = requestAnimationFrame(draw);
      if (this.place.offsetParent === null) return; // another view is shown
      if (!renderer.domElement.width) fit();
      if (!still) mesh.rotation.y = SWING * Math.sin(((now - began) / 1000 / SWING_S) * 2 * Math.PI);
      controls.update();
      renderer.render(scene, camera);
    };
    this.#turning = requestAnimationFrame(draw);
  }
}
