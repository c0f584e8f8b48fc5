// The take that is shown: its figures, what its checks say, and what can be done with it; and the last takes.

import { attribute, el, figure, keyed, show, text } from "/static/dom.js";
import { checked, deserveLook, spaced } from "/static/shoot/model.js";

const STANDS = {
  under_way: ["◔", "coming in"], whole: ["◆", "waits for your decision"], look: ["▲", "look before you accept it"], accepted: ["✓", "accepted"],
  beside: ["◇", "kept beside"], failed: ["✖", "failed"],
};
const LAST = 6;
const NAMED = 3; // cameras of one cause that are named

export class TakePanel {
  /** pick(camera), choose(code): what was clicked. more: what stands at the end of the first line. */
  constructor(pick, choose, more) {
    this.pick = pick;
    this.choose = choose;
    this.code = el("b", {});
    this.stand = el("span", { class: "stand" });
    this.count = el("span", { class: "faint" });
    this.figures = el("dl", { class: "figures" });
    this.reasons = el("ul", { class: "reasons", tabindex: "0", "aria-label": "What deserves a look" });
    this.element = el("section", { class: "take", "aria-label": "The take that is shown" },
      el("div", { class: "take-head" }, el("h2", {}, this.code, " ", this.stand, " ", this.count), more), this.figures, this.reasons);
    this.rows = el("tbody", {});
    this.last = el("table", { class: "last" }, el("caption", {}, "Last takes"),
      el("thead", {}, el("tr", {}, ["take", "expression", "", "photos", "skew", "look"].map((title) => el("th", { scope: "col" }, title)))), this.rows);
  }

  update(state, { code, line, seen, standing: stands, expression }) {
    show(this.figures, code);
    show(this.reasons, code);
    text(this.code, code ?? "");
    if (code === undefined) {
      attribute(this.element, "data-state", undefined);
      text(this.stand, "");
      text(this.count, "No take of this expression yet");
    } else {
      const [shape, word] = STANDS[stands] ?? ["", ""];
      const takes = expression.takes;
      attribute(this.element, "data-state", stands);
      text(this.stand, `${shape} ${word}`);
      text(this.count, takes.length > 1 ? `take ${takes.indexOf(code) + 1} of ${takes.length}  ← →` : "");
      this.#figures(state, code, line);
      this.#reasons(state, code, line, seen, stands);
    }
    this.#last(state, code);
  }

  #figures(state, code, line) {
    const live = state.take?.code === code ? state.take : undefined;
    const limits = state.rig?.limits ?? {};
    const total = live?.cameras ?? undefined;
    const frames = live && line?.state === "fired" ? live.in : line?.frames;
    const skew = line?.exposure_skew_ms ?? line?.command_skew_ms;
    const worst = line?.worst_camera;
    const rows = [
      ["photographs", total ? `${frames ?? 0} of ${total}` : `${frames ?? 0}`, total !== undefined && stillLacks(line, frames, total)],
      [line?.exposure_skew_ms !== undefined ? "exposures" : "commands", spread(skew), skew > limits.max_skew_ms],
      ["clocks", spread(line?.clock_uncertainty_ms), line?.clock_uncertainty_ms > limits.max_clock_uncertainty_ms],
    ];
    if (worst) rows.push(["worst", worst, false]);
    keyed(this.figures, rows, ([name]) => name, ([name]) => el("div", {}, el("dt", {}, name), el("dd", {})), (row, [, value, over]) => {
      text(row.lastChild, value);
      attribute(row, "data-over", over ? "yes" : undefined);
    });
  }

  #reasons(state, code, line, seen, stands) {
    const live = state.take?.code === code;
    let rows = [];
    if (stands === "failed") {
      rows = grouped(seen.faults ?? {});
      if (!rows.length) rows = [{ reason: line?.problem ?? "it was not kept" }];
    } else if (stands !== "under_way") {
      rows = deserveLook(line, seen);
      if (!rows.length && !checked(line, seen)) rows = [{ reason: live ? "Its checks are being made …" : "It has not been looked at" }];
      else if (!rows.length) rows = [{ reason: "✓ All its checks are well", good: true }];
    }
    keyed(this.reasons, rows, (row) => `${row.camera ?? row.cameras ?? ""} ${row.check ?? ""} ${row.reason}`, (row) => this.#reason(row), () => undefined);
  }

  #reason({ camera, cameras = camera ? [camera] : [], reason, good }) {
    const picks = cameras.slice(0, NAMED).flatMap((name) => [el("button", { type: "button", class: "camera-name", onclick: () => this.pick(name) }, name), " "]);
    const more = cameras.length - NAMED;
    return el("li", { class: good ? "good" : "" }, picks, more > 0 ? `and ${more} more: ${reason}` : reason);
  }

  #last(state, shown) {
    const takes = Object.entries(state.session?.takes ?? {}).slice(-LAST).reverse();
    show(this.last, takes.length);
    keyed(this.rows, takes, ([code]) => code, ([code]) => this.#row(code), (row, [code, line]) => {
      const cells = row.children;
      attribute(row, "data-state", line.state);
      attribute(row, "aria-current", code === shown ? "true" : undefined);
      text(cells[0].firstChild, code);
      text(cells[1], spaced(state.session.expressions[line.position]?.name));
      text(cells[2], line.standing);
      text(cells[3], line.frames);
      text(cells[4], figure(line.exposure_skew_ms ?? line.command_skew_ms, 1, " ms"));
      text(cells[5], line.flagged ? "flagged" : line.checks ? `▲ ${line.checks}` : line.checks === 0 ? "✓" : "");
      attribute(row, "title", line.problem);
    });
  }

  #row(code) {
    const name = el("button", { type: "button", onclick: () => this.choose(code) });
    return el("tr", {}, el("td", {}, name), el("td", {}), el("td", {}), el("td", {}), el("td", {}), el("td", {}));
  }
}

const spread = (ms) => (ms === undefined ? "–" : `within ${figure(ms, 2, " ms")}`);
const stillLacks = (line, frames, total) => line?.state === "failed" && (frames ?? 0) < total;

/** One line a cause: {cameras, reason}, in the cameras' order. */
function grouped(faults) {
  const causes = new Map();
  for (const [camera, reason] of Object.entries(faults).sort()) causes.set(reason, [...(causes.get(reason) ?? []), camera]);
  return [...causes].map(([reason, cameras]) => ({ cameras, reason }));
}
