// The Shoot view: what is photographed next, how the last take came out, and one key for each thing to do.

import { attribute, el, show, text } from "/static/dom.js";
import { Commands } from "/static/shoot/commands.js";
import { EXAMPLES, exampleOf } from "/static/shoot/examples.js";
import { FullSize } from "/static/shoot/full_size.js";
import { LivePicture } from "/static/shoot/live_picture.js";
import { largeOrder, spaced } from "/static/shoot/model.js";
import { Picture, preload } from "/static/shoot/picture.js";
import { ScanView } from "/static/shoot/scan_view.js";
import { Settings } from "/static/shoot/settings.js";
import { SoundsOfTakes } from "/static/shoot/sounds_of_takes.js";
import { Strip } from "/static/shoot/strip.js";
import { TakePanel } from "/static/shoot/take_panel.js";
import { TakePictures } from "/static/shoot/take_pictures.js";
import { Tiles } from "/static/shoot/tiles.js";
import { Waiting } from "/static/shoot/waiting.js";

const SAFE = new Set(["safe", "coming_in"]);

export function mount(root, app) {
  return new ShootView(root, app);
}

class ShootView {
  pinned = undefined; // the position that the operator chose to see
  chosen = undefined; // the take that the operator chose to see
  #camera = undefined; // shown large, when the operator chose one
  #live = false;
  #isShown = false;
  #asked = undefined; // acceptance by itself, as it was asked for and not yet told

