// The preflight: a line a check, what is wrong with which camera, and what to do about it.

import { attribute, el, keyed, show, text } from "/static/dom.js";
import { ACTIONS } from "/static/faults.js";
import { ago } from "/static/prepare/age.js";

const MARKS = { ok: "●", warning: "▲", fault: "⬣" };
const WORDS = { ok: "ok", warning: "look", fault: "fault" };
const RANK = { fault: 0, warning: 1, ok: 2 };
const NAMED = 6; // cameras before they are counted

/** "cam-03: 8 %, 30 % are needed"; those of which the same is said together. */
export function cameraLines(cameras) {
  const found = new Map();
  for (const [camera, said] of Object.entries(cameras ?? {})) found.set(said, [...(found.get(said) ?? []), camera]);
  return [...found].map(([said, names]) => `${names.length > NAMED ? `${names.length} cameras` : names.join(", ")}: ${said}`);
}

export class PreflightPanel {
  /** select: of the profile, put into the heading. */
  constructor(app, profile, select) {
    this.app = app;
    this.profile = profile;
    this.run = el("button", { type: "button", class: "primary", onclick: () => this.start() }, el("kbd", {}, "P"), " Run it");
    this.verdict = el("strong", { class: "verdict", role: "status" });
    this.age = el("span", { class: "faint" });
    this.list = el("ul", { class: "checks" });
    this.none = el("p", { class: "faint" }, "None was run since the studio was started. It arms every camera with the profile's settings and lets it go again, lights the scene for a moment, and looks at disks, clocks and the calibration.");
    this.root = el("section", { class: "panel preflight", "aria-labelledby": "preflight-title" },
      el("div", { class: "row" }, el("h2", { id: "preflight-title" }, "Preflight"), this.verdict, this.age, el("span", { class: "gap" }), el("label", { for: select.id }, "Profile"), select, this.run),
      this.none, this.list);
  }

  async start() {
    if (this.run.disabled) return;
    await this.app.attempt(() => this.app.api.post("/api/preflight", { profile: this.profile() }));
  }

  update(state) {
    const found = state.preflight;
    const running = state.jobs?.preflight?.state === "running";
    this.run.disabled = running || this.app.me.role === "viewer" || !this.app.store.connected;
    show(this.none, !found);
    const [faults, looks] = ["fault", "warning"].map((level) => found?.checks.filter((check) => check.level === level).length ?? 0);
    const tone = !found ? "wait" : faults ? "stop" : !found.fresh || looks ? "look" : "good";
    attribute(this.verdict, "data-tone", running ? "wait" : tone);
    text(this.verdict, running ? "runs …" : !found ? "" : faults ? `⬣ ${faults} ${faults === 1 ? "fault" : "faults"}` : !found.fresh ? "▲ too old to go by" : looks ? `▲ ready, ${looks} to look at` : "● ready");
    text(this.age, found ? `${ago(found.at, this.app.store.serverNow())}${found.profile === this.profile() ? "" : `, profile ${found.profile}`}` : "");
    const checks = [...(found?.checks ?? [])].sort((a, b) => RANK[a.level] - RANK[b.level]);
    keyed(this.list, checks, (check) => check.name, () => this.#makeLine(), (line, check) => this.#paint(line, check));
  }

  #makeLine() {
    const line = el("li", {});
    Object.assign(line, {
      mark: el("span", { class: "check-mark" }), name: el("strong", { class: "check-name" }), said: el("span", { class: "check-text" }),
      cameras: el("ul", { class: "check-cameras" }), remedy: el("span", { class: "check-remedy" }), command: el("code", {}),
      button: el("button", { type: "button", onclick: () => this.app.attempt(() => ACTIONS[line.check.remedy.action][1](this.app, line.check.about)) }),
    });
    line.help = el("div", { class: "check-help" }, line.remedy, line.command, line.button);
    line.append(line.mark, line.name, line.said, line.cameras, line.help);
    return line;
  }

  #paint(line, check) {
    const remedy = check.remedy;
    line.check = { ...check, about: { text: check.text, cameras: Object.keys(check.cameras ?? {}), remedy } };
    attribute(line, "data-level", check.level);
    text(line.mark, `${MARKS[check.level]} ${WORDS[check.level]}`);
    text(line.name, check.name);
    text(line.said, check.text);
    const lines = cameraLines(check.cameras);
    show(line.cameras, lines.length);
    keyed(line.cameras, lines, (one) => one, (one) => el("li", {}, one), () => undefined);
    show(line.help, remedy);
    text(line.remedy, remedy?.text);
    text(line.command, remedy?.command);
    show(line.command, remedy?.command);
    const action = ACTIONS[remedy?.action];
    show(line.button, action && this.app.me.role !== "viewer");
    if (action) text(line.button, action[0]);
  }
}
