// The cameras as tiles, grouped by the computer that they hang on; as large as fits without scrolling.

import { attribute, el, keyed, show, text, thumbnail } from "/static/dom.js";
import { SHAPES, health, inOrder, signed } from "/static/cameras/health.js";

// From the largest to the smallest, px: what a tile shows, and how wide it is.
const SIZES = [
  ...[420, 370, 320, 285, 255, 230, 205].map((width) => ["roomy", width]),
  ...[190, 175, 160, 150].map((width) => ["normal", width]),
  ...[142, 136, 130, 126, 122, 118, 115].map((width) => ["dense", width]),
  ...[130, 118, 112].map((width) => ["tight", width]),
  ...[140, 126].map((width) => ["mini", width]),
  ...[114, 104, 98].map((width) => ["micro", width]),
  ...[150, 130, 114].map((width) => ["nano", width]),
];

const FACTS = ["battery", "photos_left", "waiting", "uncertainty_ms", "lag_drift_ms", "lateness_ms"];

export class Tiles {
  #fitted = "";

  /** picked(name, event): a tile was clicked. */
  constructor(picked) {
    this.picked = picked;
    this.groups = el("div", { class: "cam-tile-groups" });
    this.root = el("div", { class: "cam-tiles", data: { size: "normal" } }, this.groups);
    new ResizeObserver(() => this.#fit("")).observe(this.root);
  }

  /** selection: names of those selected. cursor: the one that the arrow keys have reached. */
  update(state, selection, cursor) {
    const names = inOrder(state);
    const groups = grouped(names, state.cameras ?? {});
    keyed(this.groups, groups, (group) => group.node, makeGroup, (element, group) => {
      show(element.label, groups.length > 1 && group.node);
      text(element.label, `${group.node} · ${group.names.length}`);
      keyed(element.tiles, group.names, (name) => name, (name) => this.#make(name), (tile, name) => {
        if (tile.painted !== state.cameras[name] || tile.limits !== state.rig?.limits) paint(tile, name, state.cameras[name], state.rig?.limits);
        attribute(tile, "aria-pressed", String(selection.has(name)));
        attribute(tile, "tabindex", name === cursor ? "0" : "-1");
      });
    });
    this.#fit(`${names.length} ${groups.length}`);
  }

  tile(name) {
    return this.root.querySelector(`[data-camera="${CSS.escape(name)}"]`);
  }

  /** The tile beside another one: by ±1 in order, or the nearest in the row above or below. */
  beside(name, key) {
    const all = [...this.root.querySelectorAll(".cam-tile")];
    const at = all.findIndex((tile) => tile.dataset.camera === name);
    if (at < 0) return all[0]?.dataset.camera;
    if (key === "ArrowLeft" || key === "ArrowRight") return all[Math.max(0, Math.min(all.length - 1, at + (key === "ArrowRight" ? 1 : -1)))].dataset.camera;
    const from = all[at].getBoundingClientRect();
    const way = key === "ArrowDown" ? 1 : -1;
    let best = null;
    for (const tile of all) {
      const to = tile.getBoundingClientRect();
      const down = (to.top - from.top) * way;
      if (down < from.height / 2) continue;
      const far = down * 3 + Math.abs(to.left - from.left);
      if (!best || far < best.far) best = { far, name: tile.dataset.camera };
    }
    return best?.name ?? name;
  }

  /** The largest size at which nothing has to be scrolled. what: measured again only when it differs. */
  #fit(what) {
    if (!this.root.clientHeight || (what && what === this.#fitted)) return;
    if (what) this.#fitted = what;
    for (const [size, width] of SIZES) {
      this.root.dataset.size = size;
      this.root.style.setProperty("--tile", `${width}px`);
      if (this.groups.scrollHeight <= this.root.clientHeight && this.groups.scrollWidth <= this.root.clientWidth) break;
    }
  }

  #make(name) {
    const facts = FACTS.map((fact) => el("span", { data: { fact } }));
    const [shape, view, word] = ["shape", "view", "word"].map((part) => el("span", { class: `cam-tile-${part}` }));
    const picture = el("img", { class: "cam-tile-picture", alt: "", loading: "lazy", decoding: "async", hidden: true });
    const tile = el("button", { class: "cam-tile", type: "button", data: { camera: name }, onclick: (event) => this.picked(name, event) },
      el("span", { class: "cam-tile-head" }, shape, el("span", { class: "cam-tile-name" }, name), view, word),
      el("span", { class: "cam-tile-body" }, el("span", { class: "cam-tile-frame" }, picture), el("span", { class: "cam-tile-facts" }, facts)),
    );
    tile.parts = { shape, view, word, picture, facts };
    return tile;
  }
}

const makeGroup = () => {
  const group = el("div", { class: "cam-tile-group" });
  group.label = el("h3", { class: "cam-tile-node" });
  group.tiles = el("div", { class: "cam-tile-row" });
  group.append(group.label, group.tiles);
  return group;
};

/** By computer in the order of the first camera; one group when each camera has a computer of its own. */
function grouped(names, cameras) {
  const found = new Map();
  for (const name of names) {
    const node = cameras[name].computer || cameras[name].node || "";
    if (!found.has(node)) found.set(node, []);
    found.get(node).push(name);
  }
  const shared = [...found.values()].some((group) => group.length > 1);
  if (!shared || names.length === 0) return [{ node: "", names }];
  return [...found].map(([node, members]) => ({ node: node || "no computer", names: members }));
}

function paint(tile, name, camera, limits) {
  Object.assign(tile, { painted: camera, limits });
  const { tone, word, why, marks } = health(camera, limits);
  attribute(tile, "data-tone", tone);
  attribute(tile, "data-phase", camera.phase);
  attribute(tile, "title", why.join("\n") || undefined);
  const { shape, view, word: said, picture, facts } = tile.parts;
  text(shape, SHAPES[tone]);
  text(view, camera.view >= 0 ? `view ${camera.view}` : "not of the rig");
  text(said, word);
  show(picture, camera.picture);
  attribute(picture, "src", thumbnail(camera.picture));
  const shown = {
    battery: camera.battery === undefined ? "" : `${camera.battery} %`,
    photos_left: camera.photos_left === undefined ? "" : `${camera.photos_left} left`,
    waiting: `${camera.waiting ?? 0} wait`,
    uncertainty_ms: camera.uncertainty_ms === undefined ? "no clock" : `±${camera.uncertainty_ms.toFixed(2)} ms`,
    lag_drift_ms: `drift ${signed(camera.lag_drift_ms)}`,
    lateness_ms: `late ${camera.lateness_ms === undefined ? "–" : camera.lateness_ms.toFixed(1)}`,
  };
  FACTS.forEach((name, index) => {
    text(facts[index], shown[name]);
    attribute(facts[index], "data-mark", marks[name]);
  });
}
