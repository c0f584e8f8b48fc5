// Cameras: the rig as it stands, each camera's health, and what can be done with one or several of them.

import { attribute, el, keyed, show, text, thumbnail } from "/static/dom.js";
import { ActLog, acts, settled } from "/static/cameras/actions.js";
import { SHAPES, counts, health, inOrder, signed } from "/static/cameras/health.js";
import { Live } from "/static/cameras/live.js";
import { Matrix } from "/static/cameras/matrix.js";
import { Plan } from "/static/cameras/plan.js";
import { Tiles } from "/static/cameras/tiles.js";

const VIEW = "cameras";

export function mount(root, app) {
  const view = new CamerasView(root, app);
  const seen = ["cameras", "rig", "session", "server"];
  return { update: (state, changed) => seen.some((key) => changed.has(key)) && view.update(state), shown: () => view.update(app.store.state), hidden: () => view.live.end() };
}

class CamerasView {
  selection = new Set();
  cursor = "";
  anchor = "";
  matrixShown = false;

  constructor(root, app) {
    this.app = app;
    this.log = new ActLog();
    this.acts = acts(app, (camera, said, tone) => this.log.line(camera, said, tone));
    const picked = (name, event) => this.#pick(name, event);
    this.tiles = new Tiles(picked);
    this.plan = new Plan(picked);
    this.matrix = new Matrix(picked);
    this.live = new Live(app);
    this.live.ended = () => this.#paint();
    this.counts = el("p", { class: "camera-counts" });
    this.who = el("h2", { class: "selected" });
    this.detail = makeDetail();
    this.buttons = el("div", { class: "row camera-actions" }, this.#makeButtons());
    this.nudges = el("div", { class: "nudges camera-actions", hidden: true }, ["nearer", "farther"].flatMap((drive) => [el("span", { class: "faint" }, `Lens ${drive}`), ...[1, 2, 3].map((step) =>
      el("button", { type: "button", "aria-label": `Lens ${drive} by ${step}`, onclick: () => this.#do((names) => this.acts.focus(names, drive, step)) }, `${drive === "nearer" ? "◀" : "▶"} ${step}`))]));
    this.shots = el("div", { class: "shots", hidden: true });
    this.toggle = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.#toggleMatrix() }, el("kbd", {}, "G"), " Settings");
    this.all = el("button", { type: "button", onclick: () => this.#selectAll() }, el("kbd", {}, "A"), " All");
    root.replaceChildren(
      el("aside", { class: "cameras-side", "aria-label": "Plan and selection" },
        this.plan.root, this.plan.caption,
        el("section", { class: "panel selection", "aria-label": "Selected cameras" }, this.who, this.buttons, this.nudges, this.detail.root, this.shots, this.log.root)),
      el("section", { class: "cameras-main", "aria-label": "All cameras" },
        el("div", { class: "row cameras-head" }, this.counts, this.all, this.toggle),
        this.tiles.root, this.matrix.root, this.live.root),
    );
    this.#bindKeys();
  }

  update(state) {
    const cameras = state.cameras ?? {};
    for (const name of [...this.selection]) if (!(name in cameras)) this.selection.delete(name);
    if (!(this.cursor in cameras)) this.cursor = inOrder(state)[0] ?? "";
    this.#paint();
  }

  #paint() {
    const state = this.app.store.state;
    const live = this.live.on;
    show(this.tiles.root, !this.matrixShown && !live);
    show(this.matrix.root, this.matrixShown && !live);
    attribute(this.toggle, "aria-pressed", String(this.matrixShown));
    if (this.matrixShown) this.matrix.update(state, this.selection);
    else this.tiles.update(state, this.selection, this.cursor);
    this.plan.update(state, this.selection, this.cursor);
    keyed(this.counts, counts(state.cameras ?? {}, state.rig?.limits), (one) => `${one.tone} ${one.word}`, (one) => el("span", { data: { tone: one.tone } }), (element, one) => {
      text(element, `${SHAPES[one.tone]} ${one.count} ${one.word}`);
    });
    this.#paintSelection(state);
  }

  #paintSelection(state) {
    const names = this.#chosen();
    text(this.who, names.length === 0 ? "Select a camera" : names.length <= 3 ? names.join(", ") : `${names.length} cameras`);
    attribute(this.who, "title", names.join(", ") || undefined);
    const any = (test) => names.some((name) => test(state.cameras[name]));
    const enabled = {
      identify: names.length > 0, live: names.length > 0 || this.live.on, focus: names.length > 0, shot: names.length > 0,
      aside: any((camera) => !camera.aside), back: any((camera) => camera.aside), recover: names.length > 0,
      writeOff: any((camera) => camera.unresolved),
    };
    for (const button of this.buttons.querySelectorAll("[data-act]")) button.disabled = !enabled[button.dataset.act] || !this.app.store.connected;
    attribute(this.buttons.querySelector("[data-act=live]"), "aria-pressed", String(this.live.on));
    show(this.buttons, this.app.me.role !== "viewer");
    show(this.nudges, this.live.on && this.app.me.role !== "viewer");
    const only = names.length === 1 ? names[0] : "";
    show(this.detail.root, only);
    if (only) paintDetail(this.detail, only, state.cameras[only], state.rig?.limits);
  }

  // --- selection

  #chosen() {
    return inOrder(this.app.store.state).filter((name) => this.selection.has(name));
  }

  #pick(name, event) {
    if (event.shiftKey && this.anchor) {
      const order = [...this.tiles.root.querySelectorAll(".cam-tile")].map((tile) => tile.dataset.camera);
      const [from, to] = [order.indexOf(this.anchor), order.indexOf(name)].sort((a, b) => a - b);
      for (const between of order.slice(from, to + 1)) this.selection.add(between);
    } else if (event.ctrlKey || event.metaKey) {
      this.#flip(name);
    } else {
      const alone = this.selection.size === 1 && this.selection.has(name);
      this.selection.clear();
      if (!alone) this.selection.add(name);
    }
    this.cursor = this.anchor = name;
    this.#selected();
  }

  #flip(name) {
    if (!this.selection.delete(name)) this.selection.add(name);
  }

  #selected() {
    if (this.live.on && this.selection.size) this.live.begin(this.#chosen());
    this.#paint();
  }

  #selectAll() {
    const names = inOrder(this.app.store.state);
    const all = names.every((name) => this.selection.has(name));
    this.selection = new Set(all ? [] : names);
    this.#selected();
  }

  #move(event) {
    this.cursor = this.tiles.beside(this.cursor, event.key) ?? this.cursor;
    this.#paint();
    this.tiles.tile(this.cursor)?.focus();
  }

  /** Enter: take the camera under the cursor into the selection, or press the button that has the focus. */
  #enter(event) {
    const target = event.target instanceof HTMLElement ? event.target.closest("button, a, summary") : null;
    if (target && !target.classList.contains("cam-tile")) return target.click();
    this.#flip(this.cursor);
    this.anchor = this.cursor;
    this.#selected();
    return undefined;
  }

  // --- acts

  #makeButtons() {
    const button = (act, key, words, run, danger = false) =>
      el("button", { type: "button", class: danger ? "danger" : "", data: { act }, onclick: run }, el("kbd", {}, key), " ", el("span", {}, words));
    return [
      button("identify", "I", "Identify", () => this.#do((names) => this.acts.identify(names))),
      button("live", "V", "Live view", () => this.#toggleLive()),
      button("focus", "F", "Autofocus", () => this.#do((names) => this.acts.focus(names))),
      button("shot", "T", "Test shot", () => this.#do((names) => this.#shoot(names))),
      button("aside", "X", "Set aside", () => this.#do((names) => this.acts.aside(names))),
      button("back", "B", "Bring back", () => this.#do((names) => this.acts.back(names))),
      button("recover", "R", "Recover", () => this.#do((names) => this.acts.recover(names))),
      button("writeOff", "W", "Write off", () => this.#do((names) => this.acts.writeOff(names)), true),
    ];
  }

  #do(act) {
    const names = this.#chosen();
    if (names.length && this.app.me.role !== "viewer") return act(names);
    return this.app.toast("Select a camera first: arrow keys and Enter, or a click", "look");
  }

  #toggleLive() {
    if (this.live.on) return this.live.end();
    return this.#do((names) => {
      this.live.begin(names);
      this.#paint();
    });
  }

  #toggleMatrix() {
    this.matrixShown = !this.matrixShown;
    this.#paint();
  }

  async #shoot(names) {
    await this.acts.shot(names, (job) => {
      const shown = settled(job) ? Object.entries(job.cameras ?? {}).filter(([, one]) => one.picture) : [];
      show(this.shots, shown.length);
      keyed(this.shots, shown, ([name]) => name, ([name]) => el("figure", {}, el("img", { alt: `Test shot of ${name}` }), el("figcaption", {}, name)), (figure, [, one]) => {
        attribute(figure.firstChild, "src", `/api/rig/shoot/pictures/${one.picture}.jpg`);
      });
    });
  }

  #bindKeys() {
    const { keys } = this.app;
    for (const [key, label] of [["ArrowLeft", "The camera before"], ["ArrowRight", "The next camera"], ["ArrowUp", "The row above"], ["ArrowDown", "The row below"]]) {
      keys.bind(VIEW, key, label, (event) => this.#move(event));
    }
    keys.bind(VIEW, "Enter", "Select this camera, or not", (event) => this.#enter(event));
    keys.bind(VIEW, "Escape", "Select none; end live view", () => {
      this.live.end();
      this.selection.clear();
      this.#paint();
    });
    keys.bind(VIEW, "a", "Select all", () => this.#selectAll());
    keys.bind(VIEW, "g", "Settings of all cameras", () => this.#toggleMatrix());
    for (const button of this.buttons.querySelectorAll("[data-act]")) {
      const [key, words] = [button.querySelector("kbd").textContent.toLowerCase(), button.querySelector("span").textContent];
      keys.bind(VIEW, key, words, () => button.disabled || button.click(), { acts: true });
    }
  }
}

const FACTS = [
  ["state", "State"], ["node", "Computer"], ["battery", "Battery"], ["photos_left", "Frames left"], ["waiting", "Waiting files"],
  ["uncertainty_ms", "Clock"], ["lag_ms", "Shutter lag"], ["lag_drift_ms", "Drift of it"], ["lateness_ms", "Late in last take"],
];

function makeDetail() {
  const facts = Object.fromEntries(FACTS.map(([name]) => [name, el("dd", {})]));
  const picture = el("img", { alt: "", class: "detail-picture", hidden: true });
  const why = el("ul", { class: "why" });
  const list = el("dl", {}, FACTS.flatMap(([name, words]) => [el("dt", {}, words), facts[name]]));
  return { facts, picture, why, root: el("div", { class: "detail", hidden: true }, why, el("div", { class: "detail-body" }, picture, list)) };
}

function paintDetail(detail, name, camera, limits) {
  const { word, tone, why, marks } = health(camera, limits);
  show(detail.picture, camera.picture);
  attribute(detail.picture, "src", thumbnail(camera.picture));
  attribute(detail.picture, "alt", `Last photograph of ${name}`);
  keyed(detail.why, why, (line) => line, (line) => el("li", {}, line), () => undefined);
  const ms = (value, digits = 2) => (value === undefined ? "not known" : `${value.toFixed(digits)} ms`);
  const shown = {
    state: `${SHAPES[tone]} ${word}`, node: camera.node || "none", battery: camera.battery === undefined ? "not told" : `${camera.battery} %`,
    photos_left: camera.photos_left ?? "not told", waiting: camera.waiting ?? 0,
    uncertainty_ms: camera.uncertainty_ms === undefined ? "not known" : `within ${ms(camera.uncertainty_ms)}`,
    lag_ms: ms(camera.lag_ms), lag_drift_ms: camera.lag_drift_ms === undefined ? "not known" : `${signed(camera.lag_drift_ms, 2)} ms`, lateness_ms: ms(camera.lateness_ms),
  };
  for (const [fact, element] of Object.entries(detail.facts)) {
    text(element, shown[fact]);
    attribute(element, "data-mark", fact === "state" ? tone : marks[fact]);
  }
}
