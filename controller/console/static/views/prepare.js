// Prepare: what is done before a session, from the preflight to the board.

import { el, keyed, text } from "/static/dom.js";
import { CalibrationPanel } from "/static/prepare/calibration.js";
import { LagPanel } from "/static/prepare/lag.js";
import { LightsPanel } from "/static/prepare/lights.js";
import { PreflightPanel } from "/static/prepare/preflight.js";
import { ShotsPanel } from "/static/prepare/shots.js";

const VIEW = "prepare";
const AGES_MS = 20_000; // ages are told anew so often

export function mount(root, app) {
  const select = el("select", { id: "prepare-profile" });
  const profile = () => select.value || app.store.state.session?.profile || "default";
  const preflight = new PreflightPanel(app, profile, select);
  const lights = new LightsPanel(app);
  const lag = new LagPanel(app, profile);
  const shots = new ShotsPanel(app, profile);
  const calibration = new CalibrationPanel(app);
  const panels = [preflight, lights, lag, shots, calibration];
  root.replaceChildren(
    el("div", { class: "prepare-left" }, preflight.root),
    el("div", { class: "prepare-middle" }, lights.root, lag.root, calibration.root),
    el("div", { class: "prepare-right" }, shots.root),
  );
  select.addEventListener("change", () => update(app.store.state));

  function update(state) {
    const profiles = state.rig?.profiles ?? ["default"];
    const before = select.value;
    keyed(select, profiles, (name) => name, (name) => el("option", { value: name }), (option, name) => text(option, name));
    if (!before || !profiles.includes(before)) select.value = state.session?.profile ?? profiles[0];
    for (const panel of panels) panel.update(state);
  }

  const { keys } = app;
  keys.bind(VIEW, "p", "Run the preflight", () => preflight.start(), { acts: true });
  keys.bind(VIEW, "l", "The next light scene", () => lights.next(), { acts: true });
  keys.bind(VIEW, "0", "Let go of the light scene", () => lights.hold(null), { acts: true });
  keys.bind(VIEW, "k", "Measure the shutter lags", () => lag.measure(), { acts: true });
  keys.bind(VIEW, "b", "Begin photographs of the board", () => shots.begin(), { acts: true });
  keys.bind(VIEW, " ", "Photograph the next pose", () => shots.pose(), { acts: true });
  keys.bind(VIEW, "h", "Photograph the head frame's pose", () => shots.pose("frame"), { acts: true });
  keys.bind(VIEW, "x", "End the photographs of the board", () => shots.stop(), { acts: true });
  keys.bind(VIEW, "c", "Photograph the ColorChecker", () => shots.once("colours"), { acts: true });
  keys.bind(VIEW, "t", "Test shots of all cameras", () => shots.once("test"), { acts: true });

  let shown = false;
  setInterval(() => shown && update(app.store.state), AGES_MS);
  return {
    update,
    shown() {
      shown = true;
      shots.show(true);
      update(app.store.state);
    },
    hidden() {
      shown = false;
      shots.show(false);
    },
  };
}
