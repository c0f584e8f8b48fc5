// Sounds and the seconds of a countdown, from what changes in the state; nothing sounds for what was there before.

import { deserveLook, secondsLeft } from "/static/shoot/model.js";

const OPEN = new Set(["armed", "countdown", "fired", "safe", "coming_in", "in"]);

export class SoundsOfTakes {
  #phases = new Map(); // code -> the phase that was told last
  #countdown = { id: undefined, endsAt: 0, timer: 0, last: 0 };

  /** tick(seconds): called as the countdown goes on; undefined when there is none. */
  constructor(sounds, tick) {
    this.sounds = sounds;
    this.tick = tick;
  }

  get seconds() {
    return this.#countdown.id === undefined ? undefined : secondsLeft(this.#countdown.endsAt);
  }

  update(state) {
    this.#count(state.countdown);
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
