// Keys of the page: dead while the connection is lost or somebody types; listed by "?".

import { el } from "/static/dom.js";

const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };

export class Keys {
  #bound = new Map(); // view -> key -> {label, fn}
  #view = "";
  #tabbed = false; // the focus was moved by Tab: Enter is then for what has it
  translate = () => undefined; // (key, view): the key that a foot switch's or presenter's key stands for
  mayAct = true; // false for who may see and do nothing
  more = () => undefined; // (view): what else the help shows

  /** alive: whether keys do anything now. */
  constructor(alive, dialog) {
    this.alive = alive;
    this.dialog = dialog;
    document.addEventListener("keydown", (event) => this.#down(event));
    document.addEventListener("pointerdown", () => { this.#tabbed = false; }, { capture: true });
  }

  /**
   * view: "*" for all. key: as KeyboardEvent.key, lower case for letters. fn(event). always: also while contact is lost.
   * overDialog: also while a dialog is open, which Esc closes all the same. acts: it changes something, so that it is
   * not there for who may only see.
   */
  bind(view, key, label, fn, { always = false, overDialog = false, acts = false } = {}) {
    if (acts && !this.mayAct) return;
    const keys = this.#bound.get(view) ?? new Map();
    keys.set(key, { label, fn, always, overDialog, acts });
    this.#bound.set(view, keys);
  }

  set view(name) {
    this.#view = name;
  }

  help() {
    const rows = ["*", this.#view].flatMap((view) => [...(this.#bound.get(view) ?? new Map())]);
    this.dialog.replaceChildren(
      el("h2", {}, "Keys"),
      el("dl", { class: "keys" }, rows.flatMap(([key, { label }]) => [el("dt", {}, el("kbd", {}, NAMES[key] ?? key.toUpperCase())), el("dd", {}, label)])),
      ...[this.more(this.#view)].filter(Boolean),
      el("form", { method: "dialog" }, el("button", { class: "primary" }, "Close")),
    );
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0; // the button that gets the focus stands last
  }

  #down(event) {
    const target = event.target;
    if (event.key === "Tab") this.#tabbed = true;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (target instanceof HTMLElement && target.matches("input:not([type=checkbox]):not([type=button]), textarea, select")) return;
    const dialog = document.querySelector("dialog[open]");
    const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const key = this.translate(pressed, this.#view) ?? pressed;
    const found = this.#bound.get(this.#view)?.get(key) ?? this.#bound.get("*")?.get(key);
    if (dialog && !found?.overDialog) return;
    if (pressed === "Enter" && found?.acts && this.#tabbed && target instanceof HTMLElement && target.matches("button, a, summary")) return;
    if (!found || (event.repeat && key !== "ArrowLeft" && key !== "ArrowRight")) {
      if (found) event.preventDefault(); // a key held down fires once
      return;
    }
    if (!found.always && !this.alive()) return;
    if (!dialog) event.preventDefault();
    // Space on a focused button would press it too.
    if (key === " " && target instanceof HTMLElement) target.blur();
    found.fn(event);
  }
}
