// One canvas with a window for each pane, all seen through one camera: turn one and all turn.

import { OrbitControls } from "/static/vendor/three/addons/OrbitControls.js";
import * as THREE from "/static/vendor/three/three.module.js";

const GROUND = 0x101418;

/** Whether this browser draws in three dimensions at all. */
export function canDraw() {
  const probe = document.createElement("canvas").getContext("webgl2");
  probe?.getExtension("WEBGL_lose_context")?.loseContext();
  return probe !== null;
}

export class Stage {
  #panes = []; // {scene, light, object}
  #asked = 0;
  #framed = false;

  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setClearColor(GROUND);
    this.camera = new THREE.PerspectiveCamera(22, 1, 10, 5000);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.zoomToCursor = false;
    this.controls.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.front();
  }

  /** How many windows there are. */
  set count(number) {
    while (this.#panes.length < number) this.#panes.push(makePane());
    this.#panes.length = number;
    this.draw();
  }

  /** Show an object in a window; undefined empties it. Its geometry and material stay whose they are. */
  show(index, object) {
    const pane = this.#panes[index];
    if (!pane) return;
    if (pane.object) pane.scene.remove(pane.object);
    pane.object = object;
    if (object) {
      pane.scene.add(object);
      if (!this.#framed) this.frame(object);
    }
    this.draw();
  }

  set wireframe(on) {
    this.wired = on;
    this.draw();
  }

  /** Look at the object from the front. */
  frame(object) {
    object.geometry.computeBoundingSphere();
    const { center, radius } = object.geometry.boundingSphere;
    this.centre = center.clone();
    this.radius = radius;
    this.#framed = true;
    this.front();
  }

  /** Turn to the front, or by degrees about the vertical. */
  front(yaw = 0) {
    const centre = this.centre ?? new THREE.Vector3();
    const radius = this.radius ?? 160;
    const away = (radius / Math.sin(THREE.MathUtils.degToRad(this.camera.fov / 2))) * Math.max(1, 1 / Math.max(this.camera.aspect, 0.3)) * 0.98;
    const turn = THREE.MathUtils.degToRad(yaw);
    this.controls.target.copy(centre);
    this.camera.position.set(centre.x + away * Math.sin(turn), centre.y, centre.z + away * Math.cos(turn));
    this.controls.minDistance = radius * 0.2;
    this.controls.maxDistance = radius * 20;
    this.controls.update();
    this.draw();
  }

  /** Draw in the next frame; nothing is drawn while nothing changes. */
  draw() {
    if (!this.#asked) this.#asked = requestAnimationFrame(() => this.#render());
  }

  #render() {
    this.#asked = 0;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height || !this.#panes.length) return;
    this.renderer.setSize(width, height, false);
    this.renderer.setScissorTest(true);
    const each = width / this.#panes.length;
    const aspect = each / height;
    if (Math.abs(aspect - this.camera.aspect) > 1e-3) {
      this.camera.aspect = aspect;
      this.camera.updateProjectionMatrix();
    }
    this.#panes.forEach((pane, index) => {
      const left = Math.round(index * each);
      const wide = Math.round((index + 1) * each) - left - (index + 1 < this.#panes.length ? 2 : 0);
      this.renderer.setViewport(left, 0, wide, height);
      this.renderer.setScissor(left, 0, wide, height);
      // From the left above, so that relief throws shade.
      const aslant = new THREE.Vector3(-1.5, 1.5, 0).multiplyScalar(this.camera.position.distanceTo(this.controls.target) / 2);
      pane.light.position.copy(this.camera.position).add(aslant.applyQuaternion(this.camera.quaternion));
      pane.light.target.position.copy(this.controls.target);
      if (pane.object) pane.object.material.wireframe = Boolean(this.wired);
      this.renderer.render(pane.scene, this.camera);
    });
    this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn ?? 0) + 1);
  }
}

function makePane() {
  const scene = new THREE.Scene();
  const light = new THREE.DirectionalLight(0xffffff, 2.2);
  scene.add(light, light.target, new THREE.HemisphereLight(0xffffff, 0x4a4f55, 1.3));
  return { scene, light, object: undefined };
}
