// Sounds and the seconds of a countdown, from what changes in the state; nothing sounds for what was there before.

import { deserveLook, secondsLeft } from "/static/shoot/model.js";

const OPEN = new Set(["armed", "countdown", "fired", "safe", "coming_in", "in"]);

export class SoundsOfTakes {
  #phases = new Map(); // code -> the phase that was told last
  #refused = undefined; // when the last fire was refused, null when none was; undefined while no state has come
  #countdown = { id: undefined, endsAt: 0, timer: 0, last: 0 };

  /** tick(seconds): called as the countdown goes on; undefined when there is none. */
  constructor(app, tick) {
    this.app = app;
    this.sounds = app.sounds;
    this.tick = tick;
  }

  get seconds() {
    return this.#countdown.id === undefined ? undefined : secondsLeft(this.#countdown.endsAt);
  }

  update(state) {
    this.#count(state.countdown);
    this.#refuse(state);
    const take = state.take;
    if (!take) return;
    const before = this.#phases.get(take.code);
    this.#phases.set(take.code, take.phase);
    if (before === undefined || before === take.phase || !OPEN.has(before)) return;
    if (take.phase === "failed") this.sounds.play("failed");
    else if (take.phase === "checked" || take.phase === "decided") {
      const look = take.phase === "checked" && deserveLook(state.session?.takes[take.code], take).length > 0;
      this.sounds.play(look ? "look" : "whole");
    }
  }

  /** Why a fire that was counted down was not fired; said once, also where the command's own answer has said it. */
  #refuse({ server, last_refusal: refusal }) {
    if (!server) return;
    const [before, now] = [this.#refused, refusal?.at ?? null];
    this.#refused = now;
    if (before === undefined || now === null || now === before) return;
    this.sounds.play("failed");
    setTimeout(() => {
      const said = [...document.querySelectorAll("#toasts .toast")].some((toast) => toast.textContent === refusal.text);
      if (!said) this.app.toast(refusal.text);
    }, 300);
  }

  #count(countdown) {
    if (countdown?.id === this.#countdown.id) return;
    clearInterval(this.#countdown.timer);
    if (!countdown) {
      this.#countdown = { id: undefined, endsAt: 0, timer: 0, last: 0 };
      this.tick(undefined);
      return;
    }
    this.#countdown = { id: countdown.id, endsAt: performance.now() + countdown.ends_in_ms, last: Infinity, timer: setInterval(() => this.#tick(), 50) };
    this.#tick();
  }

  #tick() {
    const left = secondsLeft(this.#countdown.endsAt);
    if (left >= this.#countdown.last) return;
    this.#countdown.last = left;
    this.sounds.play(left > 0 ? "tick" : "fire");
    this.tick(left);
  }
}
