// All that the farm shows of a take: pictures with their captions, and what each run says of its result.

import { el } from "/static/dom.js";
import { artefact, asking, badge, named } from "/static/records/parts.js";

export const VERDICTS = { accept: ["good", "good"], review: ["to look at", "look"], redo: ["do again", "stop"] };
const ORDER = ["redo", "review", "accept"];

/** The worst verdict of a take's runs; undefined where none says anything. */
export const worst = (take) => ORDER.find((verdict) => take.runs.some((run) => run.verdict === verdict));

/** The picture that stands for a take in a list. */
export function portrait(take) {
  for (const name of ["preview.textured", "preview.mesh", "preview.scan", "reconstruct.quality", "preview.contact"]) {
    const found = take.pictures.find((picture) => picture.name === name);
    if (found) return artefact(found.sha256);
  }
  return undefined;
}

/** Show a take's pictures large. */
export function showTake(app, take) {
  const said = take.runs.filter((run) => run.verdict);
  return asking(`Pictures of ${take.take}`, (close) => [
    el("div", { class: "row" }, el("h2", {}, `${take.subject} ${named(take.label)}`), el("code", {}, take.take), el("span", { class: "gap" }), el("a", { class: "button", href: `#three-d/${take.session}/${take.take}`, onclick: () => close() }, "3-D"), el("button", { type: "button", onclick: () => close() }, "Close")),
    ...said.map((run) =>
      el(
        "div", { class: "run-verdict" },
        el("p", {}, badge(VERDICTS[run.verdict][0], VERDICTS[run.verdict][1]), ` ${run.stage}${run.verdict === "accept" ? ": nothing to object" : ""}`),
        run.reasons.length ? el("ul", {}, run.reasons.map((reason) => el("li", {}, reason))) : null,
      ),
    ),
    take.shown
      ? el("div", { class: "take-pictures" }, take.pictures.map((picture) => el("figure", {}, el("img", { src: artefact(picture.sha256), alt: picture.caption, loading: "lazy" }), el("figcaption", { class: "faint" }, picture.caption))))
      : el("p", { class: "look" }, "Its subject's consent does not stand: nothing of it is shown."),
  ]);
}
