// Asks why cameras are set aside, and until when.

import { el } from "/static/dom.js";

const UNTIL = [["today", "today, until midnight"], ["session", "the open session is closed"], ["2h", "two hours from now"], ["back", "somebody brings it back"]];

/** {reason, until}, or null when nothing is to be done. session: whether one is open. */
export function askAside(cameras, why, session) {
  const reason = el("input", { type: "text", id: "aside-reason", required: true, maxlength: "300", autocomplete: "off", value: why });
  const until = el("select", { id: "aside-until" }, UNTIL.filter(([value]) => session || value !== "session").map(([value, words]) => el("option", { value }, words)));
  const dialog = el("dialog", { class: "aside-dialog", "aria-label": "Set aside" },
    el("h2", {}, `Set ${cameras.length > 3 ? `${cameras.length} cameras` : cameras.join(", ")} aside`),
    el("p", { class: "faint" }, "Takes are fired without it, and say so; nothing is asked of it meanwhile."),
    el("form", { method: "dialog" },
      el("label", { for: "aside-reason" }, "Why"), reason,
      el("label", { for: "aside-until" }, "Until"), until,
      el("div", { class: "row" }, el("button", { class: "primary", value: "yes" }, "Set aside"), el("button", { value: "no", formnovalidate: true }, "Cancel"))));
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "yes" && reason.value.trim() ? { reason: reason.value.trim(), until: until.value } : null;
      dialog.remove();
      resolve(given);
    });
    dialog.showModal();
    reason.focus();
  });
}
