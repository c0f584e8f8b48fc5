// What each camera is set to, as it was read back at its arming; whoever differs from most of them is marked and counted.

import { attribute, el, keyed, show, text } from "/static/dom.js";
import { inOrder } from "/static/cameras/health.js";

const TITLES = { shutter: "Shutter", aperture: "Aperture", iso: "ISO", white_balance: "White balance", image_format: "Image format", focus_mode: "Focus" };

/** {names: [setting], usual: {setting: value}, odd: {setting: [camera]}, told: [camera]} of the state's cameras. */
export function compare(state) {
  const cameras = inOrder(state).filter((name) => !state.cameras[name].aside);
  const told = cameras.filter((name) => Object.keys(state.cameras[name].settings ?? {}).length);
  const all = new Set(told.flatMap((name) => Object.keys(state.cameras[name].settings)));
  const names = [...Object.keys(TITLES).filter((name) => all.has(name)), ...[...all].filter((name) => !(name in TITLES))];
  const usual = {};
  const odd = {};
  for (const setting of names) {
    const counts = new Map();
    for (const name of told) {
      const value = state.cameras[name].settings[setting];
      if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    usual[setting] = [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
    odd[setting] = told.filter((name) => state.cameras[name].settings[setting] !== usual[setting]);
  }
  return { names, usual, odd, told };
}

export class Matrix {
  constructor(picked) {
    this.picked = picked;
    this.summary = el("p", { class: "matrix-summary", role: "status" });
    this.head = el("tr");
    this.body = el("tbody");
    this.root = el("section", { class: "matrix", "aria-label": "Settings of the cameras", hidden: true },
      this.summary, el("div", { class: "matrix-table", tabindex: "0", role: "region", "aria-label": "Table of settings" }, el("table", {}, el("thead", {}, this.head), this.body)));
  }

  update(state, selection) {
    const { names, usual, odd, told } = compare(state);
    const strange = new Set(Object.values(odd).flat());
    const count = strange.size;
    attribute(this.summary, "data-tone", count ? "look" : "good");
    text(this.summary, !told.length ? "No camera has told its settings yet: they are read back when it is armed. Run the preflight."
      : count ? `▲ ${count} ${count === 1 ? "camera differs" : "cameras differ"} from the others: ${[...strange].join(", ")}` : `● All ${told.length} cameras are set alike`);
    keyed(this.head, ["", ...names], (name) => name, (name) => el("th", { scope: "col" }, el("span", {}, name ? TITLES[name] ?? name : "Camera"), el("small", {})), (cell, name) => {
      text(cell.lastChild, name ? `${usual[name] ?? "–"}${odd[name].length ? ` · ${odd[name].length} odd` : ""}` : "");
      attribute(cell, "data-odd", name && odd[name].length ? "yes" : undefined);
    });
    const cameras = inOrder(state);
    const rows = [...cameras.filter((name) => strange.has(name)), ...cameras.filter((name) => !strange.has(name))];
    keyed(this.body, rows, (name) => name, (name) => this.#row(name), (row, name) => {
      attribute(row, "data-selected", selection.has(name) ? "yes" : undefined);
      const settings = state.cameras[name].settings ?? {};
      keyed(row, ["", ...names], (setting) => setting, (setting) => (setting ? el("td") : row.first), (cell, setting) => {
        if (!setting) return;
        const is = settings[setting];
        const differs = odd[setting].includes(name);
        attribute(cell, "data-odd", differs ? "yes" : undefined);
        text(cell, is === undefined ? (state.cameras[name].aside ? "aside" : "–") : differs ? `▲ ${is}` : is);
      });
    });
    show(this.body, told.length);
  }

  #row(name) {
    const row = el("tr", { data: { camera: name } });
    row.first = el("th", { scope: "row" }, el("button", { type: "button", class: "matrix-name", onclick: (event) => this.picked(name, event) }, name));
    return row;
  }
}
