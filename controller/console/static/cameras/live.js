// Live view: asked for once a second while it is looked at; each picture with its focus against its own best.

import { attribute, el, keyed, show, text } from "/static/dom.js";

const EVERY_MS = 1000;
const SHARP = 0.9;
const SOFT = 0.7;

export class Live {
  #timer = 0;
  #asking = false;

  constructor(app) {
    this.app = app;
    this.cameras = [];
    this.pictures = el("div", { class: "cam-live-pictures" });
    this.close = el("button", { type: "button", onclick: () => this.end() }, el("kbd", {}, "V"), " End live view");
    const hint = el("span", { class: "faint" }, "Turn the focus ring until the bar falls again, then back to its best. A take that is fired ends live view.");
    this.root = el("section", { class: "cam-live", "aria-label": "Live view", hidden: true }, el("div", { class: "row" }, el("h2", {}, "Live view"), this.close, hint), this.pictures);
  }

  get on() {
    return this.cameras.length > 0;
  }

  /** Show these cameras, and go on asking for them. */
  begin(cameras) {
    const gone = this.cameras.filter((name) => !cameras.includes(name));
    if (gone.length) this.#endOf(gone);
    this.cameras = [...cameras];
    show(this.root, true);
    this.root.dataset.count = cameras.length === 1 ? "one" : cameras.length <= 4 ? "few" : "many";
    this.#paint(cameras.map((camera) => ({ camera, problem: "waits for its first picture" })));
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#ask(), EVERY_MS);
    this.#ask();
  }

  end() {
    if (!this.on) return;
    clearInterval(this.#timer);
    this.#endOf(this.cameras);
    this.cameras = [];
    show(this.root, false);
    this.ended?.();
  }

  #endOf(cameras) {
    this.app.api.post("/api/rig/view/end", { cameras }).catch(() => undefined); // it ends by itself some seconds later
  }

  async #ask() {
    if (this.#asking || !this.app.store.connected) return;
    this.#asking = true;
    try {
      const asked = this.cameras;
      const answer = await this.app.api.post("/api/rig/view", { cameras: asked, every_ms: asked.length > 8 ? 1000 : 500 });
      if (asked === this.cameras && this.on) this.#paint(answer.cameras);
    } catch (error) {
      this.#paint(this.cameras.map((camera) => ({ camera, problem: error.message })));
    } finally {
      this.#asking = false;
    }
  }

  #paint(seen) {
    keyed(this.pictures, seen, (one) => one.camera, makePicture, (figure, one) => {
      const known = one.focus !== null && one.focus !== undefined;
      show(figure.image, one.frame !== null && one.frame !== undefined);
      if (one.frame !== null && one.frame !== undefined) attribute(figure.image, "src", `/api/rig/cameras/${encodeURIComponent(one.camera)}/preview.jpg?frame=${one.frame}`);
      text(figure.problem, one.problem);
      show(figure.problem, one.problem);
      const relative = known ? one.relative ?? 0 : 0;
      attribute(figure.bar, "aria-valuenow", relative.toFixed(2));
      figure.bar.firstChild.style.width = `${relative * 100}%`;
      attribute(figure.bar, "data-tone", !known ? undefined : relative >= SHARP ? "good" : relative >= SOFT ? "look" : "stop");
      text(figure.told, known ? `${Math.round(relative * 100)} % of its best` : "no picture yet");
      text(figure.age, known ? `${(one.age_ms / 1000).toFixed(1)} s old` : "");
    });
  }
}

function makePicture(one) {
  const figure = el("figure", { class: "cam-live-picture", data: { camera: one.camera } });
  figure.image = el("img", { alt: `Live view of ${one.camera}`, hidden: true });
  figure.problem = el("p", { class: "cam-live-problem look" });
  figure.bar = el("span", { class: "cam-live-focus", role: "meter", "aria-valuemin": "0", "aria-valuemax": "1", "aria-valuenow": "0", "aria-label": `Focus of ${one.camera} against its best` }, el("span", {}));
  figure.told = el("span", { class: "cam-live-told" });
  figure.age = el("span", { class: "faint" });
  figure.append(
    el("span", { class: "cam-live-frame" }, figure.image, figure.problem),
    el("figcaption", {}, el("strong", {}, one.camera), figure.bar, figure.told, figure.age),
  );
  return figure;
}
