// A subject's rig in motion: vertices by its units, relief by equations 6 to 8 over the key expressions' maps, on the graphics card.
// Masks are the equations' at the vertices and go evenly between them; maps are drawn at 1,024 texels a side at the most.

import * as THREE from "/static/vendor/three/three.module.js";
import { artefact } from "/static/records/parts.js";
import { KeyBlend, activations, weightMasks } from "/static/records/three/detail_weights.js";
import { readNpz } from "/static/records/three/npz.js";

const MAP_PX = 1024;
const PACKS = 6; // vertex attributes of four masks each
const MOST_KEYS = 4 * PACKS;
const CLAY = 0xb9aa9c;

async function bytes({ sha256 }) {
  const answer = await fetch(artefact(sha256), { credentials: "same-origin" });
  if (!answer.ok) throw Object.assign(new Error(answer.status === 410 ? "its consent does not stand" : `the studio answered ${answer.status}`), { status: answer.status });
  return answer.arrayBuffer();
}

/** Bytes that a session's rig loads. made: of /api/artefacts/rig/SESSION. */
export const toLoad = (made) => made.rig.bytes + (made.texture?.bytes ?? 0) + Object.values(made.maps).reduce((sum, one) => sum + one.bytes, 0);

export class MovingFace {
  #held = [];

  /** progress(share): while its maps come in. */
  static async load(made, progress) {
    const [rig, topology] = await Promise.all([bytes(made.rig).then((buffer) => readNpz(buffer, ["head", "weights", "shapes_mm"])), bytes(made.template).then((buffer) => readNpz(buffer, ["triangles", "uvs", "uv_triangles"]))]);
    const face = new MovingFace(rig, topology, Object.keys(made.maps));
    await face.#maps(made.maps, progress);
    if (made.texture) await face.#texture(made.texture);
    face.move(new Array(face.units.length).fill(0));
    return face;
  }

  constructor(rig, topology, withMaps) {
    const head = JSON.parse(rig.head.text);
    this.units = head.names;
    this.shapes = rig.shapes_mm.data;
    this.vertices = rig.shapes_mm.shape[0];
    const labels = head.examples.map((label, row) => ({ label, weights: Array.from(rig.weights.data.subarray(row * this.units.length, (row + 1) * this.units.length)) }));
    this.expressions = labels; // all that the rig was made of; those with a map give relief
    const keys = labels.filter(({ label }) => withMaps.includes(label));
    const neutral = keys.findIndex(({ label }) => label.endsWith("_neutral"));
    this.keys = neutral < 0 ? [] : [keys[neutral], ...keys.filter((_, row) => row !== neutral)].slice(0, MOST_KEYS);
    this.active = activations(this.shapes, this.vertices, this.units.length);
    this.blend = this.keys.length ? new KeyBlend(this.keys.map((key) => key.weights)) : null;
    this.masks = new Float32Array(this.vertices * 4 * PACKS);
    this.#geometry(topology);
    this.material = this.#hold(new THREE.MeshStandardMaterial({ color: CLAY, roughness: 0.7, side: THREE.DoubleSide }));
  }

