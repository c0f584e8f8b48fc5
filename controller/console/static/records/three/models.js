// What there is of a take, loaded once and drawn in several ways: scan, registered mesh, texture, displacement, distance.

import * as THREE from "/static/vendor/three/three.module.js";
import { artefact } from "/static/records/parts.js";
import { colourOf, linearColourOf, NOTHING } from "/static/records/three/colours.js";
import { readDisplacement } from "/static/records/three/displacement_png.js";
import { readNpz } from "/static/records/three/npz.js";

const SKIN = 0; // of a template's parts
export const DISPLACEMENT_MM = 0.2; // ends of the scales
export const DISTANCE_MM = 0.3;
const CLAY = 0xb9aa9c;
export const RELIEF_TIMES = 4; // that the relief is drawn higher than it is

/** What each look needs of a take's files. */
export const LOOKS = {
  colour: { surface: "scan", name: "Colour", needs: ["scan"] },
  shape: { surface: "scan", name: "Shape", needs: ["scan"] },
  scanNormals: { surface: "scan", name: "Normals", needs: ["scan"] },
  texture: { surface: "mesh", name: "Texture", needs: ["mesh", "template", "texture"] },
  plain: { surface: "mesh", name: "Shape", needs: ["mesh", "template"] },
  relief: { surface: "mesh", name: "Relief", needs: ["mesh", "template", "displacement"] },
  displacement: { surface: "mesh", name: "Displacement", needs: ["mesh", "template", "displacement"], scale: DISPLACEMENT_MM },
  distance: { surface: "mesh", name: "Distance to the scan", needs: ["mesh", "template", "scan"], scale: DISTANCE_MM },
  normals: { surface: "mesh", name: "Normals", needs: ["mesh", "template"] },
};

/** An answer of the studio that is none. status: 410 after a withdrawal. */
class NotShown extends Error {
  constructor(status) {
    super(status === 410 ? "its consent does not stand" : `the studio answered ${status}`);
    this.status = status;
  }
}

async function bytes(sha256) {
  const answer = await fetch(artefact(sha256), { credentials: "same-origin" });
  if (!answer.ok) throw new NotShown(answer.status);
  return answer.arrayBuffer();
}

/** Asks the worker; one for the page. */
class ScanReader {
  #worker = null;
  #asked = new Map();
  #next = 0;

  ask(message, { moved = [], progress } = {}) {
    if (!this.#worker) {
      this.#worker = new Worker("/static/records/three/scan_worker.js", { type: "module" });
      this.#worker.onmessage = ({ data }) => this.#hear(data);
    }
    const id = ++this.#next;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject, progress });
      this.#worker.postMessage({ id, ...message }, moved);
    });
  }

  #hear(data) {
    const asked = this.#asked.get(data.id);
    if (!asked) return;
    if (data.done !== undefined) return void asked.progress?.(data.done);
    this.#asked.delete(data.id);
    if (data.problem) asked.reject(data.status ? new NotShown(data.status) : new Error(data.problem));
    else asked.resolve(data);
  }
}

const reader = new ScanReader();
const templates = new Map(); // sha256 -> promise

function template(sha256) {
  if (!templates.has(sha256)) templates.set(sha256, bytes(sha256).then((buffer) => readNpz(buffer, ["triangles", "uvs", "uv_triangles", "parts"])));
  return templates.get(sha256);
}

/** A take's files on the graphics card, and what can be drawn of them. */
export class TakeModel {
  #parts = new Map(); // name -> promise
  #held = []; // what is disposed of

  /** models: of the API, by name {sha256, bytes}. */
  constructor(models) {
    this.models = models;
  }

  can(look) {
    return LOOKS[look].needs.every((name) => name in this.models);
  }

