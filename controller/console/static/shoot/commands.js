// What the operator can do in the Shoot view. Everything is pointed at the expression and at the take that are shown.

import { shownPosition, shownTake, spaced, standing } from "/static/shoot/model.js";

const TWICE_MS = 3000; // a take that deserves a look is accepted by Enter twice within this time

export class Commands {
  #sending = []; // what was sent and is not answered yet, the latest last: {what, done}
  #warned = { code: undefined, until: 0 };
  #decided = []; // codes of takes that were accepted here, and expressions that were skipped, the latest last

  /** view: {pinned, chosen, pictures, changed()}: what is shown, and how it is painted anew. settings: {countdown}. */
  constructor(app, view, settings) {
    this.app = app;
    this.view = view;
    this.settings = settings;
  }

  get state() {
    return this.app.store.state;
  }

  /** The position, its expression and its take as they are shown now. */
  shown() {
    const position = shownPosition(this.state, this.view.pinned);
    const code = shownTake(this.state, position, this.view.chosen);
    const line = this.state.session?.takes[code];
    const seen = this.view.pictures.of(this.state, code);
    return { position, expression: this.state.session?.expressions[position], code, line, seen, standing: code && standing(this.state, code, seen) };
  }

  /** Why Enter wants to be pressed again, or undefined. */
  warned(code) {
    return this.#warned.code === code && performance.now() < this.#warned.until;
  }

