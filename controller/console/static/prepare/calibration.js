// How old the rig's calibration is, and how to bring one.

import { attribute, el, text } from "/static/dom.js";
import { ago, hours } from "/static/prepare/age.js";

const STEPS = [
  ["Photograph the board, 40 to 100 poses: beside this.", ""],
  ["Solve the cameras:", "mien calibrate FOLDER --out rig.json"],
  ["Give it to the rig; takes without one get it too:", "mien rig calibration rig.json"],
];

export class CalibrationPanel {
  constructor(app) {
    this.app = app;
    this.told = el("strong", { role: "status", class: "verdict" });
    this.folder = el("code", {});
    this.root = el("section", { class: "panel calibration", "aria-labelledby": "calibration-title" },
      el("div", { class: "row" }, el("h2", { id: "calibration-title" }, "Calibration"), this.told),
      el("ol", {}, STEPS.map(([words, command]) => el("li", {}, words, command && el("code", {}, command)))));
  }

  update(state) {
    const made = state.rig?.calibration;
    const now = this.app.store.serverNow();
    const limit = state.rig?.limits?.max_calibration_age_h;
    const old = made && limit !== undefined && hours(made.at, now) > limit;
    attribute(this.told, "data-tone", !made || old ? "stop" : "good");
    text(this.told, !made ? "⬣ there is none" : `${old ? "⬣" : "●"} version ${made.version}, ${ago(made.at, now)}${old ? `; the limit is ${limit} h` : ""}`);
  }
}