  #hold(one) {
    this.#held.push(one);
    return one;
  }

  #geometry({ triangles, uvs, uv_triangles: corners }) {
    const known = new Map(); // a vertex for each pair of place and texel: seams have several
    const indices = new Uint32Array(triangles.data.length);
    const places = [], texels = [];
    for (let i = 0; i < indices.length; i += 1) {
      const vertex = triangles.data[i];
      const texel = corners ? corners.data[i] : vertex;
      const key = vertex * 4194304 + texel;
      if (!known.has(key)) {
        known.set(key, places.length);
        places.push(vertex);
        texels.push(uvs ? uvs.data[2 * texel] : 0, uvs ? uvs.data[2 * texel + 1] : 0);
      }
      indices[i] = known.get(key);
    }
    this.places = Uint32Array.from(places);
    this.triangles = triangles.data;
    this.whole = new Float32Array(3 * this.vertices); // places of the rig's own vertices
    this.geometry = this.#hold(new THREE.BufferGeometry());
    const attribute = (name, width) => this.geometry.setAttribute(name, new THREE.BufferAttribute(new Float32Array(width * places.length), width).setUsage(THREE.DynamicDrawUsage));
    attribute("position", 3);
    attribute("normal", 3);
    for (let pack = 0; pack < PACKS; pack += 1) attribute(`masks${pack}`, 4);
    this.geometry.setAttribute("uv", new THREE.BufferAttribute(Float32Array.from(texels), 2));
    this.geometry.setIndex(new THREE.BufferAttribute(indices, 1));
  }

  async #maps(files, progress) {
    if (!this.keys.length) return;
    const worker = new Worker("/static/records/three/detail_worker.js", { type: "module" });
    const layers = new Uint16Array(MAP_PX * MAP_PX * this.keys.length);
    try {
      for (const [layer, { label }] of this.keys.entries()) {
        const heights = await asked(worker, { id: layer, address: new URL(artefact(files[label].sha256), location.href).href, size: MAP_PX });
        layers.set(heights, layer * MAP_PX * MAP_PX);
        progress?.((layer + 1) / this.keys.length);
      }
    } finally {
      worker.terminate();
    }
    const maps = this.#hold(new THREE.DataArrayTexture(layers, MAP_PX, MAP_PX, this.keys.length));
    Object.assign(maps, { format: THREE.RedFormat, type: THREE.HalfFloatType, minFilter: THREE.LinearFilter, magFilter: THREE.LinearFilter, needsUpdate: true });
    this.uniforms = { keyMaps: { value: maps }, keyShares: { value: new Float32Array(MOST_KEYS) }, keyRest: { value: 1 }, relief: { value: 1 } };
    this.#shade();
  }

  /** The material's bump is equation 6, in place of a map. */
  #shade() {
    const any = this.#hold(new THREE.DataTexture(new Uint8Array(4), 1, 1)); // what turns the bump on
    any.needsUpdate = true;
    this.material.bumpMap = any;
    this.material.onBeforeCompile = (shader) => {
      Object.assign(shader.uniforms, this.uniforms);
      const packs = Array.from({ length: PACKS }, (_, pack) => pack);
      const declared = (word) => packs.map((pack) => `${word} vec4 vMasks${pack};`).join("\n");
      shader.vertexShader = shader.vertexShader
        .replace("#include <common>", `#include <common>\n${packs.map((pack) => `attribute vec4 masks${pack};`).join("\n")}\n${declared("varying")}`)
        .replace("#include <begin_vertex>", `#include <begin_vertex>\n${packs.map((pack) => `vMasks${pack} = masks${pack};`).join("\n")}`);
      const bump = THREE.ShaderChunk.bumpmap_pars_fragment.replaceAll(/texture2D\( bumpMap, (.+?) \)\.x/g, "displaced( $1 )");
      shader.fragmentShader = shader.fragmentShader
        .replace("#include <common>", `#include <common>\n${declared("varying")}\n${synthesis(this.keys.length)}`)
        .replace("#include <bumpmap_pars_fragment>", bump);
    };
  }

  async #texture(file) {
    const image = await createImageBitmap(new Blob([await bytes(file)]), { imageOrientation: "flipY" });
    this.skin = this.#hold(new THREE.Texture(image));
    Object.assign(this.skin, { colorSpace: THREE.SRGBColorSpace, flipY: false, anisotropy: 4, needsUpdate: true });
  }

  object() {
    return new THREE.Mesh(this.geometry, this.material);
  }

  /** skin: with its texture.  relief: with its detail. */
  look({ skin, relief }) {
    const map = skin ? (this.skin ?? null) : null;
    if (this.material.map !== map) {
      Object.assign(this.material, { map, needsUpdate: true });
      this.material.color.set(map ? 0xffffff : CLAY);
    }
    if (this.uniforms) this.uniforms.relief.value = relief ? 1 : 0;
  }

  /** The face at weights (U), 0 to 1. */
  move(weights) {
    const units = this.units.length;
    const { shapes, whole } = this;
    const used = weights.flatMap((weight, unit) => (weight ? [[weight, 3 * (1 + unit)]] : []));
    for (let vertex = 0; vertex < this.vertices; vertex += 1) {
      const rest = 3 * vertex * (1 + units);
      for (let axis = 0; axis < 3; axis += 1) {
        const still = shapes[rest + axis];
        let place = still;
        for (const [weight, at] of used) place += weight * (shapes[rest + at + axis] - still);
        whole[3 * vertex + axis] = place;
      }
    }
    const normals = normalsOf(whole, this.triangles);
    const shares = this.blend?.shares(weights);
    const rest = shares ? Math.max(0, 1 - shares.reduce((a, b) => a + b, 0)) : 0;
    if (shares) weightMasks(this.active, this.vertices, this.keys.map((key) => key.weights), weights, rest, 4 * PACKS, this.masks);
    this.#fill("position", whole, 3, 0, 3);
    this.#fill("normal", normals, 3, 0, 3);
    if (!shares) return;
    for (let pack = 0; pack < PACKS; pack += 1) this.#fill(`masks${pack}`, this.masks, 4 * PACKS, 4 * pack, 4);
    this.uniforms.keyShares.value.set(shares);
    this.uniforms.keyRest.value = rest;
  }

  #fill(name, from, stride, offset, width) {
    const attribute = this.geometry.getAttribute(name);
    this.places.forEach((vertex, i) => {
      for (let k = 0; k < width; k += 1) attribute.array[width * i + k] = from[stride * vertex + offset + k];
    });
    attribute.needsUpdate = true;
  }

  dispose() {
    for (const one of this.#held) one.dispose();
    this.#held = [];
  }
}

