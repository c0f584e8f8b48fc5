// Shutter lag: measured by shots of their own, with progress; how far takes have drifted from what is kept; the verdict.

import { attribute, el, figure, keyed, show, text } from "/static/dom.js";
import { ago } from "/static/prepare/age.js";

const SHOWN = 5; // cameras, the worst first

export class LagPanel {
  #looked = "";

  constructor(app, profile) {
    this.app = app;
    this.profile = profile;
    this.found = null;
    this.shots = el("input", { id: "lag-shots", type: "number", min: "5", max: "200", value: "30", required: true });
    this.run = el("button", { type: "button", onclick: () => this.measure() }, el("kbd", {}, "K"), " Measure");
    this.progress = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Shutter lag: shots fired" });
    this.told = el("p", { role: "status" });
    this.verdict = el("p", { class: "lag-verdict" });
    this.body = el("tbody");
    this.table = el("table", { hidden: true }, el("thead", {}, el("tr", {}, ["Camera", "Lag", "Jitter", "Takes since"].map((name) => el("th", { scope: "col" }, name)))), this.body);
    this.root = el("section", { class: "panel lag", "aria-labelledby": "lag-title" },
      el("div", { class: "row" }, el("h2", { id: "lag-title" }, "Shutter lag"), el("span", { class: "gap" }), el("label", { for: "lag-shots" }, "shots"), this.shots, this.run),
      this.progress, this.told, this.verdict, this.table);
  }

  /** Look up what is kept: when the view is shown, the profile is another one, or a measurement has ended. */
  async look() {
    const profile = this.profile();
    const found = await this.app.attempt(() => this.app.api.get(`/api/lag?profile=${encodeURIComponent(profile)}`));
    if (found && profile === this.profile()) this.found = found;
    this.#paint();
  }

  async measure() {
    if (this.run.disabled || !this.shots.reportValidity()) return;
    const found = await this.app.attempt(() => this.app.api.post("/api/lag", { shots: Number(this.shots.value), profile: this.profile() }));
    if (found) {
      this.found = found;
      this.app.toast(`Lags of ${found.lags.length} cameras are measured and kept`, "good");
    }
    this.#paint();
  }

  update(state) {
    const job = state.jobs?.lag;
    const running = job?.state === "running";
    this.run.disabled = running || this.app.me.role === "viewer" || !this.app.store.connected;
    show(this.progress, running);
    if (running) {
      this.progress.max = job.total;
      this.progress.value = job.done;
    }
    const now = this.app.store.serverNow();
    text(this.told, running ? `Shot ${job.done} of ${job.total}` : job?.state === "failed" ? `Not measured: ${job.told}`
      : !this.found ? "" : !this.found.lags.length ? "No lags are known: measure them." : this.found.measured_at ? `Measured ${ago(this.found.measured_at, now)}, profile ${this.found.profile}` : "Seen in takes, and not kept: measure them.");
    attribute(this.told, "data-tone", running ? "wait" : job?.state === "failed" ? "stop" : undefined);
    const key = `${job?.state} ${this.profile()}`;
    if (key !== this.#looked && !running) {
      this.#looked = key;
      this.look();
    }
  }

  #paint() {
    const found = this.found;
    text(this.verdict, found?.verdict);
    attribute(this.verdict, "data-tone", found?.outlook ? (found.outlook.holds ? "good" : "stop") : undefined);
    show(this.verdict, found?.verdict);
    const drift = (lag) => Math.abs(lag.drift_ms ?? 0);
    const worst = [...(found?.lags ?? [])].sort((a, b) => drift(b) - drift(a) || (b.sigma_ms ?? 0) - (a.sigma_ms ?? 0)).slice(0, SHOWN);
    show(this.table, worst.length);
    keyed(this.body, worst, (lag) => lag.camera, (lag) => el("tr", {}, el("th", { scope: "row" }, lag.camera), el("td"), el("td"), el("td")), (row, lag) => {
      text(row.children[1], `${figure(lag.mean_ms)} ms`);
      text(row.children[2], lag.sigma_ms === null ? "–" : `${figure(lag.sigma_ms)} ms`);
      text(row.children[3], lag.drift_ms === null ? "–" : `${lag.drift_ms >= 0 ? "+" : "−"}${Math.abs(lag.drift_ms).toFixed(2)} ms`);
    });
    this.update(this.app.store.state);
  }
}
