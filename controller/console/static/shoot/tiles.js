// Every photograph of the take as a tile in view order; a missing one is a red numbered cell. All tiles always fit.

import { attribute, el, keyed, text, thumbnail } from "/static/dom.js";
import { cameraOrder } from "/static/shoot/model.js";

const GAP = 4;
const WIDEST = 190;
const WORDS = { idle: "", armed: "armed", countdown: "armed", fired: "fired", safe: "relax", in: "in", checked: "in", failed: "missing" };

export class Tiles {
  #aspect = 2 / 3; // of the photographs, width to height
  #count = 0;

  /** pick(camera): it was clicked. */
  constructor(pick) {
    this.pick = pick;
    this.element = el("div", { class: "shots", role: "group", "aria-label": "Photographs of the take" });
    new ResizeObserver(() => this.#fit()).observe(this.element);
  }

  /** seen: what is known of the shown take. live: whether cameras' own states are of this take. large: the camera shown large. */
  update(state, code, seen, live, large) {
    const cameras = state.cameras ?? {};
    const order = cameraOrder(state);
    const lacking = new Set(live ? state.take?.missing ?? [] : []);
    const look = new Set((seen.review?.checks ?? []).filter((check) => check.state === "advice" && check.camera).map((check) => check.camera));
    keyed(this.element, order, (name) => name, (name) => this.#tile(name), (tile, name) => {
      const picture = seen.pictures[name];
      const phase = code === undefined ? "idle" : live ? cameras[name].phase : picture ? "checked" : "idle";
      const fault = live ? seen.faults[name] : undefined;
      const missing = !picture && cameras[name].aside === undefined && code !== undefined && (phase === "failed" || lacking.has(name));
      this.#paint(tile, name, { camera: cameras[name], picture, phase, missing, fault, look: look.has(name), large: name === large });
    });
    if (order.length !== this.#count) {
      this.#count = order.length;
      this.#fit();
    }
  }

  #tile(name) {
    const image = el("img", { alt: "", hidden: true, onload: (event) => this.#shaped(event.target) });
    const tile = el("button", { type: "button", class: "shot", tabindex: "-1", onclick: () => this.pick(name) },
      image, el("span", { class: "shot-number" }), el("span", { class: "shot-word" }), el("span", { class: "spoken" }));
    tile.image = image;
    return tile;
  }

  #paint(tile, name, { camera, picture, phase, missing, fault, look, large }) {
    const aside = camera.aside !== undefined;
    const unready = !picture && phase === "idle" && !camera.ready;
    const state = missing ? "missing" : aside ? "aside" : look ? "look" : picture ? "in" : unready ? "unready" : phase;
    attribute(tile, "data-state", state);
    attribute(tile, "aria-current", large ? "true" : undefined);
    const word = missing ? "missing" : aside ? "aside" : look ? "look" : picture ? "" : unready ? "not ready" : WORDS[phase] ?? "";
    text(tile.children[1], camera.view);
    text(tile.children[2], word);
    const told = `${name}: ${fault ?? (unready ? camera.problems?.[0] : undefined) ?? (word || (picture ? "in" : "ready"))}`;
    text(tile.children[3], told);
    attribute(tile, "title", told);
    const source = thumbnail(picture?.thumbnail);
    if (tile.source !== source) {
      tile.source = source;
      if (source) tile.image.src = source;
      else tile.image.removeAttribute("src");
      tile.image.hidden = !source;
    }
  }

  #shaped(image) {
    const aspect = image.naturalWidth / image.naturalHeight;
    if (aspect > 0 && Math.abs(aspect - this.#aspect) > 0.05) {
      this.#aspect = aspect;
      this.#fit();
    }
  }

  /** The widest tiles with which all are seen without scrolling. */
  #fit() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height || !this.#count) return;
    let best = { columns: 1, wide: 0 };
    for (let columns = 1; columns <= this.#count; columns += 1) {
      const rows = Math.ceil(this.#count / columns);
      const wide = Math.min(WIDEST, (width - (columns - 1) * GAP) / columns, ((height - (rows - 1) * GAP) / rows) * this.#aspect);
      if (wide > best.wide + 0.5) best = { columns, wide };
    }
    const wide = Math.max(16, Math.floor(best.wide));
    const { style } = this.element;
    style.gridTemplateColumns = `repeat(${best.columns}, ${wide}px)`;
    style.gridAutoRows = `${Math.floor(wide / this.#aspect)}px`;
    attribute(this.element, "data-size", wide < 46 ? "small" : "large");
  }
}