  async fire() {
    const { session } = this.state;
    const { position, expression, code, standing: stands } = this.shown();
    if (!this.#open() || this.state.countdown || expression === undefined) return;
    if (stands === "under_way") return this.#say(`${code} is still coming in. N shows what is next`);
    if (stands === "whole" || stands === "look") return this.#say(`${code} waits: Enter accepts it, R takes it again`);
    if (stands === "accepted" || stands === "beside") return this.#say(`${spaced(expression.name)} is accepted: R takes it again beside it`);
    const named = position === session.next ? { shown: expression.name } : { expression: expression.name };
    await this.#trigger(named);
  }

  async retake() {
    const { expression, code, standing: stands } = this.shown();
    if (!this.#open() || this.state.countdown || expression === undefined) return;
    if (code === undefined) return this.#say(`${spaced(expression.name)} has no take yet: Space fires it`);
    if (stands === "under_way") return this.#say(`${code} is still coming in`);
    await this.#trigger({ expression: expression.name, retake: true });
  }

  async accept() {
    const { position, code, line, seen, standing: stands } = this.shown();
    if (!this.state.session || code === undefined) return this.#say("There is no take to accept");
    if (!this.#open()) return undefined;
    if (stands === "under_way") return this.#say(`${code} is still coming in`);
    if (stands === "accepted") return this.#say(`${code} is accepted already`, "good");
    if (stands === "failed") return this.#say(`${code} has failed: R takes it again`);
    const unchecked = line.checks === undefined && !seen.review;
    if ((unchecked || stands !== "whole") && !this.warned(code)) {
      this.#warned = { code, until: performance.now() + TWICE_MS };
      setTimeout(() => this.view.changed(), TWICE_MS + 50);
      this.app.sounds.play("look");
      return this.view.changed();
    }
    this.#warned = { code: undefined, until: 0 };
    const way = stands === "beside" ? "choose" : "accept";
    const done = await this.#send(`/api/sessions/${this.state.session.code}/${way}`, { take: code });
    if (!done) return;
    this.#decided.push({ take: code, position });
    this.#follow();
  }

  /** What is told while Enter wants to be pressed again. */
  warning({ code, standing: stands }) {
    if (!this.warned(code)) return undefined;
    if (stands === "beside") return `${code} is beside another take: Enter again chooses it`;
    if (stands === "look") return "It deserves a look: Enter again accepts it all the same";
    return "Its checks are not made yet: Enter again accepts it without them";
  }

  /** What U takes back: {take, drops?} or {skip}: the last decision about the take that is shown, else the last one made here. */
  undoable() {
    const { session } = this.state;
    if (!session) return undefined;
    const { expression, code, line } = this.shown();
    if (expression?.skipped !== undefined) return { skip: expression.name };
    if (line && ["captured", "accepted", "superseded"].includes(line.state)) return { take: code, drops: line.state === "captured" };
    for (const last of [...this.#decided].reverse()) {
      if (last.skip && Object.values(session.expressions).some((one) => one.name === last.skip && one.skipped !== undefined)) {
        return { skip: last.skip };
      }
      if (last.take && ["accepted", "superseded"].includes(session.takes[last.take]?.state)) return { take: last.take };
    }
    const accepted = session.order.flatMap((position) => session.expressions[position].takes).filter((code) => session.takes[code].state === "accepted");
    return accepted.length ? { take: accepted.at(-1) } : undefined;
  }

  async undo() {
    const what = this.undoable();
    if (!what) return this.#say("There is nothing to take back");
    const path = `/api/sessions/${this.state.session.code}/${what.skip ? "skip" : "undo"}`;
    const done = await this.#send(path, what.skip ? { expression: what.skip } : { take: what.take });
    if (!done) return;
    this.app.toast(what.skip ? `${spaced(what.skip)} is asked for again` : what.drops ? `${what.take} is dropped` : `Taken back: ${what.take}`, "good");
    this.#decided = this.#decided.filter((one) => one.take !== what.take || one.skip !== what.skip);
    this.#follow();
    if (what.take && !what.drops) this.view.pinned = this.state.session.takes[what.take]?.position;
    this.view.changed();
  }

  async skip() {
    const { expression, line } = this.shown();
    if (!this.#open() || expression === undefined) return;
    if (line && line.state !== "failed") return this.#say(`${spaced(expression.name)} has a take: it is not skipped`);
    const reason = await this.app.asked(`Why is ${spaced(expression.name)} skipped?`, "Skip it");
    if (!reason) return;
    if (await this.#send(`/api/sessions/${this.state.session.code}/skip`, { expression: expression.name, reason })) {
      this.#decided.push({ skip: expression.name });
      this.#follow();
    }
  }

  /** A failed take is kept without the photographs that it lacks. */
  async keepWithout() {
    const { code } = this.shown();
    const missing = this.state.take?.code === code ? this.state.take.missing ?? [] : [];
    if (!missing.length) return this.#say(`Which photographs ${code} lacks is not known here: mien session accept --without`);
    const reason = await this.app.asked(`${code} is kept without ${missing.join(", ")}. Why?`, "Keep it");
    if (reason) await this.#send(`/api/sessions/${this.state.session.code}/accept`, { take: code, without: missing, reason });
  }

  /** Pause the open session, or resume the only paused one. */
  async pause() {
    const { session, paused } = this.state;
    if (session && session.state !== "paused") return this.#send(`/api/sessions/${session.code}/pause`);
    if (paused?.length === 1) return this.#send(`/api/sessions/${paused[0].session}/resume`);
    return this.app.go("sessions");
  }

  /** The next scene of the rig file is held; after the last none is. */
  async scene() {
    const scenes = this.state.rig?.scenes ?? [];
    if (!scenes.length) return this.#say("The rig file has no light scenes");
    const next = scenes[scenes.indexOf(this.state.rig.held_scene) + 1] ?? null;
    const done = await this.#send("/api/rig/scene", { scene: next });
    if (done) this.app.toast(next ? `Lights: ${next} is held` : "Lights: no scene is held", "good");
    return done;
  }

  async abort() {
    if (this.state.countdown) await this.#send("/api/trigger/abort", {}, true);
  }

  automatic(on) {
    return this.#send(`/api/sessions/${this.state.session.code}/automatic`, { on });
  }

  /** Show the expression that is next, or with `position` this one. */
  show(position = this.state.session?.next) {
    if (position === undefined) return;
    this.view.pinned = position;
    this.view.chosen = undefined;
    this.view.changed();
  }

  /** Show the take before or after the one that is shown. */
  compare(by) {
    const { expression, code } = this.shown();
    const takes = expression?.takes ?? [];
    const next = takes[takes.indexOf(code) + by];
    if (!next) return;
    this.view.chosen = next;
    this.view.pinned = this.state.session.takes[next].position;
    this.view.changed();
  }

  #open() {
    const { session } = this.state;
    if (session?.consent?.standing === "withdrawn") {
      this.#say(`${session.subject} has withdrawn its consent: nothing is fired or accepted any more`, "stop");
      return false;
    }
    if (session?.state === "open") return true;
    this.#say(session ? `${session.code} is ${session.state}: P resumes it` : "No session is open");
    return false;
  }

  async #trigger(body) {
    this.view.chosen = undefined;
    this.#warned = { code: undefined, until: 0 };
    await this.#send(`/api/sessions/${this.state.session.code}/trigger`, { ...body, countdown_s: this.settings.countdown });
  }

  #follow() {
    this.view.pinned = undefined;
    this.view.chosen = undefined;
    this.view.changed();
  }

  /** One command at a time: a key pressed twice does not act twice; another key's command waits for the answer before it. */
  async #send(path, body = {}, beside = false) {
    const what = `${path} ${JSON.stringify(body)}`;
    if (this.#sending.some((one) => one.what === what)) return undefined;
    const before = beside ? undefined : this.#sending.at(-1)?.done;
    const sent = { what, done: this.#post(before, path, body) };
    this.#sending.push(sent);
    try {
      return await sent.done;
    } finally {
      this.#sending.splice(this.#sending.indexOf(sent), 1);
    }
  }

  async #post(before, path, body) {
    await before?.catch(() => undefined);
    return this.app.attempt(() => this.app.api.post(path, body));
  }

  #say(message, tone = "look") {
    this.app.toast(message, tone);
  }
}