  /** Bytes that a look loads beyond what is here. */
  toLoad(look) {
    return LOOKS[look].needs.reduce((sum, name) => sum + (this.#parts.has(name) ? 0 : (this.models[name]?.bytes ?? 0)), 0);
  }

  /** An object to draw. progress(share): while a scan comes in. */
  async object(look, progress) {
    const geometry = LOOKS[look].surface === "scan" ? await this.#part("scan", () => this.#scan(progress)) : await this.#part("mesh", () => this.#mesh());
    if (look === "distance") {
      await this.#part("scan", () => this.#scan(progress));
      await this.#part("distance", () => this.#distance(geometry));
    }
    return new THREE.Mesh(geometry, await this.#part(`material ${look}`, () => this.#material(look)));
  }

  dispose() {
    for (const one of this.#held) one.dispose();
    this.#held = [];
    this.#parts.clear();
  }

  #part(name, make) {
    if (!this.#parts.has(name)) {
      const made = make();
      made.catch(() => this.#parts.delete(name)); // what failed is tried again when it is asked for again
      this.#parts.set(name, made);
    }
    return this.#parts.get(name);
  }

  #hold(one) {
    this.#held.push(one);
    return one;
  }

  async #scan(progress) {
    const made = await reader.ask({ kind: "scan", address: artefact(this.models.scan.sha256) }, { progress });
    const geometry = this.#hold(new THREE.BufferGeometry());
    geometry.setAttribute("position", new THREE.BufferAttribute(made.positions, 3));
    geometry.setAttribute("normal", new THREE.BufferAttribute(made.normals, 3));
    if (made.colours) geometry.setAttribute("color", new THREE.BufferAttribute(made.colours, 3, made.colours instanceof Uint8Array));
    if (made.indices) geometry.setIndex(new THREE.BufferAttribute(made.indices, 1));
    return geometry;
  }

  async #mesh() {
    const [shape, topology] = await Promise.all([bytes(this.models.mesh.sha256).then((buffer) => readNpz(buffer, ["vertices_mm"])), template(this.models.template.sha256)]);
    const vertices = shape.vertices_mm.data;
    const { triangles, uvs, uv_triangles: corners } = topology;
    // A vertex for each pair of place and texel: seams have several.
    const known = new Map();
    const indices = new Uint32Array(triangles.data.length);
    const pairs = [];
    for (let i = 0; i < indices.length; i += 1) {
      const vertex = triangles.data[i];
      const texel = corners ? corners.data[i] : vertex;
      const key = vertex * 4194304 + texel;
      let place = known.get(key);
      if (place === undefined) {
        place = pairs.length;
        known.set(key, place);
        pairs.push([vertex, texel]);
      }
      indices[i] = place;
    }
    const positions = new Float32Array(3 * pairs.length);
    const texels = new Float32Array(2 * pairs.length);
    const parts = new Int8Array(pairs.length);
    pairs.forEach(([vertex, texel], i) => {
      for (let axis = 0; axis < 3; axis += 1) positions[3 * i + axis] = vertices[3 * vertex + axis];
      if (uvs) [texels[2 * i], texels[2 * i + 1]] = [uvs.data[2 * texel], uvs.data[2 * texel + 1]];
      parts[i] = topology.parts?.data[vertex] ?? SKIN;
    });
    const geometry = this.#hold(new THREE.BufferGeometry());
    geometry.setAttribute("position", new THREE.BufferAttribute(positions, 3));
    geometry.setAttribute("uv", new THREE.BufferAttribute(texels, 2));
    geometry.setIndex(new THREE.BufferAttribute(indices, 1));
    geometry.setAttribute("normal", new THREE.BufferAttribute(smoothNormals(vertices, triangles.data, pairs), 3));
    geometry.userData.parts = parts;
    return geometry;
  }

  #relief() {
    return this.#part("displacement", async () => readDisplacement(await bytes(this.models.displacement.sha256)));
  }

