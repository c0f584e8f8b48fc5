// What an operator sets for this screen: seconds of the countdown, keys of a foot switch or presenter. Kept in the browser.

import { el, text } from "/static/dom.js";

const MOST_S = 10;
const ROLES = [[" ", "Fire"], ["Enter", "Accept"], ["r", "Take again"]];
const PRESENTER = { PageDown: " ", PageUp: "r", ".": "Enter" }; // as presenters come

export class Settings {
  constructor() {
    const kept = Number(localStorage.getItem("mien-countdown") ?? 3);
    this.countdown = Number.isInteger(kept) && kept >= 0 && kept <= MOST_S ? kept : 3;
    this.presenter = { ...PRESENTER };
    try {
      Object.assign(this, { presenter: JSON.parse(localStorage.getItem("mien-presenter")) ?? this.presenter });
    } catch {
      localStorage.removeItem("mien-presenter");
    }
  }

  setCountdown(seconds) {
    this.countdown = Math.min(MOST_S, Math.max(0, seconds));
    localStorage.setItem("mien-countdown", String(this.countdown));
  }

  /** The key of the page that a key of a foot switch or presenter stands for; undefined for any other. */
  meaning(key) {
    return this.presenter[key];
  }

  setPresenter(key, means) {
    this.presenter = Object.fromEntries(Object.entries(this.presenter).filter(([other, meant]) => meant !== means && other !== key));
    if (key) this.presenter[key] = means;
    localStorage.setItem("mien-presenter", JSON.stringify(this.presenter));
  }

  /** For the help dialog: which keys of a foot switch or presenter do what, and a way to teach others. */
  teaching() {
    const rows = ROLES.map(([means, label]) => {
      const key = el("kbd", {}, "");
      const paint = () => text(key, Object.keys(this.presenter).find((name) => this.presenter[name] === means) ?? "none");
      const button = el("button", { type: "button", onclick: () => this.#learn(button, means, paint) }, "Teach");
      paint();
      return [el("dt", {}, key), el("dd", { class: "row" }, label, button)];
    });
    return el("section", {}, el("h2", {}, "Foot switch or presenter"), el("dl", { class: "keys" }, rows.flat()));
  }

  #learn(button, means, paint) {
    text(button, "Press it now");
    const hear = (event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
      document.removeEventListener("keydown", hear, true);
      text(button, "Teach");
      if (event.key !== "Escape" && event.key !== "Tab") this.setPresenter(event.key.length === 1 ? event.key.toLowerCase() : event.key, means);
      paint();
    };
    document.addEventListener("keydown", hear, true);
  }
}