  constructor(root, app) {
    this.app = app;
    this.settings = new Settings();
    this.pictures = new TakePictures(app.api, () => this.changed());
    this.commands = new Commands(app, this, this.settings);
    this.full = new FullSize((by) => this.#step(by));
    this.sounds = new SoundsOfTakes(app, (seconds) => this.#count(seconds));
    this.tiles = new Tiles((camera) => this.#pick(camera));
    this.strip = new Strip((position) => this.commands.show(position));
    const without = this.#button("withoutButton", "", "Keep it without …", () => this.commands.keepWithout());
    this.panel = new TakePanel((camera) => this.#pick(camera), (code) => this.#choose(code), without);
    this.scan = new ScanView();
    this.waiting = new Waiting(app);
    this.#build(root);
    if (app.me.role === "viewer") this.#onlySeen();
    this.#bind();
    app.store.subscribe((state) => this.sounds.update(state)); // also while another view is shown
  }

  shown() {
    this.#isShown = true;
    this.changed();
  }

  hidden() {
    this.#isShown = false;
    this.live.show(undefined);
  }

  update() {
    this.changed();
  }

  /** Paint what is shown now. */
  changed() {
    const state = this.app.store.state;
    show(this.waiting.element, !state.session || state.session.state !== "open");
    show(this.stage, state.session);
    this.waiting.update(state);
    if (!state.session) return this.live?.show(undefined);
    const shown = this.commands.shown();
    const large = this.#large(state);
    const look = shown.standing === "look";
    this.#expression(state, shown);
    this.#largePicture(state, shown, large);
    this.tiles.update(state, shown.code, shown.seen, state.take?.code === shown.code, large);
    this.strip.update(state.session, shown.position, look);
    this.panel.update(state, shown);
    this.scan.update(state.scan);
    this.#actions(state, shown);
    this.#preload(state, shown, large);
  }

  #build(root) {
    this.number = el("span", { class: "number" });
    this.name = el("h1", { class: "name" });
    this.instruction = el("p", { class: "instruction" });
    this.example = el("img", { class: "example", alt: "", width: 360, height: 480, hidden: true, onerror: (event) => { event.target.hidden = true; } });
    this.frontal = new Picture();
    this.neutral = new Picture();
    this.largeName = el("figcaption", {});
    this.largeTold = el("p", { class: "large-told" });
    this.counted = el("p", { class: "counted", hidden: true, "aria-hidden": "true" });
    this.relax = el("p", { class: "relax", hidden: true }, "Safe: the subject may relax");
    const liveImage = el("img", { class: "live-frame", alt: "live view", hidden: true });
    this.liveTold = el("p", { class: "live-told" });
    this.liveLayer = el("div", { class: "live-layer", hidden: true }, liveImage, this.liveTold);
    this.live = new LivePicture(liveImage, this.app.api, (problem) => text(this.liveTold, problem));
    this.frontal.element.append(this.liveLayer, this.largeTold, this.counted, this.relax);
    this.warning = el("p", { class: "warning", role: "alert", hidden: true });
    this.stage = el("div", { class: "shoot" },
      el("section", { class: "told", "aria-label": "Expression" }, this.number, this.name, this.instruction, el("div", { class: "example-place" }, this.example)),
      el("section", { class: "seen", "aria-label": "Photographs from the front" },
        el("figure", { class: "large" }, this.frontal.element, this.largeName),
        el("div", { class: "beside" }, el("figure", { class: "neutral" }, this.neutral.element, el("figcaption", {}, "neutral")), this.scan.element)),
      el("section", { class: "all", "aria-label": "All photographs" }, this.tiles.element, el("div", { class: "last-place" }, this.panel.last)),
      el("section", { class: "judged", "aria-label": "Take and actions" }, this.panel.element, this.warning, this.#buttons()),
      this.#settingsRow(), this.strip.element);
    root.replaceChildren(this.waiting.element, this.stage);
  }

  #buttons() {
    const { commands } = this;
    const button = (...given) => this.#button(...given);
    return el("div", { class: "acts row" },
      button("fireButton", "Space", "Fire", () => commands.fire(), "primary"), button("acceptButton", "Enter", "Accept", () => commands.accept()),
      button("retakeButton", "R", "Take again", () => commands.retake()), button("undoButton", "U", "Undo", () => commands.undo()),
      button("skipButton", "S", "Skip", () => commands.skip()),
      button("abortButton", "Esc", "Abort", () => commands.abort(), "danger"));
  }

  /** For who may see and not act: nothing that would be refused. */
  #onlySeen() {
    for (const part of this.stage.querySelectorAll(".acts, .settings > :not(a, [data-sees])")) part.remove();
  }

  #button(name, key, label, fn, kind = "") {
    this[name] = el("button", { type: "button", data: name === "fullButton" ? { sees: "" } : {}, class: `act ${kind}`, onclick: fn }, key && el("kbd", {}, key), " ", el("span", {}, label));
    return this[name];
  }

  #settingsRow() {
    const seconds = el("output", { class: "seconds", "aria-live": "polite" });
    const paint = () => text(seconds, this.settings.countdown ? `${this.settings.countdown} s` : "off");
    const change = (by) => () => {
      this.settings.setCountdown(this.settings.countdown + by);
      paint();
    };
    this.automatic = el("input", { type: "checkbox", id: "automatic", onchange: () => this.#switchAutomatic() });
    this.liveBox = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.#toggleLive() }, el("kbd", {}, "V"), " Live view");
    this.held = el("button", { type: "button", onclick: () => this.commands.scene() }, el("kbd", {}, "L"), " ", el("span", {}));
    paint();
    return el("section", { class: "settings row", "aria-label": "Settings" },
      el("span", { class: "faint" }, "Countdown"), el("button", { type: "button", "aria-label": "A second less", onclick: change(-1) }, "−"), seconds,
      el("button", { type: "button", "aria-label": "A second more", onclick: change(1) }, "+"),
      el("label", { for: "automatic", class: "check" }, this.automatic, " Accept by itself when all checks are well"),
      this.#button("pauseButton", "P", "Pause", () => this.commands.pause()), this.#button("fullButton", "F", "1:1", () => this.#toggleFull()),
      this.liveBox, this.held, el("a", { class: "button", href: "/subject", target: "subject" }, "Subject's screen"));
  }

  #bind() {
    const { keys } = this.app;
    const { commands } = this;
    keys.bind("shoot", " ", "Fire the expression that is shown", () => commands.fire(), { acts: true });
    keys.bind("shoot", "Enter", "Accept the take that is shown; twice where its checks say look", () => commands.accept(), { acts: true });
    keys.bind("shoot", "r", "Take the expression again", () => commands.retake(), { acts: true });
    keys.bind("shoot", "u", "Undo", () => commands.undo(), { acts: true });
    keys.bind("shoot", "s", "Skip the expression", () => commands.skip(), { acts: true });
    keys.bind("shoot", "n", "Show what is next, while photographs come in", () => commands.show());
    keys.bind("shoot", "l", "Hold the next light scene", () => commands.scene(), { acts: true });
    keys.bind("shoot", "p", "Pause or resume the session", () => commands.pause(), { acts: true });
    keys.bind("shoot", "v", "Live view on or off", () => this.#toggleLive(), { acts: true });
    keys.bind("shoot", "f", "Photograph 1:1: zoom by the wheel, move by dragging", () => this.#toggleFull());
    keys.bind("shoot", "Escape", "Abort the countdown", () => commands.abort(), { overDialog: true, acts: true });
    keys.bind("shoot", "ArrowLeft", "The take before", () => commands.compare(-1));
    keys.bind("shoot", "ArrowRight", "The take after", () => commands.compare(1));
    keys.bind("shoot", "ArrowUp", "The camera before", () => this.#step(-1));
    keys.bind("shoot", "ArrowDown", "The next camera", () => this.#step(1));
    keys.translate = (key, view) => (view === "shoot" ? this.settings.meaning(key) : undefined);
    keys.more = (view) => (view === "shoot" ? this.settings.teaching() : undefined);
  }

  #expression(state, { position, expression }) {
    const { session } = state;
    text(this.number, `${position} of ${session.order.length}${expression.skipped === undefined ? "" : " · skipped"}`);
    text(this.name, spaced(expression.name));
    text(this.instruction, expression.instruction);
    const address = exampleOf(expression.name);
    if (this.example.getAttribute("src") !== address && EXAMPLES.has(expression.name)) {
      this.example.src = address;
      this.example.alt = `Example: ${expression.instruction}`;
    }
    show(this.example, EXAMPLES.has(expression.name));
  }

  #largePicture(state, { code, seen, expression }, large) {
    const picture = large && seen.pictures[large];
    const live = this.#live && !picture && this.#isShown && large;
    this.frontal.show(picture, `${spaced(expression.name)}, ${large}`);
    this.live.show(live || undefined);
    show(this.liveLayer, live);
    text(this.largeName, large ? `${large}${picture ? ` · ${code}` : live ? " · live" : ""}` : "");
    const fault = code !== undefined && state.take?.code === code ? state.take.faults?.[large] : undefined;
    const withdrawn = state.session.consent?.standing === "withdrawn";
    text(this.largeTold, withdrawn ? "The consent is withdrawn: nothing is shown" : picture || live ? "" : fault ?? (code === undefined && this.app.me.role !== "viewer" ? "Space photographs it" : "no photograph yet"));
    attribute(this.largeTold, "data-tone", fault || withdrawn ? "stop" : undefined);
    this.neutral.show(state.neutral?.[large], `neutral, ${large}`);
    show(this.relax, state.take && state.take.code === code && SAFE.has(state.take.phase));
  }

  #actions(state, shown) {
    const { code, standing: stands, expression } = shown;
    const open = state.session.state === "open";
    const goesOn = open && state.session.consent?.standing !== "withdrawn";
    const warning = this.commands.warning(shown);
    text(this.warning, warning ?? "");
    show(this.warning, warning);
    this.fireButton.disabled = !goesOn || Boolean(state.countdown) || !(code === undefined || stands === "failed");
    this.acceptButton.disabled = !goesOn || !["whole", "look", "beside"].includes(stands);
    this.acceptButton.classList.toggle("primary", ["whole", "look"].includes(stands));
    text(this.acceptButton.lastChild, stands === "beside" ? "Choose it" : "Accept");
    this.retakeButton.disabled = !goesOn || code === undefined || stands === "under_way";
    const undo = this.commands.undoable();
    this.undoButton.disabled = !undo || (open && !goesOn);
    text(this.undoButton.lastChild, undo?.take ? `${undo.drops ? "Drop" : "Undo"} ${undo.take.slice(state.session.code.length + 1)}` : undo ? "Undo the skip" : "Undo");
    this.skipButton.disabled = !goesOn || expression.skipped !== undefined || (code !== undefined && stands !== "failed");
    this.fullButton.disabled = !Object.keys(shown.seen.pictures).length;
    show(this.withoutButton, this.app.me.role !== "viewer" && goesOn && stands === "failed" && state.take?.code === code && state.take.in && state.take.missing?.length);
    show(this.abortButton, state.countdown);
    text(this.pauseButton.lastChild, open ? "Pause" : "Resume");
    const automatic = Boolean(state.session.automatic);
    if (this.#asked === automatic) this.#asked = undefined; // it is so by now
    if (this.#asked === undefined) this.automatic.checked = automatic;
    show(this.held, state.rig?.scenes?.length);
    text(this.held.lastChild, `Lights: ${state.rig?.held_scene ?? state.rig?.scene ?? "off"}`);
  }

  #count(seconds) {
    show(this.counted, seconds !== undefined && seconds > 0);
    show(this.largeTold, this.counted.hidden);
    text(this.counted, seconds ?? "");
  }

  #large(state) {
    const order = largeOrder(state);
    return order.includes(this.#camera) ? this.#camera : order[0];
  }

  #pick(camera) {
    this.#camera = camera;
    this.changed();
    if (this.full.open) this.#showFull();
  }

  #step(by) {
    const order = largeOrder(this.app.store.state);
    const at = order.indexOf(this.#large(this.app.store.state));
    if (order.length) this.#pick(order[(at + by + order.length) % order.length]);
  }

  #choose(code) {
    this.chosen = code;
    this.pinned = this.app.store.state.session?.takes[code]?.position;
    this.changed();
  }

  async #switchAutomatic() {
    this.#asked = this.automatic.checked;
    if (!(await this.commands.automatic(this.#asked))) {
      this.#asked = undefined;
      this.changed();
    }
  }

  #toggleLive() {
    this.#live = !this.#live;
    attribute(this.liveBox, "aria-pressed", String(this.#live));
    this.changed();
  }

  #toggleFull() {
    if (this.full.open) this.full.close();
    else this.#showFull();
  }

  #showFull() {
    const state = this.app.store.state;
    const { code, seen, expression } = this.commands.shown();
    const camera = this.#large(state);
    const hash = seen.pictures[camera]?.photograph;
    if (!hash) return this.full.open ? undefined : this.app.toast(`${camera ?? "This camera"} has no photograph to show`, "look");
    return this.full.show(hash, `${camera} · ${code} · ${spaced(expression.name)}`, this.#neighbours(state, seen, camera));
  }

  #neighbours(state, seen, camera) {
    const order = largeOrder(state);
    const at = order.indexOf(camera);
    return [order[at + 1], order[at - 1]].filter(Boolean).map((name) => seen.pictures[name]?.photograph);
  }

  /** What F would show is decoded ahead, once the take is in. */
  #preload(state, { seen, standing: stands }, large) {
    if (stands === undefined || stands === "under_way" || !this.#isShown) return;
    preload(seen.pictures[large]?.photograph);
  }
}