/** GLSL of equation 6 at a texel: mm. A key whose mask is nothing is not read. */
function synthesis(keys) {
  const others = Array.from({ length: keys - 1 }, (_, k) => {
    const mask = `vMasks${(k + 1) >> 2}.${"xyzw"[(k + 1) & 3]}`;
    return `others += ${mask}; share = keyRest * ${mask} + keyShares[${k + 1}]; if (share > 0.0) height += share * texture(keyMaps, vec3(place, ${k + 1}.0)).x;`;
  });
  return `
    precision highp sampler2DArray;
    uniform sampler2DArray keyMaps;
    uniform float keyShares[${MOST_KEYS}];
    uniform float keyRest;
    uniform float relief;
    float displaced(vec2 place) {
      float others = 0.0, height = 0.0, share;
      ${others.join("\n      ")}
      share = keyRest * max(0.0, 1.0 - others) + keyShares[0];
      if (share > 0.0) height += share * texture(keyMaps, vec3(place, 0.0)).x;
      return relief * height;
    }`;
}

function asked(worker, message) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.problem ? reject(Object.assign(new Error(data.problem), { status: data.status })) : resolve(data.heights));
    worker.onerror = () => reject(new Error("the maps cannot be read in this browser"));
    worker.postMessage(message);
  });
}

/** Unit normals of the rig's own vertices, weighted by area: a seam of the texture is none of the light. */
function normalsOf(places, triangles) {
  const out = new Float32Array(places.length);
  for (let i = 0; i < triangles.length; i += 3) {
    const [a, b, c] = [3 * triangles[i], 3 * triangles[i + 1], 3 * triangles[i + 2]];
    const ux = places[b] - places[a], uy = places[b + 1] - places[a + 1], uz = places[b + 2] - places[a + 2];
    const vx = places[c] - places[a], vy = places[c + 1] - places[a + 1], vz = places[c + 2] - places[a + 2];
    const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
    for (const corner of [a, b, c]) {
      out[corner] += x;
      out[corner + 1] += y;
      out[corner + 2] += z;
    }
  }
  for (let i = 0; i < out.length; i += 3) {
    const length = Math.hypot(out[i], out[i + 1], out[i + 2]) || 1;
    for (let axis = 0; axis < 3; axis += 1) out[i + axis] /= length;
  }
  return out;
}
