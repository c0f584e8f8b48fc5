// The rig's own photographs, without a subject: the board pose by pose with what each camera has seen, ColorChecker, tests.

import { attribute, el, keyed, show, text } from "/static/dom.js";
import { settled } from "/static/cameras/actions.js";
import { Coverage } from "/static/prepare/coverage.js";

const SAID = 4; // cameras of which more than their name is said
const POLL_MS = 500; // while a pose is fired or comes in
const MEASURES = [["squares_x", "Squares across", 11], ["squares_y", "Squares down", 8], ["square_mm", "Square, mm", 30], ["marker_mm", "Marker, mm", 22]];

export class ShotsPanel {
  #timer = 0;
  #looked = "";

  constructor(app, profile) {
    this.app = app;
    this.profile = profile;
    this.job = { state: "none" };
    this.poses = el("input", { id: "board-poses", type: "number", min: "1", max: "500", value: "60", required: true });
    this.every = el("input", { id: "board-every", type: "number", min: "0", max: "600", value: "0", required: true });
    this.measures = this.#makeMeasures();
    const button = (act, key, words, run, kind = "") => el("button", { type: "button", class: kind, data: { shot: act }, onclick: run }, el("kbd", {}, key), ` ${words}`);
    this.buttons = {
      board: button("board", "B", "Begin the board", () => this.begin()),
      pose: button("pose", "Space", "Photograph the next pose", () => this.pose(), "primary"),
      frame: button("frame", "H", "Head frame's pose", () => this.pose("frame")),
      stop: button("stop", "X", "End", () => this.stop()),
      colours: button("colours", "C", "ColorChecker", () => this.once("colours")),
      test: button("test", "T", "Test shots", () => this.once("test")),
    };
    this.title = el("strong", { class: "verdict", role: "status" });
    this.progress = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Poses photographed" });
    this.advice = el("p", { class: "shots-advice" });
    this.pose_told = el("p", { class: "shots-pose" });
    this.lacking = el("p", { class: "look" });
    this.folder = el("p", { class: "faint" });
    this.coverage = new Coverage();
    this.setup = el("div", { class: "row shots-setup" },
      el("label", { for: "board-poses" }, "poses"), this.poses, el("label", { for: "board-every" }, "by itself every"), this.every, el("span", { class: "faint" }, "s (0: by the key)"), this.buttons.board);
    this.root = el("section", { class: "panel shots-panel", "aria-labelledby": "shots-title" },
      el("div", { class: "row" }, el("h2", { id: "shots-title" }, "Board and tests"), this.title, el("span", { class: "gap" }), this.buttons.colours, this.buttons.test),
      this.setup, this.measures.root,
      el("div", { class: "row" }, this.buttons.pose, this.buttons.frame, this.buttons.stop),
      this.progress, this.pose_told, this.advice, this.lacking, this.coverage.root, this.folder);
  }

