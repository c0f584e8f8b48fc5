// Sounds of the page, made by the browser: no files. A siren sounds even when the rest is muted.

const TONES = {
  tick: [[880, 0, 0.06]],
  fire: [[1320, 0, 0.12]],
  whole: [[660, 0, 0.1], [990, 0.1, 0.18]],
  look: [[520, 0, 0.14], [520, 0.22, 0.14]],
  failed: [[330, 0, 0.22], [220, 0.22, 0.35]],
  lost: [[700, 0, 0.4], [450, 0.4, 0.4], [700, 0.8, 0.4], [450, 1.2, 0.4]],
};

export class Sounds {
  #context = null;
  played = []; // names, the latest last; for whoever watches the page

  constructor() {
    this.muted = localStorage.getItem("mien-muted") === "yes";
    // Browsers let a page sound only after somebody has touched it.
    for (const event of ["keydown", "pointerdown"]) document.addEventListener(event, () => this.#open(), { once: true });
  }

  set mute(on) {
    this.muted = on;
    localStorage.setItem("mien-muted", on ? "yes" : "no");
  }

  play(name) {
    this.played = [...this.played.slice(-49), name];
    if (this.muted && name !== "lost") return;
    const context = this.#open();
    if (!context || context.state !== "running") return;
    for (const [frequency, at, length] of TONES[name]) {
      const tone = context.createOscillator();
      const level = context.createGain();
      const begin = context.currentTime + at;
      tone.frequency.value = frequency;
      tone.type = name === "lost" ? "sawtooth" : "sine";
      level.gain.setValueAtTime(0, begin);
      level.gain.linearRampToValueAtTime(0.25, begin + 0.01);
      level.gain.linearRampToValueAtTime(0, begin + length);
      tone.connect(level).connect(context.destination);
      tone.start(begin);
      tone.stop(begin + length + 0.02);
    }
  }

  #open() {
    if (!this.#context && window.AudioContext) this.#context = new AudioContext();
    if (this.#context?.state === "suspended" && navigator.userActivation?.hasBeenActive) this.#context.resume();
    return this.#context;
  }
}
