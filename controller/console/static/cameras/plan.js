// The rig as it stands: the dome around the head unrolled, seen from within; in order of view without a calibration.

import { attribute, text } from "/static/dom.js";
import { SHAPES, health, inOrder } from "/static/cameras/health.js";

const WIDTH = 420;
const HEIGHT = 300;
const MARGIN = 16;
const APART = 23; // between two marks
const SVG = "http://www.w3.org/2000/svg";

const svg = (tag, properties = {}) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, String(value));
  return element;
};

/** {name: [x, y]} on the plan. cameras: of the state; those without a position stand in rows below. */
export function places(names, cameras) {
  const placed = names.filter((name) => cameras[name].position);
  const found = {};
  if (placed.length > 1) {
    const angles = placed.map((name) => {
      const [x, y, z] = cameras[name].position;
      return [Math.atan2(x, z), Math.atan2(y, Math.hypot(x, z))];
    });
    const rows = names.length - placed.length ? 1 : 0;
    spread(placed, angles, found, HEIGHT - MARGIN - rows * 26);
  }
  const rest = names.filter((name) => !(name in found));
  const columns = placed.length > 1 ? 16 : Math.max(4, Math.ceil(Math.sqrt(rest.length * 1.6)));
  rest.forEach((name, index) => {
    const rows = Math.ceil(rest.length / columns);
    const [column, row] = [index % columns, Math.floor(index / columns)];
    const down = placed.length > 1 ? HEIGHT - MARGIN - (rows - 1 - row) * 24 : MARGIN + ((row + 0.5) * (HEIGHT - 2 * MARGIN)) / rows;
    found[name] = [MARGIN + ((column + 0.5) * (WIDTH - 2 * MARGIN)) / columns, down];
  });
  return found;
}

/** Angles to places, stretched to the plan; marks that would cover each other are moved apart. */
function spread(names, angles, found, bottom) {
  const range = (axis) => [Math.min(...angles.map((pair) => pair[axis])), Math.max(...angles.map((pair) => pair[axis]))];
  const [[left, right], [low, high]] = [range(0), range(1)];
  const points = angles.map(([azimuth, elevation]) => [
    MARGIN + ((azimuth - left) / (right - left || 1)) * (WIDTH - 2 * MARGIN),
    MARGIN + ((high - elevation) / (high - low || 1)) * (bottom - MARGIN),
  ]);
  for (let turn = 0; turn < 60; turn += 1) {
    let moved = false;
    for (let a = 0; a < points.length; a += 1) {
      for (let b = a + 1; b < points.length; b += 1) {
        const [dx, dy] = [points[b][0] - points[a][0], points[b][1] - points[a][1]];
        const far = Math.hypot(dx, dy) || 0.01;
        if (far >= APART) continue;
        const push = (APART - far) / 2;
        const [ux, uy] = [dx / far || 1, dy / far];
        points[a] = [points[a][0] - ux * push, points[a][1] - uy * push];
        points[b] = [points[b][0] + ux * push, points[b][1] + uy * push];
        moved = true;
      }
    }
    for (const point of points) {
      point[0] = Math.max(MARGIN, Math.min(WIDTH - MARGIN, point[0]));
      point[1] = Math.max(MARGIN, Math.min(bottom, point[1]));
    }
    if (!moved) break;
  }
  names.forEach((name, index) => (found[name] = points[index]));
}

export class Plan {
  #key = "";
  #marks = new Map();

  constructor(picked) {
    this.picked = picked;
    this.lines = svg("g", { class: "plan-lines" });
    this.dots = svg("g");
    // The tiles say all of this in words; the plan is another way to see and to point.
    this.root = svg("svg", { class: "plan", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", focusable: "false" });
    this.root.append(this.lines, this.dots);
    this.caption = document.createElement("p");
    this.caption.className = "plan-caption faint";
  }

  update(state, selection, cursor) {
    const cameras = state.cameras ?? {};
    const names = inOrder(state);
    const key = names.map((name) => `${name} ${cameras[name].node} ${cameras[name].position ?? ""}`).join("|");
    if (key !== this.#key) {
      this.#key = key;
      this.#place(names, cameras);
    }
    for (const name of names) {
      const mark = this.#marks.get(name);
      attribute(mark, "data-selected", selection.has(name) ? "yes" : undefined);
      attribute(mark, "data-cursor", name === cursor ? "yes" : undefined);
      if (mark.painted === cameras[name] && mark.limits === state.rig?.limits) continue;
      const { tone } = health(cameras[name], state.rig?.limits);
      Object.assign(mark, { painted: cameras[name], limits: state.rig?.limits });
      attribute(mark, "data-tone", tone);
      text(mark.shape, SHAPES[tone]);
    }
  }

  #place(names, cameras) {
    const found = places(names, cameras);
    const calibrated = names.some((name) => cameras[name].position);
    const shared = new Set(names.map((name) => cameras[name].node)).size < names.length ? " Lines join cameras of one computer." : "";
    const seen = calibrated ? "The dome unrolled: the face looks out of the page in the middle." : "In order of view: the rig has no calibration that says where its cameras stand.";
    text(this.caption, seen + shared);
    this.#marks.clear();
    this.dots.replaceChildren(...names.map((name) => {
      const mark = svg("g", { class: "plan-camera", transform: `translate(${found[name][0].toFixed(1)} ${found[name][1].toFixed(1)})`, "data-name": name });
      mark.shape = svg("text", { class: "plan-shape", y: -5 });
      const view = svg("text", { class: "plan-view", y: 8 });
      view.textContent = cameras[name].view >= 0 ? cameras[name].view : name;
      const about = svg("title");
      about.textContent = name;
      mark.append(svg("circle", { r: 11 }), mark.shape, view, about);
      mark.addEventListener("click", (event) => this.picked(name, event));
      this.#marks.set(name, mark);
      return mark;
    }));
    const nodes = new Map();
    for (const name of names) nodes.set(cameras[name].node, [...(nodes.get(cameras[name].node) ?? []), found[name]]);
    this.lines.replaceChildren(...[...nodes].filter(([node, points]) => node && points.length > 1).map(([, points]) =>
      svg("polyline", { points: points.map((point) => point.map((value) => value.toFixed(1)).join(",")).join(" ") })));
  }
}
