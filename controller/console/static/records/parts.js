// What the views over the records share: days, badges, labelled fields, polling while a view is shown.

import { el } from "/static/dom.js";

const DAY = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", year: "numeric", timeZone: "UTC" });
const MINUTE = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" });

/** "2026-01-02" as "02 Jan 2026"; "–" for none. */
export const day = (iso) => (iso ? DAY.format(new Date(`${iso.slice(0, 10)}T00:00:00Z`)) : "–");
/** A moment by this machine's clock, to the minute. */
export const minute = (iso) => (iso ? MINUTE.format(new Date(iso)) : "–");
/** A duration as a person says it: "12 s", "3 min", "5.2 h". */
export function span(seconds) {
  if (seconds === undefined || seconds === null) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
/** Bytes: "6.5 MB". */
export const size = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`);
/** "1 take", "3 takes". */
export const count = (number, what, many = `${what}s`) => `${number} ${number === 1 ? what : many}`;
/** "2_smile" as "smile". */
export const named = (label) => label.replace(/^\d+_/, "").replaceAll("_", " ");

const SCOPES = {
  research_release: "research release",
  publication: "publication",
  eyes_mosaicked: "eyes mosaicked",
  statistical_model: "statistical model",
};
export const scopeName = (scope) => SCOPES[scope] ?? scope;
export const SCOPE_NAMES = SCOPES;

/** A word with a tone ("good", "wait", "look", "stop" or "") told by its shape too. */
export const badge = (text, tone = "") => el("span", { class: "badge", data: { tone } }, text);

let fields = 0;
/** A control with its label above it. */
export function field(label, control, hint) {
  control.id ||= `field-${++fields}`;
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control, hint ? el("p", { class: "hint" }, hint) : null);
}

/** A box to tick with its label beside it. */
export function tick(label, properties = {}) {
  const box = el("input", { type: "checkbox", ...properties });
  return { box, row: el("label", { class: "tick" }, box, el("span", {}, label)) };
}

/** Call fn at once and every `ms` while shown: {start(), stop(), now()}. fn says by itself what goes wrong. */
export function polling(fn, ms) {
  let timer = 0;
  let running = null;
  const now = async () => {
    running ??= fn().finally(() => (running = null));
    await running;
  };
  const again = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      await now();
      if (timer) again();
    }, ms);
  };
  return {
    now,
    start() {
      now();
      again();
    },
    stop() {
      clearTimeout(timer);
      timer = 0;
    },
  };
}

/** changed(name, value): whether a value differs from the one that was given under this name before; focus stays where nothing changed. */
export function watching() {
  const seen = new Map();
  return (name, value) => {
    const text = JSON.stringify(value);
    if (seen.get(name) === text) return false;
    seen.set(name, text);
    return true;
  };
}

/** Call fn once things have been quiet for `ms`. */
export function settling(fn, ms) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(fn, ms);
  };
}

/** An address of a file that the farm made. */
export const artefact = (sha256) => `/api/artefacts/${sha256}`;

/** A dialog of its own: filled by `fill(close)`, gone when it is closed; what close was given, undefined for Esc. */
export function asking(label, fill) {
  return new Promise((resolve) => {
    let answer;
    const dialog = el("dialog", { class: "records-dialog", "aria-label": label });
    const close = (value) => {
      answer = value;
      dialog.close();
    };
    dialog.append(...[fill(close)].flat().filter(Boolean));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Write a command for a terminal, which a click copies. */
export function command(text, app) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      app.toast("Copied", "good");
    } catch {
      app.toast("This browser does not let the page copy: mark the text instead", "look");
    }
  };
  return el("span", { class: "command" }, el("code", {}, text), el("button", { type: "button", onclick: copy, "aria-label": `Copy: ${text}` }, "Copy"));
}