  /** Colours of the vertices: how far the scan is from the mesh with its relief. */
  async #distance(geometry) {
    const relief = this.models.displacement ? await this.#relief() : null;
    const points = geometry.getAttribute("position").array.slice();
    const normals = geometry.getAttribute("normal").array;
    const texels = geometry.getAttribute("uv").array;
    if (relief) {
      for (let i = 0; i < points.length / 3; i += 1) {
        const height = heightAt(relief, texels[2 * i], texels[2 * i + 1]);
        for (let axis = 0; axis < 3; axis += 1) points[3 * i + axis] += height * normals[3 * i + axis];
      }
    }
    const asked = { kind: "distance", address: artefact(this.models.scan.sha256), points, normals: normals.slice() };
    const { distances } = await reader.ask(asked, { moved: [points.buffer, asked.normals.buffer] });
    const colours = new Float32Array(3 * distances.length);
    distances.forEach((distance, i) => colours.set(linearColourOf(geometry.userData.parts[i] === SKIN ? distance : NaN, DISTANCE_MM), 3 * i));
    geometry.setAttribute("color", new THREE.BufferAttribute(colours, 3));
    const measured = Array.from(distances).filter((distance, i) => geometry.userData.parts[i] === SKIN && Number.isFinite(distance)).map(Math.abs).sort((a, b) => a - b);
    geometry.userData.distance = measured.length ? { median: measured[measured.length >> 1], p95: measured[Math.floor(measured.length * 0.95)], share: measured.length / distances.length } : null;
  }

  async #material(look) {
    const sided = { side: THREE.DoubleSide };
    if (look === "normals" || look === "scanNormals") return this.#hold(new THREE.MeshNormalMaterial(sided));
    if (look === "shape" || look === "plain") return this.#hold(new THREE.MeshStandardMaterial({ color: CLAY, roughness: 0.75, ...sided }));
    if (look === "colour") return this.#hold(new THREE.MeshBasicMaterial({ vertexColors: true, ...sided })); // lit in the studio already
    if (look === "distance") return this.#hold(new THREE.MeshStandardMaterial({ vertexColors: true, roughness: 0.95, ...sided }));
    if (look === "texture") {
      const image = await createImageBitmap(new Blob([await bytes(this.models.texture.sha256)]), { imageOrientation: "flipY" });
      const map = this.#hold(new THREE.Texture(image));
      Object.assign(map, { colorSpace: THREE.SRGBColorSpace, flipY: false, anisotropy: 4, needsUpdate: true });
      return this.#hold(new THREE.MeshBasicMaterial({ map, ...sided }));
    }
    const relief = await this.#relief();
    if (look === "relief") {
      const bumpMap = this.#hold(heightTexture(relief));
      return this.#hold(new THREE.MeshStandardMaterial({ color: CLAY, roughness: 0.7, bumpMap, bumpScale: RELIEF_TIMES, ...sided }));
    }
    const map = this.#hold(heightColours(relief));
    return this.#hold(new THREE.MeshStandardMaterial({ map, roughness: 0.95, ...sided }));
  }

  /** What the distance look has measured, where it has. */
  async distanceFigures() {
    return this.#parts.has("distance") ? ((await this.#parts.get("mesh")).userData.distance ?? null) : null;
  }
}

/** Normals over the whole surface, so that a seam of the texture is none of the light. */
function smoothNormals(vertices, triangles, pairs) {
  const whole = new THREE.BufferGeometry();
  whole.setAttribute("position", new THREE.BufferAttribute(Float32Array.from(vertices), 3));
  whole.setIndex(new THREE.BufferAttribute(Uint32Array.from(triangles), 1));
  whole.computeVertexNormals();
  const found = whole.getAttribute("normal").array;
  const normals = new Float32Array(3 * pairs.length);
  pairs.forEach(([vertex], i) => normals.set(found.subarray(3 * vertex, 3 * vertex + 3), 3 * i));
  return normals;
}

function heightAt({ heights, valid, size }, u, v) {
  const x = Math.min(size - 1, Math.max(0, Math.round(u * size - 0.5)));
  const y = Math.min(size - 1, Math.max(0, Math.round((1 - v) * size - 0.5)));
  return valid[y * size + x] ? heights[y * size + x] : 0;
}

/** Rows from the bottom, as texture coordinates count. */
function upwards(size, put) {
  for (let y = 0; y < size; y += 1) for (let x = 0; x < size; x += 1) put((size - 1 - y) * size + x, y * size + x);
}

function heightTexture({ heights, size }) {
  const data = new Uint16Array(size * size);
  upwards(size, (to, from) => (data[to] = THREE.DataUtils.toHalfFloat(heights[from])));
  return finished(new THREE.DataTexture(data, size, size, THREE.RedFormat, THREE.HalfFloatType));
}

function heightColours({ heights, valid, size }) {
  const data = new Uint8Array(4 * size * size);
  upwards(size, (to, from) => {
    const [r, g, b] = valid[from] ? colourOf(heights[from], DISPLACEMENT_MM) : NOTHING;
    data.set([r, g, b, 255], 4 * to);
  });
  const texture = finished(new THREE.DataTexture(data, size, size));
  texture.colorSpace = THREE.SRGBColorSpace;
  return texture;
}

function finished(texture) {
  return Object.assign(texture, { magFilter: THREE.LinearFilter, minFilter: THREE.LinearMipmapLinearFilter, generateMipmaps: true, anisotropy: 4, needsUpdate: true });
}
