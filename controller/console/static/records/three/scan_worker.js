// Reads scans, and measures how far a mesh is from one, beside the page: neither holds it up.

import { PLYLoader } from "/static/vendor/three/addons/PLYLoader.js";

const CELL_MM = 2;
const FAR_MM = 4; // further away there is no scan
const MOST_POINTS = 2_000_000; // that distances are measured to; of a scan with more every n-th
const MOST_CELLS = 20_000_000;
const KEPT = 3; // scans whose points are kept here
const scans = new Map(); // address -> {points, normals, grid?}

self.onmessage = async ({ data }) => {
  try {
    const answer = data.kind === "scan" ? await readScan(data) : measure(data);
    self.postMessage({ id: data.id, ...answer.told }, answer.moved);
  } catch (error) {
    self.postMessage({ id: data.id, problem: error.message, status: error.status });
  }
};

async function readScan({ id, address }) {
  const buffer = await fetched(address, (done) => self.postMessage({ id, done }));
  const geometry = new PLYLoader().parse(buffer);
  if (!geometry.getAttribute("normal")) geometry.computeVertexNormals();
  const positions = geometry.getAttribute("position").array;
  const normals = geometry.getAttribute("normal").array;
  const colours = geometry.getAttribute("color")?.array;
  const index = geometry.getIndex();
  const indices = index && Uint32Array.from(index.array);
  keep(address, positions, normals);
  const told = { positions, normals, colours, indices };
  return { told, moved: [positions.buffer, normals.buffer, colours?.buffer, indices?.buffer].filter(Boolean) };
}

async function fetched(address, tell) {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) throw Object.assign(new Error(`the studio answered ${answer.status}`), { status: answer.status });
  const total = Number(answer.headers.get("content-length")) || 0;
  if (!total) return answer.arrayBuffer();
  const bytes = new Uint8Array(total);
  let at = 0;
  for await (const piece of answer.body) {
    bytes.set(piece, at);
    at += piece.length;
    tell(at / total);
  }
  return bytes.buffer;
}

function keep(address, positions, normals) {
  const count = positions.length / 3;
  const step = Math.ceil(count / MOST_POINTS);
  const kept = Math.ceil(count / step);
  const points = new Float32Array(3 * kept);
  const directions = new Float32Array(3 * kept);
  for (let i = 0; i < kept; i += 1) {
    for (let axis = 0; axis < 3; axis += 1) {
      points[3 * i + axis] = positions[3 * i * step + axis];
      directions[3 * i + axis] = normals[3 * i * step + axis];
    }
  }
  scans.delete(address);
  scans.set(address, { points, normals: directions });
  for (const old of [...scans.keys()].slice(0, -KEPT)) scans.delete(old);
}

/** Signed distance of each point to the scan's surface, mm: positive where the scan lies outside; NaN where there is none. */
function measure({ address, points, normals }) {
  const scan = scans.get(address);
  if (!scan) throw new Error("the scan is not here");
  const grid = (scan.grid ??= makeGrid(scan.points));
  const distances = new Float32Array(points.length / 3);
  for (let i = 0; i < distances.length; i += 1) distances[i] = nearest(scan, grid, points, normals, 3 * i);
  return { told: { distances }, moved: [distances.buffer] };
}

function makeGrid(points) {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 1) {
    low[i % 3] = Math.min(low[i % 3], points[i]);
    high[i % 3] = Math.max(high[i % 3], points[i]);
  }
  let cell = CELL_MM;
  const sizes = () => low.map((from, axis) => Math.floor((high[axis] - from) / cell) + 1);
  while (sizes().reduce((a, b) => a * b) > MOST_CELLS) cell *= 1.5;
  const size = sizes();
  const place = (i) => (Math.floor((points[i + 2] - low[2]) / cell) * size[1] + Math.floor((points[i + 1] - low[1]) / cell)) * size[0] + Math.floor((points[i] - low[0]) / cell);
  const starts = new Uint32Array(size[0] * size[1] * size[2] + 1);
  for (let i = 0; i < points.length; i += 3) starts[place(i) + 1] += 1;
  for (let i = 1; i < starts.length; i += 1) starts[i] += starts[i - 1];
  const members = new Uint32Array(points.length / 3);
  const next = starts.slice();
  for (let i = 0; i < points.length; i += 3) members[next[place(i)]++] = i;
  return { low, cell, size, starts, members };
}

function nearest(scan, grid, points, normals, at) {
  const [x, y, z] = [points[at], points[at + 1], points[at + 2]];
  const { low, cell, size, starts, members } = grid;
  const middle = [x, y, z].map((value, axis) => Math.floor((value - low[axis]) / cell));
  const most = Math.ceil(FAR_MM / cell);
  let best = FAR_MM * FAR_MM;
  let found = -1;
  for (let ring = 0; ring <= most && (found < 0 || (ring - 1) * cell < Math.sqrt(best)); ring += 1) {
    for (let k = middle[2] - ring; k <= middle[2] + ring; k += 1) {
      if (k < 0 || k >= size[2]) continue;
      for (let j = middle[1] - ring; j <= middle[1] + ring; j += 1) {
        if (j < 0 || j >= size[1]) continue;
        const whole = Math.abs(k - middle[2]) === ring || Math.abs(j - middle[1]) === ring;
        for (let i = middle[0] - ring; i <= middle[0] + ring; i += whole || ring === 0 ? 1 : 2 * ring) {
          if (i < 0 || i >= size[0]) continue;
          const place = (k * size[1] + j) * size[0] + i;
          for (let m = starts[place]; m < starts[place + 1]; m += 1) {
            const p = members[m];
            const apart = (scan.points[p] - x) ** 2 + (scan.points[p + 1] - y) ** 2 + (scan.points[p + 2] - z) ** 2;
            if (apart < best) [best, found] = [apart, p];
          }
        }
      }
    }
  }
  if (found < 0) return NaN;
  // To the plane through the nearest point: the points are further apart than the surfaces.
  const facing = scan.normals[found] * normals[at] + scan.normals[found + 1] * normals[at + 1] + scan.normals[found + 2] * normals[at + 2];
  if (facing < 0.3) return NaN; // it looks elsewhere: another piece of surface
  return (scan.points[found] - x) * scan.normals[found] + (scan.points[found + 1] - y) * scan.normals[found + 1] + (scan.points[found + 2] - z) * scan.normals[found + 2];
}