  #makeMeasures() {
    const inputs = Object.fromEntries(MEASURES.map(([name, , value]) => [name, el("input", { id: `board-${name}`, type: "number", step: "any", min: "0.1", value: String(value) })]));
    const given = el("input", { id: "board-given", type: "checkbox" });
    const root = el("details", { class: "measures" }, el("summary", {}, "The board's measures"),
      el("div", { class: "row" }, given, el("label", { for: "board-given" }, "use these in place of board.toml")),
      el("div", { class: "row" }, MEASURES.flatMap(([name, words]) => [el("label", { for: `board-${name}` }, words), inputs[name]])));
    return { root, body: () => (given.checked ? { board: Object.fromEntries(MEASURES.map(([name]) => [name, Number(inputs[name].value)])) } : {}) };
  }

  get running() {
    return this.job.state === "running";
  }

  // --- acts

  async #act(path, body) {
    const job = await this.app.attempt(() => this.app.api.post(path, body));
    if (job) this.#took(job);
    return job;
  }

  begin() {
    if (this.buttons.board.disabled || !this.poses.reportValidity() || !this.every.reportValidity()) return undefined;
    const every = Number(this.every.value);
    return this.#act("/api/rig/shoot", { kind: "board", poses: Number(this.poses.value), profile: this.profile(), ...(every ? { every_s: every } : {}), ...this.measures.body() });
  }

  once(kind) {
    if (this.buttons[kind].disabled) return undefined;
    return this.#act("/api/rig/shoot", { kind, profile: this.profile(), ...(kind === "test" ? { cameras: [] } : {}) });
  }

  pose(name) {
    if (this.buttons.pose.disabled) return undefined;
    return this.#act("/api/rig/shoot/pose", name ? { name } : {});
  }

  stop() {
    return this.buttons.stop.disabled ? undefined : this.#act("/api/rig/shoot/stop", {});
  }

  // --- what is there

  /** Ask for the job: the stream says that there is news, not all that is seen. */
  async look() {
    const job = await this.app.api.get("/api/rig/shoot").catch(() => null);
    if (job) this.#took(job);
  }

  #took(job) {
    this.job = job;
    clearTimeout(this.#timer);
    if (this.shown && job.state !== "none" && !settled(job)) this.#timer = setTimeout(() => this.look(), POLL_MS);
    this.#paint();
  }

  show(shown) {
    this.shown = shown;
    clearTimeout(this.#timer);
    if (shown) this.look();
  }

  update(state) {
    const news = Object.values(state.jobs ?? {}).filter((job) => ["board", "colours", "test"].includes(job.kind)).map((job) => `${job.id} ${job.done} ${job.state}`).join("|");
    if (news !== this.#looked) {
      this.#looked = news;
      if (this.shown) this.look();
    }
    this.#paint();
  }

  #paint() {
    const { job, running } = this;
    const board = job.kind === "board";
    const may = this.app.me.role !== "viewer" && this.app.store.connected;
    this.buttons.board.disabled = this.buttons.colours.disabled = this.buttons.test.disabled = running || !may;
    this.buttons.pose.disabled = this.buttons.frame.disabled = !(running && board && may) || job.firing;
    this.buttons.stop.disabled = !running || !may;
    for (const name of ["pose", "frame", "stop"]) show(this.buttons[name], running);
    show(this.setup, !running);
    show(this.measures.root, !running);
    const what = { board: "poses", colours: "ColorChecker", test: "test shots" }[job.kind];
    attribute(this.title, "data-tone", { running: "wait", done: "good", failed: "stop", stopped: "look" }[job.state]);
    text(this.title, job.state === "none" ? "" : board ? `${job.done} of ${job.total} poses${job.enough ? ", enough of every camera" : ""}` : `${what}: ${job.state}`);
    show(this.progress, board);
    if (board) {
      this.progress.max = job.total || 1;
      this.progress.value = job.done;
    }
    text(this.pose_told, !job.pose ? "" : `${job.firing ? "fires …" : `Pose ${job.pose.name}: ${job.pose.in.length} of ${job.pose.fired.length} photographs are in`}${lacks(job.pose.lacking)}${job.looking ? `; ${job.looking} are looked at` : ""}`);
    show(this.pose_told, job.pose);
    const next = running && job.next_in_s !== null && job.next_in_s !== undefined ? `The next pose in ${Math.ceil(job.next_in_s)} s. ` : "";
    const advice = board && running ? (job.advice ?? "") : "";
    text(this.advice, job.told || next + advice.slice(0, 1).toUpperCase() + advice.slice(1));
    attribute(this.advice, "data-tone", job.state === "failed" ? "stop" : undefined);
    text(this.lacking, board && job.lacking?.length ? `▲ ${job.lacking.length} ${job.lacking.length === 1 ? "camera lacks" : "cameras lack"} something: ${shortly(job.lacking, (name) => job.cameras[name]?.lacks?.split(";")[0])}` : "");
    text(this.folder, job.folder ? `In ${job.folder} on the studio's computer` : "");
    this.coverage.update(job);
  }
}

function lacks(lacking) {
  const names = Object.keys(lacking ?? {});
  return names.length ? `; without ${shortly(names, (name) => lacking[name])}` : "";
}

/** The first cameras with what is said of each, shortened; the others by name or number. */
function shortly(names, said) {
  const told = names.slice(0, SAID).map((name) => (said(name) ? `${name} (${said(name).slice(0, 60)}${said(name).length > 60 ? " …" : ""})` : name));
  const rest = names.slice(SAID);
  return [...told, ...(rest.length > 12 ? [`${rest.length} more`] : rest)].join(", ");
}
