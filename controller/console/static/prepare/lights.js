// Light scenes, held by a button: what is lit stays lit between takes until another one is asked for.

import { attribute, el, keyed, show, text } from "/static/dom.js";

export class LightsPanel {
  constructor(app) {
    this.app = app;
    this.scenes = el("div", { class: "row scenes" });
    this.told = el("p", { class: "faint" });
    this.root = el("section", { class: "panel lights", "aria-labelledby": "lights-title" },
      el("div", { class: "row" }, el("h2", { id: "lights-title" }, "Lights"), el("span", { class: "faint" }, el("kbd", {}, "L"), " next · ", el("kbd", {}, "0"), " let go")),
      this.scenes, this.told);
  }

  update(state) {
    const scenes = state.rig?.scenes ?? [];
    const held = state.rig?.held_scene;
    const buttons = scenes.length ? [...scenes, null] : [];
    keyed(this.scenes, buttons, (scene) => scene ?? "", (scene) => el("button", { type: "button", onclick: () => this.hold(scene) }, scene ?? "Let go"), (button, scene) => {
      attribute(button, "aria-pressed", scene === null ? undefined : String(scene === held));
      button.disabled = this.app.me.role === "viewer" || !this.app.store.connected || (scene === null && !held);
    });
    show(this.told, true);
    text(this.told, !scenes.length ? "The rig file has no scenes." : held ? `${held} is held: it is lit between takes too.` : `Nothing is held${state.rig?.scene ? `; ${state.rig.scene} is sent now` : ""}. A take lights its profile's scene by itself.`);
  }

  hold(scene) {
    return this.app.attempt(() => this.app.api.post("/api/rig/scene", { scene }));
  }

  next() {
    const { scenes = [], held_scene: held } = this.app.store.state.rig ?? {};
    if (!scenes.length) return undefined;
    const at = scenes.indexOf(held) + 1;
    return this.hold(at < scenes.length ? scenes[at] : null);
  }
}
