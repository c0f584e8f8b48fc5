// A photograph 1:1 over everything, with zoom by wheel and drag. Its neighbours are decoded ahead, so that it is there at once.

import { el, text } from "/static/dom.js";
import { preload } from "/static/shoot/picture.js";

const ZOOM_STEP = 1.25;

export class FullSize {
  #scale = 1;
  #x = 0;
  #y = 0;
  #image = null;
  #hash = undefined;
  #dragged = null;

  /** step(by): have the next or previous camera shown. */
  constructor(step) {
    this.step = step;
    this.title = el("h2", {}, "");
    this.place = el("div", { class: "full-place" });
    this.dialog = el("dialog", { class: "full-size", "aria-label": "Photograph, full size" },
      this.place,
      el("div", { class: "full-head" }, this.title, el("span", { class: "faint" }, "wheel: zoom · drag: move · ↑ ↓: other cameras · F or Esc: back"),
        el("button", { type: "button", onclick: () => this.close() }, "Back")),
    );
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
    this.place.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.place.addEventListener("pointerdown", (event) => this.#grab(event));
    this.place.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) this.place.addEventListener(end, () => { this.#dragged = null; });
    this.dialog.addEventListener("close", () => this.#closed());
    document.body.append(this.dialog);
  }

  get open() {
    return this.dialog.open;
  }

  /** Show a photograph by its hash. neighbours: hashes that are likely next. */
  async show(hash, title, neighbours = []) {
    if (!this.dialog.open) this.dialog.showModal();
    text(this.title, title);
    const keep = this.#hash !== undefined;
    this.#hash = hash;
    const ready = await preload(hash);
    if (this.#hash !== hash || !this.dialog.open) return;
    if (!ready) {
      this.place.replaceChildren(el("p", {}, "This photograph cannot be shown"));
      return;
    }
    const first = this.#image === null || !keep || this.#image.naturalWidth !== ready.naturalWidth;
    this.#image = ready;
    ready.alt = title;
    ready.draggable = false;
    this.place.replaceChildren(ready);
    if (first) this.#centre();
    this.#paint();
    this.dialog.dataset.shown = hash;
    for (const other of neighbours) preload(other);
  }

  close() {
    this.dialog.close();
  }

  #closed() {
    this.#hash = undefined;
    this.#image = null;
    delete this.dialog.dataset.shown;
    this.place.replaceChildren();
  }

  #centre() {
    this.#scale = 1 / window.devicePixelRatio;
    const box = this.place.getBoundingClientRect();
    this.#x = (box.width - this.#image.naturalWidth * this.#scale) / 2;
    this.#y = (box.height - this.#image.naturalHeight * this.#scale) / 2;
  }

  #paint() {
    const { style } = this.#image;
    style.width = `${this.#image.naturalWidth}px`;
    style.transformOrigin = "0 0";
    style.transform = `translate(${this.#x}px, ${this.#y}px) scale(${this.#scale})`;
    style.imageRendering = this.#scale * window.devicePixelRatio > 3 ? "pixelated" : "auto";
  }

  #wheel(event) {
    event.preventDefault();
    if (!this.#image) return;
    const by = event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP;
    const scale = Math.min(16, Math.max(0.05, this.#scale * by));
    const box = this.place.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    this.#x = x - ((x - this.#x) * scale) / this.#scale;
    this.#y = y - ((y - this.#y) * scale) / this.#scale;
    this.#scale = scale;
    this.#paint();
  }

  #grab(event) {
    this.#dragged = [event.clientX - this.#x, event.clientY - this.#y];
    this.place.setPointerCapture(event.pointerId);
  }

  #drag(event) {
    if (!this.#dragged || !this.#image) return;
    this.#x = event.clientX - this.#dragged[0];
    this.#y = event.clientY - this.#dragged[1];
    this.#paint();
  }

  #key(event) {
    if (event.key === "f" || event.key === "F") this.close();
    else if (event.key === "ArrowUp") this.step(-1);
    else if (event.key === "ArrowDown") this.step(1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
