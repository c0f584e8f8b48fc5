// Why a run went wrong: its error and the end of its log.

import { el } from "/static/dom.js";
import { asking } from "/static/records/parts.js";

/** Show them. run: {key, stage, label?, take}. */
export async function showLog(app, run) {
  const found = await app.attempt(() => app.api.get(`/api/farm/runs/${run.key}`));
  if (!found) return;
  await asking(`Log of ${run.stage}`, (close) => [
    el("h2", {}, `${run.stage} of ${run.label || run.take || run.key.slice(0, 12)}`),
    el("h3", {}, "Why it ended"),
    el("pre", { class: "log", tabindex: 0 }, found.error || "No reason was recorded."),
    el("h3", {}, "Its log"),
    el("pre", { class: "log", tabindex: 0 }, found.log || "This machine cannot see its log: it is removed when a run ends well, and lies beside the store or on the worker."),
    el("div", { class: "row" }, el("button", { class: "primary", type: "button", onclick: () => close() }, "Close")),
  ]);
}
