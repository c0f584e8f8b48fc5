// The strip of the protocol's expressions, each with its state in word, shape and colour.

import { attribute, el, keyed, text } from "/static/dom.js";
import { spaced } from "/static/shoot/model.js";

const STATES = {
  todo: ["○", "to do"], next: ["▶", "next"], under_way: ["◔", "coming in"], whole: ["◆", "decide"], look: ["▲", "look"],
  accepted: ["✓", "accepted"], failed: ["✖", "failed"], skipped: ["–", "skipped"],
};

export class Strip {
  /** pick(position): it was clicked. */
  constructor(pick) {
    this.element = el("ol", { class: "strip", "aria-label": "Expressions" });
    this.pick = pick;
  }

  /** shown: the position that is shown. look: whether its take deserves a look. */
  update(session, shown, look) {
    keyed(this.element, session?.order ?? [], (position) => position, (position) => this.#cell(position), (cell, position) => {
      const line = session.expressions[position];
      const state = position === shown && look && line.state === "whole" ? "look" : standing(session, line);
      const [shape, word] = STATES[state] ?? ["", state];
      const button = cell.firstChild;
      attribute(button, "data-state", state);
      attribute(button, "aria-current", position === shown ? "step" : undefined);
      text(button.children[0], `${shape} ${position}`);
      text(button.children[1], spaced(line.name));
      text(button.children[2], word);
      attribute(button, "title", line.skipped === undefined ? `${spaced(line.name)}: ${word}` : `${spaced(line.name)}: skipped, ${line.skipped}`);
    });
  }

  #cell(position) {
    const button = el("button", { type: "button", onclick: () => this.pick(position) },
      el("b", {}), el("span", { class: "strip-name" }), el("span", { class: "strip-word" }));
    return el("li", {}, button);
  }
}

/** As the state has it, but that what is next because its last take failed says so. */
function standing(session, line) {
  const failed = line.state === "next" && session.takes[line.takes.at(-1)]?.state === "failed";
  return failed ? "failed" : line.state;
}
