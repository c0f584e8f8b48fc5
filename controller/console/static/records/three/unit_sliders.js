// Sliders of a rig's units beside the 3-D view.

import { el, text } from "/static/dom.js";
import { count, named, tick } from "/static/records/parts.js";

const GROUPS = [["Brows", /^brow/], ["Eyes", /^eye/], ["Cheeks and nose", /^(cheek|nose)/], ["Jaw and tongue", /^(jaw|tongue)/], ["Mouth", /^mouth/], ["Others", /./]];
/** "mouthSmileLeft" as "mouth smile left". */
const spelt = (unit) => unit.replaceAll(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);

export class UnitSliders {
  /** changed(weights): after each move.  looked({skin, relief}): after a tick. */
  constructor({ changed, looked }) {
    this.changed = changed;
    this.relief = tick("Relief", { checked: true, onchange: () => looked(this.looks()) });
    this.skin = tick("Texture", { onchange: () => looked(this.looks()) });
    this.expression = el("select", { "aria-label": "Expression that the rig was made of", onchange: () => this.#show(this.expression.value) });
    this.groups = el("div", { class: "unit-groups" });
    this.note = el("p", { class: "hint", role: "status" });
    this.element = el("section", { class: "panel three-units", "aria-label": "Units of the rig", hidden: true },
      el("div", { class: "row" }, this.expression, el("button", { type: "button", onclick: () => this.set([]) }, "At rest")),
      el("div", { class: "row" }, this.relief.row, this.skin.row), this.note, this.groups);
    this.sliders = [];
  }

  looks() {
    return { relief: this.relief.box.checked, skin: this.skin.box.checked };
  }

  /** Sliders for a face's units, at rest. */
  of(face) {
    if (this.face === face) return;
    this.face = face;
    this.expression.replaceChildren(el("option", { value: "" }, "Own weights"), ...face.expressions.map(({ label }) => el("option", { value: label }, named(label))));
    this.relief.box.disabled = !face.keys.length;
    this.skin.box.disabled = !face.skin;
    const still = this.#stillUnits(face);
    text(this.note, [face.keys.length ? `relief out of ${face.keys.length} expressions` : "no displacement maps: no relief", still ? `${count(still, "unit moves", "units move")} nothing here` : ""].filter(Boolean).join("; "));
    this.sliders = face.units.map((unit) => this.#slider(unit));
    const left = new Set(face.units.keys());
    this.groups.replaceChildren(...GROUPS.flatMap(([name, pattern]) => {
      const members = [...left].filter((number) => pattern.test(face.units[number]));
      members.forEach((number) => left.delete(number));
      return members.length ? [el("details", { open: true }, el("summary", {}, name), members.map((number) => this.sliders[number].row))] : [];
    }));
  }

  #stillUnits(face) {
    let still = 0;
    for (let unit = 0; unit < face.units.length; unit += 1) {
      if (!face.active.subarray(unit * face.vertices, (unit + 1) * face.vertices).some(Boolean)) still += 1;
    }
    return still;
  }

  #slider(unit) {
    const value = el("output", {}, "0.00");
    const input = el("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0, oninput: () => {
      text(value, Number(input.value).toFixed(2));
      this.expression.value = "";
      this.changed(this.weights());
    } });
    const row = el("label", { class: "unit" }, el("span", {}, spelt(unit)), input, value);
    return { input, value, row };
  }

  /** (U) as the sliders stand; an expression's own where one is chosen, which no slider's steps would keep. */
  weights() {
    return this.sliders.map(({ input }) => Number(input.value));
  }

  set(weights, exactly = false) {
    this.sliders.forEach(({ input, value }, unit) => {
      input.value = String(weights[unit] ?? 0);
      text(value, (weights[unit] ?? 0).toFixed(2));
    });
    if (!exactly) this.expression.value = "";
    this.changed(exactly ? weights : this.weights());
  }

  #show(label) {
    const found = this.face.expressions.find((one) => one.label === label);
    if (found) this.set(found.weights, true);
  }
}
